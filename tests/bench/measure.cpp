#include "bench/measure.hpp"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace muproc::bench {

void pin(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0)
    throw std::runtime_error("cannot run on core " + std::to_string(core));
}

Nanoseconds now_ns() {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> samples) {
  if (samples.empty()) return 0;
  const auto at = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), at, samples.end());
  return *at;
}

Round round_of(Histogram laps, double ns_per_unit) {
  return {.value = laps.median() / ns_per_unit, .laps = std::move(laps)};
}

Histogram Laps::end() const {
  Histogram laps;
  if (used_ < 2) return laps;
  const double ns_per_stamp = (now_ns() - begin_ns_) / static_cast<double>(stamps_[used_ - 1] - stamps_[0]);
  for (std::size_t i = 1; i < used_; ++i)
    laps.record(static_cast<std::uint64_t>(static_cast<double>(stamps_[i] - stamps_[i - 1]) * ns_per_stamp + 0.5));
  return laps;
}

void rest() {
  constexpr timespec k_while{0, 500'000};
  ::nanosleep(&k_while, nullptr);
}

Memory memory_of(int os_pid) {
  std::ifstream file("/proc/" + std::to_string(os_pid) + "/smaps_rollup");
  Memory memory;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    double kib = 0;
    words >> name >> kib;
    if (name == "Pss:") memory.pss_mib = kib / 1024;
    if (name == "Private_Clean:" || name == "Private_Dirty:") memory.private_mib += kib / 1024;
  }
  return memory;
}

Nanoseconds cpu_time_of(int os_pid) {
  Nanoseconds time = 0;
  if (!(std::ifstream("/proc/" + std::to_string(os_pid) + "/schedstat") >> time))
    throw std::runtime_error("process " + std::to_string(os_pid) + " has gone");
  return time;
}

std::vector<int> family_of(int os_pid) {
  std::vector<int> all{os_pid};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string path = "/proc/" + std::to_string(all[i]) + "/task/" + std::to_string(all[i]) + "/children";
    std::ifstream children(path);
    for (int child; children >> child;) all.push_back(child);
  }
  return all;
}

}  // namespace muproc::bench
