// What waits for a muproc: channels, notices, the stash.
#include "runtime/inbox.hpp"

#include <muproc/self.hpp>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/mailboxes.hpp"
#include "support/printing.hpp"
#include "support/watchdog.hpp"

using namespace muproc;
using Catch::Matchers::Contains;
using muproc::detail::Notice;
using muproc::shm::LargeSegment;
using muproc::shm::LargeTable;
using muproc::test::Mailboxes;
using muproc::test::Party;
using muproc::test::Watchdog;

namespace {

/// The body of a large record, as a sender may write it.
std::vector<std::uint64_t> large_body(LargeTable table, const std::vector<LargeSegment>& segments, std::size_t padding = 0) {
  std::vector<std::uint64_t> words(1 + segments.size() * 3 + padding);
  std::memcpy(words.data(), &table, sizeof table);
  if (!segments.empty()) std::memcpy(words.data() + 1, segments.data(), segments.size() * sizeof(LargeSegment));
  return words;
}

Mumsg number(std::int64_t n) { return {{"n", n}}; }

Notice end_of(const Party& dead) { return {Notice::Kind::terminated, dead.pid(), "dead", Reason::killed(), 7, std::nullopt}; }

Notice exit_signal(const Party& sender, std::optional<std::uint64_t> position) {
  return {Notice::Kind::exit_signal, sender.pid(), "", Reason::exit("go"), 0, position};
}

}  // namespace

// ---- order -----------------------------------------------------------------------------------------------------------

TEST_CASE("one sender's messages arrive in the order in which they were sent", "[inbox]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  CHECK_FALSE(bob.next());
  for (int n = 0; n < 100; ++n) REQUIRE(alice.send(bob, number(n)));
  for (int n = 0; n < 100; ++n) REQUIRE(bob.next() == number(n));
  CHECK_FALSE(bob.next());
  CHECK(bob.status().messages_received.load() == 100);
}

TEST_CASE("a message says who sent it, by the channel and not by the record", "[inbox]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send<wire::Reason>(bob, [](auto) {}, shm::RecordKind::call, 42));
  const auto message = bob.pull();
  REQUIRE(message);
  CHECK(message->from() == alice.pid());
  CHECK(message->kind() == Message::Kind::call);
  CHECK(message->ref() == 42);
  CHECK(message->is<wire::Reason>());
  CHECK_FALSE(message->is_mumsg());
}

TEST_CASE("between senders the older message comes first, whichever channel is looked at first", "[inbox]") {
  Mailboxes world;
  auto& early = world.muproc();
  auto& late = world.muproc();
  auto& bob = world.muproc();
  world.open(late, bob);
  world.open(early, bob);
  const std::uint64_t now = world.now();
  REQUIRE(late.send_at(now - 10, bob, number(2)));
  REQUIRE(late.send_at(now - 5, bob, number(4)));
  REQUIRE(early.send_at(now - 20, bob, number(1)));
  REQUIRE(early.send_at(now - 7, bob, number(3)));
  for (int n = 1; n <= 4; ++n) CHECK(bob.next() == number(n));
}

TEST_CASE("a timestamp in the future is taken for now, and holds nothing back", "[inbox][hostile]") {
  Mailboxes world;
  auto& liar = world.muproc();
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(liar, bob);
  world.open(alice, bob);
  REQUIRE(liar.send_at(~std::uint64_t{0}, bob, number(1)));
  REQUIRE(alice.send(bob, number(2)));
  CHECK(bob.next() == number(2));  // compared with it, the other counts as of now
  REQUIRE(alice.send(bob, number(3)));
  CHECK(bob.next() == number(1));
  CHECK(bob.next() == number(3));
}

