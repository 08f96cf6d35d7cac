#include "bench/floor.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <new>
#include <stdexcept>

#include "bench/pair.hpp"

namespace muproc::bench {
namespace {

constexpr int k_warm_up = 2'000;
constexpr int k_laps = 20'000;
constexpr int k_wakes = 200;

struct Shared {
  alignas(128) std::atomic<std::uint64_t> there{0};
  alignas(128) std::atomic<std::uint64_t> back{0};
};

void await(const std::atomic<std::uint64_t>& word, std::uint64_t value) {
  while (word.load(std::memory_order_acquire) != value) {
  }
}

class Eventfd {
 public:
  Eventfd() : fd_(::eventfd(0, EFD_CLOEXEC)) {
    if (fd_ < 0) throw std::runtime_error("cannot make an eventfd");
  }
  Eventfd(const Eventfd&) = delete;
  Eventfd& operator=(const Eventfd&) = delete;
  ~Eventfd() { ::close(fd_); }
  void write() { check(::write(fd_, &k_one, 8)); }
  void read() {
    std::uint64_t count;
    check(::read(fd_, &count, 8));
  }

 private:
  static constexpr std::uint64_t k_one = 1;
  static void check(ssize_t count) {
    if (count != 8) throw std::runtime_error("an eventfd failed");
  }
  int fd_;
};

}  // namespace

Histogram measure_floor(Cores cores) {
  const SharedMemory memory = shared_memory(sizeof(Shared));
  auto& shared = *new (memory.get()) Shared;
  std::uint64_t served = 0, played = 0;
  return between_two(
      cores,
      [&] {
        for (;;) {
          await(shared.there, ++served);
          shared.back.store(served, std::memory_order_release);
        }
      },
      [&] {
        const auto lap = [&](int) {
          shared.there.store(++played, std::memory_order_release);
          await(shared.back, played);
        };
        timed(k_warm_up, lap);
        return timed(k_laps, lap);
      });
}

Histogram measure_eventfd_wake(Cores cores) {
  struct Stamps {
    std::atomic<double> written{0};
    std::atomic<double> read{0};
  };
  const SharedMemory memory = shared_memory(sizeof(Stamps));
  auto& stamps = *new (memory.get()) Stamps;
  Eventfd wake, done;
  return between_two(
      cores,
      [&] {
        for (;;) {
          wake.read();
          stamps.read = now_ns();
          done.write();
        }
      },
      [&] {
        Histogram wakes;
        for (int n = 0; n < k_wakes; ++n) {
          rest();
          stamps.written = now_ns();
          wake.write();
          done.read();
          wakes.record(static_cast<std::uint64_t>(stamps.read - stamps.written));
        }
        return wakes;
      });
}

Histogram measure_eventfd_same_core(Cores cores) {
  Eventfd there, back;
  return between_two(
      {cores.first, cores.first},
      [&] {
        for (;;) {
          there.read();
          back.write();
        }
      },
      [&] {
        const auto lap = [&](int) {
          there.write();
          back.read();
        };
        timed(k_warm_up, lap);
        return timed(k_laps, lap);
      });
}

}  // namespace muproc::bench
