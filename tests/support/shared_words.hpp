// Words that a test and its muprocs share behind the runtime's back, to bring about what is unlikely otherwise: who comes
// first, who waits for whom. Made before the system, so that all have them.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <new>
#include <string>

#include "support/catch.hpp"
#include "support/waiting.hpp"

namespace muproc::test {

struct SharedWords {
  std::atomic<int> stage{0};
  void await(int wanted) const {
    wait_until("stage " + std::to_string(wanted), [&] { return stage.load() >= wanted; });
  }
};
inline SharedWords* shared = nullptr;

/// New ones, at stage 0.
inline void make_shared_words() {
  void* memory = ::mmap(nullptr, sizeof(SharedWords), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  shared = new (memory) SharedWords;
}

}  // namespace muproc::test
