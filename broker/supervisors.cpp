#include "broker/supervisors.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sys/clock.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

using Failure = Control::Failure;
using ErrorKind = Control::ErrorKind;

ExitClass class_of(const Reason& reason) {
  if (reason.is(Reason::Kind::normal)) return ExitClass::normal;
  if (reason.is(Reason::Kind::shutdown)) return ExitClass::shutdown;
  return ExitClass::abnormal;
}

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;  // clang deduces none before version 17

}  // namespace

Supervisors::Supervisors(Core& core, Launcher& launcher, Endings& endings, Reaper& reaper, Estates& estates)
    : core_(core), launcher_(launcher), endings_(endings), reaper_(reaper), estates_(estates) {}

Supervisors::~Supervisors() = default;

// ---- building and forgetting -----------------------------------------------------------------------------------------

void Supervisors::start(SupervisorPlanPtr plan, TreeCalls calls) {
  auto tree = std::make_unique<Node>();
  if (plan->name.empty()) {
    auto named = std::make_shared<SupervisorPlan>(*plan);
    named->name = made_up_name(*plan);
    plan = std::move(named);
  }
  tree->plan = std::move(plan);
  tree->calls = std::move(calls);
  try {
    reserve(*tree);
  } catch (...) {
    release(*tree);
    throw;
  }
  trees_.push_back(std::move(tree));
  begin(*trees_.back());
}

std::string Supervisors::made_up_name(const SupervisorPlan& plan) const {
  const std::string base = "supervisor-of-" + (plan.children.empty() ? "none" : name_of(plan.children.front()));
  std::string name = base.substr(0, shm::k_name_size - 8);
  for (int n = 2; !core_.table.why_not_name(name).empty() && n < 100000; ++n) name = base.substr(0, shm::k_name_size - 8) + "-" + std::to_string(n);
  return name;
}

/// For an instance of its template.
std::string Supervisors::made_up_name(Node& supervisor) const {
  const std::string base = supervisor.plan->instance().name.substr(0, shm::k_name_size - 12) + "-";
  std::string name;
  do {
    name = base + std::to_string(++supervisor.instances);
  } while (core_.table.slot_named(name) || core_.table.port_owner(name));
  return name;
}

SlotIndex Supervisors::take(const std::string& name, shm::SlotKind kind, PlanPtr plan) {
  if (const auto why = core_.table.why_not_name(name); !why.empty()) throw Failure{ErrorKind::NAME_TAKEN, why};
  const auto slot = core_.table.reserve(name, kind, {}, std::move(plan));
  if (!slot) throw Failure{ErrorKind::LIMIT, "the system is full: there is no room for \"" + name + '"'};
  core_.table.record(*slot).is_kept = true;
  core_.show(*slot);
  return *slot;
}

/// Takes slots and names for the node and all below it. A template takes none.
void Supervisors::reserve(Node& node) {
  node.slot = take(node.plan->name, shm::SlotKind::supervisor, nullptr);
  show_supervision(node);
  if (node.plan->is_template()) return;
  ChildKey key = 0;
  for (const auto& part : node.plan->children) add(node, key++, part);
}

/// In the directory, when it is news.
void Supervisors::show_supervision(Node& node) {
  const SupervisorRules& rules = node.plan->rules;
  Supervision now;
  now.strategy = 1 + static_cast<std::uint32_t>(rules.strategy);
  now.limit_restarts = rules.limit.restarts;
  now.limit_within_ns = static_cast<std::uint64_t>(rules.limit.within.count());
  if (node.policy) {
    now.window_restarts = static_cast<std::uint32_t>(node.policy->window().size());
    now.window_ns = static_cast<std::uint64_t>(node.policy->window().latest().count());
  }
  Supervision& shown = core_.table.record(node.slot).supervision;
  if (shown == now) return;
  shown = now;
  core_.show(node.slot);
}

/// With its slot and its name, and all below it. When it throws, what it took is the node's to release.
Supervisors::ChildNode& Supervisors::add(Node& node, ChildKey key, const SupervisorPlan::Child& part) {
  ChildNode& child = node.children[key];
  child.rules = rules_of(part);
  if (const auto* muproc = std::get_if<PlanPtr>(&part)) {
    child.plan = *muproc;
    child.slot = take(child.plan->name, child.plan->is_plain() ? shm::SlotKind::plain : shm::SlotKind::muproc, child.plan);
  } else {
    child.nested = std::make_unique<Node>();
    child.nested->plan = std::get<SupervisorPlanPtr>(part);
    child.nested->parent = &node;
    child.nested->key = key;
    reserve(*child.nested);
    child.slot = child.nested->slot;
  }
  child.name = name_of(part);
  children_[child.name] = {&node, key};
  return child;
}

