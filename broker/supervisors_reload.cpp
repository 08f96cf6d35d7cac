// What a reload does to supervisors and their children while they live.
#include <algorithm>

#include "broker/supervisors.hpp"

namespace muproc::broker {
namespace {

using Failure = Control::Failure;
using ErrorKind = Control::ErrorKind;
using ChildState = SupervisorPolicy::ChildState;

/// Throws when the supervisor does not serve requests.
Actions granted(SupervisorPolicy::Reply reply, const std::string& name) {
  using Outcome = SupervisorPolicy::Outcome;
  switch (reply.outcome) {
    case Outcome::done: return std::move(reply.actions);
    case Outcome::not_found: throw Failure{ErrorKind::NOT_FOUND, "no supervised child is named \"" + name + '"'};
    case Outcome::running: throw Failure{ErrorKind::FAILED, name + " runs already"};
    case Outcome::restarting: throw Failure{ErrorKind::FAILED, name + " is being restarted"};
    case Outcome::not_running: throw Failure{ErrorKind::FAILED, "the supervisor of " + name + " does not run"};
  }
  return {};
}

[[noreturn]] void not_there(const std::string& name) { throw Failure{ErrorKind::NOT_FOUND, "no supervised child is named \"" + name + '"'}; }

}  // namespace

Supervisors::Node& Supervisors::tree_node(const std::string& supervisor) {
  for (const auto& tree : trees_)
    if (tree->plan->name == supervisor) return *tree;
  const auto found = children_.find(supervisor);
  Node* nested = found == children_.end() ? nullptr : found->second.first->children.at(found->second.second).nested.get();
  if (!nested) not_there(supervisor);
  return *nested;
}

void Supervisors::change_supervisor(const SystemSpec& to, const std::string& name) {
  Node& node = tree_node(name);
  node.plan = plan_of(to, name);
  show_supervision(node);
  if (node.policy) {
    node.policy->change_rules(node.plan->rules);
    std::vector<ChildKey> order;
    for (const std::string& child : to.find_supervisor(name)->children)
      if (const auto found = children_.find(child); found != children_.end() && found->second.first == &node)
        order.push_back(found->second.second);
    node.policy->arrange(order);
  }
  if (!node.parent) return;
  ChildNode& child = node.parent->children.at(node.key);
  child.rules = {node.plan->options.restart, {}, node.plan->options.significant};
  if (node.parent->policy) node.parent->policy->change_rules(node.key, child.rules);
}

void Supervisors::change_muproc(const std::string& name, PlanPtr plan, bool is_live) {
  const auto found = children_.find(name);
  if (found == children_.end()) not_there(name);
  const auto [node, key] = found->second;
  ChildNode& child = node->children.at(key);
  SlotRecord& record = core_.table.record(child.slot);
  child.plan = plan;
  child.rules = rules_of(SupervisorPlan::Child(plan));
  record.plan = plan;
  record.kind = plan->is_plain() ? shm::SlotKind::plain : shm::SlotKind::muproc;
  if (is_live && record.life) record.life->plan = plan;
  if (node->policy) node->policy->change_rules(key, child.rules);
}

bool Supervisors::move(const std::string& name, const std::string& supervisor) {
  const auto found = children_.find(name);
  if (found == children_.end()) not_there(name);
  const auto [from, key] = found->second;
  Node& to = tree_node(supervisor);
  if (!from->policy || !to.policy || is_pumping_) return false;
  ChildNode& child = from->children.at(key);
  Muproc* life = core_.table.record(child.slot).life.get();
  // One whose end is on its way to the policy belongs to whoever hears of it.
  const bool is_up = from->policy->state_of(key) == ChildState::up;
  if (is_up && (!life || life->is_dead)) return false;
  const auto handover = from->policy->release_child(key);
  if (!handover) return false;
  const ChildKey new_key = to.policy->adopt_child(child.rules, *handover);
  auto part = from->children.extract(key);
  part.key() = new_key;
  ChildNode& moved = to.children.insert(std::move(part)).position->second;
  children_[name] = {&to, new_key};
  core_.table.record(moved.slot).parent = to.pid;
  core_.show(moved.slot);
  if (moved.nested) {
    moved.nested->parent = &to;
    moved.nested->key = new_key;
  } else if (life) {
    life->parent = to.pid;
    life->when_ended = [this, &to, new_key](const Reason& reason) { child_has_ended(to, new_key, reason); };
  }
  core_.log.info("{} is now {}'s child, and was {}'s", name, to.plan->name, from->plan->name);
  return true;
}

void Supervisors::add_to(const std::string& supervisor, const SupervisorPlan::Child& part, Control::Done done) {
  Node& node = tree_node(supervisor);
  const ChildRules rules = rules_of(part);
  if (!node.policy) return done({}, nullptr);  // it comes with the supervisor's next life, by its plan
  const ChildKey key = node.policy->add_child(rules);
  try {
    add(node, key, part);
  } catch (...) {
    discard(node.children.extract(key));
    node.policy->delete_child(key);
    throw;
  }
  const std::string name = node.children.at(key).name;
  Actions actions = granted(node.policy->start_child(key, now()), name);
  node.children.at(key).waiting_for_start.push_back(std::move(done));
  post(node, [actions = std::move(actions)](SupervisorPolicy&, Moment) { return actions; });
}

void Supervisors::remove(const std::string& name, Control::Done done) {
  const auto found = children_.find(name);
  if (found == children_.end()) return done({}, nullptr);  // it has been forgotten by itself
  const auto [at, key_of] = found->second;
  Node& node = *at;
  const ChildKey key = key_of;
  if (!node.policy) {
    forget_child(node, key);
    return done({}, nullptr);
  }
  const auto forget = [this, &node, key, done](Pid, const Failure*) {
    post(node, [key](SupervisorPolicy& policy, Moment) { return policy.delete_child(key).actions; });
    done({}, nullptr);
  };
  const auto state = node.policy->state_of(key).value_or(ChildState::down);
  const bool is_down = state == ChildState::down || state == ChildState::waiting;
  Actions actions = granted(node.policy->terminate_child(key, now()), name);
  if (!is_down) node.children.at(key).waiting_for_end.push_back(forget);
  post(node, [actions = std::move(actions)](SupervisorPolicy&, Moment) { return actions; });
  if (is_down) forget({}, nullptr);
}

void Supervisors::restart(const std::string& name, Control::Done done) {
  const auto found = children_.find(name);
  if (found == children_.end()) not_there(name);
  const auto [node, key_of] = found->second;
  const ChildKey key = key_of;
  if (!node->policy || node->policy->state_of(key) == ChildState::down) return done({}, nullptr);
  Actions actions = granted(node->policy->restart_child(key, now()), name);
  node->children.at(key).waiting_for_start.push_back(std::move(done));
  post(*node, [actions = std::move(actions)](SupervisorPolicy&, Moment) { return actions; });
}

}  // namespace muproc::broker
