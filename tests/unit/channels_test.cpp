// The books of channels and extents: who may write where, and for how long.
#include "broker/channels.hpp"

#include <sys/resource.h>

#include "broker/extents.hpp"
#include "shm/layout.hpp"
#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::broker;
using Catch::Matchers::Contains;

namespace {

const Pid a(0, 1, 1), b(0, 2, 1), c(0, 3, 1);
constexpr std::uint32_t ring = shm::k_default_ring;
constexpr std::uint64_t place(int n) { return shm::k_rings_offset + static_cast<std::uint64_t>(n) * ring; }

Channel opened(Channels& channels, Pid sender, Pid receiver, int n) {
  REQUIRE(channels.why_not_ring(sender, place(n), ring).empty());
  return channels.open(sender, receiver, place(n), ring, 99).value();
}

sys::UniqueFd memfd() { return sys::create_memfd("test", 4096); }

}  // namespace

TEST_CASE("a ring lies in the area for rings, page by page, in powers of two", "[broker][channels]") {
  const Channels channels;
  CHECK(channels.why_not_ring(a, place(0), ring).empty());
  CHECK(channels.why_not_ring(a, shm::k_rings_offset + shm::k_rings_size - ring, ring).empty());
  CHECK_THAT(channels.why_not_ring(a, place(0), ring + 64), Contains("power of two"));
  CHECK_THAT(channels.why_not_ring(a, place(0), shm::k_min_ring / 2), Contains("power of two"));
  CHECK_THAT(channels.why_not_ring(a, place(0), 0), Contains("power of two"));
  CHECK_THAT(channels.why_not_ring(a, place(0) + 64, ring), Contains("page"));
  CHECK_THAT(channels.why_not_ring(a, 4096, ring), Contains("area"));
  CHECK_THAT(channels.why_not_ring(a, shm::k_rings_offset + shm::k_rings_size - ring + 4096, ring), Contains("area"));
  CHECK_THAT(channels.why_not_ring(a, ~std::uint64_t{4095}, ring), Contains("area"));
}

TEST_CASE("a sender's rings never overlap", "[broker][channels]") {
  Channels channels;
  opened(channels, a, b, 1);
  CHECK_THAT(channels.why_not_ring(a, place(1), ring), Contains("overlaps"));
  CHECK_THAT(channels.why_not_ring(a, place(1) + 4096, shm::k_min_ring), Contains("overlaps"));
  CHECK_THAT(channels.why_not_ring(a, place(0), 2 * ring), Contains("overlaps"));
  CHECK(channels.why_not_ring(a, place(2), ring).empty());
  CHECK(channels.why_not_ring(b, place(1), ring).empty());
}

TEST_CASE("each channel into a muproc has a cursor of its own", "[broker][channels]") {
  Channels channels;
  CHECK(opened(channels, a, c, 0).cursor == 0);
  CHECK(opened(channels, b, c, 0).cursor == 1);
  CHECK(opened(channels, a, b, 1).cursor == 0);
}

TEST_CASE("the channel of a dead sender stays until its receiver has drained it", "[broker][channels]") {
  Channels channels;
  opened(channels, a, c, 0);
  opened(channels, b, c, 0);
  CHECK_FALSE(channels.drained(c, 0));  // its sender lives
  const auto ended = channels.end(a);
  CHECK(ended.closed.empty());
  CHECK(ended.peers == std::set<Pid>{c});
  CHECK(channels.is_read(a));
  CHECK(channels.connects(a, c));
  REQUIRE(channels.find(c, 0));

  const Pid replacement(0, 1, 2);
  CHECK(opened(channels, replacement, c, 0).cursor == 2);  // cursor 0 is still read
  CHECK(channels.drained(c, 0)->sender == a);
  CHECK_FALSE(channels.drained(c, 0));
  CHECK_FALSE(channels.is_read(a));
  CHECK(opened(channels, b, c, 1).cursor == 0);
}

TEST_CASE("the channels of a dead receiver are gone, and their rings free", "[broker][channels]") {
  Channels channels;
  opened(channels, a, c, 0);
  opened(channels, c, b, 0);
  const auto ended = channels.end(c);
  REQUIRE(ended.closed.size() == 1);
  CHECK(ended.closed[0].sender == a);
  CHECK(ended.peers == std::set<Pid>{a, b});
  CHECK(channels.why_not_ring(a, place(0), ring).empty());
  CHECK_FALSE(channels.connects(a, c));
  CHECK(channels.connects(c, b));
}

