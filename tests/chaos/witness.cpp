#include "chaos/witness.hpp"

#include <algorithm>
#include <csignal>

#include "support/catch.hpp"
#include "support/muctl_json.hpp"
#include "support/sanitizer.hpp"

namespace muproc::test::chaos {
using namespace std::chrono_literals;
namespace {

std::map<Pid, std::int64_t> numbers(const Value& list) {
  std::map<Pid, std::int64_t> found;
  for (const Value& pair : list.as<List>())
    found[pair.as<Mumsg>()["pid"].as<Pid>()] = pair.as<Mumsg>()["n"].as<std::int64_t>();
  return found;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += ' ' + name;
  return text.empty() ? " nobody" : text;
}

}  // namespace

Witness::Witness(House& house, const World& world) : house_(house), world_(world), want_(world.nodes()) {
  membership_ = wait_until("the system to let the witness in", [&]() -> std::optional<Attachment> {
    if (!house.broker().running()) FAIL("the broker has ended with " << house.broker().wait());
    try {
      return attach(house.system(), {.name = "witness"});
    } catch (const Error&) {
      return std::nullopt;  // not yet
    }
  });
  for (const std::size_t node : world.muprocs()) was_born(world.nodes()[node].name, pid_of(node));  // before there was a witness
}

Pid Witness::pid_of(std::size_t node) { return self().find(world_.nodes()[node].name); }

void Witness::look() {
  bool has_come = true;
  while (has_come)
    self().receive(
        on<"born", "pid">() >> [&](std::string name, Pid pid) { was_born(name, pid); },
        on<"terminated", "reason", "ref">() >> [&](Value who, Value, std::int64_t ref) { has_ended(ref, who); },
        on<"breach">() >> [&](std::string what) { breaches_.push_back(what); },
        on<"report", "sent", "got", "watched">() >>
            [&](Pid pid, Value sent, Value got, Value watched) {
              Report report{numbers(sent), numbers(got), {}};
              for (const Value& one : watched.as<List>()) report.watched.push_back(one.as<Pid>());
              reports_[pid] = std::move(report);
            },
        after(0ms) >> [&] { has_come = false; });
  for (const auto& breach : breaches_) FAIL_CHECK(breach);
  breaches_.clear();
}

void Witness::was_born(const std::string& name, Pid pid) {
  born_.push_back(name);
  if (!names_.emplace(pid, name).second) breaches_.push_back(name + " was born twice as " + to_string(pid));
  monitors_[static_cast<std::int64_t>(self().monitor(pid).bits)] = pid;
}

void Witness::has_ended(std::int64_t ref, const Value& who) {
  const auto monitor = monitors_.find(ref);
  if (monitor == monitors_.end()) return breaches_.push_back("a second notice of an end, of " + to_string(who));
  ended_.push_back(names_[monitor->second]);
  monitors_.erase(monitor);
}

// ---- calm ------------------------------------------------------------------------------------------------------------

void Witness::look_at_the_calm() {
  wait_for_nothing("all to be there", [&] { return what_is_missing(); });
  hush(true);
  wait_for_nothing("all that is under way to arrive", [&] { return what_is_under_way(); });
  wait_for_nothing("muctl to show the same", [&] { return what_muctl_has_wrong(false); });
  compare_holdings();
  hush(false);
}

/// Of the tree, in words; empty: nothing. Temporary ones may have been forgotten, and transient ones have ended for good.
std::string Witness::what_is_missing() {
  look();
  const auto all = self().list();
  for (std::size_t node = 0; node < world_.nodes().size(); ++node) {
    const WantedNode& wanted = world_.nodes()[node];
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const MuprocInfo& info) { return info.name == wanted.name; });
    const bool is_there = found != all.end() && found->pid;
    const bool may_be_missing = wanted.restart == temporary || (wanted.restart == transient && !want_.is_up(node));
    if (!is_there && !may_be_missing) return wanted.name + " is not there";
    if (!is_there || wanted.is_supervisor) continue;
    if (!process_lives(found->os_pid)) return wanted.name + " is dead, and nobody knows";
    if (!names_.contains(found->pid)) return wanted.name + " has not told of its birth";
  }
  return {};
}

/// Until there is nothing to say.
void Witness::wait_for_nothing(const char* what_for, const std::function<std::string()>& what_is_wrong) {
  std::string wrong;
  try {
    wait_until(what_for, [&] { return (wrong = what_is_wrong()).empty(); });
  } catch (const Failed& failed) {
    FAIL(failed.what() << ": " << wrong);
  }
}

void Witness::hush(bool is_on) {
  for (const std::size_t node : world_.muprocs())
    if (const Pid pid = pid_of(node)) self().send(pid, "hush", is_on);
}

std::map<Pid, Witness::Report> Witness::audit() {
  reports_.clear();
  std::vector<Pid> asked;
  for (const std::size_t node : world_.muprocs())
    if (const Pid pid = pid_of(node)) self().send(pid, "audit", true), asked.push_back(pid);
  wait_until("everybody's report", [&] {
    look();
    return std::all_of(asked.begin(), asked.end(),
                       [&](Pid pid) { return reports_.contains(pid) || !self().alive(pid); });
  });
  return reports_;
}

