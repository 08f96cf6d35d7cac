// The supervisor's policy: what a supervisor does when something happens to it or to its children. Pure.
//
// Events go in, a list of actions comes out. There is no clock, no I/O, no randomness and no global here: the time and
// one random number come with each event, and what an action means (clone a process, send it `shutdown`, kill it) is the
// caller's affair. So the whole of it can be tested without a process, and a test can hold it against a model.
//
// A child is
//     down       no process, and none owed: not started yet, ended for good, or stopped by hand
//     starting   StartChild was said; it is not ready yet
//     up         it said that it is ready
//     stopping   StopChild or KillChild was said; it has not ended yet
//     waiting    it died and will be started again when its back-off is over
//
//                StartChild          child_started             StopChild
//         down ─────────────▶ starting ─────────────▶ up ─────────────────▶ stopping ──▶ down   (child_exited)
//          ▲                   │     ▲                │
//          │ for good          │     │ timer_fired    │ child_exited
//          └───────────────────┴── waiting ◀──────────┘
//
// What the end of a child that was up, and was not told to end, leads to:
//                 normal, shutdown       abnormal
//     permanent   restart                restart
//     transient   down                   restart          (down: significant children may end the supervisor)
//     temporary   forgotten              forgotten
// A restart that the limit refuses ends the supervisor. A restart concerns the child alone (one_for_one), or a *group*:
// every child (one_for_all), or it and those after it (rest_for_one).
//
// A supervisor is idle, starting, up, ending, ended. Its first start and every group restart are a *sweep*: it stops
// what runs in the group, last child first, one at a time; lets the back-off pass; then starts the group, first child
// first, each when the one before it is ready. A child that dies by itself while its group is being stopped is simply
// stopped. One that dies while its group is being started makes another restart of it, and is counted as such. In a
// first start nothing has to be stopped; a child that then fails to start, and never ran, ends the supervisor with
// StartFailed after those already started have been stopped in reverse. Any later failing start is a failing restart:
// tried again, each try counted.
//
// A template supervisor (simple_one_for_one) begins with nobody. Its children are added, restarted alone, forgotten as
// soon as they are down for good, and at its end told to stop all at once.
//
// Every life of a supervisor ends with exactly one Ended or StartFailed, after the last child is gone. A new life is a
// new SupervisorPolicy. It is an ordinary value: copy it to look ahead. An event that cannot be (the exit of a child
// that has no process, a timer that was cancelled) has no effect, so that the caller need not untangle races.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <muproc/supervision.hpp>

#include "broker/actions.hpp"
#include "broker/restart_window.hpp"

namespace muproc::broker {

/// What the policy must know of a child.
struct ChildRules {
  Restart restart = Restart::permanent;
  Backoff backoff = {};
  bool significant = false;
};

/// What the policy must know of the supervisor.
struct SupervisorRules {
  Strategy strategy = Strategy::one_for_one;
  Limit limit = {};
  AutoShutdown auto_shutdown = AutoShutdown::never;
};

class SupervisorPolicy {
 public:
  enum class ChildState { down, starting, up, stopping, waiting };
  enum class Phase { idle, starting, up, ending, ended };

  /// What became of a request about one child. `not_running` speaks of the supervisor, the others of the child.
  enum class Outcome { done, not_found, running, restarting, not_running };
  struct Reply {
    Outcome outcome = Outcome::done;
    Actions actions = {};
  };

  /// Children get the keys 0, 1, 2, … in this order.
  SupervisorPolicy(SupervisorRules rules, const std::vector<ChildRules>& children);

  // Events.
  Actions start(Moment at);
  Actions child_started(ChildKey child, Moment at);
  /// The child could not be started, or ended before it was ready, or was not ready in time and has been killed: there
  /// is no process.
  Actions child_start_failed(ChildKey child, Moment at);
  /// The child declined to run (Erlang's `ignore`): it counts as started, without a process.
  Actions child_ignored(ChildKey child, Moment at);
  Actions child_exited(ChildKey child, ExitClass how, Moment at);
  Actions timer_fired(ChildKey child, Moment at);
  /// Stop all children in order, and end.
  Actions stop_requested(Moment at);
  /// Kill all children at once, and end.
  Actions kill_requested(Moment at);

  // Requests of people and programs, served while the supervisor starts and while it is up. None counts as a restart.
  /// A new child, down, after all others; start_child starts it. When that start fails it is forgotten.
  ChildKey add_child(ChildRules rules);
  /// Starts a child that is down or waiting, without further delay; one that is stopping starts when it has ended.
  Reply start_child(ChildKey child, Moment at);
  /// Stops a child and keeps it down; a temporary one is then forgotten. Done also when it is down already.
  Reply terminate_child(ChildKey child, Moment at);
  /// Stops a child if it runs, and starts it again.
  Reply restart_child(ChildKey child, Moment at);
  /// Forgets a child that is down.
  Reply delete_child(ChildKey child);

