// Bare bytes as messages.
#include <algorithm>
#include <cstring>
#include <vector>

#include "support/messages.capnp.h"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;

namespace {

Data pattern(std::size_t size) {
  Data data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(i * 7 + size);
  return data;
}

void echoes_bytes(Self& self) {
  for (;;) self.receive(on_bytes >> [&](From from, std::span<const std::byte> bytes) { self.send(from, bytes); });
}

/// A copy of the next bytes.
Data next_bytes(Self& self) {
  Data data;
  self.receive(on_bytes >> [&](std::span<const std::byte> bytes) { data.assign(bytes.begin(), bytes.end()); }, or_fail("bytes"));
  return data;
}

}  // namespace

TEST_CASE("bytes go there and back as they were, whatever their number", "[bytes]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid echo = self.spawn("echo", echoes_bytes);
  for (const std::size_t size : {0, 1, 7, 8, 9, 63, 64, 65, 511, 512, 513, 4095, 30'000, 32'736, 33'000, 100'000, 3'000'000}) {
    const Data sent = pattern(size);
    self.send(echo, sent);
    CHECK(next_bytes(self) == sent);
  }
}

TEST_CASE("bytes keep their places among other messages, and match no other clause", "[bytes]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid peer = self.spawn("peer", +[](Self& self) {
    for (unsigned n = 0; n < 100; ++n) {
      const std::byte bytes[] = {static_cast<std::byte>(n), std::byte{0}, std::byte{1}};
      self.send("tester", bytes);
      self.send("tester", "n", n);
      self.send<Tick>("tester", [&](Tick::Builder tick) { tick.setId(n); });
    }
    self.receive(on<"never">() >> [] {});
  });
  CHECK(self.alive(peer));
  // From the back: everything else waits in the stash, and stays what it was.
  for (unsigned n = 0; n < 100; ++n)
    self.receive(on<Tick>() >> [&](Tick::Reader tick) { REQUIRE(tick.getId() == n); }, or_fail("a tick"));
  for (unsigned n = 0; n < 100; ++n) {
    self.receive(on<"n">() >> [&](unsigned) { FAIL("a number came before the bytes"); },
                 on_bytes >> [&](From from, std::span<const std::byte> bytes) {
                   REQUIRE(from == peer);
                   REQUIRE(bytes.size() == 3);
                   REQUIRE(bytes[0] == static_cast<std::byte>(n));
                 },
                 or_fail("bytes"));
    self.receive(on_bytes >> [] (std::span<const std::byte>) { FAIL("bytes came before the number"); },
                 on<"n">() >> [&](unsigned got) { REQUIRE(got == n); }, or_fail("a number"));
  }
}

TEST_CASE("bytes can be sent to oneself, and are seen by receive_any", "[bytes]") {
  LiveSystem system;
  Self& self = system.self();
  const Data sent = pattern(21);
  self.send(self.pid(), sent);
  const Message message = self.receive_any();
  CHECK(message.is_bytes());
  CHECK_FALSE(message.is_mumsg());
  CHECK(std::ranges::equal(message.bytes(), sent));
  self.send(self.pid(), "n", 1);
  const Message other = self.receive_any();
  CHECK_FALSE(other.is_bytes());
  CHECK_THROWS_AS(other.bytes(), ValueError);
}

TEST_CASE("more bytes than one message can have are refused where they are sent", "[bytes]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid echo = self.spawn("echo", echoes_bytes);
  // Only the count is looked at.
  const std::byte one{1};
  CHECK_THROWS_AS(self.send(echo, std::span(&one, std::size_t{1} << 29)), MessageTooLarge);
  self.send(echo, std::span(&one, 1));
  CHECK(next_bytes(self) == Data{one});
}

TEST_CASE("bytes to a full mailbox, to nobody and to the dead fare as any other message", "[bytes][backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const Data bytes = pattern(1000);
  CHECK_THROWS_AS(self.send("nobody", bytes), NoSuchName);
  const Pid sleepy = self.spawn("sleepy", +[](Self& self) {
    self.sleep(std::chrono::hours(1));
  });
  while (self.try_send(sleepy, bytes)) continue;
  CHECK_FALSE(self.send_within(std::chrono::milliseconds(5), sleepy, bytes));
  self.kill(sleepy);
  system.wait_until_gone(sleepy);
  CHECK(self.try_send(sleepy, bytes));  // dropped
}
