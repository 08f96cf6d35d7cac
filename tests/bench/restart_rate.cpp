// One child that dies as soon as it lives, again and again: restart/rate, and what that leaves in the broker: restart/leak.
#include <filesystem>
#include <fstream>
#include <string>

#include "bench/live.hpp"

namespace muproc::bench {
namespace {

/// Lets a child die until its supervisor gives up, which is after so many restarts.
void restart(Live& live, std::uint32_t times) {
  Self& self = live.self();
  const std::string name = live.fresh_name("again");
  const auto dies = +[](Self& self) { self.exit("again"); };
  const Pid top = self.start_supervisor(name, supervisor(one_for_one, {times, std::chrono::hours(1)}, {{name + "-child", dies}}));
  const Ref ref = self.monitor(top);
  self.receive(on<"terminated", "ref">(anything, is(static_cast<std::int64_t>(ref.bits))) >> [] {});
}

Round restart_rate(Live& live) {
  constexpr std::uint32_t k_times = 1000;
  const double began = now_ns();
  restart(live, k_times);
  return {k_times / ((now_ns() - began) / 1e9)};
}

double private_kib(int os_pid) {
  std::ifstream status("/proc/" + std::to_string(os_pid) + "/status");
  for (std::string word; status >> word;)
    if (word == "RssAnon:") {
      double kib = 0;
      status >> kib;
      return kib;
    }
  return 0;
}

std::ptrdiff_t descriptors(int os_pid) {
  const std::filesystem::directory_iterator fds("/proc/" + std::to_string(os_pid) + "/fd");
  return std::distance(begin(fds), end(fds));
}

/// How many KiB of memory 10,000 restarts leave in the broker, each lost descriptor counted as 1000.
Round restart_leak(Live& live) {
  restart(live, 500);  // by then everything has found its size
  const int broker = live.broker_os_pid();
  const double before = private_kib(broker);
  const auto had = descriptors(broker);
  restart(live, 10'000);
  return {private_kib(broker) - before + 1000.0 * static_cast<double>(descriptors(broker) - had)};
}

}  // namespace

void add_restart_rate(Rows& rows, Live& live) {
  rows.push_back({.name = "restart/rate", .unit = "1/s", .round = [&live] { return restart_rate(live); }, .bars = {at_least(300)}, .most_rounds = 5});
  rows.push_back({.name = "restart/leak", .unit = "KiB", .round = [&live] { return restart_leak(live); }, .bars = {at_most(128)}, .most_rounds = 1});
}

}  // namespace muproc::bench
