// What every row of mubench is made of: pinned processes, time, laps and their quantiles, memory and CPU as the kernel
// counts them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

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

/// The q-th quantile, 0 to 1, of samples in any order; 0 when there are none.
double quantile(std::vector<double> samples, double q);
inline double median(const std::vector<double>& samples) { return quantile(samples, 0.5); }

/// What one round of a row gave: its median, where it consists of many observations.
struct Round {
  double value = 0;
  std::optional<double> p90, p99;
};

/// A stamp after each round trip, as cheap as the machine has it; at the end, how long they took.
class Laps {
 public:
  explicit Laps(std::size_t count) { stamps_.reserve(count + 1); }
  void begin() {
    begin_ns_ = now_ns();
    lap();
  }
  void lap() { stamps_.push_back(stamp()); }
  Round end() const;

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
};

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
