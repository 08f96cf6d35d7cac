// What people and programs ask of supervisors. Every request is answered from the books at once, however busy the
// supervisor is; what has to happen first (a start, an end) is answered when it has.
#include <fmt/format.h>

#include "broker/supervisors.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

using Failure = Control::Failure;
using ErrorKind = Control::ErrorKind;
using ChildState = SupervisorPolicy::ChildState;
using Outcome = SupervisorPolicy::Outcome;
using Verb = wire::ChildVerb::Verb;

wire::ChildInfo::State word(ChildState state) {
  switch (state) {
    case ChildState::down: return wire::ChildInfo::State::DOWN;
    case ChildState::starting: return wire::ChildInfo::State::STARTING;
    case ChildState::up: return wire::ChildInfo::State::RUNNING;
    case ChildState::stopping: return wire::ChildInfo::State::STOPPING;
    case ChildState::waiting: return wire::ChildInfo::State::RESTARTING;
  }
  return wire::ChildInfo::State::DOWN;
}

Failure no_child(const std::string& what) { return {ErrorKind::NOT_FOUND, "no supervised child is " + what}; }

/// Why the policy would not.
[[noreturn]] void refuse(Outcome outcome, Verb verb, const std::string& name) {
  switch (outcome) {
    case Outcome::done: break;
    case Outcome::not_found: throw no_child("named \"" + name + '"');
    case Outcome::running: throw Failure{ErrorKind::RUNNING, name + (verb == Verb::DELETE ? " runs: stop it first" : " runs already")};
    case Outcome::restarting: throw Failure{ErrorKind::RESTARTING, name + " is being restarted"};
    case Outcome::not_running: break;
  }
  throw Failure{ErrorKind::FAILED, "the supervisor of " + name + " is ending"};
}

}  // namespace

// ---- who is meant ----------------------------------------------------------------------------------------------------

Supervisors::Node& Supervisors::supervisor_named(wire::Target::Reader target) {
  const Muproc* muproc = target.isPid() ? core_.table.find(Pid(target.getPid())) : core_.table.find(wire::view(target.getName()));
  const std::string who = target.isPid() ? to_string(Pid(target.getPid())) : '"' + wire::string(target.getName()) + '"';
  if (!muproc) throw Failure{ErrorKind::NOPROC, "no supervisor " + who + " lives"};
  Node* node = find(muproc->pid);
  if (!node || !node->policy) throw Failure{ErrorKind::FAILED, muproc->name + " is no supervisor"};
  return *node;
}

std::pair<Supervisors::Node*, ChildKey> Supervisors::find_child(wire::ChildVerb::Reader request) {
  std::string name = wire::string(request.getName());
  if (const Pid pid(request.getPid()); pid) {
    const Muproc* muproc = core_.table.find(pid);
    if (!muproc) throw no_child(to_string(pid));
    name = muproc->name;
  }
  const auto found = children_.find(name);
  if (found == children_.end()) throw no_child("named \"" + name + '"');
  const auto [node, key] = found->second;
  if (request.hasSupervisor() && &supervisor_named(request.getSupervisor()) != node)
    throw Failure{ErrorKind::NOT_FOUND, name + " is a child of " + node->plan->name};
  if (!node->policy) throw Failure{ErrorKind::FAILED, "the supervisor of " + name + " does not run"};
  return {node, key};
}

ChildState Supervisors::state_of(const Node& node, ChildKey key) {
  return node.policy->state_of(key).value_or(ChildState::down);
}

Pid Supervisors::pid_of(const ChildNode& child) const {
  const Muproc* life = core_.table.record(child.slot).life.get();
  return life && !life->is_dead ? life->pid : Pid();
}

// ---- children that are there -----------------------------------------------------------------------------------------

void Supervisors::child_verb(wire::ChildVerb::Reader request, Control::Done done) {
  const auto [node, key] = find_child(request);
  carry_out(*node, key, request.getVerb(), std::move(done));
}

void Supervisors::stop(const std::string& name, Control::Done done) {
  const auto found = children_.find(name);
  if (found == children_.end()) throw no_child("named \"" + name + '"');
  const auto [node, key] = found->second;
  if (!node->policy) throw Failure{ErrorKind::FAILED, "the supervisor of " + name + " does not run"};
  carry_out(*node, key, Verb::STOP, std::move(done));
}

