// The policy's vocabulary: what happens to a supervisor, and what it wants done about it.
//
// The policy (policy.hpp) says these; the launcher does them. A child is known by its key alone, so that nothing here
// has a lifetime.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

namespace muproc::broker {

/// A child's place in the start order. A key is never used again, so keys of forgotten children stay unused.
using ChildKey = std::uint32_t;

/// When something happens: on the monotonic clock; and a fresh random number in [0, 1), which spreads back-offs.
struct Moment {
  std::chrono::nanoseconds now{0};
  double dice = 0.5;
};

/// How a child ended, as far as its restart type cares. Everything that is not `normal` or `shutdown` is abnormal.
enum class ExitClass { normal, shutdown, abnormal };

/// Why a supervisor ended. To its own supervisor all but `killed` are the reason `shutdown`.
enum class EndReason { requested, killed, limit_reached, auto_shutdown };

constexpr std::string_view to_string(EndReason reason) {
  switch (reason) {
    case EndReason::requested: return "requested";
    case EndReason::killed: return "killed";
    case EndReason::limit_reached: return "limit_reached";
    case EndReason::auto_shutdown: return "auto_shutdown";
  }
  return "?";
}

/// Fork the child; then say child_started or child_start_failed.
struct StartChild {
  ChildKey child;
  friend bool operator==(StartChild, StartChild) = default;
};

/// Stop the child as its Stop says; then say child_exited.
struct StopChild {
  ChildKey child;
  friend bool operator==(StopChild, StopChild) = default;
};

/// Kill the child at once, whatever its Stop says; then say child_exited.
struct KillChild {
  ChildKey child;
  friend bool operator==(KillChild, KillChild) = default;
};

/// Say timer_fired after the delay. A child has at most one timer.
struct ArmTimer {
  ChildKey child;
  std::chrono::nanoseconds delay;
  friend bool operator==(ArmTimer, ArmTimer) = default;
};

/// Never say timer_fired for the timer that was armed last.
struct CancelTimer {
  ChildKey child;
  friend bool operator==(CancelTimer, CancelTimer) = default;
};

/// The child is no longer this supervisor's: drop its specification and its name.
struct ForgetChild {
  ChildKey child;
  friend bool operator==(ForgetChild, ForgetChild) = default;
};

/// The supervisor's own start is complete.
struct Started {
  friend bool operator==(Started, Started) = default;
};

/// The supervisor's own start failed, since this child's did. No child is left.
struct StartFailed {
  ChildKey child;
  friend bool operator==(StartFailed, StartFailed) = default;
};

/// The supervisor is at its end. No child is left. Before Started, this too is a start that failed.
struct Ended {
  EndReason reason;
  friend bool operator==(Ended, Ended) = default;
};

using Action =
    std::variant<StartChild, StopChild, KillChild, ArmTimer, CancelTimer, ForgetChild, Started, StartFailed, Ended>;
using Actions = std::vector<Action>;

}  // namespace muproc::broker