TEST_CASE("what a message causes is never delivered before it", "[inbox]") {
  // Alice sends to Carol and then gives Bob a sign; Bob, when he has seen it, sends to Carol.
  constexpr std::int64_t k_rounds = 30000;
  const Watchdog watchdog("chains of messages over three muprocs");
  Mailboxes world;
  auto& bob = world.muproc();
  auto& alice = world.muproc();
  auto& carol = world.muproc();
  world.open(bob, carol);  // looked at first: what comes late in alice's channel would be overtaken
  world.open(alice, carol);
  std::atomic<std::int64_t> sign{-1}, read{-1};
  const auto sends = [&](Party& sender, std::int64_t n) {
    while (!sender.send(carol, number(n))) std::this_thread::yield();
  };
  std::thread alices([&] {
    for (std::int64_t n = 0; n < k_rounds; ++n) {
      sends(alice, n);
      sign.store(n, std::memory_order_release);
      while (read.load(std::memory_order_relaxed) < n - 50) std::this_thread::yield();
    }
  });
  std::thread bobs([&] {
    for (std::int64_t n = 0; n < k_rounds;) {
      const std::int64_t last = sign.load(std::memory_order_acquire);
      if (last < n) std::this_thread::yield();
      for (; n <= last; ++n) sends(bob, n);
    }
  });
  std::int64_t from_alice = -1, from_bob = -1, overtaken = 0, out_of_order = 0;
  while (from_bob < k_rounds - 1) {
    const auto message = carol.pull();
    if (!message) {
      carol.inbox().publish_cursors();
      std::this_thread::yield();
      continue;
    }
    const auto n = message->mumsg()["n"].as<std::int64_t>();
    std::int64_t& last = message->from() == alice.pid() ? from_alice : from_bob;
    out_of_order += n != last + 1;
    last = n;
    overtaken += from_bob > from_alice;
    read.store(from_bob, std::memory_order_relaxed);
  }
  alices.join();
  bobs.join();
  CHECK(overtaken == 0);
  CHECK(out_of_order == 0);
}

TEST_CASE("a record for another incarnation is skipped", "[inbox]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  shm::RecordHeader header{};
  header.kind = static_cast<std::uint8_t>(shm::RecordKind::message);
  header.target = 2;
  header.timestamp = world.now();
  const std::uint64_t body[] = {1, 2, 3};
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(body))};
  REQUIRE(alice.channel_to(bob).writer.write(header, parts));
  REQUIRE(alice.send(bob, number(1)));
  CHECK(bob.next() == number(1));
  CHECK_FALSE(bob.next());
  CHECK(bob.corrupt.empty());
  CHECK(bob.status().messages_received.load() == 1);
}

// ---- senders that write nonsense -------------------------------------------------------------------------------------

TEST_CASE("a message that was received does not change, whatever its sender does to its ring", "[inbox][hostile]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send(bob, {{"text", "as it was sent"}}));
  const auto message = bob.pull();
  REQUIRE(message);
  bob.inbox().publish_cursors();
  while (alice.channel_to(bob).writer.position() <= shm::k_default_ring)
    REQUIRE(alice.send_raw(bob, std::vector<std::uint64_t>(1, ~std::uint64_t{0})));
  CHECK(message->mumsg()["text"].as<std::string>() == "as it was sent");
}

TEST_CASE("contents that are no message close the channel, and are reported", "[inbox][hostile]") {
  Mailboxes world;
  auto& mallory = world.muproc();
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(mallory, bob);
  world.open(alice, bob);
  const auto check_refused = [&](const std::string& why) {
    CHECK_FALSE(bob.next());
    REQUIRE(bob.corrupt.size() == 1);
    CHECK_THAT(bob.corrupt[0], Contains(why));
    CHECK(bob.status().malformed.load() == 1);
    CHECK(mallory.send(bob, number(1)));
    CHECK_FALSE(bob.next());  // nobody listens to that one any more
    CHECK(alice.send(bob, number(2)));
    CHECK(bob.next() == number(2));
    CHECK(bob.corrupt.size() == 1);
  };
  const auto type = GENERATE(capnp::typeId<wire::Reason>(), capnp::typeId<wire::Mumsg>());
  SECTION("a root pointer that leads outside") {
    REQUIRE(mallory.send_raw(bob, {0x0000ffff00000ffc}, 0, type));
    check_refused("no message");
  }
  SECTION("random words") {
    REQUIRE(mallory.send_raw(bob, {0xdeadbeefdeadbeef, 0xfeedfacefeedface, 3, 4}, 0, type));
    check_refused("no message");
  }
  SECTION("a call without its reference") {
    REQUIRE(mallory.send_raw(bob, {}, shm::k_flag_reference));
    check_refused("reference");
  }
}

