// Two clocks. `ticks` orders messages: it is the time-stamp counter where that is invariant, read so that it cannot
// move before an earlier acquire; else CLOCK_MONOTONIC. `monotonic` is for people, timers and limits.
//
// In a muproc of a system whose time is virtual (a test's), `monotonic` is that time, which stands still until the test
// advances it. Which of the two a process goes by is said once, at its birth, and is the process's own state: whoever
// asks for the time here gets the same answer as everybody else.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace muproc::sys {

/// Time since an arbitrary point, never going backwards; suspended time is not counted.
std::chrono::nanoseconds monotonic();
/// The same, and real even where `monotonic` is virtual.
std::chrono::nanoseconds real_monotonic();

/// From now on `monotonic` is what is written there, in nanoseconds; null: real again.
void use_virtual_clock(const std::atomic<std::uint64_t>* clock);
bool time_is_virtual();

/// `duration` from now, on that clock; the end of all times when it lies beyond.
inline std::chrono::nanoseconds from_now(std::chrono::nanoseconds duration) {
  const auto now = monotonic();
  return duration < std::chrono::nanoseconds::max() - now ? now + duration : std::chrono::nanoseconds::max();
}

/// True when this machine's time-stamp counter runs at one speed on all cores.
bool has_invariant_tsc();

/// `use_tsc` must be the same in all processes that compare ticks: the directory's header says which.
inline std::uint64_t ticks(bool use_tsc) {
#if defined(__x86_64__)
  if (use_tsc) [[likely]] {
    unsigned core;
    return __rdtscp(&core);  // waits for earlier loads, so a stamp taken after an acquire is later than what it saw
  }
#else
  (void)use_tsc;
#endif
  return static_cast<std::uint64_t>(real_monotonic().count());
}

/// The same count, read at once: possibly before earlier loads have finished, and so a little too early.
inline std::uint64_t unordered_ticks(bool use_tsc) {
#if defined(__x86_64__)
  if (use_tsc) [[likely]] return __rdtsc();
#endif
  return ticks(use_tsc);
}

inline void cpu_relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

/// Processors that this process may use now.
int usable_processors();

}  // namespace muproc::sys