void Supervisors::carry_out(Node& of, ChildKey key, wire::ChildVerb::Verb verb, Control::Done done) {
  Node* const node = &of;
  ChildNode& child = node->children.at(key);
  const std::string name = child.name;
  if (verb == Verb::DELETE && node->plan->is_template())
    throw Failure{ErrorKind::FAILED, name + " is made from the template of " + node->plan->name + ": when it is stopped it is forgotten"};
  SupervisorPolicy& policy = *node->policy;
  const auto ask = [&]() -> SupervisorPolicy::Reply {
    switch (verb) {
      case Verb::START: return policy.start_child(key, now());
      case Verb::STOP: return policy.terminate_child(key, now());
      case Verb::RESTART: return policy.restart_child(key, now());
      case Verb::DELETE: return policy.delete_child(key);
    }
    throw Failure{ErrorKind::FAILED, "a verb that this broker does not know"};
  };
  const auto reply = ask();
  if (reply.outcome != Outcome::done) refuse(reply.outcome, verb, name);
  const auto act = [actions = reply.actions](SupervisorPolicy&, Moment) { return actions; };
  const bool is_wait_for_end = verb == Verb::STOP || verb == Verb::DELETE;
  if (is_wait_for_end && state_of(*node, key) == ChildState::down) {
    core_.set_state(child.slot, shm::SlotState::stopped);
    post(*node, act);
    return done({}, nullptr);
  }
  (is_wait_for_end ? child.waiting_for_end : child.waiting_for_start).push_back(std::move(done));
  post(*node, act);
}

void Supervisors::describe_children(wire::Target::Reader supervisor, wire::Children::Builder to) {
  const Node& node = supervisor_named(supervisor);
  to.setIsTemplate(node.plan->is_template());
  auto rows = to.initChildren(static_cast<unsigned>(node.children.size()));
  unsigned row = 0;
  for (const auto& [key, child] : node.children) {
    auto info = rows[row++];
    info.setName(wire::pointer(child.name));
    info.setPid(pid_of(child).bits());
    info.setIsSupervisor(child.nested != nullptr);
    info.setState(word(state_of(node, key)));
    info.setRestart(static_cast<std::uint8_t>(child.rules.restart));
  }
}

// ---- new children ----------------------------------------------------------------------------------------------------

void Supervisors::start_child(wire::StartChild::Reader request, const Admit& admitted, Control::Done done) {
  Node& node = supervisor_named(request.getSupervisor());
  if (const auto phase = node.policy->phase(); phase != SupervisorPolicy::Phase::up && phase != SupervisorPolicy::Phase::starting)
    throw Failure{ErrorKind::FAILED, node.plan->name + " is ending"};
  const auto part = new_part(node, request, admitted);
  refuse_known(node, name_of(part));
  const ChildKey key = node.policy->add_child(rules_of(part));
  try {
    add(node, key, part).was_added = true;
  } catch (...) {
    discard(node.children.extract(key));
    node.policy->delete_child(key);
    throw;
  }
  const auto reply = node.policy->start_child(key, now());
  node.children.at(key).waiting_for_start.push_back(std::move(done));
  post(node, [actions = reply.actions](SupervisorPolicy&, Moment) { return actions; });
}

SupervisorPlan::Child Supervisors::new_part(Node& node, wire::StartChild::Reader request, const Admit& admitted) const {
  const std::string& supervisor = node.plan->name;
  if (request.isInstance() != node.plan->is_template())
    throw Failure{ErrorKind::FAILED, request.isInstance() ? supervisor + " has no template: a new child needs its whole specification"
                                                          : supervisor + " makes its children from a template: a new child has arguments and maybe a name, no specification"};
  if (request.isChild()) return admitted(child_of(request.getChild(), node.plan->rules.auto_shutdown));
  const auto instance = request.getInstance();
  std::string name = wire::string(instance.getName());
  if (name.empty()) name = made_up_name(node);
  return instance_of(node.plan->instance(), std::move(name), wire::read(instance.getArgs()));
}

void Supervisors::refuse_known(const Node& node, const std::string& name) const {
  const auto known = children_.find(name);
  if (known == children_.end() || known->second.first != &node) return;
  const ChildNode& child = node.children.at(known->second.second);
  if (state_of(node, known->second.second) == ChildState::down)
    throw Failure{ErrorKind::ALREADY_PRESENT, fmt::format("{} has a child \"{}\" already, which is down", node.plan->name, name)};
  throw Failure{ErrorKind::ALREADY_STARTED, fmt::format("{} has a child \"{}\" already", node.plan->name, name), {}, pid_of(child)};
}

// ---- for the tools ---------------------------------------------------------------------------------------------------

std::vector<SlotIndex> Supervisors::slots_in_order() const {
  std::vector<SlotIndex> slots;
  for (const auto& tree : trees_) list_slots(*tree, slots);
  return slots;
}

void Supervisors::list_slots(const Node& node, std::vector<SlotIndex>& to) {
  to.push_back(node.slot);
  for (const auto& [key, child] : node.children) child.nested ? list_slots(*child.nested, to) : to.push_back(child.slot);
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
