#include "bench/floor.hpp"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <new>
#include <stdexcept>

namespace muproc::bench {
namespace {

constexpr std::uint64_t k_warm_up = 2'000;
constexpr std::uint64_t k_laps = 20'000;

struct Shared {
  alignas(128) std::atomic<std::uint64_t> there{0};
  alignas(128) std::atomic<std::uint64_t> back{0};
  alignas(128) Round result;
};

void serve(Shared& shared) {
  for (std::uint64_t n = 1; n <= k_warm_up + k_laps; ++n) {
    while (shared.there.load(std::memory_order_acquire) != n) {
    }
    shared.back.store(n, std::memory_order_release);
  }
}

void play(Shared& shared) {
  Laps laps(k_laps);
  for (std::uint64_t n = 1; n <= k_warm_up + k_laps; ++n) {
    if (n == k_warm_up + 1) laps.begin();
    shared.there.store(n, std::memory_order_release);
    while (shared.back.load(std::memory_order_acquire) != n) {
    }
    if (n > k_warm_up) laps.lap();
  }
  shared.result = laps.end();
}

pid_t run_on(unsigned core, void (*function)(Shared&), Shared& shared) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    pin(core);
    function(shared);
  } catch (...) {
    ::_exit(1);
  }
  ::_exit(0);
}

bool ended_well(pid_t child) {
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

Round measure_floor(Cores cores) {
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("cannot map memory for the floor");
  auto* shared = new (memory) Shared;
  const pid_t server = run_on(cores.second, serve, *shared);
  const pid_t player = run_on(cores.first, play, *shared);
  const bool played = ended_well(player);
  if (!played) ::kill(server, SIGKILL);
  const bool served = ended_well(server);
  const Round result = shared->result;
  ::munmap(memory, sizeof(Shared));
  if (!played || !served) throw std::runtime_error("the floor could not be measured");
  return result;
}

}  // namespace muproc::bench
