// Timers, sleeps and time limits of a living muproc. Never early; how late is nobody's promise.
#include <string>
#include <vector>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST_CASE("a delayed message comes after its delay", "[timer]") {
  LiveSystem system;
  Self& self = system.self();
  for (const auto delay : {0ms, 1ms, 20ms}) {
    const auto before = Clock::now();
    self.send_after(delay, self.pid(), {{"n", 1}});
    CHECK(next<int, "n">(self) == 1);
    CHECK(Clock::now() - before >= delay);
  }
}

TEST_CASE("delayed messages arrive in the order of their delays", "[timer][otp][send_after_order]") {
  LiveSystem system;
  Self& self = system.self();
  self.send_after(12ms, self.pid(), {{"n", 3}});
  self.send_after(4ms, self.pid(), {{"n", 1}});
  self.send_after(8ms, self.pid(), {{"n", 2}});
  self.send_after(16ms, self.pid(), {{"n", 4}});
  for (int n = 1; n <= 4; ++n) CHECK(next<int, "n">(self) == n);
}

TEST_CASE("a delayed message may go to another", "[timer]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    self.receive(on<"n">() >> [&](From from, int n) { MUST(from == self.parent() && n == 1); });
  });
  self.send_after(1ms, pid, {{"n", 1}});
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("a cancelled timer says what was left, and sends nothing", "[timer][otp][cancel_timer]") {
  LiveSystem system;
  Self& self = system.self();
  const TimerRef timer = self.send_after(1h, self.pid(), {{"n", 1}});
  const auto left = self.cancel(timer);
  REQUIRE(left);
  CHECK(*left > 30min);
  CHECK(*left <= 1h);
  CHECK_FALSE(self.cancel(timer));
  CHECK_FALSE(self.cancel(TimerRef{}));
  const TimerRef fired = self.send_after(0s, self.pid(), {{"n", 2}});
  CHECK(next<int, "n">(self) == 2);
  CHECK_FALSE(self.cancel(fired));
}

TEST_CASE("a repeating timer goes on until it is cancelled", "[timer]") {
  LiveSystem system;
  Self& self = system.self();
  const auto before = Clock::now();
  const TimerRef timer = self.send_every(2ms, self.pid(), {{"tick", true}});
  for (int i = 1; i <= 10; ++i) {
    next<bool, "tick">(self);
    CHECK(Clock::now() - before >= i * 2ms);
  }
  CHECK(self.cancel(timer));
  self.discard_all();
  self.sleep(5ms);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a function can be scheduled for a moment of the wall clock, the past is at once", "[timer]") {
  LiveSystem system;
  Self& self = system.self();
  bool past = false, future = false;
  const auto moment = std::chrono::system_clock::now() + 10ms;
  self.schedule(std::chrono::system_clock::now() - 1h, [&] { past = true; });
  self.schedule(moment, [&] {
    future = true;
    CHECK(past);
  });
  while (!future) self.sleep(1ms);
  CHECK(past);
}

TEST_CASE("a timer's function is called in runtime calls only", "[timer]") {
  LiveSystem system;
  Self& self = system.self();
  bool called = false;
  self.schedule(1ms, [&] { called = true; });
  const auto until = Clock::now() + 10ms;
  while (Clock::now() < until) CHECK_FALSE(called);
  self.sleep(0s);
  CHECK(called);
}

TEST_CASE("timers end with their owner", "[timer][otp][timer_cleanup]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          self.send_every(1ms, self.parent(), {{"tick", true}});
          self.sleep(3ms);
          self.send_after(5ms, self.parent(), {{"late", true}});  // no runtime call follows in which it could fire
        }) == Reason::normal());
  while (self.receive(on<"tick">() >> [] { return true; }, after(0s) >> [] { return false; })) {
  }
  self.sleep(10ms);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("sleep is never short, and timers fire meanwhile", "[timer][sleep]") {
  LiveSystem system;
  Self& self = system.self();
  int calls = 0;
  self.schedule(1ms, [&] { ++calls; }, 1ms);
  const auto before = Clock::now();
  self.sleep(20ms);
  CHECK(Clock::now() - before >= 20ms);
  CHECK(calls > 0);
}

TEST_CASE("messages do not shorten a sleep", "[sleep]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("babbler", +[](Self& self) {
    for (;;) {
      if (!self.try_send("tester", "noise", true)) self.sleep(1ms);
    }
  });
  next<bool, "noise">(self);
  const auto before = Clock::now();
  self.sleep(20ms);
  CHECK(Clock::now() - before >= 20ms);
}

// ---- with_timeout ----------------------------------------------------------------------------------------------------

TEST_CASE("a body that is done in time gives its value", "[with_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(self.with_timeout(1h, [] { return 1; }, [] { return 2; }) == 1);
  bool ran = false;
  self.with_timeout(1h, [&] { ran = true; }, [] { FAIL("timed out"); });
  CHECK(ran);
}

TEST_CASE("a body that is not done in time is unwound, never early", "[with_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  bool unwound = false;
  struct Guard {
    bool& flag;
    ~Guard() { flag = true; }
  };
  const auto before = Clock::now();
  const int value = self.with_timeout(
      10ms,
      [&] {
        Guard guard{unwound};
        self.receive(on<"never">() >> [] {});
        return 1;
      },
      [] { return 2; });
  CHECK(value == 2);
  CHECK(unwound);
  CHECK(Clock::now() - before >= 10ms);
  CHECK(self.with_timeout(0s, [&] { self.sleep(1h); return 1; }, [] { return 2; }) == 2);
}

TEST_CASE("an outer limit that expires runs the outer form", "[with_timeout]") {
  // In cl-muproc, on SBCL, it ran the inner one.
  LiveSystem system;
  Self& self = system.self();
  const std::string which = self.with_timeout(
      5ms,
      [&] {
        return self.with_timeout(
            1h, [&] { self.receive(on<"never">() >> [] {}); return std::string("neither"); },
            [] { return std::string("inner"); });
      },
      [] { return std::string("outer"); });
  CHECK(which == "outer");
}

TEST_CASE("an inner limit that expires leaves the outer one to run on", "[with_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  const std::string which = self.with_timeout(
      30ms,
      [&] {
        const std::string inner = self.with_timeout(
            5ms, [&] { self.sleep(1h); return std::string("neither"); }, [] { return std::string("inner"); });
        CHECK(inner == "inner");
        self.sleep(1h);
        return inner;
      },
      [] { return std::string("outer"); });
  CHECK(which == "outer");
}

TEST_CASE("when both limits have expired it is the outer form that runs", "[with_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  const int which = self.with_timeout(
      1ms,
      [&] {
        return self.with_timeout(
            1ms,
            [&] {
              const auto until = Clock::now() + 5ms;
              while (Clock::now() < until) {
              }
              self.sleep(1h);
              return 0;
            },
            [] { return 1; });
      },
      [] { return 2; });
  CHECK(which == 2);
}

TEST_CASE("a limit that was met leaves nothing behind", "[with_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  self.with_timeout(5ms, [] {}, [] { FAIL("timed out"); });
  CHECK_NOTHROW(self.sleep(10ms));
  CHECK_THROWS_AS(self.with_timeout(5ms, [] { throw std::runtime_error("oh"); }, [] {}), std::runtime_error);
  CHECK_NOTHROW(self.sleep(10ms));
}

TEST_CASE("an exit in a limited body is an exit", "[with_timeout][exit]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          self.with_timeout(1h, [&] { self.exit("r"); }, [] {});
        }) == "r");
}
