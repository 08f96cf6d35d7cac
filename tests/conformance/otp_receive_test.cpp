// What OTP's own suites ask of receive and of timers, beyond receive_test.cpp and timers_test.cpp: cases of
// receive_SUITE, after_SUITE and timer's.
#include <algorithm>
#include <string>
#include <vector>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::nanoseconds k_for_ever = std::chrono::nanoseconds::max();

void waits(Self& self) {
  self.receive(on<"cmd">(is("return")) >> [] {});
}

/// Answers `n` after it has sent something else.
void answers(Self& self) {
  for (;;)
    self.receive(on<"n">() >> [&](From from, int n) {
      self.send(from, "noise", n);
      self.send(from, "answer", n);
    });
}

}  // namespace

// ---- after -----------------------------------------------------------------------------------------------------------

TEST_CASE("the longest time there is means for ever, wherever a time is asked for", "[receive][otp][receive_after_big]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("answers", answers);
  // In each the answer comes; none of them is over before.
  self.send("answers", "n", 1);
  CHECK(self.receive(on<"answer">() >> [](int n) { return n; }, after(k_for_ever) >> [] { return -1; }) == 1);
  CHECK(self.receive_any(k_for_ever));
  CHECK(self.send_within(k_for_ever, "answers", "n", 2));
  CHECK(self.with_timeout(k_for_ever, [&] { return next<int, "answer">(self); }, [] { return -1; }) == 2);
  const TimerRef timer = self.send_after(k_for_ever, self.pid(), {{"late", true}});
  const TimerRef ticks = self.send_every(k_for_ever, self.pid(), {{"late", true}});
  self.schedule(0s, [&] { self.send(self.pid(), "once", true); }, k_for_ever);
  next<bool, "once">(self);
  self.sleep(2ms);
  self.receive(on<"late">() >> [] { FAIL("for ever is over"); }, on<"once">() >> [] { FAIL("twice"); }, after(0s) >> [] {});
  CHECK(self.cancel(timer));
  CHECK(self.cancel(ticks));
  CHECK(play(self, "sleeper", +[](Self& self) {
          self.schedule(1ms, [&] { self.exit("woken"); });
          self.sleep(k_for_ever);
        }) == "woken");
}

TEST_CASE("many that wait for different times all wait as long as they should", "[receive][otp][multi_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 20; ++i)
    self.spawn("waits-" + std::to_string(i), +[](Self& self) {
      const auto time = std::chrono::milliseconds(self.args()["ms"].as<int>());
      const auto before = Clock::now();
      self.receive(on<"never">() >> [] {}, after(time) >> [] {});
      self.send("tester", "early", Clock::now() - before < time);
    }, {.args = {{"ms", i * 7 % 20}}});
  for (int i = 0; i < 20; ++i) CHECK_FALSE(next<bool, "early">(self));
}

TEST_CASE("zero is a time-out like any other, also when it is computed", "[receive][otp][receive_var_zero]") {
  LiveSystem system;
  Self& self = system.self();
  for (const auto time : {0ns, 0ns + 1ns - 1ns}) {
    CHECK(self.receive(on<"n">() >> [] { return 1; }, after(time) >> [] { return 2; }) == 2);
    self.send(self.pid(), "n", 1);
    CHECK(self.receive(on<"n">() >> [] { return 1; }, after(time) >> [] { return 2; }) == 1);
  }
}

TEST_CASE("a sleep takes no message, however long it is", "[receive][otp][receive_after]") {
  LiveSystem system;
  Self& self = system.self();
  self.send(self.pid(), "n", 1);
  const auto before = Clock::now();
  self.sleep(5ms);
  CHECK(Clock::now() - before >= 5ms);
  CHECK(next<int, "n">(self) == 1);
}

// ---- selective receive -----------------------------------------------------------------------------------------------

TEST_CASE("what arrives between a request and its answer waits, in order, for later",
          "[receive][otp][receive_in_between]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("answers", answers);
  for (int n = 0; n < 50; ++n) {
    self.send("answers", "n", n);
    self.send(self.pid(), "own", n);
    CHECK(self.receive(on<"answer">(is(n)) >> [](int got) { return got; }, or_fail("the answer")) == n);
  }
  for (int n = 0; n < 50; ++n) {
    CHECK(next<int, "noise">(self) == n);
    CHECK(next<int, "own">(self) == n);
  }
}

