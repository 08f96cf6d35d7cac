// Randomness for property tests: a new seed each time, printed when the test fails; MUPROC_TEST_SEED=n repeats that run.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

namespace muproc::test {

class Random {
 public:
  Random() : Random(chosen_seed()) {}
  explicit Random(std::uint64_t seed) : seed_(seed), engine_(seed) {}

  /// For INFO: how to see that run again.
  std::string how_to_repeat() const { return "MUPROC_TEST_SEED=" + std::to_string(seed_); }

  std::uint64_t bits() { return engine_(); }
  /// From 0 up to and without `end`.
  std::uint64_t below(std::uint64_t end) { return engine_() % end; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  static std::uint64_t chosen_seed() {
    if (const char* set = std::getenv("MUPROC_TEST_SEED")) return std::strtoull(set, nullptr, 10);
    return std::random_device{}();
  }

  std::uint64_t seed_;
  std::mt19937_64 engine_;
};

}  // namespace muproc::test
