// A system's shared memory, found without asking anybody: through the descriptors that its broker has.
//
// The lock file in the system's folder holds the broker's OS pid, and /proc/PID/fd leads to every memfd that it holds: the
// directory, and the segment of each muproc, whose name the broker gave it at its birth. So a tool sees a system whose
// broker is stopped or busy, and what it has mapped it sees when the broker is gone. Everything is opened read-only. What is
// found is the broker's if the process of that number has this very lock open: a number alone may be a stranger's.
#pragma once

#include <filesystem>
#include <optional>
#include <unordered_map>
#include <vector>

#include <muproc/pid.hpp>

#include "shm/layout.hpp"
#include "sys/fd.hpp"
#include "tools/common/snapshot.hpp"

namespace muproc::tools {

class BrokerMemory {
 public:
  /// Of the system in that folder. Throws Failure (no_system, permission) when there is no broker, or it is not ours to see.
  explicit BrokerMemory(std::filesystem::path folder);

  int os_pid() const { return os_pid_; }
  const std::filesystem::path& folder() const { return folder_; }
  /// The directory's memfd.
  int directory() const { return directory_.get(); }
  BrokerState state() const;

  /// The segments that the broker holds now, of those wanted; each one is sealed: its size stays. Missing ones have ended,
  /// or are not born yet.
  std::unordered_map<Pid, sys::UniqueFd> segments(const std::vector<Pid>& wanted) const;

 private:
  std::filesystem::path folder_;
  int os_pid_ = 0;
  sys::UniqueFd pidfd_, directory_;
};

/// The broker's OS pid as the lock of that folder says; 0: none.
int broker_in_lock(const std::filesystem::path& folder);

/// Of a descriptor's target as /proc shows it: "/memfd:muproc:<0.3.1>… (deleted)" is the segment of <0.3.1>.
std::optional<Pid> owner_of_memfd(std::string_view target);

}  // namespace muproc::tools
