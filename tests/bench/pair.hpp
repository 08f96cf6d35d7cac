// Two processes on two cores, of which one plays and the other serves: how all that has no muprocs in it is measured, the
// floor and the peers.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "bench/measure.hpp"

namespace muproc::bench {

/// Clones this process twice: `serve` on the second core, until it is killed, and `play` on the first, whose laps are
/// returned. Throws std::runtime_error when either fails, or takes more than a minute.
Histogram between_two(Cores cores, const std::function<void()>& serve, const std::function<Histogram()>& play);

/// Zeroed memory that the two share.
struct Unmap {
  std::size_t size;
  void operator()(void* memory) const;
};
using SharedMemory = std::unique_ptr<void, Unmap>;
SharedMemory shared_memory(std::size_t size);

}  // namespace muproc::bench
