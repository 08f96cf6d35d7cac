// Where large messages are built.
#include "shm/arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "shm/layout.hpp"
#include "support/catch.hpp"
#include "support/child_process.hpp"
#include "support/random.hpp"
#include "support/sealed.hpp"
#include "sys/fd.hpp"

using namespace muproc;
using namespace muproc::shm;
using muproc::test::fate_of;
using muproc::test::Random;

namespace {

constexpr std::size_t k_mib = std::size_t{1} << 20;

sys::Mapping memory_of(std::size_t bytes) {
  const auto memfd = sys::create_memfd("test-arena", bytes);
  return sys::Mapping(memfd.get(), sys::Mapping::Access::read_write, bytes);
}

/// An arena that gets a further extent whenever it is full, as a muproc's does.
struct Growing {
  explicit Growing(std::size_t first = 4 * k_mib) : memory(memory_of(first)), arena(memory.data(), first) {}

  Block allocate(std::size_t bytes) {
    if (const auto block = arena.allocate(bytes)) return *block;
    arena.add_extent(++extents, memory_of(Arena::extent_size_for(bytes)));
    const auto block = arena.allocate(bytes);
    REQUIRE(block);
    return *block;
  }

  sys::Mapping memory;
  Arena arena;
  std::uint32_t extents = 0;
};

bool all_zero(const Block& block) {
  return std::all_of(block.data, block.data + block.bytes, [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

TEST_CASE("a block is whole zeroed pages, as many as it takes", "[shm][arena]") {
  Growing muproc;
  for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, sys::k_page, sys::k_page + 1, 100 * sys::k_page - 1}) {
    const Block block = muproc.allocate(bytes);
    INFO(bytes);
    CHECK(block.extent == 0);
    CHECK(block.bytes == std::max<std::size_t>(1, (bytes + sys::k_page - 1) / sys::k_page) * sys::k_page);
    CHECK(reinterpret_cast<std::uintptr_t>(block.data) % sys::k_page == 0);
    CHECK(block.data == muproc.memory.data() + block.offset);
    CHECK(block.offset + block.bytes <= muproc.memory.size());
    CHECK(all_zero(block));
  }
  CHECK(muproc.arena.blocks() == 5);
}

TEST_CASE("a block that is used again is zeroed again", "[shm][arena]") {
  Growing muproc;
  for (int round = 0; round < 10; ++round) {
    const Block block = muproc.allocate(k_mib);
    REQUIRE(all_zero(block));
    std::memset(block.data, 0xff, block.bytes);
    CHECK_FALSE(muproc.arena.release(block));
  }
  CHECK(muproc.arena.blocks() == 0);
}

TEST_CASE("blocks never overlap, are always zeroed, and keep what is in them", "[shm][arena]") {
  Random random;
  INFO(random.how_to_repeat());
  Growing muproc;
  std::vector<std::pair<Block, unsigned char>> blocks;
  for (int round = 0; round < 4000; ++round) {
    if (blocks.size() < 40 && random.one_in(2)) {
      const std::size_t bytes = random.one_in(20) ? random.below(6 * k_mib) : random.below(200'000);
      const Block block = muproc.allocate(bytes);
      REQUIRE(block.bytes >= bytes);
      REQUIRE(reinterpret_cast<std::uintptr_t>(block.data) % sys::k_page == 0);
      REQUIRE(all_zero(block));
      const auto content = static_cast<unsigned char>(1 + random.below(255));
      std::memset(block.data, content, block.bytes);
      Arena::protect(block);  // in flight, nobody can write it: nor can the arena's own bookkeeping
      blocks.emplace_back(block, content);
    } else if (!blocks.empty()) {
      const std::size_t which = random.below(blocks.size());
      const auto [block, content] = blocks[which];
      REQUIRE(std::all_of(block.data, block.data + block.bytes,
                          [content = content](std::byte b) { return b == std::byte{content}; }));
      muproc.arena.release(block);
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(which));
    }
  }
  for (const auto& [block, content] : blocks) muproc.arena.release(block);
  CHECK(muproc.arena.blocks() == 0);
}

TEST_CASE("when there is no room an arena says so", "[shm][arena]") {
  Growing muproc(k_mib);
  CHECK_FALSE(muproc.arena.allocate(k_mib));
  CHECK_FALSE(muproc.arena.allocate(std::size_t{1} << 40));
  std::size_t got = 0;
  while (muproc.arena.allocate(sys::k_page)) ++got;
  CHECK(got > 100);
  CHECK(muproc.arena.blocks() == got);
}

TEST_CASE("a full arena goes on in an extent, which is dropped when it is empty", "[shm][arena]") {
  Growing muproc(k_mib);
  const Block first = muproc.allocate(2 * k_mib);
  const Block second = muproc.allocate(3 * k_mib);
  CHECK(first.extent == 1);
  CHECK(second.extent == 1);
  CHECK(muproc.extents == 1);
  CHECK_FALSE(muproc.arena.release(first));
  CHECK(muproc.arena.release(second) == 1u);
  CHECK_FALSE(muproc.arena.allocate(2 * k_mib));
  const Block third = muproc.allocate(2 * k_mib);
  CHECK(third.extent == 2);
  CHECK(muproc.arena.release(third) == 2u);
}

TEST_CASE("extents can be dropped in any order", "[shm][arena]") {
  Growing muproc(k_mib);
  std::map<std::uint32_t, Block> blocks;
  for (int i = 0; i < 5; ++i) {
    const Block block = muproc.allocate(40 * k_mib);
    CHECK(blocks.emplace(block.extent, block).second);
  }
  for (std::uint32_t extent : {3u, 1u, 5u, 2u, 4u}) CHECK(muproc.arena.release(blocks.at(extent)) == extent);
  CHECK(muproc.arena.blocks() == 0);
}

TEST_CASE("a block of 1 GiB fits the extent that was made for it, and takes memory only where it is written", "[shm][arena]") {
  const std::size_t bytes = std::size_t{1} << 30;
  const std::size_t size = Arena::extent_size_for(bytes);
  const auto memfd = sys::create_memfd("test-large", size);
  Growing muproc(k_mib);
  muproc.arena.add_extent(1, sys::Mapping(memfd.get(), sys::Mapping::Access::read_write, size));
  const auto block = muproc.arena.allocate(bytes);
  REQUIRE(block);
  CHECK(block->extent == 1);
  CHECK(block->bytes == bytes);
  block->data[0] = std::byte{1};
  block->data[bytes - 1] = std::byte{2};
  CHECK(muproc::test::bytes_allocated(memfd.get()) <= 32 * sys::k_page);
  CHECK(muproc.arena.release(*block) == 1u);
}

TEST_CASE("an extent is no larger than it must be", "[shm][arena]") {
  for (std::size_t bytes : {std::size_t{1}, k_mib, 63 * k_mib, 64 * k_mib, 100 * k_mib + 1}) {
    INFO(bytes);
    const std::size_t size = Arena::extent_size_for(bytes);
    CHECK(size >= 64 * k_mib);
    CHECK(size <= std::max(64 * k_mib, bytes + k_mib));
    Growing muproc(k_mib);
    muproc.arena.add_extent(1, memory_of(size));
    CHECK(muproc.arena.allocate(bytes));
  }
}

TEST_CASE("a message in flight cannot be spoilt by its own sender: its write is a fault", "[shm][arena][crash]") {
  const auto writes_into = [](bool in_flight, bool taken_back) {
    return fate_of([&] {
      Growing muproc;
      const Block block = muproc.allocate(3 * sys::k_page);
      if (in_flight) Arena::protect(block);
      if (taken_back) muproc.arena.release(block);
      *static_cast<volatile std::byte*>(block.data + block.bytes - 1) = std::byte{1};
      return 0;
    });
  };
  CHECK(writes_into(false, false) == "exit 0");
  CHECK(writes_into(true, false) == "SIGSEGV");
  CHECK(writes_into(true, true) == "exit 0");
}

TEST_CASE("a message in flight can be read by its sender", "[shm][arena]") {
  Growing muproc;
  const Block block = muproc.allocate(sys::k_page);
  block.data[7] = std::byte{42};
  Arena::protect(block);
  CHECK(block.data[7] == std::byte{42});
  muproc.arena.release(block);
}

TEST_CASE("a block's neighbours stay writable while it is in flight", "[shm][arena]") {
  Growing muproc;
  const Block before = muproc.allocate(sys::k_page), in_flight = muproc.allocate(sys::k_page), after = muproc.allocate(sys::k_page);
  Arena::protect(in_flight);
  std::memset(before.data, 1, before.bytes);
  std::memset(after.data, 1, after.bytes);
  muproc.arena.release(before);
  muproc.arena.release(after);
  CHECK(muproc.allocate(sys::k_page).bytes == sys::k_page);
  muproc.arena.release(in_flight);
}

TEST_CASE("a muproc's own maps are not there in a child that it forks", "[shm][arena][crash]") {
  const auto memory = memory_of(k_mib);
  CHECK(fate_of([&] {
          *static_cast<volatile std::byte*>(memory.data()) = std::byte{1};
          return 0;
        }) == "SIGSEGV");
}
