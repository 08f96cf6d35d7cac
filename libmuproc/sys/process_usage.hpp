// What a process takes of the machine, as /proc has it.
//
// The file stays open: it belongs to the process and not to its number, so nothing is ever told of another one that got the
// number later, and a look costs one system call.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sys/fd.hpp"

namespace muproc::sys {

struct ProcessUsage {
  std::chrono::nanoseconds cpu{0};  // user and system time since its birth, all threads
  std::uint64_t resident = 0;       // bytes
  char state = '?';                 // as in ps: R, S, D, T, Z, …
  std::uint32_t threads = 0;
};

class ProcessProbe {
 public:
  ProcessProbe() = default;
  explicit ProcessProbe(int os_pid);
  /// Nothing when it has ended, or cannot be seen.
  std::optional<ProcessUsage> look() const;
  explicit operator bool() const { return static_cast<bool>(stat_); }

 private:
  sys::UniqueFd stat_;
};

/// Of the text of /proc/PID/stat. Nothing when it is none.
std::optional<ProcessUsage> parse_process_stat(std::string_view text);

}  // namespace muproc::sys
