// How often and how soon: the two rules about restarts that are plain arithmetic.
//
// The window says whether one more restart is allowed: N within T are, the next is not. The back-off says how long a
// restart waits. Neither knows what is restarted.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>

#include <muproc/supervision.hpp>

namespace muproc::broker {

/// The restarts of the last while, oldest first.
class RestartWindow {
 public:
  /// Counts a restart, and says whether the limit allows it. Restarts exactly `within` apart are within it, as in OTP.
  [[nodiscard]] bool admit(const Limit& limit, std::chrono::nanoseconds now);
  /// How many were within the limit's time when the latest was admitted.
  [[nodiscard]] std::size_t size() const { return times_.size(); }
  /// When that was; 0: never.
  [[nodiscard]] std::chrono::nanoseconds latest() const { return times_.empty() ? std::chrono::nanoseconds(0) : times_.back(); }

 private:
  std::deque<std::chrono::nanoseconds> times_;
};

/// How long a restart waits that follows `failures` others in a row. `dice` in [0, 1) places it between the jitter's
/// bounds; the result never exceeds the back-off's max, and is never negative.
std::chrono::nanoseconds backoff_delay(const Backoff& backoff, std::uint32_t failures, double dice);

}  // namespace muproc::broker
