// Signals and clones: the few process calls that muproc needs and libc does not offer in the form that it needs.
#pragma once

#include <csignal>

#include "sys/fd.hpp"

namespace muproc::sys {

/// Interrupts a muproc's blocking system calls when it must exit, and tells it that its parent has died. Its handler
/// does nothing else, and whoever does not handle it ignores it by default.
inline constexpr int k_interrupt_signal = SIGURG;

/// As fork, but the child is the caller's *sibling*: a child of the caller's parent (CLONE_PARENT), who waits for it
/// with __WALL. Returns 0 in the child, its OS pid in the caller, -1 with errno on failure. For single-threaded callers
/// only: no pthread_atfork handler runs. glibc's idea of the thread id is kept right. It begins in the control group of
/// that descriptor; -1: in its cloner's.
int clone_sibling(int cgroup = -1) noexcept;

/// As fork, but the child is invisible to a waitpid without __WALL or __WCLONE, and so are its siblings by clone_sibling;
/// until they exec, when the kernel makes ordinary children of them. For single-threaded callers only, as above.
int clone_unseen(int cgroup = -1) noexcept;

/// `waitid` for the exit of the child of that pidfd, of a clone too; `options` as WNOHANG, beside WEXITED and __WALL.
int wait_for_child(int pidfd, siginfo_t& info, int options = 0) noexcept;

/// While it lives, whoever loses its parent below this process becomes its child, as they would init's otherwise.
class Subreaper {
 public:
  Subreaper() noexcept;
  ~Subreaper();
  Subreaper(const Subreaper&) = delete;
  Subreaper& operator=(const Subreaper&) = delete;

 private:
  int former_ = 0;
};

/// Delivers `signal` to this process when the thread that created it ends; 0: none.
void set_parent_death_signal(int signal) noexcept;

}  // namespace muproc::sys