  // Changes of what the supervisor is, while it lives. Nothing is started or stopped on their account.
  void change_rules(SupervisorRules rules) { rules_ = rules; }
  void change_rules(ChildKey child, ChildRules rules);
  /// Makes this the start order. Children that are not named come last, in the order that they had.
  void arrange(const std::vector<ChildKey>& order);
  /// What goes with a child that another supervisor takes over as it is.
  struct Handover {
    ChildState state = ChildState::down;
    bool has_run = false;
    std::uint32_t failures = 0;
    std::optional<std::chrono::nanoseconds> up_since = {};
  };
  /// Gives up a child that is up or down, and in no group that is being restarted; nothing of any other. ForgetChild is
  /// not said.
  std::optional<Handover> release_child(ChildKey child);
  /// The counterpart, in the other supervisor: after all others.
  ChildKey adopt_child(ChildRules rules, const Handover& handover);

  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] const RestartWindow& window() const { return window_; }
  /// Empty for a child that is not there, or not any more.
  [[nodiscard]] std::optional<ChildState> state_of(ChildKey child) const;
  /// Whether a child that ends like this is going to be started again, unless the limit refuses it.
  [[nodiscard]] bool may_bring_back(ChildKey child, ExitClass how) const;
  /// False of one that is down and not owed a start.
  [[nodiscard]] bool is_to_run(ChildKey child) const;
  /// In start order.
  [[nodiscard]] std::vector<ChildKey> children() const;

 private:
  struct Child {
    ChildRules rules;
    ChildState state = ChildState::down;
    bool due = false;            // the sweep has still to start it; or, without one: start it when it has stopped
    bool owed = false;           // it is down through a failure, or as a bystander, and is to come back
    bool by_hand = false;        // somebody asked for its next start, or for the one under way
    bool has_run = false;        // it was up once
    bool was_added = false;      // by add_child
    std::uint32_t failures = 0;  // restarts in a row without a healthy while between them
    std::optional<std::chrono::nanoseconds> up_since = {};  // empty until it is ready
  };

  // Stops the children from `from` on, last first; waits; then starts all that are due, first first.
  struct Sweep {
    enum class Stage { stopping, delaying, starting };
    Stage stage;
    ChildKey from;
    ChildKey cause;                       // whose failure this is; its timer is armed while delaying
    std::chrono::nanoseconds not_before;  // when its back-off is over
  };

  // As the keys count, until `arrange` says otherwise. Tables are shared by copies and never changed.
  struct StartOrder {
    std::shared_ptr<const std::map<ChildKey, std::size_t>> ranks = {};
    [[nodiscard]] std::pair<std::size_t, ChildKey> place(ChildKey key) const;
    bool operator()(ChildKey a, ChildKey b) const { return ranks ? place(a) < place(b) : a < b; }
  };

  Child* find(ChildKey key);
  [[nodiscard]] bool in_sweep(ChildKey key) const { return sweep_ && !children_.key_comp()(key, sweep_->from); }
  [[nodiscard]] bool is_going_down(ChildKey key) const;  // with its group
  [[nodiscard]] bool is_template() const { return rules_.strategy == Strategy::simple_one_for_one; }
  [[nodiscard]] bool restarts_alone() const { return rules_.strategy == Strategy::one_for_one || is_template(); }
  [[nodiscard]] bool forgets(const Child& child) const { return is_template() || child.rules.restart == Restart::temporary; }
  [[nodiscard]] bool is_delaying() const { return sweep_ && sweep_->stage == Sweep::Stage::delaying; }
  [[nodiscard]] bool serves_requests() const { return phase_ == Phase::starting || phase_ == Phase::up; }

  void begin(Child& child, ChildKey key);
  void stop(Child& child, ChildKey key);
  void forget(ChildKey key);
  void gone(Child& child, ChildKey key);
  void ended_for_good(Child& child, ChildKey key);
  [[nodiscard]] bool calls_for_shutdown(const Child& child) const;

  void start_failed(Child& child, ChildKey key, Moment at);
  void start_by_hand_failed(Child& child, ChildKey key);
  void restart_if_allowed(Child& child, ChildKey key, Moment at);
  void restart(Child& child, ChildKey key, Moment at);
  void restart_alone(Child& child, ChildKey key, std::chrono::nanoseconds delay);
  void restart_group(ChildKey from, ChildKey cause, std::chrono::nanoseconds not_before);
  void skip_delay();
  void start_now(Child& child, ChildKey key);
  void give_up_waiting(Child& child, ChildKey key);

  void begin_end(Action last_word);
  void advance(Moment at);
  void advance_sweep(Moment at);
  void stop_group(Moment at);
  void start_group();
  void advance_end();

  void say(Action action) { actions_.push_back(action); }
  Actions advanced(Moment at);

  SupervisorRules rules_;
  std::map<ChildKey, Child, StartOrder> children_;
  ChildKey next_key_ = 0;
  Phase phase_ = Phase::idle;
  bool shuts_down_once_up_ = false;  // a significant child has ended for good while others were still to be started
  std::optional<Sweep> sweep_;
  RestartWindow window_;
  Action last_word_ = Ended{EndReason::requested};  // said when the last child is gone
  Actions actions_;                                 // what the event in hand has led to so far
};

/// "not found", "restarting", …
constexpr std::string_view to_string(SupervisorPolicy::Outcome outcome) {
  switch (outcome) {
    case SupervisorPolicy::Outcome::done: return "done";
    case SupervisorPolicy::Outcome::not_found: return "not found";
    case SupervisorPolicy::Outcome::running: return "running";
    case SupervisorPolicy::Outcome::restarting: return "restarting";
    case SupervisorPolicy::Outcome::not_running: return "not running";
  }
  return "?";
}

}  // namespace muproc::broker
