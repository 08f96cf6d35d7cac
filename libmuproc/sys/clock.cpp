#include "sys/clock.hpp"

#include <sched.h>

#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace muproc::sys {

namespace {

const std::atomic<std::uint64_t>* virtual_clock = nullptr;

}  // namespace

void use_virtual_clock(const std::atomic<std::uint64_t>* clock) { virtual_clock = clock; }
bool time_is_virtual() { return virtual_clock != nullptr; }

std::chrono::nanoseconds monotonic() {
  // [SYNC clock.virtual] acquire
  if (virtual_clock) [[unlikely]] return std::chrono::nanoseconds(virtual_clock->load(std::memory_order_acquire));
  return real_monotonic();
}

std::chrono::nanoseconds real_monotonic() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

bool has_invariant_tsc() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
#else
  return false;
#endif
}

int usable_processors() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

}  // namespace muproc::sys
