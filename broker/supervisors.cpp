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

}  // namespace

Supervisors::Supervisors(Core& core, Launcher& launcher, Endings& endings, Reaper& reaper)
    : core_(core), launcher_(launcher), endings_(endings), reaper_(reaper) {}

Supervisors::~Supervisors() = default;

// ---- building and forgetting -----------------------------------------------------------------------------------------

void Supervisors::start(std::unique_ptr<SupervisorPlan> plan, TreeCalls calls) {
  auto tree = std::make_unique<Node>();
  if (plan->name.empty()) plan->name = made_up_name(*plan);
  tree->plan = std::move(plan);
  tree->calls = std::move(calls);
  try {
    reserve(*tree, {});
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

/// Takes slots and names for the node and all below it.
void Supervisors::reserve(Node& node, Pid parent) {
  const auto take = [&](const std::string& name, shm::SlotKind kind, PlanPtr plan) {
    if (const auto why = core_.table.why_not_name(name); !why.empty()) throw Failure{ErrorKind::NAME_TAKEN, why};
    const auto slot = core_.table.reserve(name, kind, parent, std::move(plan));
    if (!slot) throw Failure{ErrorKind::LIMIT, "the system is full: there is no room for \"" + name + '"'};
    core_.table.record(*slot).is_kept = true;
    core_.show(*slot);
    return *slot;
  };
  node.slot = take(node.plan->name, shm::SlotKind::supervisor, nullptr);
  ChildKey key = 0;
  for (auto& part : node.plan->children) {
    ChildNode& child = node.children[key];
    child.rules = rules_of(part);
    if (auto* muproc = std::get_if<PlanPtr>(&part)) {
      child.plan = *muproc;
      child.slot = take(child.plan->name, child.plan->is_plain() ? shm::SlotKind::plain : shm::SlotKind::muproc, child.plan);
      child.name = child.plan->name;
    } else {
      child.nested = std::make_unique<Node>();
      child.nested->plan = std::move(std::get<std::unique_ptr<SupervisorPlan>>(part));
      child.nested->parent = &node;
      child.nested->key = key;
      reserve(*child.nested, {});
      child.slot = child.nested->slot;
      child.name = child.nested->plan->name;
    }
    children_[child.name] = {&node, key++};
  }
  node.plan->children.clear();
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

/// A slot that was not taken, for want of its name, is k_no_slot.
void Supervisors::give_back(SlotIndex slot) {
  if (slot == shm::k_no_slot) return;
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
    for (const Action& action : event(*node->policy, now())) {
      try {
        carry_out(*node, action);
      } catch (const std::exception& failure) {
        core_.log.error("supervisor {}: {}", node->plan->name, failure.what());
      }
    }
  }
  is_pumping_ = false;
}

Moment Supervisors::now() { return {sys::monotonic(), std::uniform_real_distribution<double>(0, 1)(dice_)}; }

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
  std::vector<ChildRules> rules;
  for (const auto& [key, child] : node.children) rules.push_back(child.rules);
  node.policy = std::make_unique<SupervisorPolicy>(node.plan->rules, rules);
  node.has_started = false;
  core_.table.record(node.slot).started_ns = static_cast<std::uint64_t>(sys::monotonic().count());
  core_.table.record(node.slot).parent = node.parent ? node.parent->pid : Pid();
  node.pid = core_.table.begin(node.slot).pid;
  alive_[node.pid] = &node;
  core_.publish(*core_.table.find(node.pid));
  core_.set_state(node.slot, shm::SlotState::starting);
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
                 [&](StartFailed a) { start_has_failed(node, node.children.at(a.child)); },
                 [&](Ended a) { has_ended(node, a.reason); },
             },
             action);
}

