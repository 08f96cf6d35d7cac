// Counters of shared memory that one process writes and others look at.
#pragma once

#include <atomic>
#include <cstdint>

#include "shm/layout.hpp"

namespace muproc::shm {

/// By their only writer: no other store can come in between.
inline void add(AtomicU64& counter, std::uint64_t count) {
  counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

}  // namespace muproc::shm
