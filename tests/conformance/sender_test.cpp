// Other threads of a muproc, which send in its name.
#include <atomic>
#include <csignal>
#include <string>
#include <thread>

#include "support/messages.capnp.h"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

constexpr int k_count = 20'000;

/// Takes the numbers 0, 1, 2, … until `from` has ended; how many there were.
int count_in_order(Self& self, Pid from) {
  int count = 0;
  for (bool over = false; !over;)
    self.receive(on<"n">() >> [&](From sender, int n) {
                   CHECK(sender == from);
                   CHECK(n == count++);
                 },
                 on<"terminated">() >> [&](Pid ended) { over = ended == from; }, or_fail("numbers, or their sender's end"));
  return count;
}

void send_numbers(Sender& sender, Pid to, int count) {
  for (int n = 0; n < count; ++n) sender.send(to, "n", n);
}

}  // namespace

TEST_CASE("another thread sends in its muproc's name, every kind of message", "[sender]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid pid = self.spawn("speaker", +[](Self& self) {
    std::thread([sender = self.sender(), to = self.parent(), pid = self.pid()]() mutable {
      MUST(sender.pid() == pid);
      sender.send(to, "n", 1);
      sender.send(to, Mumsg{{"n", 2}});
      sender.send<Quote>(to, [](Quote::Builder quote) { quote.setQty(3); });
      sender.send<Tick>(to, [](Tick::Builder tick) { tick.setId(4); });
      MUST(sender.try_send(to, "n", 5));
      MUST(sender.try_send<Tick>(to, [](Tick::Builder tick) { tick.setId(6); }));
      MUST(sender.send_within(5s, to, "n", 7));
      MUST(sender.send_within<Tick>(5s, to, [](Tick::Builder tick) { tick.setId(8); }));
      sender.send<Numbers>(to, [](Numbers::Builder numbers) { numbers.initList(1 << 20).set(1 << 19, 9); });
    }).join();
    self.receive(on<"done">() >> [] {});
  });
  for (int expected = 1; expected <= 9; ++expected) {
    Pid speaker;
    int got = 0;
    const auto note = [&](From from, int n) {
      speaker = from;
      got = n;
    };
    self.receive(
        on<"n">() >> note, on<Quote>() >> [&](From from, Quote::Reader quote) { note(from, quote.getQty()); },
        on<Tick>() >> [&](From from, Tick::Reader tick) { note(from, static_cast<int>(tick.getId())); },
        on<Numbers>() >> [&](From from, Numbers::Reader numbers) { note(from, static_cast<int>(numbers.getList()[1 << 19])); },
        or_fail("the next message"));
    CHECK(speaker == pid);
    CHECK(got == expected);
  }
  self.send(pid, "done", true);
}

TEST_CASE("a muproc and its threads send at the same time, each in its own order", "[sender]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn_monitor("speaker", +[](Self& self) {
    const Pid to = self.parent();
    auto numbers = [to](auto& sender, int who) {
      for (int n = 0; n < k_count; ++n) sender.send(to, "who", who, "n", n);
    };
    std::thread one([&, sender = self.sender()]() mutable { numbers(sender, 1); });
    std::thread two([&, sender = self.sender()]() mutable { numbers(sender, 2); });
    numbers(self, 0);
    one.join();
    two.join();
  });
  int seen[3] = {};
  for (bool over = false; !over;)
    self.receive(on<"who", "n">() >> [&](int who, int n) { CHECK(n == seen[who]++); },
                 on<"terminated">() >> [&] { over = true; }, or_fail("numbers, or the end"));
  CHECK(seen[0] == k_count);
  CHECK(seen[1] == k_count);
  CHECK(seen[2] == k_count);
}

TEST_CASE("the end of a muproc is told after all that its threads had sent", "[sender]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("speaker", +[](Self& self) {
    std::thread([sender = self.sender(), to = self.parent()]() mutable { send_numbers(sender, to, k_count); }).join();
  });
  CHECK(count_in_order(self, pid) == k_count);
}

