// Structs of data alone are built and sent in a way of their own: no one must be able to tell them from the others.
#include <unistd.h>

#include <csignal>
#include <limits>
#include <stdexcept>

#include "support/messages.capnp.h"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

void echoes_ticks(Self& self) {
  for (;;) self.receive(on<Tick>() >> [&](Tick::Reader tick) { self.send<Tick>("tester", tick); });
}

/// Stops itself before it takes anything; then tells the id of each.
void stops_and_counts(Self& self) {
  self.send(self.parent(), "os_pid", ::getpid());
  ::raise(SIGSTOP);
  for (;;) self.receive(on<Tick>() >> [&](Tick::Reader tick) { self.send("tester", "took", tick.getId()); });
}

struct Seen {
  std::uint64_t id;
  double bid;
  bool is_last;
  bool operator==(const Seen&) const = default;
};

Seen next_tick(Self& self) {
  Seen seen{};
  self.receive(on<Tick>() >> [&](Tick::Reader tick) { seen = {tick.getId(), tick.getBid(), tick.getIsLast()}; },
               or_fail("a tick"));
  return seen;
}

auto with_id(std::uint64_t id) {
  return [id](Tick::Builder tick) { tick.setId(id); };
}

}  // namespace

TEST_CASE("a struct of data alone goes there and back with every value", "[flat]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid echo = self.spawn("echo", echoes_ticks);
  const Seen all[] = {{0, 0.0, false},
                      {std::numeric_limits<std::uint64_t>::max(), -0.1, true},
                      {1, std::numeric_limits<double>::infinity(), false},
                      {1ull << 63, std::numeric_limits<double>::denorm_min(), true}};
  for (const Seen& sent : all) {
    self.send<Tick>(echo, [&](Tick::Builder tick) {
      tick.setId(sent.id);
      tick.setBid(sent.bid);
      tick.setIsLast(sent.is_last);
    });
    CHECK(next_tick(self) == sent);
  }
}

TEST_CASE("a struct of data alone can be sent to oneself", "[flat]") {
  LiveSystem system;
  Self& self = system.self();
  for (std::uint64_t id = 1; id <= 3; ++id) self.send<Tick>(self.pid(), with_id(id));
  for (std::uint64_t id = 1; id <= 3; ++id) CHECK(next_tick(self) == Seen{id, 0, false});
}

TEST_CASE("a field that is not set is zero, whatever was sent before", "[flat]") {
  LiveSystem system;
  Self& self = system.self();
  self.send<Tick>(self.pid(), [](Tick::Builder tick) {
    tick.setId(7);
    tick.setBid(2.5);
    tick.setIsLast(true);
  });
  self.send<Tick>(self.pid(), [](Tick::Builder tick) {
    CHECK(tick.getId() == 0);
    CHECK(tick.getBid() == 0);
    CHECK_FALSE(tick.getIsLast());
  });
  CHECK(next_tick(self) == Seen{7, 2.5, true});
  CHECK(next_tick(self) == Seen{0, 0, false});
}

TEST_CASE("a message given up by an exception is not sent and leaves nothing in the next", "[flat]") {
  LiveSystem system;
  Self& self = system.self();
  const auto gives_up = [](Tick::Builder tick) {
    tick.setId(1);
    tick.setIsLast(true);
    throw std::runtime_error("given up");
  };
  CHECK_THROWS_AS(self.send<Tick>(self.pid(), gives_up), std::runtime_error);
  self.send<Tick>(self.pid(), [](Tick::Builder tick) { tick.setBid(3); });
  CHECK(next_tick(self) == Seen{0, 3, false});
  self.receive(on<Tick>() >> [](Tick::Reader tick) { FAIL("arrived: " << tick.getId()); }, after(0s) >> [] {});
}

TEST_CASE("messages can be sent while one is built", "[flat]") {
  LiveSystem system;
  Self& self = system.self();
  self.send<Tick>(self.pid(), [&](Tick::Builder outer) {
    outer.setId(3);
    self.send<Tick>(self.pid(), [&](Tick::Builder middle) {
      middle.setId(2);
      self.send<Tick>(self.pid(), with_id(1));
      self.send(self.pid(), "between", true);
      middle.setIsLast(true);
    });
    outer.setBid(4);
  });
  CHECK(next_tick(self) == Seen{1, 0, false});
  CHECK(next_tick(self) == Seen{2, 0, true});
  CHECK(next_tick(self) == Seen{3, 4, false});
  CHECK(next<bool, "between">(self));
}

TEST_CASE("messages can be received while one is built", "[flat]") {
  LiveSystem system;
  Self& self = system.self();
  self.send<Tick>(self.pid(), with_id(1));
  self.send<Tick>(self.pid(), [&](Tick::Builder tick) { tick.setId(next_tick(self).id + 1); });
  CHECK(next_tick(self) == Seen{2, 0, false});
}

TEST_CASE("structs of data alone keep their places among other messages", "[flat]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid me = self.pid();
  for (std::uint64_t n = 0; n < 300; n += 3) {
    self.send<Tick>(me, with_id(n));
    self.send(me, "n", n + 1);
    self.send<Quote>(me, [&](Quote::Builder quote) { quote.setQty(static_cast<int>(n + 2)); });
  }
  for (std::uint64_t expected = 0; expected < 300; ++expected) {
    std::uint64_t got = ~0ull;
    self.receive(on<Tick>() >> [&](Tick::Reader tick) { got = tick.getId(); },
                 on<"n">() >> [&](std::uint64_t n) { got = n; },
                 on<Quote>() >> [&](Quote::Reader quote) { got = static_cast<std::uint64_t>(quote.getQty()); },
                 or_fail("the next of three kinds"));
    REQUIRE(got == expected);
  }
}

TEST_CASE("a full channel refuses a struct of data alone, and takes it when there is room", "[flat][backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("receiver", stops_and_counts);
  const pid_t os_pid = next<int, "os_pid">(self);
  wait_until_stopped(os_pid);
  std::uint64_t sent = 0;
  while (self.try_send<Tick>("receiver", with_id(sent))) ++sent;
  CHECK(sent > 100);
  CHECK_FALSE(self.try_send<Tick>("receiver", with_id(~0ull)));
  const auto before = std::chrono::steady_clock::now();
  CHECK_FALSE(self.send_within<Tick>(5ms, "receiver", with_id(~0ull)));
  CHECK(std::chrono::steady_clock::now() - before >= 5ms);
  ::kill(os_pid, SIGCONT);
  CHECK(self.send_within<Tick>(k_patience, "receiver", with_id(sent)));
  self.send<Tick>("receiver", with_id(sent + 1));
  for (std::uint64_t n = 0; n <= sent + 1; ++n) REQUIRE(next<std::uint64_t, "took">(self) == n);
}

TEST_CASE("a struct of data alone to a name that nobody has, or to the dead, fares as any other", "[flat]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_AS(self.send<Tick>("nobody", with_id(1)), NoSuchName);
  const auto [pid, ref] = self.spawn_monitor("brief", +[](Self&) {});
  CHECK(reason_of(self, ref) == Reason::normal());
  self.send<Tick>(pid, with_id(1));
  CHECK(self.try_send<Tick>(pid, with_id(2)));
}