TEST_CASE("a dead sender is forgotten when its last receiver dies", "[broker][channels]") {
  Channels channels;
  opened(channels, a, b, 0);
  opened(channels, a, c, 1);
  channels.end(a);
  channels.end(b);
  CHECK(channels.is_read(a));
  channels.end(c);
  CHECK_FALSE(channels.is_read(a));
}

TEST_CASE("a muproc has as many channels into it as its cursor table has rows", "[broker][channels]") {
  Channels channels;
  for (std::uint32_t n = 0; n < shm::k_max_channels; ++n)
    REQUIRE(channels.open(Pid(0, 10 + n, 1), c, place(0), ring, n));
  CHECK_FALSE(channels.open(a, c, place(0), ring, 1));
}

TEST_CASE("an extent is given away only once it is sealed", "[broker][extents]") {
  Extents extents;
  const auto id = extents.add(a, memfd());
  CHECK(id == 1);
  CHECK(extents.give(a, id, b) == -1);
  CHECK(extents.to_seal(a, id) >= 0);
  CHECK(extents.to_seal(b, id) == -1);
  extents.set_sealed(a, id);
  CHECK(extents.give(a, id, b) >= 0);
}

TEST_CASE("an owner has so many extents, and so many bytes of them, and no more", "[broker][extents]") {
  Extents extents;
  CHECK(extents.has_room(a, Extents::k_most_bytes));
  CHECK_FALSE(extents.has_room(a, Extents::k_most_bytes + 1));
  extents.add(a, sys::create_memfd("test", Extents::k_most_bytes - 4096));
  CHECK(extents.has_room(a, 4096));
  CHECK_FALSE(extents.has_room(a, 4097));
  CHECK(extents.has_room(b, Extents::k_most_bytes));

  rlimit files{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
  files.rlim_cur = files.rlim_max;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &files) == 0);
  for (std::size_t n = 0; n < Extents::k_most; ++n) {
    CHECK(extents.has_room(b, 4096));
    extents.add(b, memfd());
  }
  CHECK_FALSE(extents.has_room(b, 4096));
  extents.drop(b, 1);
  CHECK(extents.has_room(b, 4096));
}

TEST_CASE("those who have an extent are told when it is dropped", "[broker][extents]") {
  Extents extents;
  const auto id = extents.add(a, memfd());
  extents.set_sealed(a, id);
  extents.give(a, id, b);
  extents.give(a, id, c);
  extents.give(a, id, b);
  CHECK(extents.drop(a, id) == std::set<Pid>{b, c});
  CHECK(extents.drop(a, id).empty());
  CHECK(extents.give(a, id, b) == -1);
  CHECK(extents.add(a, memfd()) == 2);  // an id is not used again
}

TEST_CASE("the channels into one whose mailbox is kept stay when it ends, and are its successor's", "[broker][channels][keep]") {
  Channels channels;
  const Pid successor(0, 3, 2);
  opened(channels, a, c, 0);
  opened(channels, b, c, 0);
  const auto ended = channels.end(c, true);
  CHECK(ended.closed.empty());
  CHECK(ended.peers == std::set<Pid>{a, b});
  CHECK(channels.end(a).peers == std::set<Pid>{c});  // its sender may end meanwhile
  const auto inherited = channels.inherit(c, successor);
  REQUIRE(inherited.size() == 2);
  CHECK(inherited[0].sender_is_dead);
  CHECK(channels.into(c).empty());
  CHECK(channels.connects(b, successor));
  CHECK_THAT(channels.why_not_ring(b, place(0), ring), Contains("overlaps"));
  CHECK(channels.drained(successor, inherited[0].cursor));
  CHECK_FALSE(channels.is_read(a));
}

TEST_CASE("the channels into one whose mailbox was kept are gone when it gets no successor", "[broker][channels][keep]") {
  Channels channels;
  opened(channels, a, c, 0);
  channels.end(c, true);
  CHECK(channels.end_into(c).size() == 1);
  CHECK_FALSE(channels.is_read(a));
  CHECK(channels.why_not_ring(a, place(0), ring).empty());
}
