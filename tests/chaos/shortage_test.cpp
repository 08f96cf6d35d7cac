// What becomes of births, deaths and messages when the broker, a zygote, the logger or a muproc has no descriptor left: at
// each number of descriptors at which something fails, in turn.
#include <capnp/serialize.h>
#include <muproc/supervisor.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "chaos/shortage.hpp"
#include "support/catch.hpp"
#include "support/system_fixture.hpp"
#include "sys/fd.hpp"
#include "wire/codec.hpp"
#include "wire/control.capnp.h"
#include "wire/frame.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

constexpr std::size_t k_enough = 40;  // descriptors: more than a birth takes

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

/// Says that it is there, once there is somebody to say it to.
void greets(Self& self) {
  while (!self.find("tester")) self.sleep(5ms);
  self.send("tester", "here", self.pid());
  waits(self);
}

/// Passes on what it gets.
void passes_on(Self& self) {
  for (;;) self.receive(on<"n">() >> [&](int n) { self.send("tester", "got", n); });
}

void sends_ten_more(Self& self) {
  for (int n = 10; n < 20; ++n) self.send("a", "n", n);
  self.send("tester", "sent", true);
  waits(self);
}

constexpr Backoff k_soon{.initial = 5ms, .max = 5ms};

void ends(Self& self, Pid pid) {
  const Ref ref = self.monitor(pid);
  self.kill(pid);
  reason_of(self, ref);
}

/// The one child of that name, once it has taken it: at first it has its parent's.
pid_t the_child_of(pid_t os_pid, const std::string& comm) {
  return *wait_until("the only child that is named " + comm, [&]() -> std::optional<pid_t> {
    const auto children = children_of(os_pid, comm);
    return children.size() == 1 ? std::optional(children.front()) : std::nullopt;
  });
}

/// Nothing is kept of what failed: no process, no descriptor.
void is_back_at(pid_t broker, std::size_t descriptors) {
  wait_until("no zombie", [&] { return zombies_of(broker) == 0; });
  wait_until("the broker to have its " + std::to_string(descriptors) + " descriptors, of which there are " +
                 std::to_string(descriptors_of(broker).size()),
             [&] { return descriptors_of(broker).size() == descriptors; });
}

/// Once the broker has put away what a birth and an end leave for a moment.
std::size_t settled(LiveSystem& system) {
  Self& self = system.self();
  ends(self, self.spawn("first", waits));
  const pid_t broker = system.broker().os_pid();
  std::size_t count = 0;
  for (int same = 0; same < 20; std::this_thread::sleep_for(5ms))
    same = count == descriptors_of(broker).size() ? same + 1 : (count = descriptors_of(broker).size(), 0);
  return count;
}

/// Spawns with ever more descriptors until that succeeds; each time it has failed it succeeds when there is no shortage.
template <class Spawn>
void spawn_in_need(LiveSystem& system, Spawn spawn) {
  Self& self = system.self();
  const pid_t broker = system.broker().os_pid();
  const std::size_t descriptors = settled(system);
  for (std::size_t left = 0; left < k_enough; ++left) {
    INFO("with " << left << " descriptors left");
    Pid pid;
    Shortage shortage(broker, left);
    try {
      pid = spawn(self);
    } catch (const StartFailed& failure) {
      CHECK_THAT(failure.what(), Contains("Too many open files"));
    }
    shortage.end();
    const bool was_born = static_cast<bool>(pid);
    if (!was_born) pid = spawn(self);
    ends(self, pid);
    is_back_at(broker, descriptors);
    if (was_born) {
      CHECK(left > 0);
      return;
    }
  }
  FAIL("a birth takes more than " << k_enough << " descriptors");
}

}  // namespace

TEST_CASE("who spawns while the broker has no descriptor left hears so, and nothing is left of it",
          "[broker][shortage]") {
  LiveSystem system;
  spawn_in_need(system, [](Self& self) { return self.spawn("x", waits); });
}

