#include "bench/measure.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

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

double quantile(std::vector<double> samples, double q) {
  if (samples.empty()) return 0;
  const auto at = samples.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(samples.size() - 1) + 0.5);
  std::nth_element(samples.begin(), at, samples.end());
  return *at;
}

Round Laps::end() const {
  const double ns_per_stamp = (now_ns() - begin_ns_) / static_cast<double>(stamps_.back() - stamps_.front());
  std::vector<double> laps;
  laps.reserve(stamps_.size());
  for (std::size_t i = 1; i < stamps_.size(); ++i)
    laps.push_back(static_cast<double>(stamps_[i] - stamps_[i - 1]) * ns_per_stamp);
  return {median(laps), quantile(laps, 0.9), quantile(laps, 0.99)};
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