TEST_CASE("a large message's table is not believed", "[inbox][large][hostile]") {
  Mailboxes world;
  auto& mallory = world.muproc();
  auto& bob = world.muproc();
  world.open(mallory, bob);
  const auto check_refused = [&](const std::vector<std::uint64_t>& body, const std::string& why) {
    REQUIRE(mallory.send_raw(bob, body, shm::k_flag_large));
    CHECK_FALSE(bob.next());
    REQUIRE(bob.corrupt.size() == 1);
    CHECK_THAT(bob.corrupt[0], Contains(why));
    CHECK(bob.inbox().channel_from(mallory.pid())->own->cursor(0).released.load() == 0);
  };
  SECTION("no table at all") { check_refused({}, "without its table"); }
  SECTION("more segments than there may be") { check_refused(large_body({57, 0}, {}, 500), "cannot be"); }
  SECTION("more segments than any number") { check_refused(large_body({0xffffffff, 0}, {}, 500), "cannot be"); }
  SECTION("a table longer than the record") { check_refused(large_body({3, 0}, {{0, 0, 0, 1}}), "cannot be"); }
  SECTION("a ticket that there is not") { check_refused(large_body({1, 64}, {{0, 0, 0, 1}}), "cannot be"); }
  SECTION("a block behind the arena") {
    check_refused(large_body({1, 0}, {{0, 0, shm::k_arena_size, 1}}), "outside");
  }
  SECTION("a block that begins in the arena and ends behind it") {
    check_refused(large_body({1, 0}, {{0, 0, shm::k_arena_size - 8, 2}}), "outside");
  }
  SECTION("a block larger than all memory") {
    check_refused(large_body({1, 0}, {{0, 0, 8, ~std::uint64_t{0}}}), "outside");
  }
  SECTION("a block that does not begin at a word") { check_refused(large_body({1, 0}, {{0, 0, 4, 1}}), "outside"); }
  SECTION("an extent that there is not") { check_refused(large_body({1, 0}, {{9, 0, 0, 1}}), "extent"); }
}

TEST_CASE("a header that cannot be closes its channel only", "[inbox][hostile]") {
  Mailboxes world;
  auto& mallory = world.muproc();
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(mallory, bob);
  world.open(alice, bob);
  shm::RecordHeader header{};
  header.kind = 77;
  const std::span<const std::byte> nothing[] = {{}};
  REQUIRE(mallory.channel_to(bob).writer.write(header, nothing));
  REQUIRE(alice.send(bob, number(1)));
  CHECK(bob.next() == number(1));
  REQUIRE(bob.corrupt.size() == 1);
  CHECK_THAT(bob.corrupt[0], Contains("header"));
  CHECK_FALSE(bob.inbox().ready());
}

TEST_CASE("a channel outside the rings is not opened", "[inbox][hostile]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  const auto peer = bob.inbox().channel_from(alice.pid())->peer;
  const std::size_t before = bob.inbox().channels();
  bob.inbox().open(1, peer, alice.pid(), 0, shm::k_default_ring, 1);
  bob.inbox().open(1, peer, alice.pid(), shm::k_arena_offset - 4096, shm::k_default_ring, 1);
  bob.inbox().open(1, peer, alice.pid(), shm::k_rings_offset + 8, shm::k_default_ring, 1);
  bob.inbox().open(1, peer, alice.pid(), shm::k_rings_offset, 5000, 1);
  bob.inbox().open(1, peer, alice.pid(), shm::k_rings_offset, 0, 1);
  bob.inbox().open(1, peer, alice.pid(), ~std::uint64_t{0} - 4095, shm::k_default_ring, 1);
  bob.inbox().open(shm::k_max_channels, peer, alice.pid(), shm::k_rings_offset, shm::k_default_ring, 1);
  CHECK(bob.inbox().channels() == before);
}

// ---- deaths ----------------------------------------------------------------------------------------------------------

