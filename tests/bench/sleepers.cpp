// Muprocs that have to be woken: rtt/sleeping, from a send until the receiver, asleep on another core, has it in its hands;
// rtt/same-core, round trips between two that share a core. Beside them the same with eventfds alone.
#include "bench/floor.hpp"
#include "bench/traffic.hpp"

namespace muproc::bench {
namespace {

constexpr int k_wakes = 200;
constexpr int k_warm_up = 200;
constexpr int k_laps = 5'000;

void stamped_echo(Self& self) {
  settle(self);
  for (;;)
    self.receive(on<Stamped>() >> [&](From from, Stamped::Reader message) {
      const double took = now_ns() - message.getAt();
      self.send<Stamped>(from, [&](Stamped::Builder answer) { answer.setTook(took); });
    });
}

/// Both have gone to sleep before each message.
void waker(Self& self) {
  settle(self);
  const Pid echo = spawn_beside(self, "sleeper-", stamped_echo);
  Histogram wakes;
  for (int n = -k_warm_up; n < k_wakes; ++n) {
    rest();
    self.send<Stamped>(echo, [](Stamped::Builder message) { message.setAt(now_ns()); });
    self.receive(on<Stamped>() >> [&](Stamped::Reader answer) {
      if (n >= 0) wakes.record(static_cast<std::uint64_t>(answer.getTook()));
    });
  }
  tell(self, round_of(std::move(wakes)));
}

void echo(Self& self) {
  settle(self);
  for (;;)
    Typed56::receive(self, [&](From from, std::uint64_t n) { Typed56::send(self, from, n); });
}

void player_on_one_core(Self& self) {
  settle(self);
  const Pid to = self.spawn(gensym("echo-"), echo, {.args = {{"core", self.args()["core"]}}, .link = true, .stop = muproc::kill});
  const auto lap = [&](int n) {
    Typed56::send(self, to, static_cast<std::uint64_t>(n));
    Typed56::receive(self, [](From, std::uint64_t) {});
  };
  timed(k_warm_up, lap);
  tell(self, round_of(timed(k_laps, lap)));
}

Round beside(Round round, const Histogram& bare) {
  round.beside = bare.median();
  return round;
}

}  // namespace

void add_sleepers(Rows& rows, Live& live) {
  rows.push_back({.name = "rtt/sleeping",
                  .unit = "ns",
                  .round = [&live] { return beside(live.measured_by(waker), measure_eventfd_wake(live.cores())); },
                  .bars = {at_most(1.25, Bar::On::beside)},
                  .beside = "an eventfd's wake"});
  rows.push_back({.name = "rtt/same-core",
                  .unit = "ns",
                  .round = [&live] { return beside(live.measured_by(player_on_one_core), measure_eventfd_same_core(live.cores())); },
                  .bars = {at_most(1.5, Bar::On::beside)},
                  .beside = "eventfds"});
}

}  // namespace muproc::bench
