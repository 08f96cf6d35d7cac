// The process that reads what muprocs print, so that a stopped or busy broker stops nobody who prints.
//
// It is forked like the seed: early, by the broker's thread, single-threaded ever after; an epoll loop. The broker makes
// the pipes of each birth and sends their read ends here (wire::OpenLog); it keeps them open itself until we say that
// nothing more can come (`closed`): so if we die, nothing that is still in a pipe is lost, nobody gets a SIGPIPE, and the
// next logger reads on. What is lost then is what we had read and not yet written: less than 64 KiB of each pipe, and
// the beginning of a line whose end had not come.
//
// Fairness: each round reads at most 64 KiB of each pipe that has something. Who floods fills his own pipe and waits.
// A slow reader of our own output makes everybody wait (console.hpp); a full disk nobody (log_file.hpp).
//
// When the broker dies we go on until the last pipe is closed, which is soon, since its muprocs do not linger; 5 s later
// at most we go. Until then the system's lock stays taken, so that no two loggers write one file.
#pragma once

#include <sys/resource.h>

#include <string>

#include "sys/fd.hpp"

namespace muproc::broker {

/// The broker's side of a fresh logger.
struct LoggerProcess {
  int os_pid = 0;
  sys::UniqueFd socket;

  LoggerProcess() = default;
  LoggerProcess(int pid, sys::UniqueFd control) : os_pid(pid), socket(std::move(control)) {}
  LoggerProcess(LoggerProcess&&) = default;
  LoggerProcess& operator=(LoggerProcess&&) = default;
  /// Ends and reaps it, unless somebody has taken the socket over.
  ~LoggerProcess();
};

/// Forks it. `lock` is inherited. `cgroup` is the folder of the system's control group (cgroups.hpp), or empty. It shows lines on our standard output and error if `on_console`. Throws
/// std::system_error.
LoggerProcess fork_logger(int lock, bool on_console, const std::string& cgroup);

}  // namespace muproc::broker
