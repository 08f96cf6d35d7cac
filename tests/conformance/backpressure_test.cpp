// Full channels: who waits, for how long, and that nobody waits for ever.
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

/// Stops itself, so that it takes nothing until it is continued.
void waits_outside(Self& self) {
  self.send(self.parent(), "os_pid", ::getpid());
  ::raise(SIGSTOP);
  for (;;)
    self.receive(on<"n">() >> [&](int n) { self.send("tester", "took", n); },
                 on<"last">() >> [&](bool) { self.send("tester", "done", true); });
}

pid_t start_stopped(Self& self, const char* name = "receiver") {
  self.spawn(name, waits_outside);
  const pid_t os_pid = next<int, "os_pid">(self);
  wait_until_stopped(os_pid);
  return os_pid;
}

}  // namespace

TEST_CASE("try_send says when there is no room, and sends nothing then", "[backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t os_pid = start_stopped(self);
  int sent = 0;
  while (self.try_send("receiver", "n", sent, "padding", std::string(200, 'x'))) ++sent;
  CHECK(sent > 100);
  CHECK_FALSE(self.try_send("receiver", "n", -1, "padding", std::string(200, 'x')));
  CHECK_FALSE(self.try_send("receiver", Mumsg{{"n", -1}, {"padding", std::string(200, 'x')}}));
  ::kill(os_pid, SIGCONT);
  for (int n = 0; n < sent; ++n) CHECK(next<int, "took">(self) == n);
  wait_until("room", [&] { return self.try_send("receiver", "last", true); });
  next<bool, "done">(self);
  self.receive(on<"took">() >> [](int n) { FAIL("took " << n); }, after(0s) >> [] {});
}

TEST_CASE("a timed send gives up in time, never early, and sends nothing then", "[backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t os_pid = start_stopped(self);
  int sent = 0;
  while (self.try_send("receiver", "n", sent)) ++sent;
  for (const auto limit : {0ms, 1ms, 20ms}) {
    const auto before = Clock::now();
    CHECK_FALSE(self.send_within(limit, "receiver", "n", -1));
    CHECK(Clock::now() - before >= limit);
  }
  ::kill(os_pid, SIGCONT);
  CHECK(self.send_within(k_patience, "receiver", "n", sent));
  for (int n = 0; n <= sent; ++n) CHECK(next<int, "took">(self) == n);
}

TEST_CASE("a send waits for room, and nothing is lost", "[backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t os_pid = start_stopped(self);
  self.spawn("sender", +[](Self& self) {
    int n = 0;
    while (self.try_send("receiver", "n", n)) ++n;
    self.send("tester", "full", true);
    for (const int end = n + 20'000; n < end; ++n) self.send("receiver", "n", n);
    self.send("receiver", "last", true);
    self.receive(on<"never">() >> [] {});
  });
  next<bool, "full">(self);
  ::kill(os_pid, SIGCONT);
  int expected = 0;
  for (bool done = false; !done;)
    self.receive(on<"took">() >> [&](int n) { REQUIRE(n == expected++); }, on<"done">() >> [&](bool) { done = true; },
                 or_fail("what the receiver took"));
  CHECK(expected > 20'000);
}

TEST_CASE("two muprocs that send to each other more than fits cannot block each other", "[backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const auto peer = +[](Self& self) {
    const std::string other = self.args()["other"].as<std::string>();
    self.receive(on<"go">() >> [] {});
    constexpr int k_count = 30'000;
    for (int n = 0; n < k_count; ++n) self.send(other, "n", n);
    for (int n = 0; n < k_count; ++n) self.receive(on<"n">() >> [&](int got) { MUST(got == n); });
    // Whoever is done first must stay until the other has sent all.
    self.send(other, "finished", true);
    self.receive(on<"finished">() >> [] {});
  };
  const auto [a, a_ref] = self.spawn_monitor("a", peer, {.args = {{"other", "b"}}});
  const auto [b, b_ref] = self.spawn_monitor("b", peer, {.args = {{"other", "a"}}});
  self.send(a, "go", true);
  self.send(b, "go", true);
  CHECK(reason_of(self, a_ref) == Reason::normal());
  CHECK(reason_of(self, b_ref) == Reason::normal());
}

TEST_CASE("a ring of four that send around it cannot block itself", "[backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const auto member = +[](Self& self) {
    const std::string next = self.args()["next"].as<std::string>();
    self.receive(on<"go">() >> [] {});
    for (int n = 0; n < 10'000; ++n) self.send(next, "n", n, "padding", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    for (int n = 0; n < 10'000; ++n) self.receive(on<"n">() >> [&](int got) { MUST(got == n); });
    self.send("tester", "done", self.name());
    self.receive(on<"never">() >> [] {});
  };
  for (int i = 0; i < 4; ++i)
    self.spawn("member-" + std::to_string(i), member, {.args = {{"next", "member-" + std::to_string((i + 1) % 4)}}});
  for (int i = 0; i < 4; ++i) self.send("member-" + std::to_string(i), "go", true);
  for (int i = 0; i < 4; ++i) next<std::string, "done">(self);
}

TEST_CASE("a blocked sender goes on when its receiver dies", "[backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t os_pid = start_stopped(self);
  const auto [sender, ref] = self.spawn_monitor("sender", +[](Self& self) {
    const Pid receiver = self.find("receiver");
    int n = 0;
    while (self.try_send(receiver, "n", n)) ++n;
    self.send("tester", "full", true);
    self.send(receiver, "n", n);  // blocks, until the receiver is dead
  });
  next<bool, "full">(self);
  ::kill(os_pid, SIGKILL);
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("a blocked sender can be told to exit", "[backpressure][exit]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t os_pid = start_stopped(self);
  const auto [sender, ref] = self.spawn_monitor("sender", +[](Self& self) {
    int n = 0;
    while (self.try_send("receiver", "n", n)) ++n;
    self.send("tester", "full", true);
    self.send("receiver", "n", n);
  }, {.stop = k_patience});
  next<bool, "full">(self);
  self.exit(sender, "because");
  CHECK(reason_of(self, ref) == "because");
  ::kill(os_pid, SIGKILL);
}

TEST_CASE("a blocked sender's time limits and timers go on", "[backpressure][with_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t os_pid = start_stopped(self);
  int n = 0;
  while (self.try_send("receiver", "n", n)) ++n;
  int ticks = 0;
  self.schedule(1ms, [&] { ++ticks; }, 1ms);
  CHECK(self.with_timeout(10ms, [&] { self.send("receiver", "n", n); return false; }, [] { return true; }));
  CHECK(ticks > 0);
  ::kill(os_pid, SIGKILL);
}

TEST_CASE("a send that drains into a full stash says so", "[backpressure][stash]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t os_pid = start_stopped(self);
  const auto [victim, ref] = self.spawn_monitor("victim", +[](Self& self) {
    int n = 0;
    while (self.try_send("receiver", "n", n)) ++n;
    self.send("tester", "full", true);
    try {
      self.send("receiver", "n", n);
    } catch (const StashFull&) {
      self.exit("stash full");
    }
  }, {.mailbox = {.stash = Bytes::kib(64)}});
  next<bool, "full">(self);
  for (int n = 0; n < 1000 && self.alive(victim); ++n) self.send(victim, "noise", n);
  CHECK(reason_of(self, ref) == "stash full");
  ::kill(os_pid, SIGKILL);
}
