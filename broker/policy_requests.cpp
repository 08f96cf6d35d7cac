#include "broker/policy.hpp"

// What people and programs may ask of a supervisor about one child. Each request works at once, also while the child
// waits for its back-off, and none counts as a restart.

namespace muproc::broker {

ChildKey SupervisorPolicy::add_child(ChildRules rules) {
  children_.emplace(next_key_, Child{.rules = rules, .was_added = true});
  return next_key_++;
}

SupervisorPolicy::Reply SupervisorPolicy::start_child(ChildKey key, Moment at) {
  Child* child = find(key);
  if (!serves_requests()) return {Outcome::not_running};
  if (!child) return {Outcome::not_found};
  switch (child->state) {
    case ChildState::starting:
    case ChildState::up: return {Outcome::running};
    case ChildState::stopping: child->due = child->by_hand = true; break;
    case ChildState::down:
    case ChildState::waiting:
      child->by_hand = true;
      start_now(*child, key);
      break;
  }
  return {Outcome::done, advanced(at)};
}

SupervisorPolicy::Reply SupervisorPolicy::terminate_child(ChildKey key, Moment at) {
  Child* child = find(key);
  if (!serves_requests()) return {Outcome::not_running};
  if (!child) return {Outcome::not_found};
  child->due = child->owed = child->by_hand = false;
  switch (child->state) {
    case ChildState::starting:
    case ChildState::up: stop(*child, key); break;
    case ChildState::stopping: break;
    case ChildState::waiting:
      give_up_waiting(*child, key);
      if (is_template()) forget(key);
      break;
    case ChildState::down:
      if (forgets(*child)) forget(key);
      break;
  }
  return {Outcome::done, advanced(at)};
}

SupervisorPolicy::Reply SupervisorPolicy::restart_child(ChildKey key, Moment at) {
  Child* child = find(key);
  const bool runs = child && (child->state == ChildState::starting || child->state == ChildState::up);
  if (!runs || !serves_requests()) return start_child(key, at);
  stop(*child, key);
  child->due = child->by_hand = true;
  return {Outcome::done, advanced(at)};
}

SupervisorPolicy::Reply SupervisorPolicy::delete_child(ChildKey key) {
  Child* child = find(key);
  if (!serves_requests()) return {Outcome::not_running};
  if (!child) return {Outcome::not_found};
  if (child->state == ChildState::waiting || child->due) return {Outcome::restarting};
  if (child->state != ChildState::down) return {Outcome::running};
  forget(key);
  return {Outcome::done, std::exchange(actions_, {})};
}

// A child of a group that is being restarted starts in its turn, for which the group then waits no longer.
void SupervisorPolicy::start_now(Child& child, ChildKey key) {
  const bool waits_alone = child.state == ChildState::waiting && restarts_alone();
  if (waits_alone) say(CancelTimer{key});
  if (waits_alone || !in_sweep(key)) return begin(child, key);
  child.due = true;
  skip_delay();
}

void SupervisorPolicy::give_up_waiting(Child& child, ChildKey key) {
  child.state = ChildState::down;
  if (restarts_alone()) return say(CancelTimer{key});
  if (!sweep_ || sweep_->cause != key) return;
  skip_delay();
  sweep_->not_before = {};  // also when the group is still being stopped
}

}  // namespace muproc::broker
