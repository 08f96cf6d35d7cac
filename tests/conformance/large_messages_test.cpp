// Large messages: built in their sender's memory, read there by their receiver, and never copied. That nobody copies is
// held against both here by the kernel: they may not have as much private memory as the message is large.
#include <sys/resource.h>

#include <string>

#include "support/messages.capnp.h"
#include "support/sanitizer.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

/// From here on this process has no room for a private copy of anything large.
void no_private_memory(std::size_t bytes) {
  const rlimit limit{bytes, bytes};
  if (k_memory_is_ours) MUST(::setrlimit(RLIMIT_DATA, &limit) == 0);
}

constexpr std::uint64_t value_at(std::uint64_t index) { return index * 0x9e3779b97f4a7c15; }

/// Adds up what it gets, in place.
void numbers_reader(Self& self) {
  no_private_memory(64 << 20);
  self.send(self.parent(), "ready", true);
  for (;;)
    self.receive(on<Numbers>() >> [&](From from, Numbers::Reader numbers) {
      const auto list = numbers.getList();
      bool right = true;
      for (unsigned i = 0; i < list.size(); ++i) right &= list[i] == value_at(i);
      self.send(from, "count", list.size(), "right", right);
    });
}

void numbers_writer(Self& self) {
  no_private_memory(64 << 20);
  const auto count = self.args()["count"].as<unsigned>();
  self.send<Numbers>("reader", [&](Numbers::Builder numbers) {
    auto list = numbers.initList(count);
    for (unsigned i = 0; i < count; ++i) list.set(i, value_at(i));
  });
  self.receive(on<"count", "right">() >> [&](unsigned counted, bool right) { MUST(counted == count && right); });
}

void blob_writer(Self& self) {
  no_private_memory(64 << 20);
  const auto size = self.args()["size"].as<unsigned>();
  self.send<Blob>("reader", [&](Blob::Builder blob) {
    auto data = blob.initData(size);
    data[0] = 1;
    data[size / 2] = 2;
    data[size - 1] = 3;
  });
  self.receive(on<"size">() >> [&](unsigned seen) { MUST(seen == size); });
}

void blob_reader(Self& self) {
  no_private_memory(64 << 20);
  self.send(self.parent(), "ready", true);
  for (;;)
    self.receive(on<Blob>() >> [&](From from, Blob::Reader blob) {
      const auto data = blob.getData();
      MUST(data[0] == 1 && data[data.size() / 2] == 2 && data[data.size() - 1] == 3);
      self.send(from, "size", data.size());
    });
}

}  // namespace

TEST_CASE("a list of a gibibyte travels without a copy", "[large]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("reader", numbers_reader);
  next<bool, "ready">(self);
  // ThreadSanitizer looks at each store and each load.
  const unsigned gibibyte = (k_under_thread_sanitizer ? 1u << 26 : 1u << 30) / sizeof(std::uint64_t);
  CHECK(play(self, "writer", numbers_writer, {.args = {{"count", gibibyte}}}) == Reason::normal());
}

TEST_CASE("a data field of 512 MiB less a byte, Cap'n Proto's own limit, travels without a copy", "[large]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("reader", blob_reader);
  next<bool, "ready">(self);
  const unsigned most = (512u << 20) - 1;
  CHECK(play(self, "writer", blob_writer, {.args = {{"size", most}}}) == Reason::normal());
}

TEST_CASE("large messages one after another use the same memory again", "[large]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("reader", numbers_reader);
  next<bool, "ready">(self);
  CHECK(play(self, "writer", +[](Self& self) {
          for (int round = 0; round < 100; ++round) {
            const unsigned count = (16u << 20) / sizeof(std::uint64_t);
            self.send<Numbers>("reader", [&](Numbers::Builder numbers) {
              auto list = numbers.initList(count);
              for (unsigned i = 0; i < count; ++i) list.set(i, value_at(i));
            });
            self.receive(on<"count", "right">() >> [&](unsigned counted, bool right) {
              MUST(counted == count && right);
            });
          }
        }) == Reason::normal());
}

TEST_CASE("sizes around the ring's eighth arrive whole", "[large]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("reader", numbers_reader);
  next<bool, "ready">(self);
  const unsigned eighth = (256u << 10) / 8 / sizeof(std::uint64_t);
  for (unsigned count = eighth - 300; count < eighth + 20; ++count) {
    self.send<Numbers>("reader", [&](Numbers::Builder numbers) {
      auto list = numbers.initList(count);
      for (unsigned i = 0; i < count; ++i) list.set(i, value_at(i));
    });
    self.receive(on<"count", "right">() >> [&](unsigned counted, bool right) {
      REQUIRE(counted == count);
      REQUIRE(right);
    }, or_fail("the sum"));
  }
}

TEST_CASE("a mumsg may be large too", "[large]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("echo", +[](Self& self) {
    for (;;)
      self.receive(on<"data", "tail">() >> [&](From from, Data data, int tail) {
        self.send(from, "data", data, "tail", tail);
      });
  });
  for (const std::size_t size : {10'000u, 100'000u, 1'000'000u, 30'000'000u}) {
    Data data(size, std::byte{7});
    data.back() = std::byte{8};
    self.send("echo", "data", data, "tail", 9);
    self.receive(on<"data", "tail">() >> [&](Data back, int tail) {
      CHECK(back == data);
      CHECK(tail == 9);
    }, or_fail("the echo"));
  }
}

TEST_CASE("a large message that its receiver keeps does not change, whatever its sender sends next", "[large]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("writer", +[](Self& self) {
    for (std::uint64_t round = 0; round < 20; ++round)
      self.send<Numbers>("tester", [&](Numbers::Builder numbers) {
        auto list = numbers.initList(100'000);
        for (unsigned i = 0; i < list.size(); ++i) list.set(i, round);
      });
    self.receive(on<"never">() >> [] {});
  });
  std::vector<Message> kept;
  for (int round = 0; round < 20; ++round) {
    auto message = self.receive_any(k_patience);
    REQUIRE(message);
    kept.push_back(std::move(*message));
  }
  for (std::uint64_t round = 0; round < 20; ++round) {
    const auto list = kept[round].as<Numbers>().getList();
    bool same = true;
    for (const std::uint64_t n : list) same &= n == round;
    CHECK(same);
  }
  // And when the writer is dead.
  const Ref ref = self.monitor("writer");
  self.kill("writer");
  reason_of(self, ref);
  CHECK(kept[19].as<Numbers>().getList()[99'999] == 19);
}

TEST_CASE("more large messages than can be in flight wait for their turn", "[large][backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [writer, ref] = self.spawn_monitor("writer", +[](Self& self) {
    for (unsigned n = 0; n < 300; ++n)
      self.send<Numbers>("tester", [&](Numbers::Builder numbers) { numbers.initList(10'000).set(0, n); });
  });
  for (unsigned n = 0; n < 300; ++n)
    self.receive(on<Numbers>() >> [&](Numbers::Reader numbers) { REQUIRE(numbers.getList()[0] == n); },
                 or_fail("the next list"));
  CHECK(reason_of(self, ref) == Reason::normal());
}