/// Before another life: the children of its plan and no others, with keys from 0 on. Throws when one that was forgotten
/// finds its name taken.
void Supervisors::renew(Node& node) {
  std::map<std::string, std::map<ChildKey, ChildNode>::node_type, std::less<>> known;
  while (!node.children.empty()) {
    auto child = node.children.extract(node.children.begin());
    if (child.mapped().was_added) {
      discard(std::move(child));
    } else {
      std::string name = child.mapped().name;
      known.emplace(std::move(name), std::move(child));
    }
  }
  const std::size_t parts = node.plan->is_template() ? 0 : node.plan->children.size();
  std::vector<ChildKey> missing;
  for (ChildKey key = 0; key < parts; ++key) {
    const auto found = known.find(name_of(node.plan->children[key]));
    if (found == known.end()) {
      missing.push_back(key);
      continue;
    }
    found->second.key() = key;
    ChildNode& child = node.children.insert(std::move(found->second)).position->second;
    if (child.nested) child.nested->key = key;
    children_[child.name] = {&node, key};
  }
  for (const ChildKey key : missing) add(node, key, node.plan->children[key]);
}

void Supervisors::release(Node& node) {
  for (auto& [key, child] : node.children) release(child);
  give_back(node.slot);
}

void Supervisors::release(ChildNode& child) {
  if (child.nested) release(*child.nested);
  if (!child.nested) give_back(child.slot);
  children_.erase(child.name);
}

/// Gives back what it has; the node itself may still be in use further up.
void Supervisors::discard(std::map<ChildKey, ChildNode>::node_type child) {
  release(child.mapped());
  core_.loop.bury(std::make_shared<decltype(child)>(std::move(child)));
}

/// A slot that was not taken, for want of its name, is k_no_slot.
void Supervisors::give_back(SlotIndex slot) {
  if (slot == shm::k_no_slot) return;
  estates_.close(slot);
  core_.table.record(slot).is_kept = false;
  core_.vacate(slot, Reason::shutdown(), shm::SlotState::free);
}

// ---- events ----------------------------------------------------------------------------------------------------------

void Supervisors::post(Node& node, Event event) {
  events_.emplace_back(&node, std::move(event));
  if (!is_pumping_) pump();
}

void Supervisors::pump() {
  is_pumping_ = true;
  while (!events_.empty()) {
    auto [node, event] = std::move(events_.front());
    events_.pop_front();
    if (!node->policy) continue;
    const Actions actions = event(*node->policy, now());
    show_supervision(*node);
    for (const Action& action : actions) {
      try {
        carry_out(*node, action);
      } catch (const std::exception& failure) {
        core_.log.error("supervisor {}: {}", node->plan->name, failure.what());
      }
    }
  }
  is_pumping_ = false;
  close_estates();
}

bool Supervisors::may_bring_back(const Muproc& child, const Reason& reason) const {
  const auto found = children_.find(child.name);
  if (found == children_.end() || !core_.table.record(child.pid.slot()).is_kept) return false;
  const auto [node, key] = found->second;
  return node->policy && node->policy->may_bring_back(key, class_of(reason));
}

/// Of those whose supervisors have decided that they do not come back.
void Supervisors::close_estates() {
  for (const SlotIndex slot : estates_.slots()) {
    const auto found = children_.find(core_.table.record(slot).name);
    const bool comes_back = found != children_.end() && found->second.first->policy && found->second.first->policy->is_to_run(found->second.second);
    if (!comes_back) estates_.close(slot);
  }
}

Moment Supervisors::now() { return {core_.clock.now(), std::uniform_real_distribution<double>(0, 1)(dice_)}; }

Supervisors::Node* Supervisors::find(Pid supervisor) {
  const auto found = alive_.find(supervisor);
  return found == alive_.end() ? nullptr : found->second;
}

void Supervisors::end(Pid supervisor, bool at_once) {
  Node* node = find(supervisor);
  if (!node) return;
  core_.set_state(node->slot, shm::SlotState::stopping);
  post(*node, [at_once](SupervisorPolicy& policy, Moment at) {
    return at_once ? policy.kill_requested(at) : policy.stop_requested(at);
  });
}

// ---- actions ---------------------------------------------------------------------------------------------------------

/// A new life of the supervisor.
void Supervisors::begin(Node& node) {
  std::string why_not;
  try {
    renew(node);
  } catch (const Failure& failure) {
    why_not = failure.text;
  }
  std::vector<ChildRules> rules;
  for (const auto& [key, child] : node.children) rules.push_back(child.rules);
  node.policy = std::make_unique<SupervisorPolicy>(node.plan->rules, rules);
  node.has_started = false;
  show_supervision(node);
  core_.table.record(node.slot).started_ns = static_cast<std::uint64_t>(sys::monotonic().count());
  core_.table.record(node.slot).parent = node.parent ? node.parent->pid : Pid();
  node.pid = core_.table.begin(node.slot).pid;
  alive_[node.pid] = &node;
  core_.publish(*core_.table.find(node.pid));
  core_.set_state(node.slot, shm::SlotState::starting);
  if (!why_not.empty()) return start_has_failed(node, {{}, why_not, Reason::start_failed(why_not)});
  post(node, [](SupervisorPolicy& policy, Moment at) { return policy.start(at); });
}

