#include "bench/bare_ring.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <new>
#include <stdexcept>

#include "bench/pair.hpp"

namespace muproc::bench {
namespace {

constexpr std::uint64_t k_messages = 1'000'000;
constexpr std::uint64_t k_warm_up = k_messages / 10;
constexpr std::uint64_t k_slots = 2048;  // two lines each: as many bytes as the ring of a channel

struct alignas(64) Slot {
  std::atomic<std::uint64_t> mark{0};  // the number of the message that it holds; the producer's, with release
  std::array<std::uint64_t, 8> payload{};
};

struct Ring {
  std::array<Slot, k_slots> slots;
  alignas(128) std::atomic<std::uint64_t> consumed{0};  // the consumer's, with release
};

Slot& slot(Ring& ring, std::uint64_t number) { return ring.slots[number % k_slots]; }

void produce(Ring& ring) {
  std::uint64_t consumed = 0;
  for (std::uint64_t number = 1; number <= k_messages; ++number) {
    while (number - consumed > k_slots) consumed = ring.consumed.load(std::memory_order_acquire);
    Slot& to = slot(ring, number);
    for (std::uint64_t i = 0; i < to.payload.size(); ++i) to.payload[i] = number + i;
    to.mark.store(number, std::memory_order_release);
    __builtin_prefetch(&slot(ring, number + 4), 1);
  }
}

/// How long the last nine tenths took.
Histogram consume(Ring& ring) {
  double begin = 0;
  for (std::uint64_t number = 1; number <= k_messages; ++number) {
    if (number == k_warm_up + 1) begin = now_ns();
    const Slot& from = slot(ring, number);
    while (from.mark.load(std::memory_order_acquire) != number) {
    }
    std::uint64_t sum = 0;
    for (const std::uint64_t word : from.payload) sum += word;
    if (sum != number * 8 + 28) throw std::runtime_error("the bare ring has lost a message");
    if (number % (k_slots / 8) == 0) ring.consumed.store(number, std::memory_order_release);
  }
  Histogram took;
  took.record(static_cast<std::uint64_t>(now_ns() - begin));
  return took;
}

}  // namespace

double measure_bare_ring(Cores cores) {
  const SharedMemory memory = shared_memory(sizeof(Ring));
  Ring& ring = *new (memory.get()) Ring;
  const Histogram took = between_two(
      cores,
      [&] {
        produce(ring);
        for (;;) ::pause();
      },
      [&] { return consume(ring); });
  return static_cast<double>(k_messages - k_warm_up) / (took.median() / 1e9);
}

}  // namespace muproc::bench
