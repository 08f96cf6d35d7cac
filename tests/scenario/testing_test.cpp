// The test kit, tested: its waits, its violence, and virtual time.
#include <muproc/testing.hpp>

#include <csignal>
#include <fstream>
#include <string>

#include "support/catch.hpp"
#include "support/process.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void counter(Self& self) {
  std::int64_t total = 0;
  for (;;)
    self.receive(on<"add">() >> [&](std::int64_t n) { total += n; },
                 on<"get">() >> [&](From from) { self.send(from, "total", total); });
}

std::int64_t total(TestSystem& system) {
  system.self().send("counter", "get", true);
  return next<std::int64_t, "total">(system.self());
}

}  // namespace

TEST_CASE("a test's system runs, its muprocs are killed and come back, and nobody is left", "[kit]") {
  {
    TestSystem system{supervisor(one_for_one, {2, 5s}, {{"counter", counter}})};
    system.self().send("counter", "add", 3);
    CHECK(total(system) == 3);
    const Pid before = system.wait_for("counter");
    system.kill("counter");
    CHECK(system.wait_for_restart("counter", before) != before);
    CHECK(total(system) == 0);
    CHECK(system.status("counter").restarts == 1);
    CHECK(system.stop() == 0);
    CHECK_THROWS_AS(system.self(), Failed);
  }
  nobody_is_left();
}

TEST_CASE("states are waited for: asleep, blocked, so many unmatched messages, gone", "[kit]") {
  TestSystem system;
  Self& self = system.self();
  const Pid pid = self.spawn("picky", +[](Self& self) { self.receive(on<"end">() >> [] {}); });
  for (int n = 0; n < 500; ++n) self.send(pid, "n", n);
  system.wait_until_idle(pid);
  const MuprocStatus status = system.status("picky");
  CHECK(status.received == 500);
  CHECK(status.unmatched == 500);
  CHECK(status.activity == MuprocStatus::Activity::receiving);
  system.wait_for_unmatched("picky", 500);

  system.suspend(pid);
  CHECK(process_state(system.os_pid(pid)) == 'T');
  self.send(pid, "end", true);
  system.resume(pid);
  system.wait_until_gone(pid);
  system.wait_until_gone("picky");
  CHECK_THROWS_AS(system.status("picky"), NoSuchName);
  CHECK_THROWS_AS(system.kill(pid), NoSuchName);
}

TEST_CASE("an idle muproc has done all that it was sent", "[kit]") {
  TestSystem system;
  Self& self = system.self();
  const Pid pid = self.spawn("slow", +[](Self& self) {
    for (;;)
      self.receive(on<"n">() >> [&](int n) {
        volatile int spin = 0;
        while (spin < 20'000) spin = spin + 1;
        self.send(self.parent(), "done", n);
      });
  });
  for (int round = 0; round < 200; ++round) {
    self.send(pid, "n", round);
    system.wait_until_idle(pid);
    // It is there already: looked for once.
    int done = -1;
    self.receive(on<"done">() >> [&](int n) { done = n; }, after(0s) >> [] {});
    CHECK(done == round);
  }
}

TEST_CASE("what is wrong with a config is the test's exception, and a broker that cannot start says why", "[kit]") {
  const auto config = std::filesystem::temp_directory_path() / ("muproc-kit-" + std::to_string(::getpid()) + ".toml");
  std::ofstream(config) << "[system]\nname = \"kit\"\n[supervisor.root]\nchildren = [\"nobody\"]\n";
  CHECK_THROWS_WITH(TestSystem(config), Contains("nobody"));
  std::ofstream(config) << "[system]\nname = \"kit\"\n[supervisor.root]\nchildren = [\"a\"]\n[muproc.a]\nexec = [\"/does/not/exist\"]\n";
  CHECK_THROWS_WITH(TestSystem(config), Contains("/does/not/exist"));
  std::filesystem::remove(config);
}

TEST_CASE("a system with real time refuses to have it advanced", "[kit][time]") {
  TestSystem system;
  CHECK_THROWS_WITH(system.advance(1s), Contains("real"));
}

// ---- virtual time ----------------------------------------------------------------------------------------------------

TEST_CASE("hours pass at once: receives, sleeps, timers and time limits", "[kit][time]") {
  TestSystem system(TestOptions{.virtual_time = true});
  Self& self = system.self();
  const auto told = [&](const char* what) {
    std::string text;
    self.receive(on<"what">() >> [&](std::string got) { text = got; }, or_fail(what));
    return text;
  };

  const Pid pid = self.spawn("patient", +[](Self& self) {
    const auto tell = [&](const char* what) { self.send(self.parent(), "what", what); };
    self.receive(on<"never">() >> [] {}, after(10h) >> [&] { tell("after"); });
    self.sleep(3h);
    tell("slept");
    self.with_timeout(2h, [&] { self.receive(on<"never">() >> [] {}); }, [&] { tell("limit"); });
    self.send_after(1h, self.pid(), {{"timer", true}});
    self.receive(on<"timer">() >> [&] { tell("timer"); });
  });
  system.wait_until_idle(pid);
  system.advance(10h - 1ns);
  system.wait_until_idle(pid);
  CHECK_FALSE(self.receive_any(0ns));
  system.advance(1ns);
  CHECK(told("the after") == "after");
  const auto has_slept = [&] {
    return self.receive(on<"what">(is("slept")) >> [] { return true; }, after(0s) >> [] { return false; });
  };
  system.advance_until("the sleep of three hours", has_slept, 1h);
  for (const char* what : {"limit", "timer"}) {
    system.wait_until_idle(pid);
    system.advance(2h);
    CHECK(told(what) == what);
  }
  system.wait_until_gone(pid);
}

TEST_CASE("time stands still until it is advanced, however long the test takes", "[kit][time]") {
  TestSystem system(TestOptions{.virtual_time = true});
  Self& self = system.self();
  const Pid pid = self.spawn("ticker", +[](Self& self) {
    self.send_every(1ms, self.pid(), {{"tick", true}});
    for (;;) self.receive(on<"tick">() >> [&] { self.send(self.parent(), "tick", true); });
  });
  system.wait_until_idle(pid);
  self.sleep(20ms);  // the test's own time is real
  CHECK_FALSE(self.receive_any(0ns));
  for (int n = 0; n < 50; ++n) {
    system.advance(1ms);
    CHECK(next<bool, "tick">(self));
    system.wait_until_idle(pid);
  }
  CHECK_FALSE(self.receive_any(0ns));
}

TEST_CASE("back-off and restart windows go by virtual time", "[kit][time]") {
  TestSystem system{supervisor(one_for_one, {2, 1h}, {{"counter", counter, {.backoff = {.initial = 10min, .max = 10min, .factor = 1.0, .jitter = 0}}}}),
                    TestOptions{.virtual_time = true}};
  Pid pid = system.wait_for("counter");
  const auto comes_back = [&] {
    system.kill("counter");
    system.broker().wait_for_output("again in 10m");
    system.advance(9min);
    CHECK_FALSE(system.self().find("counter"));
    system.advance(1min);
    pid = system.wait_for_restart("counter", pid);
  };
  // Three restarts, but never more than two within an hour.
  comes_back();
  comes_back();
  system.advance(2h);
  comes_back();
  comes_back();
  // The next is one too many.
  system.signal("counter", SIGKILL);
  CHECK(system.wait() == 1);
}

TEST_CASE("the kit's failures say what was waited for", "[kit]") {
  try {
    waited_in_vain("the last train");
  } catch (const Failed& failed) {
    CHECK_THAT(failed.what(), Contains("for the last train"));
  }
}
