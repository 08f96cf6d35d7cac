// What a system takes in which nobody has anything to do: memory/idle, memory/14, memory/1000, memory/pair, cpu/idle,
// cpu/idle-1000.
#include <unistd.h>

#include <vector>

#include "bench/trees.hpp"

namespace muproc::bench {
namespace {

constexpr int k_thousand = 1000;

/// Ready, and past all that it does at its birth.
void let_rest() { ::usleep(200'000); }

/// A tree of idle muprocs while this lives.
class Idle {
 public:
  Idle(Live& live, int muprocs) : live_(live), top_(live.self().start_supervisor("idle", tree_of(muprocs))) { let_rest(); }
  Idle(const Idle&) = delete;
  Idle& operator=(const Idle&) = delete;
  ~Idle() { end_tree(live_.self(), top_); }

  /// All of the system: broker, seed, zygotes, logger, the muprocs, and the benchmark's own process, which is one of them.
  double mib() const {
    double mib = memory_of(::getpid()).pss_mib;
    for (const int os_pid : family_of(live_.broker_os_pid())) mib += memory_of(os_pid).pss_mib;
    return mib;
  }
  /// The private memory of one of them in the middle.
  double private_mib() const {
    std::vector<double> each;
    for (const auto& row : live_.self().list("^m-")) each.push_back(memory_of(row.os_pid).private_mib);
    return median(std::move(each));
  }
  /// Not of the benchmark, which is busy reading this.
  Nanoseconds cpu_time() const {
    Nanoseconds time = 0;
    for (const int os_pid : family_of(live_.broker_os_pid())) time += cpu_time_of(os_pid);
    return time;
  }

 private:
  Live& live_;
  Pid top_;
};

/// How many bytes more a muproc takes for each other one in the system.
Round memory_pair(Live& live) {
  constexpr int k_few = 14;
  const double few = Idle(live, k_few).private_mib(), many = Idle(live, k_thousand).private_mib();
  return {(many - few) * 1024 * 1024 / (k_thousand - k_few)};
}

/// What part of a core all of them take together, in the time in which nothing happens.
Round cpu_idle(Live& live, int muprocs, unsigned seconds) {
  const Idle idle(live, muprocs);
  ::sleep(1);
  const Nanoseconds before = idle.cpu_time(), began = now_ns();
  ::sleep(seconds);
  const double took = now_ns() - began;
  return {(idle.cpu_time() - before) / took * 100};
}

Row memory(std::string name, std::string unit, double limit, std::function<Round()> round, int most_rounds) {
  return {.name = std::move(name), .unit = std::move(unit), .round = std::move(round), .bars = {at_most(limit)}, .most_rounds = most_rounds};
}

}  // namespace

void add_memory(Rows& rows, Live& live) {
  rows.push_back(memory("memory/idle", "MiB", 1, [&live] { return Round{Idle(live, 1).private_mib()}; }, 3));
  rows.push_back(memory("memory/14", "MiB", 64, [&live] { return Round{Idle(live, 14).mib()}; }, 1));
  rows.push_back(memory("memory/1000", "MiB", 1000, [&live] { return Round{Idle(live, k_thousand).mib()}; }, 1));
  rows.push_back(memory("memory/pair", "B", 0, [&live] { return memory_pair(live); }, 1));
  rows.push_back(memory("cpu/idle", "%", 0, [&live] { return cpu_idle(live, 1, 2); }, 1));
  rows.push_back(memory("cpu/idle-1000", "%", 0.2, [&live] { return cpu_idle(live, k_thousand, 5); }, 1));
}

}  // namespace muproc::bench