TEST_CASE("what the dead one sent arrives, and then its channel is closed", "[inbox][crash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send(bob, number(1)));
  REQUIRE(alice.send(bob, number(2)));
  world.dies(alice);
  CHECK(bob.next() == number(1));
  CHECK(bob.drained.empty());
  CHECK(bob.next() == number(2));
  CHECK_FALSE(bob.next());
  CHECK(bob.drained == std::vector{alice.pid()});
  CHECK(bob.inbox().channels() == 0);
}

TEST_CASE("when a channel is closed its cursor is 0 again, for the next sender that gets it", "[inbox][crash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send(bob, number(1)));
  REQUIRE(bob.next());
  bob.inbox().publish_cursors();
  const auto& cursor = bob.inbox().channel_from(alice.pid())->own->cursor(0);
  CHECK(cursor.consumed.load() > 0);
  world.dies(alice);
  CHECK_FALSE(bob.next());
  CHECK(cursor.consumed.load() == 0);
  CHECK(cursor.released.load() == 0);
}

TEST_CASE("the notice of an end waits for the messages of the dead", "[inbox][notice]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send(bob, number(1)));
  world.dies(alice);
  bob.inbox().add_notice(end_of(alice));
  CHECK_FALSE(bob.inbox().notice_ready());
  CHECK_FALSE(bob.inbox().take_notice());
  CHECK(bob.next() == number(1));
  CHECK(bob.inbox().notice_ready());
  CHECK(bob.inbox().take_notice()->pid == alice.pid());
  CHECK_FALSE(bob.inbox().take_notice());
}

TEST_CASE("a notice about one without a channel waits for nobody, and overtakes one that waits", "[inbox][notice]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& stranger = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send(bob, number(1)));
  world.dies(alice);
  bob.inbox().add_notice(end_of(alice));
  bob.inbox().add_notice(end_of(stranger));
  CHECK(bob.inbox().take_notice()->pid == stranger.pid());
  CHECK_FALSE(bob.inbox().take_notice());
}

TEST_CASE("an exit signal comes behind what its sender had sent before, and before what it sent after", "[inbox][notice]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send(bob, number(1)));
  const std::uint64_t position = alice.channel_to(bob).writer.position();
  REQUIRE(alice.send(bob, number(2)));
  bob.inbox().add_notice(exit_signal(alice, position));
  CHECK_FALSE(bob.inbox().take_notice());
  CHECK(bob.next() == number(1));
  CHECK(bob.inbox().take_notice()->kind == Notice::Kind::exit_signal);
  CHECK(bob.next() == number(2));
}

TEST_CASE("an exit signal of one that died before it had sent so much waits no longer", "[inbox][notice][crash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  bob.inbox().add_notice(exit_signal(alice, 4096));
  CHECK_FALSE(bob.inbox().take_notice());
  world.dies(alice);
  CHECK(bob.inbox().take_notice());
}

// ---- the stash -------------------------------------------------------------------------------------------------------

TEST_CASE("messages wait in the stash in order, and each can be taken", "[inbox][stash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  for (int n = 0; n < 3; ++n) {
    REQUIRE(alice.send(bob, number(n)));
    bob.inbox().push(*bob.pull());
  }
  auto& stash = bob.inbox().stash();
  CHECK(bob.status().stash_messages.load() == 3);
  CHECK(bob.inbox().take(std::next(stash.begin())).mumsg().value() == number(1));
  CHECK(bob.inbox().take(stash.begin()).mumsg().value() == number(0));
  CHECK(bob.inbox().discard() == 1);
  CHECK(stash.empty());
  CHECK(bob.status().stash_bytes.load() == 0);
  CHECK(bob.status().stash_high_water.load() > 0);
}

