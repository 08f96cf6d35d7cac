// Which of the limits are plain resource limits of the kernel, and which ones.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <utility>
#include <vector>

#include <muproc/supervision.hpp>

namespace muproc::wire {

/// Pairs of RLIMIT_… and value, of those that are set. `memory`, `files` and `core` are not among them: they have fields
/// of their own, since more is done about them.
inline std::vector<std::pair<std::uint8_t, std::uint64_t>> resources_of(const ProcessLimits& limits) {
  std::vector<std::pair<std::uint8_t, std::uint64_t>> out;
  const auto add = [&](int resource, std::uint64_t value) { out.emplace_back(static_cast<std::uint8_t>(resource), value); };
  if (limits.processes) add(RLIMIT_NPROC, *limits.processes);
  if (limits.stack) add(RLIMIT_STACK, limits.stack->count);
  if (limits.locked_memory) add(RLIMIT_MEMLOCK, limits.locked_memory->count);
  if (limits.file_size) add(RLIMIT_FSIZE, limits.file_size->count);
  if (limits.cpu_time) add(RLIMIT_CPU, static_cast<std::uint64_t>(limits.cpu_time->count()));
  if (limits.realtime_priority) add(RLIMIT_RTPRIO, *limits.realtime_priority);
  return out;
}

/// Sets the one of that resource; false when there is none such.
inline bool set_resource(ProcessLimits& limits, int resource, std::uint64_t value) {
  switch (resource) {
    case RLIMIT_NPROC: limits.processes = value; return true;
    case RLIMIT_STACK: limits.stack = Bytes{value}; return true;
    case RLIMIT_MEMLOCK: limits.locked_memory = Bytes{value}; return true;
    case RLIMIT_FSIZE: limits.file_size = Bytes{value}; return true;
    case RLIMIT_CPU: limits.cpu_time = std::chrono::seconds(value); return true;
    case RLIMIT_RTPRIO: limits.realtime_priority = static_cast<unsigned>(value); return true;
    default: return false;
  }
}

}  // namespace muproc::wire
