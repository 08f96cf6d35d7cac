// Warnings: settings that have no effect, and limits that can never trip.
#include <algorithm>
#include <queue>

#include "broker/config/tree.hpp"
#include "broker/restart_window.hpp"
#include "broker/units.hpp"

namespace muproc::broker {

namespace {

using std::chrono::nanoseconds;

// One child of a supervisor, as a source of failures.
struct Failing {
  Backoff backoff;
  nanoseconds others_stop{0};  // what its group may need to stop before it can be started again

  [[nodiscard]] nanoseconds gap(std::uint32_t failures) const {
    return std::max(backoff_delay(backoff, failures, 0.0), others_stop);
  }
};

nanoseconds longest_stop(const Stop& stop) {
  return stop.kind() == Stop::Kind::period ? stop.period() : nanoseconds{0};
}

// What both kinds of children have.
struct ChildFacts {
  Restart restart;
  Stop stop;
  Backoff backoff;
};

ChildFacts facts(const SystemSpec& system, const std::string& name) {
  if (const auto* supervisor = system.find_supervisor(name)) return {supervisor->restart, supervisor->stop, {}};
  const auto* muproc = system.find_muproc(name);
  return {muproc->restart, muproc->stop, muproc->backoff};
}

std::vector<Failing> failing_children(const SystemSpec& system, const SupervisorSpec& supervisor, bool with_stops) {
  std::vector<Failing> out;
  for (std::size_t i = 0; i < supervisor.children.size(); ++i) {
    const ChildFacts child = facts(system, supervisor.children[i]);
    if (child.restart == Restart::temporary) continue;
    Failing failing{.backoff = child.backoff};
    for (std::size_t j = 0; with_stops && j < supervisor.children.size(); ++j) {
      const bool stops = j != i && (supervisor.strategy == Strategy::one_for_all ||
                                    (supervisor.strategy == Strategy::rest_for_one && j > i));
      if (stops) failing.others_stop += longest_stop(facts(system, supervisor.children[j]).stop);
    }
    out.push_back(failing);
  }
  return out;
}

// The least time in which this many failures can follow the first: always that of the child that is back soonest.
// Alone, children wait at the same time; in a group they wait one after the other.
nanoseconds least_time(const std::vector<Failing>& children, std::uint32_t failures, bool alone, nanoseconds enough) {
  struct Next {
    nanoseconds at;
    std::size_t child;
    std::uint32_t count;
    bool operator<(const Next& other) const { return at > other.at; }
  };
  std::priority_queue<Next> next;
  for (std::size_t i = 0; i < children.size(); ++i) next.push({alone ? nanoseconds{0} : children[i].gap(0), i, 0});
  // Alone, each child's first failure is free, and one of them is the failure that the others follow.
  nanoseconds passed{0};
  for (std::uint32_t done = 0, wanted = alone ? failures + 1 : failures; done < wanted && passed <= enough; ++done) {
    const Next soonest = next.top();
    next.pop();
    passed = alone ? soonest.at : passed + soonest.at;
    const nanoseconds gap = children[soonest.child].gap(alone ? soonest.count : soonest.count + 1);
    next.push({alone ? soonest.at + gap : gap, soonest.child, soonest.count + 1});
  }
  return passed;
}

void warn_of_limit(Reader& reader, const SupervisorDraft& draft, const SystemSpec& system) {
  const SupervisorSpec& supervisor = *system.find_supervisor(draft.spec.name);
  const Limit& limit = supervisor.limit;
  const bool alone = supervisor.strategy == Strategy::one_for_one || supervisor.strategy == Strategy::simple_one_for_one;
  const auto children = failing_children(system, supervisor, false);
  if (children.empty() || limit.restarts == 0) return;
  const std::string window = " further apart than the " + to_string(limit.within) + " that it looks at";
  if (least_time(children, limit.restarts, alone, limit.within) > limit.within)
    return reader.warning(place_of(draft, "limit"), "this limit can never trip: back-off keeps " +
                                                        std::to_string(limit.restarts + 1) + " failures" + window);
  // A stop takes its whole period only if the child wants it to. So this is said only if not even two failures fit.
  const auto slow = failing_children(system, supervisor, true);
  if (!alone && least_time(slow, 1, alone, limit.within) > limit.within)
    reader.warning(place_of(draft, "limit"),
                   "this limit cannot trip when children use all their time to stop, which keeps 2 failures" + window);
}

void warn_of_auto_shutdown(Reader& reader, const SupervisorDraft& draft, const SystemSpec& system) {
  if (draft.spec.auto_shutdown == AutoShutdown::never || !draft.places.contains("auto_shutdown")) return;
  const auto& children = system.find_supervisor(draft.spec.name)->children;
  const bool has_significant = std::ranges::any_of(children, [&](const std::string& name) {
    const auto* supervisor = system.find_supervisor(name);
    return supervisor ? supervisor->significant : system.find_muproc(name)->significant;
  });
  if (!has_significant)
    reader.warning(place_of(draft, "auto_shutdown"), "\"auto_shutdown\" has no effect: no child is significant");
}

void warn_of_root(Reader& reader, const SupervisorDraft& draft) {
  for (const char* key : {"restart", "stop", "significant"})
    if (draft.places.contains(key))
      reader.warning(place_of(draft, key), in_quotes(key) + " has no effect on the root supervisor");
}

void warn_of_plain(Reader& reader, const MuprocDraft& draft) {
  if (!draft.is_plain || !draft.exec) return;
  for (const char* key : {"args", "bindings", "mailbox", "trap_exits", "may_send", "may_control", "trust"})
    if (draft.places.contains(key))
      reader.warning(place_of(draft, key), in_quotes(key) + " has no effect on a plain program");
}

void warn_of_spares(Reader& reader, const MuprocDraft& draft) {
  if (draft.spec.restart == Restart::temporary && draft.spec.spares > 0 && draft.places.contains("spares"))
    reader.warning(place_of(draft, "spares"), "\"spares\" has no effect: a temporary muproc is never started again");
}

// It may name one that is spawned later; but then it is mostly a slip.
void warn_of_strangers(Reader& reader, const MuprocDraft& draft, const SystemDraft& drafts) {
  if (!draft.may_send) return;
  std::vector<std::string_view> names;
  for (const auto& other : drafts.muprocs) names.push_back(other.spec.name);
  for (const ChildName& one : *draft.may_send) {
    const bool is_replica = std::ranges::any_of(drafts.muprocs, [&](const MuprocDraft& other) {
      return other.replicas > 1 && one.name.starts_with(other.spec.name + '.');
    });
    if (!is_replica && std::ranges::find(names, one.name) == names.end())
      reader.warning(one.at, "\"may_send\" names " + in_quotes(one.name) + ", and no muproc of this config has that name" +
                                 did_you_mean(one.name, names));
  }
}

}  // namespace

void warn_of_the_pointless(Reader& reader, const SystemDraft& drafts, const SystemSpec& system) {
  for (const auto& draft : drafts.supervisors) {
    warn_of_limit(reader, draft, system);
    warn_of_auto_shutdown(reader, draft, system);
    if (draft.spec.name == system.root) warn_of_root(reader, draft);
  }
  for (const auto& draft : drafts.muprocs) {
    warn_of_plain(reader, draft);
    warn_of_spares(reader, draft);
    warn_of_strangers(reader, draft, drafts);
  }
}

}  // namespace muproc::broker
