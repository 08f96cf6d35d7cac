// Where large messages are built: in their sender's own shared memory, read in place by their receivers.
//
// The first extent is the arena in the sender's segment; when it is full the sender adds further memfds, and gives each
// back whole once it is empty, since a sealed memfd cannot be punched. Blocks are whole pages, so that one in flight can
// be kept read-only to its own sender. The bookkeeping (Boost's) lies in the extents but only the owner reads it: a
// receiver looks at nothing but the blocks that a record points it to.
//
// If the owner dies anywhere in here nobody is harmed: receivers hold maps of the extents, and the kernel drops the
// memory with the last map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "sys/mapping.hpp"

namespace muproc::shm {

struct Block {
  std::uint32_t extent = 0;
  std::uint64_t offset = 0;  // bytes, from the extent's beginning
  std::byte* data = nullptr;
  std::size_t bytes = 0;     // whole pages
};

class Arena {
 public:
  /// The first extent, number 0, is memory that somebody else owns.
  Arena(std::byte* base, std::size_t size);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Zeroed whole pages, or nothing when no extent has room.
  std::optional<Block> allocate(std::size_t bytes);
  /// Makes a further extent, whose number the broker chose.
  void add_extent(std::uint32_t number, sys::Mapping memory);
  /// How large a memfd must be to hold one block of `bytes`.
  static std::size_t extent_size_for(std::size_t bytes);

  /// While a message is in flight its sender must not be able to spoil it.
  static void protect(const Block& block) noexcept;
  /// Gives the block back, writable again. The number of the extent that is empty now and was dropped, if any.
  std::optional<std::uint32_t> release(const Block& block);

  std::size_t blocks() const { return blocks_; }

 private:
  struct Extent;
  std::byte* base_;
  std::size_t size_;
  std::unique_ptr<Extent> first_;    // the segment's own memory; none before the first block
  std::unique_ptr<Extent> further_;  // a list
  std::size_t blocks_ = 0;
};

}  // namespace muproc::shm
