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
// Every life of a supervisor ends with exactly one Ended or StartFailed, after the last child is gone. A new life is a
// new SupervisorPolicy. It is an ordinary value: copy it to look ahead. An event that cannot be (the exit of a child
// that has no process, a timer that was cancelled) has no effect, so that the caller need not untangle races.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <variant>
#include <vector>

#include <muproc/supervision.hpp>

namespace muproc::broker {

/// A child's place in the start order. A key is never used again, so keys of forgotten children stay unused.
using ChildKey = std::uint32_t;

/// When something happens: on the monotonic clock; and a fresh random number in [0, 1), which spreads back-offs.
struct Moment {
  std::chrono::nanoseconds now{0};
  double dice = 0.5;
};

enum class ExitClass { normal, shutdown, abnormal };

/// Why a supervisor ended. To its own supervisor all but `killed` are the reason `shutdown`.
enum class EndReason { requested, killed, limit_reached, auto_shutdown };

/// Fork the child; then say child_started or child_start_failed.
struct StartChild { ChildKey child; friend bool operator==(StartChild, StartChild) = default; };
/// Stop the child as its Stop says; then say child_exited.
struct StopChild { ChildKey child; friend bool operator==(StopChild, StopChild) = default; };
/// Kill the child at once, whatever its Stop says; then say child_exited.
struct KillChild { ChildKey child; friend bool operator==(KillChild, KillChild) = default; };
/// Say timer_fired after the delay. A child has at most one timer.
struct ArmTimer { ChildKey child; std::chrono::nanoseconds delay; friend bool operator==(ArmTimer, ArmTimer) = default; };
struct CancelTimer { ChildKey child; friend bool operator==(CancelTimer, CancelTimer) = default; };
/// The child is no longer this supervisor's: drop its specification and its name.
struct ForgetChild { ChildKey child; friend bool operator==(ForgetChild, ForgetChild) = default; };
/// The supervisor's own start is complete.
struct Started { friend bool operator==(Started, Started) = default; };
/// The supervisor's own start failed, since this child's did. No child is left.
struct StartFailed { ChildKey child; friend bool operator==(StartFailed, StartFailed) = default; };
/// The supervisor is at its end. No child is left. Before Started, this too is a start that failed.
struct Ended { EndReason reason; friend bool operator==(Ended, Ended) = default; };

using Action = std::variant<StartChild, StopChild, KillChild, ArmTimer, CancelTimer, ForgetChild, Started, StartFailed, Ended>;
using Actions = std::vector<Action>;

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

/// The restarts of the last while. Pure bookkeeping of semantics' "N within T are allowed, the next is not".
class RestartWindow {
 public:
  /// Counts a restart, and says whether the limit still allows it.
  [[nodiscard]] bool admit(const Limit& limit, std::chrono::nanoseconds now);
  [[nodiscard]] std::size_t size() const { return times_.size(); }

 private:
  std::deque<std::chrono::nanoseconds> times_;
};

/// How long the restart after `failures` earlier ones in a row waits.
std::chrono::nanoseconds backoff_delay(const Backoff& backoff, std::uint32_t failures, double dice);

class SupervisorPolicy {
 public:
  enum class ChildState { down, starting, up, stopping, waiting };
  enum class Phase { idle, starting, up, ending, ended };
  /// What became of a request about one child.
  enum class Outcome { done, not_found, running, restarting, ending };
  struct Reply {
    Outcome outcome = Outcome::done;
    Actions actions = {};
  };

  SupervisorPolicy(SupervisorRules rules, const std::vector<ChildRules>& children);

  // Events. Children are known by their place, 0, 1, 2, …
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

  // Requests of people and programs, served in every phase but the last two. None of them counts as a restart.
  /// A new child, down, after all others; start_child starts it. If that start fails it is forgotten.
  ChildKey add_child(ChildRules rules);
  /// Starts a child that is down, or waiting; one that is being stopped starts when it has ended.
  Reply start_child(ChildKey child, Moment at);
  /// Stops a child and keeps it down; a temporary one is then forgotten. Done also when it is down already.
  Reply terminate_child(ChildKey child, Moment at);
  /// Stops a child if it runs, and starts it again.
  Reply restart_child(ChildKey child, Moment at);
  /// Forgets a child that is down.
  Reply delete_child(ChildKey child);

  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] std::optional<ChildState> state_of(ChildKey child) const;
  /// The keys of all children not forgotten, in start order.
  [[nodiscard]] std::vector<ChildKey> children() const;

 private:
  struct Child {
    ChildRules rules;
    ChildState state = ChildState::down;
    bool due = false;       // to be started when its turn in the sweep comes, or when it has stopped
    bool by_hand = false;   // its next start, or the one under way, was asked for by somebody
    bool has_run = false;   // was up once
    bool was_given = true;  // part of the specification, not added later
    std::uint32_t failures = 0;  // restarts in a row without a healthy while
    std::chrono::nanoseconds up_since{0};
  };
  // A group being stopped, then started: [from, the last child].
  struct Sweep {
    enum class Stage { stopping, delaying, starting } stage = Stage::starting;
    ChildKey from = 0;
    ChildKey cause = 0;                      // the child whose failure this is, and whose timer is armed
    std::chrono::nanoseconds not_before{0};  // when its back-off is over
  };

  Child* find(ChildKey child);
  [[nodiscard]] bool in_sweep(ChildKey child) const { return sweep_ && child >= sweep_->from; }
  [[nodiscard]] bool has_process(const Child& child) const;
  [[nodiscard]] bool group_is_going_down(ChildKey child) const;

  void begin(Child& child, ChildKey key);
  void stop(Child& child, ChildKey key);
  void forget(ChildKey key);

  void gone_as_told(Child& child, ChildKey key);
  void ended_for_good(Child& child, ChildKey key);
  void restart(Child& child, ChildKey key, Moment at);
  void restart_after_backoff(Child& child, ChildKey key, Moment at);
  void start_by_hand_failed(Child& child, ChildKey key, Moment at);
  void begin_sweep(ChildKey from, ChildKey cause, std::chrono::nanoseconds not_before);
  [[nodiscard]] bool calls_for_shutdown(const Child& child) const;

  void begin_end(Action last_word);
  void cancel_timers();

  void advance(Moment at);
  void advance_sweep(Moment at);
  void advance_end();
  Actions take() { return std::exchange(actions_, {}); }

  SupervisorRules rules_;
  std::map<ChildKey, Child> children_;  // in start order
  ChildKey next_key_ = 0;
  Phase phase_ = Phase::idle;
  std::optional<Sweep> sweep_;
  RestartWindow window_;
  Action last_word_ = Ended{EndReason::requested};  // said when all children are gone
  bool killing_ = false;
  Actions actions_;  // of the event in hand
};

/// Whether a child that was not told to end comes back.
constexpr bool comes_back(Restart restart, ExitClass how) {
  switch (restart) {
    case Restart::permanent: return true;
    case Restart::transient: return how == ExitClass::abnormal;
    case Restart::temporary: return false;
  }
  return false;
}

}  // namespace muproc::broker