/// Between those who live; and of ends that somebody waits to hear of.
std::string Witness::what_is_under_way() {
  const auto reports = audit();
  for (const auto& [sender, report] : reports) {
    for (const auto& [receiver, n] : report.sent) {
      const auto other = reports.find(receiver);
      if (other == reports.end()) continue;
      const auto got = other->second.got.find(sender);
      const std::int64_t arrived = got == other->second.got.end() ? 0 : got->second;
      if (arrived != n)
        return names_[sender] + ' ' + to_string(sender) + " has sent " + std::to_string(n) + " to " + names_[receiver] +
               ' ' + to_string(receiver) + ", who has " + std::to_string(arrived);
    }
    for (const Pid watched : report.watched)
      if (!self().alive(watched)) return names_[sender] + " has not heard of the end of " + to_string(watched);
  }
  for (const auto& [ref, pid] : monitors_)
    if (!self().alive(pid)) return "the witness has not heard of the end of " + names_[pid] + ' ' + to_string(pid);
  return {};
}

/// What muctl shows, held to what can be found and, if it is known to be right, to the model; else the model goes on from there.
std::string Witness::what_muctl_has_wrong(bool model_is_right) {
  look();
  const Json nodes = json_of({"-s", house_.system(), "ps"})["nodes"];
  std::map<std::string, Json> rows;
  for (unsigned i = 0; i < nodes.size(); ++i) rows.emplace(nodes[i]["name"].text(), nodes[i]);
  for (std::size_t node = 0; node < world_.nodes().size(); ++node) {
    const WantedNode& wanted = world_.nodes()[node];
    const auto row = rows.find(wanted.name);
    const bool is_up = row != rows.end() && !row->second["pid"].is_null();
    const Pid pid = pid_of(node);
    if (is_up && row->second["state"].text() != "running") return wanted.name + " is " + row->second["state"].text();
    if ((is_up ? row->second["pid"].text() : to_string(Pid())) != to_string(pid))
      return wanted.name + " is found as " + to_string(pid) + ", and muctl shows another, or none";
    if (model_is_right && is_up != want_.is_up(node)) return wanted.name + (is_up ? " is up, and should not be" : " is not up");
    if (!model_is_right)
      want_.take_over(node, is_up, wanted.is_supervisor && is_up ? static_cast<std::uint32_t>(row->second["restarts_used"].number()) : 0);
  }
  return {};
}

/// At first with everybody there; later there may be fewer.
void Witness::compare_holdings() {
  if (!least_) {
    wait_until("all spares", [&] {
      look();
      const Json nodes = json_of({"-s", house_.system(), "ps"})["nodes"];
      double ready = 0;
      for (unsigned i = 0; i < nodes.size(); ++i) ready += std::max(0.0, nodes[i]["spares_ready"].number());
      return ready >= static_cast<double>(world_.spares());
    });
    least_ = holdings_of(house_.os_pid());
    return;
  }
  wait_for_nothing("the broker to hold no more than at first", [&]() -> std::string {
    look();
    const Holdings now = holdings_of(house_.os_pid());
    if (now.descriptors <= least_->descriptors && now.maps <= least_->maps) return {};
    return to_string(*least_) + " at first, and now " + to_string(now);
  });
}

// ---- a duel ----------------------------------------------------------------------------------------------------------

void Witness::end(std::size_t node, const std::string& way) {
  const auto all = self().list();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const MuprocInfo& info) { return info.name == world_.nodes()[node].name; });
  if (found == all.end() || !found->pid || found->os_pid <= 0) return;
  const bool is_killed = way == "kill" || (way == "eat" && !k_memory_is_ours);  // without a limit it would eat the machine's
  if (is_killed || way == "segv")
    ::kill(found->os_pid, is_killed ? SIGKILL : SIGSEGV);
  else
    (void)self().send_within(1s, found->pid, "end", way);
}

void Witness::duel(std::size_t node, const std::string& way) {
  look();
  if (!want_.is_up(node)) return;
  born_.clear();
  ended_.clear();
  const std::string& name = world_.nodes()[node].name;
  Want::Outcome wanted = want_.ended(node, way == "return" ? How::normal : How::abnormal);
  wanted.stopped.insert(wanted.stopped.begin(), name);
  INFO(name << " was told to " << way << ": to end are" << joined(wanted.stopped) << "; to begin are"
            << joined(wanted.begun));
  end(node, way);
  wait_for_nothing("what comes of an end", [&]() -> std::string {
    look();
    if (ended_.size() >= wanted.stopped.size() && born_.size() >= wanted.begun.size()) return {};
    return "ended have" + joined(ended_) + "; begun have" + joined(born_);
  });
  wait_for_nothing("all to be there", [&] { return what_is_missing(); });
  CHECK(ended_ == wanted.stopped);
  CHECK(born_ == wanted.begun);
  wait_for_nothing("muctl to show what the model says", [&] { return what_muctl_has_wrong(true); });
}

}  // namespace muproc::test::chaos
