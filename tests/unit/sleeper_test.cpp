// Sleeping and being woken: nothing is lost between the last look and the sleep.
#include "runtime/sleeper.hpp"

#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "runtime/peer.hpp"
#include "shm/segment.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"
#include "sys/clock.hpp"

using namespace muproc;
using namespace std::chrono_literals;
using muproc::detail::Peer;
using muproc::detail::Sleeper;
using muproc::test::Watchdog;
using shm::Asleep;

namespace {

/// One that sleeps, and whom others can wake.
struct Muproc {
  Muproc()
      : memfd(sys::create_memfd("test-segment", shm::k_segment_size)),
        eventfd(sys::create_eventfd()),
        own(memfd.get(), Pid(0, 1, 1)),
        seen_by_others(Pid(0, 1, 1), memfd.get(), sys::duplicate(eventfd.get())) {}

  Sleeper sleeper() { return Sleeper(sys::duplicate(eventfd.get()), own.status()); }
  bool eventfd_is_set() const {
    pollfd wanted{eventfd.get(), POLLIN, 0};
    return ::poll(&wanted, 1, 0) == 1;
  }
  std::uint64_t wakes() const { return own.status().wakes.load(); }

  sys::UniqueFd memfd, eventfd;
  shm::OwnSegment own;
  Peer seen_by_others;
  std::atomic<std::uint64_t> news{0};
};

/// Runs the thread on one processor, where spinning cannot help: every wait sleeps.
void stay_on_one_processor() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(::sched_getcpu()), &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

void play(Muproc& me, const Muproc& other, std::atomic<std::uint64_t>& others_news, std::uint64_t rounds, bool first,
          bool one_processor) {
  if (one_processor) stay_on_one_processor();
  Sleeper sleeper = me.sleeper();
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    if (first) {
      others_news.store(round, std::memory_order_release);
      other.seen_by_others.wake(Asleep::for_news);
    }
    const auto arrived = [&] { return me.news.load(std::memory_order_acquire) >= round; };
    while (!arrived()) sleeper.wait(Asleep::for_news, std::nullopt, -1, arrived, [] {});
    if (!first) {
      others_news.store(round, std::memory_order_release);
      other.seen_by_others.wake(Asleep::for_news);
    }
  }
}

void ping_pong(std::uint64_t rounds, bool one_processor) {
  Muproc alice, bob;
  std::thread other([&] { play(bob, alice, alice.news, rounds, false, one_processor); });
  std::thread self([&] { play(alice, bob, bob.news, rounds, true, one_processor); });
  self.join();
  other.join();
  CHECK(alice.news.load() == rounds);
  CHECK(bob.news.load() == rounds);
}

}  // namespace

TEST_CASE("no wake-up is lost while two muprocs answer each other", "[sleeper]") {
  const Watchdog watchdog("two sleepers that wake each other");
  SECTION("on whatever processors there are") { ping_pong(200'000, false); }
  SECTION("without spinning, each wait a sleep") { ping_pong(50'000, true); }
}

TEST_CASE("what is there before the sleep is seen without one", "[sleeper]") {
  Muproc muproc;
  Sleeper sleeper = muproc.sleeper();
  sleeper.wait(Asleep::for_news, std::nullopt, -1, [] { return true; }, [] {});
  CHECK(muproc.wakes() == 0);
}

TEST_CASE("what comes between the last look and the sleep ends the sleep", "[sleeper]") {
  const Watchdog watchdog("a sleeper whose news came just before it slept");
  Muproc muproc;
  Sleeper sleeper = muproc.sleeper();
  bool slept = false;
  sleeper.wait(
      Asleep::for_news, std::nullopt, -1,
      [&] {
        // Once the flag is set a waker writes the eventfd, which stays set until the sleep.
        if (muproc.own.status().asleep.load() != 0 && !slept) {
          slept = true;
          muproc.seen_by_others.wake(Asleep::for_news);
        }
        return false;
      },
      [] {});
  CHECK(slept);
  CHECK(muproc.wakes() == 1);
  CHECK_FALSE(muproc.eventfd_is_set());
  CHECK(muproc.own.status().asleep.load() == 0);
}

TEST_CASE("nobody makes a system call to wake one that is awake", "[sleeper]") {
  Muproc muproc;
  muproc.seen_by_others.wake(Asleep::for_news);
  muproc.seen_by_others.wake(Asleep::for_room);
  CHECK_FALSE(muproc.eventfd_is_set());
}

TEST_CASE("one that sleeps for news is not woken by room, and one that waits for room is woken by both", "[sleeper]") {
  Muproc muproc;
  const auto woken_by = [&](Asleep why_it_sleeps, Asleep what_comes) {
    muproc.own.status().asleep.store(static_cast<std::uint32_t>(why_it_sleeps));
    muproc.seen_by_others.wake(what_comes);
    const bool woken = muproc.eventfd_is_set();
    std::uint64_t count;
    if (woken) REQUIRE(::read(muproc.eventfd.get(), &count, sizeof count) == sizeof count);
    return woken;
  };
  CHECK(woken_by(Asleep::for_news, Asleep::for_news));
  CHECK_FALSE(woken_by(Asleep::for_news, Asleep::for_room));
  CHECK(woken_by(Asleep::for_room, Asleep::for_news));
  CHECK(woken_by(Asleep::for_room, Asleep::for_room));
}

TEST_CASE("a sleep ends at its deadline, and not before", "[sleeper]") {
  const Watchdog watchdog("a sleep that has a deadline");
  Muproc muproc;
  Sleeper sleeper = muproc.sleeper();
  const auto deadline = sys::monotonic() + 20ms;
  sleeper.wait(Asleep::for_news, deadline, -1, [] { return false; }, [] {});
  CHECK(sys::monotonic() >= deadline);
  sleeper.wait(Asleep::for_news, deadline, -1, [] { return false; }, [] {});  // past it: at once
}

TEST_CASE("a sleep ends when the other descriptor has something, or is closed", "[sleeper]") {
  const Watchdog watchdog("a sleep on another descriptor");
  Muproc muproc;
  Sleeper sleeper = muproc.sleeper();
  auto [here, there] = sys::socket_pair();
  SECTION("something to read") { REQUIRE(::write(there.get(), "x", 1) == 1); }
  SECTION("its other end is gone") { there.reset(); }
  sleeper.wait(Asleep::for_news, std::nullopt, here.get(), [] { return false; }, [] {});
  CHECK(muproc.wakes() == 1);
}

TEST_CASE("before it sleeps, and only then, a sleeper does what has to be done before", "[sleeper]") {
  Muproc muproc;
  Sleeper sleeper = muproc.sleeper();
  int before = 0;
  sleeper.wait(Asleep::for_news, std::nullopt, -1, [] { return true; }, [&] { ++before; });
  CHECK(before == 0);
  sleeper.wait(Asleep::for_news, sys::monotonic(), -1, [] { return false; }, [&] { ++before; });
  CHECK(before == 1);
}

TEST_CASE("once somebody else's loop polls the eventfd, everyone writes it", "[sleeper]") {
  Muproc muproc;
  Sleeper sleeper = muproc.sleeper();
  sleeper.arm_for_ever();
  muproc.seen_by_others.wake(Asleep::for_news);
  CHECK(muproc.eventfd_is_set());
  sleeper.wait(Asleep::for_news, std::nullopt, -1, [] { return true; }, [] {});
  CHECK(muproc.own.status().asleep.load() != 0);
}
