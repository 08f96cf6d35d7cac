// What goes out from a muproc, and what comes back: room and blocks.
#include "runtime/outbox.hpp"

#include <muproc/self.hpp>

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/mailboxes.hpp"
#include "support/printing.hpp"
#include "support/random.hpp"

using namespace muproc;
using Catch::Matchers::Contains;
using muproc::test::Mailboxes;
using muproc::test::Party;
using muproc::test::Random;

namespace {

Mumsg number(std::int64_t n) { return {{"n", n}}; }

/// A list of integers as a message: any number of words.
bool send_words(Party& from, const Party& to, std::size_t words, std::uint64_t content) {
  return from.send<wire::Structure>(to, [&](wire::Structure::Builder message) {
    message.setTypeId(content);
    auto data = message.initWords(static_cast<unsigned>(words * 8));
    std::fill(data.begin(), data.end(), static_cast<capnp::byte>(content));
  });
}

/// True when the message is what `send_words` sent.
bool holds(const Message& message, std::size_t words, std::uint64_t content) {
  const auto structure = message.as<wire::Structure>();
  const auto data = structure.getWords();
  return structure.getTypeId() == content && data.size() == words * 8 &&
         std::all_of(data.begin(), data.end(), [&](auto byte) { return byte == static_cast<capnp::byte>(content); });
}

std::size_t in_flight(Party& from, const Party& to) {
  return static_cast<std::size_t>(__builtin_popcountll(from.channel_to(to).in_flight));
}

struct Pair {
  explicit Pair(std::uint32_t ring = shm::k_default_ring, std::uint64_t max_message = std::uint64_t{1} << 30)
      : alice(world.muproc(std::uint64_t{64} << 20, max_message)), bob(world.muproc()) {
    world.open(alice, bob, ring);
  }
  Mailboxes world;
  Party& alice;
  Party& bob;
};

}  // namespace

TEST_CASE("scratch memory is zeroed between messages", "[outbox]") {
  Pair pair;
  for (int round = 0; round < 3; ++round) {
    auto* outer = pair.alice.outbox().lease();
    outer->builder().initRoot<wire::Structure>().initWords(2000);
    auto* inner = pair.alice.outbox().lease();  // a message that is built while another is
    auto words = inner->builder().initRoot<wire::Structure>().initWords(20000);
    CHECK(std::all_of(words.begin(), words.end(), [](auto byte) { return byte == 0; }));
    std::fill(words.begin(), words.end(), 0xff);
    pair.alice.outbox().give_back(inner);
    pair.alice.outbox().give_back(outer);
  }
}

TEST_CASE("a lease that built nothing can be given back", "[outbox]") {
  Pair pair;
  pair.alice.outbox().give_back(pair.alice.outbox().lease());
  REQUIRE(pair.alice.send(pair.bob, number(1)));
  CHECK(pair.bob.next() == number(1));
}

TEST_CASE("a full ring refuses, and takes again when its reader has published", "[outbox]") {
  Pair pair(shm::k_min_ring);
  std::int64_t sent = 0;
  while (pair.alice.send(pair.bob, number(sent))) ++sent;
  CHECK(sent > 10);
  CHECK_FALSE(pair.alice.send(pair.bob, number(sent)));
  for (std::int64_t n = 0; n < sent; ++n) REQUIRE(pair.bob.next() == number(n));
  pair.bob.inbox().publish_cursors();
  CHECK(pair.alice.send(pair.bob, number(sent)));
  CHECK(pair.bob.next() == number(sent));
}