TEST_CASE("a muproc that is killed while its thread sends loses nothing that was sent", "[sender]") {
  LiveSystem system;
  Self& self = system.self();
  for (int round = 0; round < 10; ++round) {
    const auto [pid, ref] = self.spawn_monitor("speaker", +[](Self& self) {
      std::thread([sender = self.sender(), to = self.parent()]() mutable {
        for (int n = 0;; ++n) sender.send(to, "n", n);
      }).detach();
      self.receive(on<"done">() >> [] {});
    });
    self.receive(on<"n">([](int n) { return n == 0; }) >> [](int) {}, or_fail("the first number"));
    signal(self, pid, SIGKILL);
    int count = 1;
    for (bool over = false; !over;)
      self.receive(on<"n">() >> [&](int n) { CHECK(n == count++); }, on<"terminated">() >> [&] { over = true; },
                   or_fail("numbers, or the end"));
    self.receive(on<"n">() >> [](int n) { FAIL(n << " came after its sender's end"); }, after(0s) >> [] {});
    CHECK_FALSE(self.find("speaker"));
  }
}

TEST_CASE("a sending thread that waits for room does not hold up its muproc", "[sender][backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("slow", +[](Self& self) {
    self.receive(on<"go">() >> [] {});
    int count = 0;
    while (self.receive(on<"n">() >> [&](int n) { MUST(n == count++); return n + 1 < k_count; })) {}
    self.send("tester", "count", count);
  });
  const Pid pid = self.spawn("speaker", +[](Self& self) {
    std::thread sending([sender = self.sender(), to = self.find("slow")]() mutable { send_numbers(sender, to, k_count); });
    self.receive(on<"question">() >> [&](From from, int n) { self.send(from, "answer", n + 1); });
    sending.join();
    self.receive(on<"done">() >> [] {});
  });
  wait_until("the thread to wait for room", [&] {
    for (const auto& muproc : self.list("speaker\\.sender-.*")) return muproc.pid != Pid();
    return false;
  });
  self.send(pid, "question", 41);
  CHECK(next<int, "answer">(self) == 42);
  self.send("slow", "go", true);
  CHECK(next<int, "count">(self) == k_count);
  self.send(pid, "done", true);
}

TEST_CASE("a Sender belongs to the thread that first sends with it", "[sender]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "speaker", +[](Self& self) {
          Sender sender = self.sender();
          std::thread([&] { sender.send(self.parent(), "n", 1); }).join();
          bool refused = false;
          try {
            sender.send(self.parent(), "n", 2);
          } catch (const std::logic_error&) {
            refused = true;
          }
          MUST(refused);
        }).is_normal());
  CHECK(next<int, "n">(self) == 1);
  self.receive(on<"n">() >> [](int n) { FAIL("got " << n); }, after(0s) >> [] {});
}

TEST_CASE("a Sender that is destroyed leaves the system, whichever thread does it", "[sender]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid pid = self.spawn("speaker", +[](Self& self) {
    for (int round = 0; round < 3; ++round) {
      Sender sender = self.sender();
      std::thread([&] { sender.send(self.parent(), "n", 1); }).join();
    }
    for (int round = 0; round < 3; ++round)
      std::thread([sender = self.sender(), to = self.parent()]() mutable { sender.send(to, "n", 1); }).join();
    { Sender unused = self.sender(); }
    self.send(self.parent(), "over", true);
    self.receive(on<"done">() >> [] {});
  });
  next<bool, "over">(self);
  for (int i = 0; i < 6; ++i) CHECK(next<int, "n">(self) == 1);
  wait_until("no Sender to be left", [&] { return self.list("speaker\\.sender-.*").empty(); });
  self.send(pid, "done", true);
}

TEST_CASE("a thread's send finds nobody as a muproc's does", "[sender]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "speaker", +[](Self& self) {
          std::thread([sender = self.sender()]() mutable {
            bool refused = false;
            try {
              sender.send("nobody", "n", 1);
            } catch (const NoSuchName&) {
              refused = true;
            }
            MUST(refused);
          }).join();
        }).is_normal());
}