void Supervisors::carry_out(Node& node, const Action& action) {
  std::visit(Overloaded{
                 [&](StartChild a) { start_child(node, a.child); },
                 [&](StopChild a) { stop_child(node, node.children.at(a.child), false); },
                 [&](KillChild a) { stop_child(node, node.children.at(a.child), true); },
                 [&](ArmTimer a) { arm_timer(node, a.child, a.delay); },
                 [&](CancelTimer a) { node.children.at(a.child).timer.stop(); },
                 [&](ForgetChild a) { forget_child(node, a.child); },
                 [&](Started) { has_started(node); },
                 [&](StartFailed a) { start_has_failed(node, StartResult(node.children.at(a.child).failure)); },
                 [&](Ended a) { has_ended(node, a.reason); },
             },
             action);
}

void Supervisors::start_child(Node& node, ChildKey key) {
  ChildNode& child = node.children.at(key);
  if (child.starts++ > 0) {
    ++core_.table.record(child.slot).restarts;
    core_.tell("restart", child.name, node.plan->name + " starts it again");
    core_.directory.count_restart();
  }
  core_.table.record(child.slot).parent = node.pid;
  child.nested ? begin(*child.nested) : start_muproc(node, key, child);
}

void Supervisors::start_muproc(Node& node, ChildKey key, ChildNode& child) {
  BirthRequest birth;
  birth.slot = child.slot;
  birth.done = [this, &node, key](const BirthResult& result) {
    result.pid ? child_is_up(node, key, result.pid) : child_has_failed(node, key, result);
  };
  launcher_.launch(std::move(birth));
}

void Supervisors::stop_child(Node& node, ChildNode& child, bool at_once) {
  if (child.nested) return stop_nested(*child.nested, at_once ? Stop::by_kill() : child.nested->plan->options.stop);
  Muproc* muproc = core_.table.record(child.slot).life.get();
  if (!muproc || muproc->is_dead) return;  // its end is on the way
  if (muproc->birth) return launcher_.cancel(*muproc, node.plan->name + " has stopped it");
  core_.set_state(child.slot, shm::SlotState::stopping);
  at_once ? endings_.kill(*muproc) : endings_.stop(*muproc, child.plan->stop);
}

void Supervisors::stop_nested(Node& nested, Stop how) {
  end(nested.pid, how.kind() == Stop::Kind::kill);
  if (how.kind() != Stop::Kind::period) return;
  nested.kill_timer = core_.loop.patience(how.period(), [this, &nested, pid = nested.pid] {
    if (nested.pid != pid || !nested.policy) return;
    core_.log.warn("{} has not ended within {} and is killed with all below it", nested.plan->name, to_string(nested.plan->options.stop));
    end(pid, true);
  });
}

void Supervisors::arm_timer(Node& node, ChildKey key, std::chrono::nanoseconds delay) {
  ChildNode& child = node.children.at(key);
  const std::string in = to_string(Stop(std::chrono::ceil<std::chrono::milliseconds>(delay)));
  core_.log.info("{} will start {} again in {}", node.plan->name, child.name, in);
  core_.table.record(child.slot).due_ns = static_cast<std::uint64_t>((core_.clock.now() + delay).count());
  core_.set_state(child.slot, shm::SlotState::backing_off);
  core_.tell("back_off", child.name, node.plan->name + " will start it again in " + in);
  child.timer = core_.clock.after(delay, [this, &node, key] {
    post(node, [key](SupervisorPolicy& policy, Moment at) { return policy.timer_fired(key, at); });
  });
}

void Supervisors::forget_child(Node& node, ChildKey key) {
  auto child = node.children.extract(key);
  if (!child.empty()) discard(std::move(child));
}

void Supervisors::has_started(Node& node) {
  node.has_started = true;
  core_.set_state(node.slot, shm::SlotState::running);
  core_.log.info("supervisor {} is up with {} children", node.plan->name, node.children.size());
  if (const Muproc* supervisor = core_.table.find(node.pid)) core_.tell("birth", *supervisor, "a supervisor with " + std::to_string(node.children.size()) + " children");
  if (node.parent) return child_is_up(*node.parent, node.key, node.pid);
  node.calls.started({node.pid, {}, {}});
}

