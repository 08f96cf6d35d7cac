// What the kernel says of processes in /proc.
//
// All of it is hearsay about a number: by the time it is read, the process may be another one. Whoever wants to act on it
// opens a pidfd first, reads, and then looks whether the pidfd's process still lives: if so, it was the one spoken of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sys/fd.hpp"

namespace muproc::sys {

struct ProcessStat {
  char state = 'X';
  int parent = 0, group = 0, session = 0;
  int exit_signal = 0;             ///< what its parent gets at its end: 0 for our clones, SIGCHLD for whoever was re-parented
  std::uint64_t started_ticks = 0; ///< since the machine's start

  bool is_zombie() const { return state == 'Z' || state == 'X'; }
};
/// Nothing when there is no such process.
std::optional<ProcessStat> process_stat(int os_pid);

/// All processes of the machine that can be seen.
std::vector<int> all_processes();

/// The process's environment, as it was when it began to run its program, and the lines of /proc/PID/maps about pages that
/// nobody may touch: where whoever forked it may have left its mark. Empty when it cannot be read: the process is a zombie,
/// or somebody else's, or in the middle of an exec.
std::string inheritance_of(int os_pid);

/// The children of this process, zombies included, as the kernel lists them: those of the calling thread, and those of
/// the main thread, to which orphans come.
class OwnChildren {
 public:
  OwnChildren();
  /// Valid until the next call.
  const std::vector<int>& list();

 private:
  void read(int fd);
  void look_through_all();
  UniqueFd main_, own_;  // their lists; own_ only when the thread that made this is not the main one
  std::string text_;
  std::vector<int> children_;
};

/// True when the process of that pidfd has ended.
bool has_ended(int pidfd) noexcept;

}  // namespace muproc::sys