TEST_CASE("who spawns a program while the broker has no descriptor left hears so, and nothing is left of it",
          "[broker][shortage]") {
  LiveSystem system;
  spawn_in_need(system, [](Self& self) { return self.spawn("x", exec_plain({"sleep", "1000"})); });
}

TEST_CASE("a first birth that the broker has no descriptor for leaves neither zygote nor child", "[broker][shortage]") {
  bool was_born = false;
  for (std::size_t left = 0; !was_born && left < k_enough; ++left) {
    INFO("with " << left << " descriptors left");
    LiveSystem system;  // its zygote is made at the first spawn
    Shortage shortage(system.broker().os_pid(), left);
    try {
      was_born = static_cast<bool>(system.self().spawn("x", waits));
    } catch (const StartFailed& failure) {
      CHECK_THAT(failure.what(), Contains("Too many open files"));
    }
    shortage.end();
    if (!was_born) system.self().spawn("x", waits);
    wait_until("no zombie", [&] { return zombies_of(system.broker().os_pid()) == 0; });
    the_child_of(system.broker().os_pid(), "muproc-seed");
  }
  CHECK(was_born);
}

TEST_CASE("who dies while the broker has no descriptor left is reaped, and started again when it has some",
          "[broker][shortage]") {
  LiveSystem system(supervisor(one_for_one, {1'000'000, 1s}, {{"a", greets, {.backoff = k_soon}}}));
  Self& self = system.self();
  const pid_t broker = system.broker().os_pid();
  for (std::size_t left = 0; left < 12; ++left) {
    INFO("with " << left << " descriptors left");
    const Pid before = wait_for_name(self, "a");
    next<Pid, "here">(self);
    const pid_t process = os_pid_of(self, before);
    {
      const Shortage shortage(broker, left);
      ::kill(process, SIGKILL);
      wait_until("it to be reaped", [&] { return process_state(process) == 'X'; });
    }
    CHECK(wait_for_replacement(self, "a", before));
    wait_until("no zombie", [&] { return zombies_of(broker) == 0; });
  }
}

TEST_CASE("a mailbox is kept whose owner, and then a sender, ended while the broker had no descriptor left",
          "[broker][shortage][keep]") {
  LiveSystem system(supervisor(one_for_one, {1'000'000, 1s},
                               {{"a", passes_on, {.backoff = k_soon, .mailbox = {.on_restart = OnRestart::keep}}}}));
  Self& self = system.self();
  const Pid before = wait_for_name(self, "a");
  system.suspend("a");
  for (int n = 0; n < 10; ++n) self.send("a", "n", n);
  const Pid other = self.spawn("other", sends_ten_more);
  CHECK(next<bool, "sent">(self));
  const pid_t processes[] = {os_pid_of(self, before), os_pid_of(self, other)};
  {
    const Shortage shortage(system.broker().os_pid(), 0);
    for (const pid_t process : processes) {
      ::kill(process, SIGKILL);
      wait_until("it to be reaped", [&] { return process_state(process) == 'X'; });
    }
  }
  wait_for_replacement(self, "a", before);
  std::vector<int> got;
  while (got.size() < 20) got.push_back(next<int, "got">(self));
  CHECK(std::is_sorted(got.begin(), std::stable_partition(got.begin(), got.end(), [](int n) { return n < 10; })));
  std::ranges::sort(got);
  for (int n = 0; n < 20; ++n) CHECK(got[static_cast<std::size_t>(n)] == n);
}

