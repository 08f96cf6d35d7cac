// A fence with two unequal sides, between processes.
//
// Where two processes each store something and then look at what the other has stored (Dekker's pattern: "I sleep", "you
// have mail"), both need a full fence between their store and their look. When one side does it a million times a second
// and the other seldom, the kernel can make the seldom one pay for both: `membarrier` interrupts every processor that
// runs a process of ours at this moment. The light side then need only keep its compiler in order.
//
// All processes must agree on which way is taken; the directory's header says it.
#pragma once

#include <atomic>

namespace muproc::sys {

/// True when this kernel has what `heavy_fence(true)` needs. No other process is asked.
bool has_asymmetric_fences();
/// Makes this process one that heavy fences wait for. Inherited over fork, not over exec. Throws std::system_error.
void join_asymmetric_fences();

/// The side that is often taken: as good as a full fence when `asymmetric` processes have joined, and costs nothing.
inline void light_fence(bool asymmetric) {
  if (asymmetric) [[likely]] {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
}

/// The seldom one: a full fence here, and in all processes that have joined. False when the kernel has refused (a filter
/// that came later): what others did just before may then be seen late.
[[nodiscard]] bool heavy_fence(bool asymmetric);

}  // namespace muproc::sys