TEST_CASE("a message whose handler throws has been taken, and those before and behind it are there",
          "[receive][otp][receive_exception]") {
  LiveSystem system;
  Self& self = system.self();
  for (int n = 0; n < 3; ++n) self.send(self.pid(), "n", n);
  CHECK_THROWS_WITH(self.receive(on<"n">(is(1)) >> [](int n) { throw std::runtime_error("at " + std::to_string(n)); }),
                    "at 1");
  CHECK(self.message() == nullptr);
  CHECK(next<int, "n">(self) == 0);
  CHECK(next<int, "n">(self) == 2);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a guard that throws leaves its message where it was", "[receive][otp][receive_exception]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("sender", +[](Self& self) {
    for (int n = 0; n < 3; ++n) self.send("tester", "n", n);
    self.send("tester", "sent", true);
    waits(self);
  });
  next<bool, "sent">(self);
  CHECK_THROWS_AS(self.receive(on<"n">([](int n) -> bool { return n == 1 ? throw std::runtime_error("oh") : false; }) >> [] {}),
                  std::runtime_error);
  for (int n = 0; n < 3; ++n) CHECK(next<int, "n">(self) == n);
}

TEST_CASE("a guard that throws at a message just arrived leaves that message too", "[receive][otp][receive_exception]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("answers", answers);
  self.send("answers", "n", 7);
  CHECK_THROWS_AS(self.receive(on<"answer">([](int) -> bool { throw std::runtime_error("oh"); }) >> [] {},
                               or_fail("the guard")),
                  std::runtime_error);
  CHECK(next<int, "noise">(self) == 7);
  CHECK(next<int, "answer">(self) == 7);
}

TEST_CASE("a receive within a handler takes what the outer one has passed over", "[receive][otp][receive_recursion]") {
  LiveSystem system;
  Self& self = system.self();
  for (int n = 0; n < 6; ++n) self.send(self.pid(), n % 2 ? "odd" : "even", n);
  std::string seen;
  self.receive(on<"odd">(is(3)) >> [&](int n) {
    seen += std::to_string(n);
    self.receive(on<"even">(is(4)) >> [&](int m) {
      seen += std::to_string(m);
      self.receive(on<"even">() >> [&](int l) { seen += std::to_string(l); });
    });
    self.receive(on<"odd">() >> [&](int m) { seen += std::to_string(m); });
  });
  CHECK(seen == "3401");
  CHECK(next<int, "even">(self) == 2);
  CHECK(next<int, "odd">(self) == 5);
}

// ---- timers ----------------------------------------------------------------------------------------------------------

TEST_CASE("timers of one delay fire in the order in which they were made", "[timer][otp][send_after_order]") {
  LiveSystem system;
  Self& self = system.self();
  for (int n = 0; n < 50; ++n) self.send_after(3ms, self.pid(), {{"n", n}});
  for (int n = 0; n < 50; ++n) CHECK(next<int, "n">(self) == n);
}

TEST_CASE("a message that a timer has sent is not taken back by cancelling it", "[timer][otp][cancel_timer]") {
  LiveSystem system;
  Self& self = system.self();
  const TimerRef timer = self.send_after(1ms, self.pid(), {{"n", 1}});
  const TimerRef other = self.send_after(1h, self.pid(), {{"n", 2}});
  self.sleep(2ms);
  CHECK_FALSE(self.cancel(timer));
  CHECK(self.cancel(other));
  CHECK(next<int, "n">(self) == 1);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("the timers of one that was killed are gone", "[timer][otp][timer_cleanup]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    self.send_every(1ms, self.parent(), {{"tick", true}});
    self.receive(on<"never">() >> [] {});
  });
  next<bool, "tick">(self);
  self.kill(pid);
  reason_of(self, ref);
  while (self.receive(on<"tick">() >> [] { return true; }, after(0s) >> [] { return false; })) {
  }
  self.sleep(5ms);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a delayed message to one that has died meanwhile is dropped", "[timer][otp][send_after_dead]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", waits);
  self.send_after(2ms, pid, {{"cmd", "return"}});
  self.kill(pid);
  reason_of(self, ref);
  const Pid successor = self.spawn("a", waits);
  self.sleep(4ms);
  self.send(successor, "unrelated", true);
  CHECK(self.alive(successor));
}

TEST_CASE("a timer that is cancelled by the message of another never fires", "[timer][otp][cancel_timer]") {
  LiveSystem system;
  Self& self = system.self();
  std::vector<TimerRef> timers;
  int fired = 0;
  for (int i = 0; i < 20; ++i) timers.push_back(self.schedule(4ms, [&] { ++fired; }));
  self.schedule(1ms, [&] {
    for (const TimerRef timer : timers) CHECK(self.cancel(timer));
  });
  self.sleep(8ms);
  CHECK(fired == 0);
}