TEST_CASE("a restart that fails at once leaves others their turn", "[broker][shortage][supervisor]") {
  // So many tries that they would take minutes.
  LiveSystem system(supervisor(one_for_one, {1'000'000'000, 1s}, {{"a", waits}}));
  Self& self = system.self();
  const Pid before = self.find("a");
  {
    const Shortage shortage(system.broker().os_pid(), 0);
    signal(self, before, SIGKILL);
    wait_until("some tries", [&] { return system.broker().output().find("Too many open files") != std::string::npos; });
    CHECK(which_children(self, "root").size() == 1);  // the broker answers
  }
  wait_for_replacement(self, "a", before);
}

TEST_CASE("a spare that the broker has no descriptor for is reaped", "[broker][shortage][spares]") {
  LiveSystem system(supervisor(one_for_one, {1'000'000, 1s}, {{"a", waits, {.backoff = k_soon, .spares = 1}}}));
  Self& self = system.self();
  constexpr std::size_t k_all = 5;
  const pid_t broker = system.broker().os_pid();
  wait_until("logger, seed, zygote, a and its spare", [&] { return children_of(broker).size() == k_all; });
  for (std::size_t left = 0; left < 16; ++left) {
    INFO("with " << left << " descriptors left");
    const Pid before = wait_for_name(self, "a");
    {
      const Shortage shortage(broker, left);
      signal(self, before, SIGKILL);
      wait_until("its end", [&] { return !self.alive(before); });
      if (left > 8) std::this_thread::sleep_for(20ms);  // for a spare to be asked for
    }
    wait_for_replacement(self, "a", before);
    wait_until("no zombie", [&] { return zombies_of(broker) == 0; });
    wait_until("no process too many", [&] { return children_of(broker).size() <= k_all; });
  }
}

TEST_CASE("a name is free again when the broker had no descriptor for who came with it from outside",
          "[broker][shortage][attach]") {
  LiveSystem system;
  bool was_in = false;
  for (std::size_t left = 0; !was_in && left < k_enough; ++left) {
    INFO("with " << left << " descriptors left");
    Shortage shortage(system.broker().os_pid(), left);
    const auto come = [&](std::chrono::nanoseconds timeout) {
      bool is_in = false;
      std::thread([&] {  // one membership in a thread
        try {
          const auto membership = attach(system.folder().string(), {.name = "guest", .timeout = timeout});
          is_in = true;
        } catch (const std::exception&) {
          // not in, or not in time
        }
      })
          .join();
      return is_in;
    };
    was_in = come(200ms);
    shortage.end();
    wait_until("the guest to be let in", [&] { return come(10s); });
  }
  CHECK(was_in);
}

TEST_CASE("a lane that was full when the broker had no descriptor left goes on when there is room",
          "[broker][shortage]") {
  LiveSystem system;
  Self& self = system.self();
  const int k_signals = 2000;
  const Pid pid = self.spawn(
      "patient", +[](Self& self) {
        self.trap_exits(true);
        self.send("tester", "ready", true);
        int signals = 0;
        for (bool is_over = false; !is_over;)
          self.receive(
              on<"terminated", "reason">() >> [&] { ++signals; }, on<"over">() >> [&] { is_over = true; });
        self.send("tester", "signals", signals);
      });
  next<bool, "ready">(self);
  self.send(pid, "ready", true);  // the channel is open
  system.suspend(pid);
  {
    const Shortage shortage(system.broker().os_pid(), 0);
    const std::string long_reason(1000, 'x');
    for (int i = 0; i < k_signals; ++i) self.exit(pid, long_reason);
  }
  system.resume(pid);
  self.send(pid, "over", true);
  CHECK(next<int, "signals">(self) == k_signals);
}

TEST_CASE("a seed for which there was no descriptor is forked a little later", "[broker][shortage]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t broker = system.broker().os_pid();
  the_child_of(broker, "muproc-seed");
  for (std::size_t left = 0; left < 4; ++left) {
    INFO("with " << left << " descriptors left");
    {
      const Shortage shortage(broker, left);
      for (const pid_t seed : children_of(broker, "muproc-seed")) {
        ::kill(seed, SIGKILL);
        wait_until("the seed to be reaped", [&] { return process_state(seed) == 'X'; });
      }
      try {
        ends(self, self.spawn("x", exec_plain({"sleep", "1000"})));
      } catch (const StartFailed&) {
        // as long as there is none
      }
    }
    wait_until("another seed",
               [&] { return children_of(broker, "muproc-seed").size() == 1 && zombies_of(broker) == 0; });
    wait_until("a birth", [&] {
      try {
        ends(self, self.spawn("x", exec_plain({"sleep", "1000"})));
        return true;
      } catch (const StartFailed&) {
        return false;
      }
    });
  }
}

TEST_CASE("a zygote without descriptors costs no birth", "[broker][shortage]") {
  LiveSystem system;
  Self& self = system.self();
  ends(self, self.spawn("first", waits));
  for (std::size_t left = 0; left < 5; ++left) {
    INFO("with " << left << " descriptors left");
    // A muproc has its zygote's name until it is reaped, which comes after the notice of its end.
    const auto zygotes = [&] { return children_of(system.broker().os_pid(), "muproc-zygote"); };
    wait_until("one zygote", [&] { return zygotes().size() == 1; });
    const Shortage shortage(zygotes().front(), left);
    ends(self, self.spawn("x", waits));
  }
}

TEST_CASE("a logger without descriptors costs nobody what it prints, nor its life", "[broker][shortage][log]") {
  LiveSystem system(TestOptions{.capture_output = true});
  Self& self = system.self();
  const auto prints = +[](Self& self) {
    for (;;)
      self.receive(on<"print">() >> [&](From from, std::string text) {
        std::puts(text.c_str()), std::fflush(stdout), self.send(from, "printed", true);
      });
  };
  const pid_t logger = the_child_of(system.broker().os_pid(), "muproc-logger");
  Pid pid;
  {
    const Shortage shortage(logger, 1);
    pid = self.spawn("printer", prints);
    wait_until("another logger", [&] {
      const auto now = children_of(system.broker().os_pid(), "muproc-logger");
      return now.size() == 1 && now.front() != logger;
    });
  }
  self.send(pid, "print", "here I am");
  CHECK(next<bool, "printed">(self));
  system.broker().wait_for_output("here I am");
  ends(self, pid);
}

TEST_CASE("a muproc without descriptors to whom somebody new sends ends, and says why", "[shortage]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor(
      "hoarder", +[](Self& self) {
        self.send("tester", "ready", true);
        waits(self);
      });
  next<bool, "ready">(self);
  system.wait_until_idle(pid);
  const Shortage shortage(system.os_pid(pid), 1);
  self.send(pid, "hello", true);
  const Reason reason = reason_of(self, ref);
  CHECK(reason.is(Reason::Kind::exception));
  CHECK_THAT(reason.what(), Contains("too many open files"));
}

TEST_CASE("a reason that no frame can carry is told in short", "[exit][link]") {
  LiveSystem system;
  Self& self = system.self();
  const auto ends_at_length = +[](Self& self) {
    self.receive(on<"end">() >> [] {});
    // The longest that it can still say itself.
    const auto words = [](std::size_t size) {
      capnp::MallocMessageBuilder message;
      wire::write(message.initRoot<wire::ToBroker>().initExiting(), Reason::exit(std::string(size, 'x')));
      return capnp::computeSerializedSizeInWords(message);
    };
    const std::size_t most = wire::k_max_frame / sizeof(capnp::word);
    constexpr std::size_t k_slack = 5;  // a message of several segments has a longer table
    self.exit(std::string((most - words(7) - k_slack) * sizeof(capnp::word), 'x'));
  };
  const auto [pid, ref] = self.spawn_monitor("a_muproc_whose_name_takes_a_little_of_the_room_there_is", ends_at_length);
  const Pid linked = self.spawn(
      "linked", +[](Self& self) {
        self.link("a_muproc_whose_name_takes_a_little_of_the_room_there_is");
        self.send("tester", "linked", true);
        waits(self);
      });
  next<bool, "linked">(self);
  const Ref of_linked = self.monitor(linked);
  self.send(pid, "end", true);
  CHECK(reason_of(self, ref).is(Reason::Kind::exit));
  CHECK(reason_of(self, of_linked).root_cause().is(Reason::Kind::exit));
  wait_until("no zombie", [&] { return zombies_of(system.broker().os_pid()) == 0; });
  CHECK(self.spawn("a_muproc_whose_name_takes_a_little_of_the_room_there_is", waits));
}
