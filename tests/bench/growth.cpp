// How costs grow: not with the other rows, but with --growth. Births with the memory that the zygote has mapped, memory and
// speed with the number of senders to one, all of it with the number of muprocs.
#include <unistd.h>

#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "bench/trees.hpp"
#include "bench/traffic.hpp"

namespace muproc::bench {
namespace {

// ---- births with mapped memory ---------------------------------------------------------------------------------------

/// A system of its own, in which all that is cloned has so much memory from its birth; in a thread, since this one is
/// attached already.
Round births_with_ballast(Cores cores, unsigned mib) {
  Round round;
  std::exception_ptr failure;
  std::thread([&] {
    try {
      Live live(cores, mib);
      Histogram births;
      for (int n = -3; n < 30; ++n) {
        const double began = now_ns();
        const Pid child = live.self().spawn(live.fresh_name("born"), idle);
        if (n >= 0) births.record(static_cast<std::uint64_t>(now_ns() - began));
        live.self().monitor(child);
        live.self().kill(child);
        live.self().receive(on<"terminated">(is(child)) >> [] {});
      }
      round = round_of(std::move(births), 1e6);
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
  return round;
}

// ---- many senders to one ---------------------------------------------------------------------------------------------

/// Sends one message when it is told to whom.
void once(Self& self) {
  self.receive(on<"ready">() >> [] {});
  self.receive(on<"to">() >> [&](Pid to) { self.send(to, "hello", true); });
  idle(self);
}

void hears_from_all(Self& self) {
  settle(self);
  const int senders = self.args()["senders"].as<int>();
  for (int n = 0; n < senders; ++n) self.receive(on<"hello">() >> [] {});
  self.send(self.parent(), "heard", true);
  idle(self);
}

double system_mib(Live& live) {
  double mib = 0;
  for (const int os_pid : family_of(live.broker_os_pid())) mib += memory_of(os_pid).pss_mib;
  return mib;
}

/// By how many KiB the whole system grows for each that sends its first message to the one.
Round memory_for_senders(Live& live, int senders) {
  Self& self = live.self();
  const Pid one = live.spawn(live.fresh_name("one"), hears_from_all, live.cores().first, {{"senders", senders}});
  std::vector<Pid> all;
  for (int n = 0; n < senders; ++n) all.push_back(self.spawn(live.fresh_name("sender"), once, {.stop = muproc::kill}));
  for (const Pid each : all) self.send(each, "ready", true);  // opens our own channel to it first
  ::usleep(200'000);
  const double before = system_mib(live);
  for (const Pid each : all) self.send(each, "to", one);
  self.receive(on<"heard">() >> [] {});
  ::usleep(200'000);
  const double after = system_mib(live);
  for (const Pid each : all) self.kill(each);
  self.kill(one);
  return {(after - before) * 1024 / senders};
}

// ---- many muprocs ----------------------------------------------------------------------------------------------------

/// From the request until all are ready.
Round start(Live& live, int muprocs) {
  const double began = now_ns();
  const Pid top = live.self().start_supervisor("tree", tree_of(muprocs));
  const double up = now_ns();
  end_tree(live.self(), top);
  return {(up - began) / 1e9};
}

/// All of their system.
Round memory(Live& live, int muprocs) {
  const Pid top = live.self().start_supervisor("tree", tree_of(muprocs));
  ::usleep(200'000);
  const double mib = system_mib(live);
  end_tree(live.self(), top);
  return {mib};
}

struct Ballast {
  const char* name;
  unsigned mib;
};
constexpr Ballast k_ballasts[] = {{"0", 0}, {"64M", 64}, {"256M", 256}, {"1G", 1024}};

Row row(const std::string& name, std::string unit, std::function<Round()> round, int most_rounds = 3) {
  return {.name = "growth/" + name, .unit = std::move(unit), .round = std::move(round), .most_rounds = most_rounds};
}

}  // namespace

void add_growth(Rows& rows, Live& live) {
  for (const auto& [name, mib] : k_ballasts)
    rows.push_back(row(std::string("spawn/") + name, "ms", [&live, mib = mib] { return births_with_ballast(live.cores(), mib); }));
  for (const int n : {1, 16, 64, 256})
    rows.push_back(row("senders/" + std::to_string(n), "KiB", [&live, n] { return memory_for_senders(live, n); }));
  for (const int n : {1, 16, 64, 256}) rows.push_back(fan_in(live, "growth/fanin/" + std::to_string(n), n));
  for (const unsigned kib : {16, 64, 256, 1024, 4096})
    rows.push_back(fan_in(live, "growth/ring/" + std::to_string(kib) + "K", 1, Bytes::kib(kib)));
  for (const int n : {100, 1000, 2000, 4000}) {
    rows.push_back(row("start/" + std::to_string(n), "s", [&live, n] { return start(live, n); }));
    rows.push_back(row("memory/" + std::to_string(n), "MiB", [&live, n] { return memory(live, n); }, 1));
  }
}

}  // namespace muproc::bench
