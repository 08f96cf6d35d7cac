#include "broker/policy.hpp"

#include <algorithm>
#include <iterator>

// Every event has the same shape: change the state of the child that it speaks of, then `advance`, which looks at all
// children and says what comes next. Requests of people are in policy_requests.cpp.

namespace muproc::broker {

namespace {

using ChildState = SupervisorPolicy::ChildState;

bool comes_back(Restart restart, ExitClass how) {
  switch (restart) {
    case Restart::permanent: return true;
    case Restart::transient: return how == ExitClass::abnormal;
    case Restart::temporary: return false;
  }
  return false;
}

bool has_process(ChildState state) {
  switch (state) {
    case ChildState::starting:
    case ChildState::up:
    case ChildState::stopping: return true;
    case ChildState::down:
    case ChildState::waiting: return false;
  }
  return false;
}

}  // namespace

SupervisorPolicy::SupervisorPolicy(SupervisorRules rules, const std::vector<ChildRules>& children) : rules_(rules) {
  for (const ChildRules& child : children) children_.emplace(next_key_++, Child{.rules = child});
}

// Events ---------------------------------------------------------------------------------------------------------------

Actions SupervisorPolicy::start(Moment at) {
  if (phase_ != Phase::idle) return {};
  phase_ = Phase::starting;
  for (auto& [key, child] : children_) child.due = true;
  sweep_ = Sweep{Sweep::Stage::starting, 0, 0, at.now};
  return advanced(at);
}

Actions SupervisorPolicy::child_started(ChildKey key, Moment at) {
  Child* child = find(key);
  if (!child || child->state != ChildState::starting) return {};
  child->state = ChildState::up;
  child->has_run = true;
  child->by_hand = false;
  child->up_since = at.now;
  // One that gets ready while its group is going down has still to be stopped and started again.
  if (!is_going_down(key)) child->due = child->owed = false;
  return advanced(at);
}

Actions SupervisorPolicy::child_start_failed(ChildKey key, Moment at) {
  Child* child = find(key);
  if (!child) return {};
  if (child->state == ChildState::stopping) return child_exited(key, ExitClass::shutdown, at);
  if (child->state != ChildState::starting) return {};
  child->state = ChildState::down;
  if (is_going_down(key))
    gone(*child, key);
  else
    start_failed(*child, key, at);
  return advanced(at);
}

Actions SupervisorPolicy::child_ignored(ChildKey key, Moment at) {
  Child* child = find(key);
  if (!child) return {};
  if (child->state == ChildState::stopping) return child_exited(key, ExitClass::normal, at);
  if (child->state != ChildState::starting) return {};
  child->state = ChildState::down;
  child->by_hand = false;
  if (!is_going_down(key)) child->due = child->owed = false;
  if (forgets(*child)) forget(key);
  return advanced(at);
}

Actions SupervisorPolicy::child_exited(ChildKey key, ExitClass how, Moment at) {
  Child* child = find(key);
  if (!child || !has_process(child->state)) return {};
  if (child->state == ChildState::starting) return child_start_failed(key, at);
  const bool was_told = child->state == ChildState::stopping || is_going_down(key) || phase_ == Phase::ending;
  if (child->up_since && at.now - *child->up_since >= child->rules.backoff.reset_after) child->failures = 0;
  child->state = ChildState::down;
  if (was_told)
    gone(*child, key);
  else if (comes_back(child->rules.restart, how))
    restart_if_allowed(*child, key, at);
  else
    ended_for_good(*child, key);
  return advanced(at);
}

Actions SupervisorPolicy::timer_fired(ChildKey key, Moment at) {
  Child* child = find(key);
  if (!child || child->state != ChildState::waiting) return {};
  if (restarts_alone())
    begin(*child, key);
  else if (is_delaying() && sweep_->cause == key)
    sweep_->stage = Sweep::Stage::starting;
  return advanced(at);
}

Actions SupervisorPolicy::stop_requested(Moment at) {
  if (phase_ == Phase::ended) return {};
  if (phase_ != Phase::ending) begin_end(Ended{EndReason::requested});
  return advanced(at);
}

Actions SupervisorPolicy::kill_requested(Moment at) {
  if (phase_ == Phase::ended) return {};
  begin_end(Ended{EndReason::killed});
  for (auto it = children_.rbegin(); it != children_.rend(); ++it) {
    if (!has_process(it->second.state)) continue;
    it->second.state = ChildState::stopping;
    say(KillChild{it->first});
  }
  return advanced(at);
}

// Children -------------------------------------------------------------------------------------------------------------

SupervisorPolicy::Child* SupervisorPolicy::find(ChildKey key) {
  const auto it = children_.find(key);
  return it == children_.end() ? nullptr : &it->second;
}

bool SupervisorPolicy::is_going_down(ChildKey key) const {
  return in_sweep(key) && sweep_->stage != Sweep::Stage::starting;
}

void SupervisorPolicy::begin(Child& child, ChildKey key) {
  child.state = ChildState::starting;
  child.up_since.reset();
  say(StartChild{key});
}

void SupervisorPolicy::stop(Child& child, ChildKey key) {
  child.state = ChildState::stopping;
  say(StopChild{key});
}

void SupervisorPolicy::forget(ChildKey key) {
  children_.erase(key);
  say(ForgetChild{key});
}

// The child ended as it was told to, or of itself before its turn to be told came.
void SupervisorPolicy::gone(Child& child, ChildKey key) {
  if (phase_ == Phase::ending) return;
  if (forgets(child) && !child.due) return forget(key);
  if (!child.due || in_sweep(key)) return;  // the sweep starts it in its turn
  child.due = false;
  begin(child, key);
}

void SupervisorPolicy::ended_for_good(Child& child, ChildKey key) {
  const bool last_straw = calls_for_shutdown(child);
  if (forgets(child)) forget(key);
  if (!last_straw) return;
  if (phase_ == Phase::starting)
    shuts_down_once_up_ = true;  // what is to come of its start is its starter's to hear first
  else
    begin_end(Ended{EndReason::auto_shutdown});
}

bool SupervisorPolicy::calls_for_shutdown(const Child& ended) const {
  if (!ended.rules.significant) return false;
  switch (rules_.auto_shutdown) {
    case AutoShutdown::never: return false;
    case AutoShutdown::any_significant: return true;
    case AutoShutdown::all_significant:
      return std::ranges::none_of(children_, [](const auto& entry) {
        const Child& child = entry.second;
        return child.rules.significant && (child.state != ChildState::down || child.due);
      });
  }
  return false;
}

// Restarts -------------------------------------------------------------------------------------------------------------

void SupervisorPolicy::start_failed(Child& child, ChildKey key, Moment at) {
  if (phase_ == Phase::ending) return;
  const bool was_by_hand = std::exchange(child.by_hand, false);
  if (was_by_hand && !child.owed)
    start_by_hand_failed(child, key);
  else if (was_by_hand)
    restart(child, key, at);  // it was owed a start before somebody hurried it, and still is; that try does not count
  else if (phase_ == Phase::starting && !child.has_run)
    begin_end(StartFailed{key});
  else
    restart_if_allowed(child, key, at);
}

void SupervisorPolicy::start_by_hand_failed(Child& child, ChildKey key) {
  child.due = false;
  if (is_template() || (child.was_added && !child.has_run)) forget(key);
}

void SupervisorPolicy::restart_if_allowed(Child& child, ChildKey key, Moment at) {
  if (window_.admit(rules_.limit, at.now))
    restart(child, key, at);
  else
    begin_end(Ended{EndReason::limit_reached});
}

void SupervisorPolicy::restart(Child& child, ChildKey key, Moment at) {
  const auto delay = backoff_delay(child.rules.backoff, child.failures++, at.dice);
  child.state = ChildState::waiting;
  child.owed = true;
  switch (rules_.strategy) {
    case Strategy::one_for_one:
    case Strategy::simple_one_for_one: return restart_alone(child, key, delay);
    case Strategy::one_for_all: return restart_group(children_.begin()->first, key, at.now + delay);
    case Strategy::rest_for_one: return restart_group(key, key, at.now + delay);
  }
}

void SupervisorPolicy::restart_alone(Child& child, ChildKey key, std::chrono::nanoseconds delay) {
  child.due = false;
  if (delay > delay.zero())
    say(ArmTimer{key, delay});
  else
    begin(child, key);
}

void SupervisorPolicy::restart_group(ChildKey from, ChildKey cause, std::chrono::nanoseconds not_before) {
  if (sweep_) not_before = std::max(not_before, sweep_->not_before);  // the first failure's back-off holds as well
  skip_delay();
  sweep_ = Sweep{Sweep::Stage::stopping, from, cause, not_before};
  for (auto it = children_.lower_bound(from); it != children_.end(); ++it) {
    Child& child = it->second;
    const bool is_bystander_to_forget = child.rules.restart == Restart::temporary && has_process(child.state);
    if (is_bystander_to_forget) child.due = false;
    if (child.rules.restart != Restart::temporary) child.due = child.owed = true;
  }
}

// Ends a group's wait for its back-off, if it is waiting.
void SupervisorPolicy::skip_delay() {
  if (!is_delaying()) return;
  say(CancelTimer{sweep_->cause});
  sweep_->stage = Sweep::Stage::starting;
}

// What comes next ------------------------------------------------------------------------------------------------------

void SupervisorPolicy::begin_end(Action last_word) {
  skip_delay();
  for (auto& [key, child] : children_) {
    if (child.state == ChildState::waiting) {
      if (restarts_alone()) say(CancelTimer{key});
      child.state = ChildState::down;
    }
    child.due = child.owed = child.by_hand = false;
  }
  sweep_.reset();
  phase_ = Phase::ending;
  last_word_ = last_word;
}

void SupervisorPolicy::advance(Moment at) {
  if (phase_ == Phase::ending)
    advance_end();
  else if (sweep_)
    advance_sweep(at);
}

void SupervisorPolicy::advance_sweep(Moment at) {
  if (sweep_->stage == Sweep::Stage::stopping) stop_group(at);
  if (sweep_->stage == Sweep::Stage::starting) start_group();
}

void SupervisorPolicy::stop_group(Moment at) {
  for (auto it = children_.rbegin(); it != children_.rend() && in_sweep(it->first); ++it) {
    if (!has_process(it->second.state)) continue;
    if (it->second.state != ChildState::stopping) stop(it->second, it->first);
    return;
  }
  const auto delay = sweep_->not_before - at.now;
  sweep_->stage = delay > delay.zero() ? Sweep::Stage::delaying : Sweep::Stage::starting;
  if (is_delaying()) say(ArmTimer{sweep_->cause, delay});
}

void SupervisorPolicy::start_group() {
  for (auto& [key, child] : children_) {
    if (!child.due) continue;
    if (!has_process(child.state)) begin(child, key);
    return;
  }
  sweep_.reset();
  if (std::exchange(phase_, Phase::up) != Phase::starting) return;
  say(Started{});
  if (!shuts_down_once_up_) return;
  begin_end(Ended{EndReason::auto_shutdown});
  advance_end();
}

void SupervisorPolicy::advance_end() {
  bool somebody_runs = false;
  for (auto it = children_.rbegin(); it != children_.rend(); ++it) {
    if (!has_process(it->second.state)) continue;
    if (it->second.state != ChildState::stopping) stop(it->second, it->first);
    if (!is_template()) return;  // one after the other
    somebody_runs = true;
  }
  if (somebody_runs) return;
  phase_ = Phase::ended;
  say(last_word_);
}

Actions SupervisorPolicy::advanced(Moment at) {
  advance(at);
  return std::exchange(actions_, {});
}

std::optional<ChildState> SupervisorPolicy::state_of(ChildKey key) const {
  const auto it = children_.find(key);
  return it == children_.end() ? std::nullopt : std::optional(it->second.state);
}

bool SupervisorPolicy::may_bring_back(ChildKey key, ExitClass how) const {
  const auto it = children_.find(key);
  if (it == children_.end() || phase_ == Phase::ending || phase_ == Phase::ended) return false;
  const Child& child = it->second;
  if (child.state == ChildState::stopping || is_going_down(key)) return child.due;
  return comes_back(child.rules.restart, how);
}

bool SupervisorPolicy::is_to_run(ChildKey key) const {
  const auto it = children_.find(key);
  if (it == children_.end() || phase_ == Phase::ended) return false;
  return it->second.state != ChildState::down || it->second.due;
}

std::vector<ChildKey> SupervisorPolicy::children() const {
  std::vector<ChildKey> keys;
  std::ranges::transform(children_, std::back_inserter(keys), [](const auto& entry) { return entry.first; });
  return keys;
}

}  // namespace muproc::broker
