#include "sys/fence.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/error.hpp"

namespace muproc::sys {
namespace {

long membarrier(int command) { return ::syscall(SYS_membarrier, command, 0, 0); }

}  // namespace

bool has_asymmetric_fences() {
  constexpr long needed = MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;
  const long commands = membarrier(MEMBARRIER_CMD_QUERY);
  return commands >= 0 && (commands & needed) == needed;
}

void join_asymmetric_fences() {
  check(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED), "membarrier", "REGISTER_GLOBAL_EXPEDITED");
}

bool heavy_fence(bool asymmetric) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return !asymmetric || membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;
}

}  // namespace muproc::sys
