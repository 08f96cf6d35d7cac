// A process that has only so many descriptors left, for as long as this lives: whatever needs one more fails in it with
// EMFILE, as it would when the system has too many open files. It is the kernel that refuses, by the process's own limit.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace muproc::test {

class Shortage {
 public:
  /// `left`: how many more it can open.
  Shortage(pid_t os_pid, std::size_t left);
  ~Shortage() { end(); }
  Shortage(const Shortage&) = delete;
  Shortage& operator=(const Shortage&) = delete;
  void end() noexcept;

 private:
  pid_t os_pid_;
  rlimit former_{};
  bool is_over_ = false;
};

/// The descriptors that a process has open.
std::set<int> descriptors_of(pid_t os_pid);

/// The children of a process, zombies included, and of these those of that name.
std::vector<pid_t> children_of(pid_t os_pid);
std::vector<pid_t> children_of(pid_t os_pid, const std::string& comm);
/// How many of them are dead and not reaped.
std::size_t zombies_of(pid_t os_pid);

}  // namespace muproc::test
