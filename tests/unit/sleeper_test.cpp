// Sleeping and being woken: nothing is lost between the last look and the sleep.
#include "runtime/sleeper.hpp"

#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "runtime/peer.hpp"
#include "shm/segment.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"
#include "sys/clock.hpp"
#include "sys/fence.hpp"

using namespace muproc;
using namespace std::chrono_literals;
using muproc::detail::Peer;
using muproc::detail::Sleeper;
using muproc::test::Watchdog;
using shm::Asleep;

namespace {

/// One that sleeps, and whom others can wake.
struct Muproc {
  explicit Muproc(bool asymmetric_fences = false)
      : asymmetric(asymmetric_fences),
        memfd(sys::create_memfd("test-segment", shm::k_segment_size)),
        eventfd(sys::create_eventfd()),
        own(memfd.get(), Pid(0, 1, 1)),
        seen_by_others(Pid(0, 1, 1), memfd.get(), sys::duplicate(eventfd.get()), asymmetric) {}

  Sleeper sleeper() { return Sleeper(sys::duplicate(eventfd.get()), own.status(), asymmetric); }
  bool eventfd_is_set() const {
    pollfd wanted{eventfd.get(), POLLIN, 0};
    return ::poll(&wanted, 1, 0) == 1;
  }
  std::uint64_t wakes() const { return own.status().wakes.load(); }

  bool asymmetric;
  sys::UniqueFd memfd, eventfd;
  shm::OwnSegment own;
  Peer seen_by_others;
  std::atomic<std::uint64_t> news{0};
};

enum class Place {
  free,
  together,  // on one processor, where spinning cannot help: every wait sleeps
  apart,     // each on a processor of its own, without spinning either: sleeps and wakes meet in time
};

void stay_on(unsigned processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

/// Two processors that this process may use; the same twice where there is only one.
std::array<unsigned, 2> two_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  std::vector<unsigned> usable;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) usable.push_back(i);
  return {usable.front(), usable.back()};
}

void play(Muproc& me, const Muproc& other, std::atomic<std::uint64_t>& others_news, std::uint64_t rounds, bool first,
          std::optional<unsigned> processor) {
  if (processor) stay_on(*processor);
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

void ping_pong(std::uint64_t rounds, Place place, bool asymmetric_fences) {
  Muproc alice(asymmetric_fences), bob(asymmetric_fences);
  const auto [one, two] = two_processors();
  const bool pinned = place != Place::free;
  const auto alices = pinned ? std::optional(one) : std::nullopt;
  const auto bobs = pinned ? std::optional(place == Place::apart ? two : one) : std::nullopt;
  std::thread other([&] { play(bob, alice, alice.news, rounds, false, bobs); });
  std::thread self([&] { play(alice, bob, bob.news, rounds, true, alices); });
  self.join();
  other.join();
  CHECK(alice.news.load() == rounds);
  CHECK(bob.news.load() == rounds);
}

}  // namespace

TEST_CASE("no wake-up is lost while two muprocs answer each other", "[sleeper]") {
  const Watchdog watchdog("two sleepers that wake each other");
  const bool asymmetric_fences = GENERATE(false, true);
  CAPTURE(asymmetric_fences);
  if (asymmetric_fences) {
    if (!sys::has_asymmetric_fences()) return;  // this kernel has no membarrier: muproc does not use it here either
    sys::join_asymmetric_fences();
  }
  SECTION("on whatever processors there are") { ping_pong(200'000, Place::free, asymmetric_fences); }
  SECTION("without spinning, each wait a sleep") { ping_pong(50'000, Place::together, asymmetric_fences); }
  SECTION("without spinning, on two processors") { ping_pong(50'000, Place::apart, asymmetric_fences); }
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
