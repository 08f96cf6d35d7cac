// What an idle system takes: memory/idle, cpu/idle, memory/14.
#include <unistd.h>

#include <vector>

#include "bench/live.hpp"

namespace muproc::bench {
namespace {

void idle(Self& self) { self.receive(on<"never">() >> [] {}); }

/// Ready, and past all that it does at its birth.
void let_rest() { ::usleep(200'000); }

class MemoryIdle : public Row {
 public:
  explicit MemoryIdle(Live& live) : live_(live) {}
  std::string name() const override { return "memory/idle"; }
  std::string unit() const override { return "MiB"; }
  std::optional<Bar> bar() const override { return Bar{Bar::On::value, Bar::Side::at_most, 3.0}; }
  std::optional<double> in_ns(double) const override { return std::nullopt; }
  int most_rounds() const override { return 3; }

  Round round() override {
    const Pid pid = live_.self().spawn(live_.fresh_name("idle"), idle);
    let_rest();
    const double mib = memory_of(live_.os_pid(pid)).private_mib;
    live_.self().kill(pid);
    return {mib, {}, {}};
  }

 private:
  Live& live_;
};

class CpuIdle : public Row {
 public:
  explicit CpuIdle(Live& live) : live_(live) {}
  std::string name() const override { return "cpu/idle"; }
  std::string unit() const override { return "us/s"; }
  std::optional<Bar> bar() const override { return Bar{Bar::On::value, Bar::Side::at_most, 0.0}; }
  std::optional<double> in_ns(double) const override { return std::nullopt; }
  int most_rounds() const override { return 1; }

  Round round() override {
    const Pid pid = live_.self().spawn(live_.fresh_name("idle"), idle);
    const int os_pid = live_.os_pid(pid);
    let_rest();
    const double before = cpu_time_of(os_pid);
    ::sleep(2);
    const double after = cpu_time_of(os_pid);
    live_.self().kill(pid);
    return {(after - before) / 2 / 1000, {}, {}};
  }

 private:
  Live& live_;
};

/// The talk's largest system has 14 muprocs. All of it is counted: broker, seed, zygotes, logger, the muprocs, and the
/// benchmark's own process, which is the fifteenth.
class Memory14 : public Row {
 public:
  explicit Memory14(Live& live) : live_(live) {}
  std::string name() const override { return "memory/14"; }
  std::string unit() const override { return "MiB"; }
  std::optional<Bar> bar() const override { return Bar{Bar::On::value, Bar::Side::at_most, 64.0}; }
  std::optional<double> in_ns(double) const override { return std::nullopt; }
  int most_rounds() const override { return 1; }

  Round round() override {
    std::vector<Pid> muprocs;
    for (int i = 0; i < 14; ++i) muprocs.push_back(live_.self().spawn(live_.fresh_name("idle"), idle));
    let_rest();
    double mib = memory_of(::getpid()).pss_mib;
    for (const int os_pid : family_of(live_.broker_os_pid())) mib += memory_of(os_pid).pss_mib;
    for (const Pid pid : muprocs) live_.self().kill(pid);
    return {mib, {}, {}};
  }

 private:
  Live& live_;
};

}  // namespace

RowPtr make_memory_idle(Live& live) { return std::make_unique<MemoryIdle>(live); }
RowPtr make_cpu_idle(Live& live) { return std::make_unique<CpuIdle>(live); }
RowPtr make_memory_14(Live& live) { return std::make_unique<Memory14>(live); }

}  // namespace muproc::bench
