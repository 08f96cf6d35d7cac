// What waits in a ring: looked at from outside, without taking anything and without anybody noticing.
//
// The reader's position is in its segment; from there on each record leads to the next, until one has not been written
// yet. Both sides go on meanwhile, so what comes out is a moment's truth: a record that is taken and written over while we
// look fails its mark, and the walk ends there.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "shm/layout.hpp"

namespace muproc::tools {

struct Waiting {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;            // of the ring
  std::uint64_t first_timestamp = 0;  // sys::ticks; means something when there are messages
  bool has_more = false;              // counting was given up
};

/// At most so many records are followed in one look.
inline constexpr std::uint64_t k_longest_walk = 8192;

/// False when no ring can have that shape or that position: it came from memory that says nonsense.
bool is_ring(std::uint64_t offset, std::uint32_t size, std::uint64_t position);

/// In the ring that begins there; its size and the position are such as `is_ring` accepts.
Waiting waiting_in(const std::byte* ring, std::uint32_t size, std::uint64_t secret, std::uint64_t position);

}  // namespace muproc::tools