TEST_CASE("a full stash says so, and what is in it stays", "[inbox][stash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc(10'000);
  world.open(alice, bob);
  std::size_t pushed = 0;
  for (;; ++pushed) {
    REQUIRE(pushed < 1000);
    REQUIRE(alice.send(bob, number(static_cast<std::int64_t>(pushed))));
    auto message = bob.pull();
    REQUIRE(message);
    try {
      bob.inbox().push(std::move(*message));
    } catch (const StashFull& full) {
      CHECK_THAT(full.what(), Contains("10000") && Contains(std::to_string(pushed)));
      break;
    }
  }
  CHECK(pushed > 10);
  CHECK(bob.inbox().stash().size() == pushed);
  CHECK(bob.status().stash_bytes.load() <= 10'000);
  CHECK(bob.inbox().stash().front().mumsg().value() == number(0));
}

TEST_CASE("a notice of the system is never refused for want of room", "[inbox][stash]") {
  Mailboxes world;
  auto& bob = world.muproc(0);
  CHECK_NOTHROW(bob.inbox().push(Message()));
  CHECK(bob.inbox().stash().size() == 1);
}

TEST_CASE("a small message in the stash takes little memory", "[inbox][stash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send(bob, number(1)));
  bob.inbox().push(*bob.pull());
  CHECK(bob.status().stash_bytes.load() < 1024);
}

// ---- large messages --------------------------------------------------------------------------------------------------

TEST_CASE("a large message is read where its sender built it: not a byte of it is copied", "[inbox][large]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  constexpr std::size_t k_bytes = 10 << 20;
  REQUIRE(alice.send_data(bob, k_bytes, 0x5a));
  const auto message = bob.pull();
  REQUIRE(message);
  const auto data = message->root().getAs<wire::Mumsg>().getFields()[0].getData();
  REQUIRE(data.size() == k_bytes);
  CHECK(data[0] == 0x5a);
  CHECK(data[k_bytes - 1] == 0x5a);
  const std::byte* arena = bob.inbox().channel_from(alice.pid())->peer->segment.at(shm::k_arena_offset);
  const auto* first = reinterpret_cast<const std::byte*>(data.begin());
  CHECK(first >= arena);
  CHECK(first + k_bytes <= arena + shm::k_arena_size);
  CHECK(bob.status().bytes_copied_in.load() < 1024);
  CHECK(bob.status().bytes_received.load() >= k_bytes);
}

TEST_CASE("a large message in the stash is not copied either", "[inbox][large][stash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send_data(bob, 1 << 20, 7));
  auto message = bob.pull();
  const auto* before = message->root().getAs<wire::Mumsg>().getFields()[0].getData().begin();
  bob.inbox().push(std::move(*message));
  const auto taken = bob.inbox().take(bob.inbox().stash().begin());
  CHECK(taken.root().getAs<wire::Mumsg>().getFields()[0].getData().begin() == before);
}

TEST_CASE("a large message lives on after its sender has died", "[inbox][large][crash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send_data(bob, 1 << 20, 1));
  REQUIRE(alice.send_data(bob, 100 << 20, 2));  // in an extent
  const auto first = bob.pull();
  const auto second = bob.pull();
  world.dies(alice);
  CHECK_FALSE(bob.pull());
  CHECK(bob.inbox().channels() == 0);
  CHECK(first->root().getAs<wire::Mumsg>().getFields()[0].getData()[99999] == 1);
  CHECK(second->root().getAs<wire::Mumsg>().getFields()[0].getData()[99 << 20] == 2);
}

TEST_CASE("the release of a message whose channel is closed does not reach the channel's successor", "[inbox][large][crash]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  REQUIRE(alice.send_data(bob, 1 << 20, 1));
  auto message = bob.pull();
  const auto& cursor = bob.inbox().channel_from(alice.pid())->own->cursor(0);
  world.dies(alice);
  CHECK_FALSE(bob.pull());
  message.reset();
  CHECK(cursor.released.load() == 0);
}

TEST_CASE("a message in an extent is read there, and the extent is fetched once", "[inbox][large]") {
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob);
  for (int i = 0; i < 3; ++i) REQUIRE(alice.send_data(bob, 30 << 20, static_cast<unsigned char>(i)));
  for (int i = 0; i < 3; ++i) {
    const auto message = bob.pull();
    REQUIRE(message);
    CHECK(message->root().getAs<wire::Mumsg>().getFields()[0].getData()[12345] == i);
  }
  CHECK(bob.extents_fetched == 1);
  CHECK(bob.status().bytes_copied_in.load() < 4096);
}