TEST_CASE("a message above an eighth of the ring goes through the arena", "[outbox][large]") {
  for (const std::uint32_t ring : {std::uint32_t{4} << 10, std::uint32_t{16} << 10, std::uint32_t{256} << 10}) {
    Pair pair(ring);
    INFO("ring of " << ring << " bytes");
    // A structure of n words takes four more: the root pointer, the type id, the pointers to the words and to other contents.
    const std::size_t most = shm::max_record_words(ring) - 4;
    const std::size_t small = std::min<std::size_t>(most, detail::ScratchLease::k_words - 4);
    REQUIRE(send_words(pair.alice, pair.bob, small, 1));
    CHECK(in_flight(pair.alice, pair.bob) == 0);
    REQUIRE(send_words(pair.alice, pair.bob, most + 1, 2));
    CHECK(in_flight(pair.alice, pair.bob) == 1);
    CHECK(holds(*pair.bob.pull(), small, 1));
    CHECK(holds(*pair.bob.pull(), most + 1, 2));
  }
}

TEST_CASE("a large message written into many channels is one block, taken back after the last receiver", "[outbox][large][groups]") {
  Mailboxes world;
  Party& publisher = world.muproc();
  std::vector<Party*> members;
  for (int i = 0; i < 5; ++i) {
    members.push_back(&world.muproc());
    // One ring is so small that the part in scratch memory moves to the arena for it.
    world.open(publisher, *members.back(), i == 3 ? shm::k_min_ring : shm::k_default_ring);
  }
  const std::uint64_t before = publisher.status().arena_blocks;
  auto* lease = publisher.outbox().lease();
  auto message = lease->builder().initRoot<wire::Structure>();
  message.setTypeId(7);
  auto words = message.initWords(800'000);
  std::fill(words.begin(), words.end(), capnp::byte{7});
  for (Party* member : members) {
    shm::RecordHeader header{};
    header.kind = static_cast<std::uint8_t>(shm::RecordKind::message);
    header.target = static_cast<std::uint16_t>(member->pid().incarnation());
    header.type_id = capnp::typeId<wire::Structure>();
    REQUIRE(publisher.outbox().write(publisher.channel_to(*member), *lease, header, 0));
  }
  publisher.outbox().give_back(lease);
  const std::uint64_t blocks = publisher.status().arena_blocks;
  CHECK(blocks - before <= 2);
  for (std::size_t i = 0; i < members.size(); ++i) {
    CHECK(publisher.status().arena_blocks == blocks);
    if (i == 2) {
      world.dies(*members[i]);
      continue;
    }
    CHECK(holds(*members[i]->pull(), 100'000, 7));
    publisher.outbox().reclaim_all();
  }
  CHECK(publisher.status().arena_blocks == before);
  REQUIRE(publisher.send_data(*members[0], 1 << 20, 9));  // the pages can be written again
  CHECK(members[0]->pull());
}

TEST_CASE("a block is taken back when its receiver is done with it", "[outbox][large]") {
  Pair pair;
  REQUIRE(pair.alice.send_data(pair.bob, 1 << 20, 1));
  REQUIRE(pair.alice.send_data(pair.bob, 1 << 20, 2));
  auto& channel = pair.alice.channel_to(pair.bob);
  CHECK(in_flight(pair.alice, pair.bob) == 2);
  auto first = pair.bob.pull();
  auto second = pair.bob.pull();
  pair.alice.outbox().reclaim(channel);
  CHECK(in_flight(pair.alice, pair.bob) == 2);
  second.reset();
  pair.alice.outbox().reclaim(channel);
  CHECK(in_flight(pair.alice, pair.bob) == 1);
  first.reset();
  pair.alice.outbox().reclaim(channel);
  CHECK(in_flight(pair.alice, pair.bob) == 0);
}

TEST_CASE("so many large messages can be in flight, then the channel is full until one is released", "[outbox][large]") {
  Pair pair;
  std::deque<Message> held;
  for (std::uint32_t i = 0; i < shm::k_tickets; ++i) {
    REQUIRE(pair.alice.send_data(pair.bob, 100'000, static_cast<unsigned char>(i)));
    held.push_back(*pair.bob.pull());
  }
  CHECK_FALSE(pair.alice.send_data(pair.bob, 100'000, 99));
  CHECK(pair.alice.send(pair.bob, number(1)));  // small ones still go
  CHECK(pair.bob.next() == number(1));
  held.erase(held.begin() + 17);
  REQUIRE(pair.alice.send_data(pair.bob, 100'000, 100));
  CHECK_FALSE(pair.alice.send_data(pair.bob, 100'000, 101));
  CHECK(pair.bob.pull()->root().getAs<wire::Mumsg>().getFields()[0].getData()[0] == 100);
  for (std::uint32_t i = 0; i < held.size(); ++i)
    CHECK(held[i].root().getAs<wire::Mumsg>().getFields()[0].getData()[99'999] == (i < 17 ? i : i + 1));
}

TEST_CASE("a refused large message leaves nothing behind", "[outbox][large]") {
  Pair pair(shm::k_min_ring);
  while (pair.alice.send(pair.bob, number(1))) {
  }
  for (int i = 0; i < 200; ++i) REQUIRE_FALSE(pair.alice.send_data(pair.bob, 1 << 20, 1));
  CHECK(in_flight(pair.alice, pair.bob) == 0);
  while (pair.bob.next()) {
  }
  pair.bob.inbox().publish_cursors();
  CHECK(pair.alice.send_data(pair.bob, 1 << 20, 2));
}

TEST_CASE("when its receiver dies a muproc has its blocks back", "[outbox][large][crash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  for (int round = 0; round < 5; ++round) {
    auto& bob = world.muproc();
    world.open(alice, bob);
    for (int i = 0; i < 10; ++i) REQUIRE(alice.send_data(bob, 5 << 20, 1));
    world.dies(bob);
    CHECK_FALSE(alice.outbox().find(bob.pid()));
  }
  CHECK(alice.extents_dropped == 0);  // all of it fitted the arena, again and again
}

TEST_CASE("a closed channel's ring is used again", "[outbox]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  const std::size_t offset = alice.channel_to(bob).ring_offset;
  REQUIRE(alice.send(bob, number(1)));
  world.dies(bob);
  auto& carol = world.muproc();
  world.open(alice, carol);
  CHECK(alice.channel_to(carol).ring_offset == offset);
  CHECK_FALSE(carol.next());  // what was written for Bob is nothing to Carol
  REQUIRE(alice.send(carol, number(2)));
  CHECK(carol.next() == number(2));
}

TEST_CASE("rings are cut out of the segment until there is no room, and then an error says so", "[outbox]") {
  Mailboxes world;
  auto& alice = world.muproc();
  std::size_t last = 0;
  for (std::size_t i = 0; i < shm::k_rings_size / shm::k_max_ring; ++i) {
    const std::size_t offset = alice.outbox().reserve_ring(shm::k_max_ring);
    CHECK(offset >= shm::k_rings_offset);
    CHECK(offset + shm::k_max_ring <= shm::k_arena_offset);
    CHECK((i == 0 || offset >= last + shm::k_max_ring));
    last = offset;
  }
  CHECK_THROWS_WITH(alice.outbox().reserve_ring(shm::k_max_ring), Contains("no room"));
  CHECK_THROWS_AS(alice.outbox().reserve_ring(shm::k_min_ring), Error);
  alice.outbox().give_back_ring(last, shm::k_max_ring);
  CHECK(alice.outbox().reserve_ring(shm::k_max_ring) == last);
}

TEST_CASE("what does not fit the arena goes on in extents, which are given back when they are empty", "[outbox][large]") {
  Pair pair;
  std::deque<Message> held;
  for (int i = 0; i < 4; ++i) {
    REQUIRE(pair.alice.send_data(pair.bob, 60 << 20, static_cast<unsigned char>(i)));
    held.push_back(*pair.bob.pull());
  }
  CHECK(pair.bob.extents_fetched >= 3);
  CHECK(pair.alice.extents_dropped == 0);
  held.clear();
  pair.alice.outbox().reclaim(pair.alice.channel_to(pair.bob));
  CHECK(pair.alice.extents_dropped >= 3);
}

TEST_CASE("before it asks for an extent a muproc takes back what was released", "[outbox][large]") {
  Pair pair;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(pair.alice.send_data(pair.bob, 40 << 20, static_cast<unsigned char>(i)));
    CHECK(pair.bob.pull()->root().getAs<wire::Mumsg>().getFields()[0].getData()[0] == i);
  }
  CHECK(pair.bob.extents_fetched == 0);
}

TEST_CASE("a message above the limit is refused with its size", "[outbox][large]") {
  Pair pair(shm::k_default_ring, 1 << 20);
  CHECK(pair.alice.send_data(pair.bob, 1 << 20, 1));
  CHECK_THROWS_AS(pair.alice.send_data(pair.bob, (1 << 20) + 8192, 1), MessageTooLarge);
  CHECK_THROWS_WITH(pair.alice.send_data(pair.bob, 2 << 20, 1), Contains("max_message, 1048576"));
  CHECK(pair.alice.send(pair.bob, number(1)));
}

TEST_CASE("a message of many blocks arrives, whatever its shape", "[outbox][large]") {
  Pair pair;
  constexpr unsigned k_fields = 3000;
  REQUIRE(pair.alice.send<wire::Mumsg>(pair.bob, [&](wire::Mumsg::Builder mumsg) {
    auto fields = mumsg.initFields(k_fields);
    for (unsigned i = 0; i < k_fields; ++i) {
      auto data = fields[i].initData(1 + i * 7 % 9000);
      std::fill(data.begin(), data.end(), static_cast<capnp::byte>(i));
    }
  }));
  const auto message = pair.bob.pull();
  REQUIRE(message);
  const auto fields = message->root().getAs<wire::Mumsg>().getFields();
  REQUIRE(fields.size() == k_fields);
  for (unsigned i = 0; i < k_fields; ++i) {
    const auto data = fields[i].getData();
    REQUIRE(data.size() == 1 + i * 7 % 9000);
    REQUIRE(data[data.size() - 1] == static_cast<capnp::byte>(i));
  }
}

TEST_CASE("a call carries its reference, small or large", "[outbox]") {
  Pair pair;
  for (const std::size_t words : {std::size_t{1}, std::size_t{100'000}}) {
    REQUIRE(pair.alice.send<wire::Structure>(
        pair.bob, [&](auto message) { message.initWords(static_cast<unsigned>(words * 8)); }, shm::RecordKind::call,
        0xfeedface));
    const auto message = pair.bob.pull();
    CHECK(message->kind() == Message::Kind::call);
    CHECK(message->ref() == 0xfeedface);
    CHECK(message->as<wire::Structure>().getWords().size() == words * 8);
  }
}

TEST_CASE("messages of all sizes arrive whole and in order through rings of all sizes", "[outbox][large]") {
  Random random;
  INFO(random.how_to_repeat());
  for (const std::uint32_t ring : {std::uint32_t{4} << 10, std::uint32_t{32} << 10, std::uint32_t{256} << 10}) {
    Pair pair(ring);
    struct Sent {
      std::size_t words;
      std::uint64_t content;
    };
    std::deque<Sent> sent;
    std::deque<std::pair<Message, Sent>> held;
    for (int round = 0; round < 3000; ++round) {
      if (random.one_in(2)) {
        const Sent one{random.one_in(10) ? random.below(100'000) : random.below(ring / 32), random.bits()};
        if (send_words(pair.alice, pair.bob, one.words, one.content)) sent.push_back(one);
      } else if (auto message = pair.bob.pull()) {
        REQUIRE_FALSE(sent.empty());
        REQUIRE(holds(*message, sent.front().words, sent.front().content));
        held.emplace_back(std::move(*message), sent.front());
        sent.pop_front();
      } else {
        REQUIRE(sent.empty());
        pair.bob.inbox().publish_cursors();
      }
      if (held.size() > 20 || (!held.empty() && random.one_in(4))) {
        const auto which = held.begin() + static_cast<std::ptrdiff_t>(random.below(held.size()));
        REQUIRE(holds(which->first, which->second.words, which->second.content));
        held.erase(which);
      }
    }
    CHECK(pair.bob.corrupt.empty());
  }
}
