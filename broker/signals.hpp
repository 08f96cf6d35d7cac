// TERM, INT and HUP while a system runs; CHLD where the process is the broker's own.
//
// The one place with a global: a signal handler can be given nothing else. It only counts and writes an eventfd, so it
// may run in any thread of the program. The former handlers come back when the object ends. One at a time; a second
// system in the same program gets no signals.
#pragma once

#include <csignal>
#include <functional>
#include <vector>

#include "broker/loop.hpp"
#include "sys/fd.hpp"

namespace muproc::broker {

class Signals {
 public:
  /// `children_too`: also SIGCHLD, which tells of orphans that have ended.
  Signals(Loop& loop, bool children_too, std::function<void(int signal)> call);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  void catch_signal(int signal);
  void hear();

  struct Former {
    int signal;
    struct sigaction action;
  };
  sys::UniqueFd eventfd_;
  Watch watch_;
  std::function<void(int)> call_;
  std::vector<Former> former_;
};

/// While it lives, a write to a closed pipe is an error and no signal, and SIGCHLD is not ignored: a parent who ignores it
/// never learns how its children ended.
class ForgivingPipes {
 public:
  ForgivingPipes();
  ~ForgivingPipes();

 private:
  struct sigaction pipe_, child_;
};

}  // namespace muproc::broker
