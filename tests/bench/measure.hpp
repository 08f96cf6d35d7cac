// What every row of mubench is made of: pinned processes, time, laps and their distribution, memory and CPU as the kernel
// counts them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bench/histogram.hpp"

#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include <chrono>
#endif

namespace muproc::bench {

using Nanoseconds = double;

struct Cores {
  unsigned first = 0;
  unsigned second = 1;
};

/// Keeps the calling process on one core.
void pin(unsigned core);

/// CLOCK_MONOTONIC, which all processes share.
Nanoseconds now_ns();

/// The middle one of samples in any order; 0 when there are none.
double median(std::vector<double> samples);

/// What one round of a row gave.
struct Round {
  double value = 0;                   // in the row's unit
  std::optional<double> beside = {};  // what the row is compared with, measured in turn with it, in the same unit
  Histogram laps = {};                // in ns, where the round consists of laps: the value is their median then
};
Round round_of(Histogram laps, double ns_per_unit = 1);

/// A stamp after each round trip, as cheap as the machine has it; at the end, how long they took. Its memory is touched
/// beforehand: a page fault in the middle of a lap would be seen as somebody else's.
class Laps {
 public:
  explicit Laps(std::size_t count) : stamps_(count + 1, 1) {}
  void begin() {
    begin_ns_ = now_ns();
    lap();
  }
  void lap() { stamps_[used_++] = stamp(); }
  Histogram end() const;

 private:
  static std::uint64_t stamp() {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
  }

  Nanoseconds begin_ns_ = 0;
  std::vector<std::uint64_t> stamps_;
  std::size_t used_ = 0;
};

/// `play(lap)` so many times, a lap each.
template <class Lap>
Histogram timed(int laps, Lap&& lap) {
  Laps kept(static_cast<std::size_t>(laps));
  kept.begin();
  for (int n = 0; n < laps; ++n) {
    lap(n);
    kept.lap();
  }
  return kept.end();
}

/// Sleeps until all that spin have gone to sleep.
void rest();

/// Private and proportional memory of a process.
struct Memory {
  double private_mib = 0;
  double pss_mib = 0;
};
Memory memory_of(int os_pid);
/// For how long the process has run, ever.
Nanoseconds cpu_time_of(int os_pid);
/// The process and all that descends from it.
std::vector<int> family_of(int os_pid);

}  // namespace muproc::bench