void Supervisors::start_has_failed(Node& node, const StartResult& failure) {
  core_.log.error("supervisor {} could not start: {}", node.plan->name, failure.error);
  core_.tell("start_failed", node.plan->name, failure.error, to_string(failure.reason));
  close(node, failure.reason);
  if (node.parent) return child_has_failed(*node.parent, node.key, {{}, failure.error, failure.reason});
  node.calls.started({{}, failure.error, failure.reason});
}

void Supervisors::has_ended(Node& node, EndReason why) {
  switch (why) {
    case EndReason::requested: core_.log.info("supervisor {} has ended, as it was told to", node.plan->name); break;
    case EndReason::killed: core_.log.info("supervisor {} has been killed", node.plan->name); break;
    case EndReason::auto_shutdown:
      core_.log.info("supervisor {} has ended: auto_shutdown is {}", node.plan->name, to_string(node.plan->rules.auto_shutdown));
      break;
    case EndReason::limit_reached:
      core_.log.error("supervisor {} gives up: more than {} restarts within {}", node.plan->name, node.plan->rules.limit.restarts,
                      to_string(Stop(node.plan->rules.limit.within)));
      core_.tell("gave_up", node.plan->name, fmt::format("more than {} restarts within {}", node.plan->rules.limit.restarts,
                                                         to_string(Stop(node.plan->rules.limit.within))));
      break;
  }
  const bool had_started = node.has_started;
  const Reason reason = why == EndReason::killed ? Reason::killed() : Reason::shutdown();
  close(node, reason);
  if (node.parent && had_started) return child_has_ended(*node.parent, node.key, reason);
  const std::string error = node.plan->name + " ended before it was up";
  if (node.parent) return child_has_failed(*node.parent, node.key, {{}, error, reason});
  had_started ? node.calls.ended(why) : node.calls.started({{}, error, reason});
}

/// The supervisor's life is over; a tree's place is given up with it.
void Supervisors::close(Node& node, const Reason& reason) {
  alive_.erase(node.pid);
  core_.loop.bury(std::move(node.policy));
  node.kill_timer.stop();
  for (auto& [key, child] : node.children) {
    const Failure failure{ErrorKind::FAILED, node.plan->name + " has ended"};
    answer(child.waiting_for_start, {}, &failure);
    answer(child.waiting_for_end, {}, nullptr);
    if (!child.nested) estates_.close(child.slot);  // whoever starts it again is another supervisor
  }
  if (Muproc* muproc = core_.table.find(node.pid)) reaper_.supervisor_ended(*muproc, reason);
  if (node.parent) return;
  release(node);
  const auto tree = std::find_if(trees_.begin(), trees_.end(), [&](const auto& other) { return other.get() == &node; });
  std::erase_if(events_, [&](const auto& event) { return !event.first->policy; });
  core_.loop.bury(std::move(*tree));
  trees_.erase(tree);
}

// ---- children's news -------------------------------------------------------------------------------------------------

// Whoever waits is answered last: by then the policy has said what comes next, and may have forgotten the child.

void Supervisors::child_is_up(Node& node, ChildKey key, Pid pid) {
  ChildNode& child = node.children.at(key);
  if (Muproc* muproc = core_.table.find(pid); muproc && !child.nested)
    muproc->when_ended = [this, &node, key](const Reason& reason) { child_has_ended(node, key, reason); };
  auto waiting = std::exchange(child.waiting_for_start, {});
  post(node, [key](SupervisorPolicy& policy, Moment at) { return policy.child_started(key, at); });
  answer(waiting, pid, nullptr);
}

void Supervisors::child_has_failed(Node& node, ChildKey key, const BirthResult& result) {
  ChildNode& child = node.children.at(key);
  child.failure = {{}, result.error, result.reason};
  auto waiting_for_start = std::exchange(child.waiting_for_start, {});
  auto waiting_for_end = std::exchange(child.waiting_for_end, {});
  const bool declined = Launcher::is_declined(result.reason);
  post(node, [key, declined](SupervisorPolicy& policy, Moment at) {
    return declined ? policy.child_ignored(key, at) : policy.child_start_failed(key, at);
  });
  const Failure failure{ErrorKind::START_FAILED, result.error, result.reason};
  answer(waiting_for_start, {}, declined ? nullptr : &failure);
  answer(waiting_for_end, {}, nullptr);
}

void Supervisors::child_has_ended(Node& node, ChildKey key, const Reason& reason) {
  auto waiting = std::exchange(node.children.at(key).waiting_for_end, {});
  post(node, [key, how = class_of(reason)](SupervisorPolicy& policy, Moment at) { return policy.child_exited(key, how, at); });
  answer(waiting, {}, nullptr);
}

void Supervisors::answer(std::vector<Control::Done>& waiting, Pid pid, const Failure* failure) {
  for (const auto& done : std::exchange(waiting, {})) done(pid, failure);
}

}  // namespace muproc::broker
