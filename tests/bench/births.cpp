// Births and deaths: spawn/zygote and spawn/exec, from the call until the child is ready to receive; down/notice, from
// SIGKILL until its monitor has the message, beside what of that the kernel needs by itself.
#include <csignal>

#include "bench/clones.hpp"
#include "bench/live.hpp"

namespace muproc::bench {
namespace {

constexpr int k_births = 40;
constexpr int k_deaths = 40;

/// Ends one, and returns when it has gone.
void end(Self& self, Pid pid) {
  self.monitor(pid);
  self.kill(pid);
  self.receive(on<"terminated">(is(pid)) >> [] {});
}

void spawner(Self& self) {
  settle(self);
  const auto program = self.args()["program"].as<std::string>();
  Histogram births;
  for (int n = -5; n < k_births; ++n) {
    const std::string name = gensym("born-");
    const double began = now_ns();
    const Pid child = program.empty() ? self.spawn(name, victim) : self.spawn(name, exec({program}));
    if (n >= 0) births.record(static_cast<std::uint64_t>(now_ns() - began));
    end(self, child);
  }
  tell(self, round_of(std::move(births), 1e6));
}

void mourner(Self& self) {
  settle(self);
  Histogram notices;
  for (int n = -5; n < k_deaths; ++n) {
    const Pid child = spawn_beside(self, "doomed-", victim);
    self.unlink(child);
    self.monitor(child);
    int os_pid = 0;
    for (const auto& row : self.list(self.name_of(child)))
      if (row.pid == child) os_pid = row.os_pid;
    rest();
    const double killed = now_ns();
    ::kill(os_pid, SIGKILL);
    self.receive(on<"terminated">(is(child)) >> [] {});
    if (n >= 0) notices.record(static_cast<std::uint64_t>(now_ns() - killed));
  }
  Round round = round_of(std::move(notices), 1e3);
  round.beside = measure_bare_deaths(self.args()["other"].as<unsigned>(), k_deaths).median() / 1e3;
  tell(self, round);
}

}  // namespace

void add_births(Rows& rows, Live& live) {
  rows.push_back({.name = "spawn/zygote",
                  .unit = "ms",
                  .round = [&live] { return live.measured_by(spawner, {{"program", ""}}); },
                  .most_rounds = 10});
  rows.push_back({.name = "spawn/exec",
                  .unit = "ms",
                  .round = [&live] { return live.measured_by(spawner, {{"program", victim_program()}}); },
                  .most_rounds = 10});
  rows.push_back({.name = "down/notice",
                  .unit = "us",
                  .round = [&live] { return live.measured_by(mourner); },
                  .bars = {at_most(300)},
                  .beside = "a clone's end",
                  .most_rounds = 10});
}

}  // namespace muproc::bench