void Supervisors::start_child(Node& node, ChildKey key) {
  ChildNode& child = node.children.at(key);
  if (child.starts++ > 0) {
    ++core_.table.record(child.slot).restarts;
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
  nested.kill_timer = core_.loop.after(how.period(), [this, &nested, pid = nested.pid] {
    if (nested.pid != pid || !nested.policy) return;
    core_.log.warn("{} has not ended within {} and is killed with all below it", nested.plan->name, to_string(nested.plan->options.stop));
    end(pid, true);
  });
}

void Supervisors::arm_timer(Node& node, ChildKey key, std::chrono::nanoseconds delay) {
  ChildNode& child = node.children.at(key);
  core_.log.info("{} will start {} again in {}", node.plan->name, child.name, to_string(Stop(delay)));
  core_.set_state(child.slot, shm::SlotState::backing_off);
  child.timer = core_.loop.after(delay, [this, &node, key] {
    post(node, [key](SupervisorPolicy& policy, Moment at) { return policy.timer_fired(key, at); });
  });
}

void Supervisors::forget_child(Node& node, ChildKey key) {
  auto child = node.children.extract(key);
  if (child.empty()) return;
  release(child.mapped());
  core_.loop.bury(std::make_shared<decltype(child)>(std::move(child)));
}

void Supervisors::has_started(Node& node) {
  node.has_started = true;
  core_.set_state(node.slot, shm::SlotState::running);
  core_.log.info("supervisor {} is up with {} children", node.plan->name, node.children.size());
  if (node.parent) return child_is_up(*node.parent, node.key, node.pid);
  node.calls.started({node.pid, {}, {}});
}

void Supervisors::start_has_failed(Node& node, const ChildNode& culprit) {
  const StartResult failure = culprit.failure;
  core_.log.error("supervisor {} could not start: {}", node.plan->name, failure.error);
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
  post(node, [key](SupervisorPolicy& policy, Moment at) { return policy.child_start_failed(key, at); });
  const Failure failure{ErrorKind::START_FAILED, result.error, result.reason};
  answer(waiting_for_start, {}, &failure);
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

// ---- requests --------------------------------------------------------------------------------------------------------

std::pair<Supervisors::Node*, ChildKey> Supervisors::find_child(const std::string& name) {
  const auto found = children_.find(name);
  if (found == children_.end()) throw Failure{ErrorKind::NOT_FOUND, "no supervised child is named \"" + name + '"'};
  return found->second;
}

void Supervisors::child_verb(const std::string& name, wire::ChildVerb::Verb verb, Control::Done done) {
  using Verb = wire::ChildVerb::Verb;
  using Outcome = SupervisorPolicy::Outcome;
  const auto [node, key] = find_child(name);
  if (!node->policy) throw Failure{ErrorKind::FAILED, "the supervisor of " + name + " does not run"};
  SupervisorPolicy& policy = *node->policy;
  const auto reply = verb == Verb::START  ? policy.start_child(key, now())
                     : verb == Verb::STOP ? policy.terminate_child(key, now())
                                          : policy.restart_child(key, now());
  switch (reply.outcome) {
    case Outcome::done: break;
    case Outcome::not_found: throw Failure{ErrorKind::NOT_FOUND, "no supervised child is named \"" + name + '"'};
    case Outcome::running: throw Failure{ErrorKind::FAILED, name + " runs already"};
    case Outcome::restarting: throw Failure{ErrorKind::FAILED, name + " is being restarted"};
    case Outcome::not_running: throw Failure{ErrorKind::FAILED, "the supervisor of " + name + " does not run"};
  }
  ChildNode& child = node->children.at(key);
  const bool is_down = policy.state_of(key).value_or(SupervisorPolicy::ChildState::down) == SupervisorPolicy::ChildState::down;
  if (verb != Verb::STOP) {
    child.waiting_for_start.push_back(std::move(done));
  } else if (is_down) {
    core_.set_state(child.slot, shm::SlotState::stopped);
    done({}, nullptr);
  } else {
    child.waiting_for_end.push_back(std::move(done));
  }
  post(*node, [actions = reply.actions](SupervisorPolicy&, Moment) { return actions; });
}

void Supervisors::describe(SlotIndex slot, wire::Node::Builder to) const {
  const SlotRecord& record = core_.table.record(slot);
  const Node* node = nullptr;
  if (record.kind != shm::SlotKind::supervisor) return;
  if (record.life) {
    const auto found = alive_.find(record.life->pid);
    node = found == alive_.end() ? nullptr : found->second;
  } else if (const auto found = children_.find(record.name); found != children_.end()) {
    node = found->second.first->children.at(found->second.second).nested.get();
  }
  if (!node) return;
  to.setStrategy(std::string(to_string(node->plan->rules.strategy)).c_str());
  to.setLimitRestarts(node->plan->rules.limit.restarts);
  to.setLimitWithinNs(node->plan->rules.limit.within.count());
  to.setRestart(std::string(to_string(node->plan->options.restart)).c_str());
  to.setStop(wire::pointer(to_string(node->plan->options.stop)));
}

}  // namespace muproc::broker
