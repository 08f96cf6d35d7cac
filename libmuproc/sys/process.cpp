#include "sys/process.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace muproc::sys {

namespace {

/// With an exit signal of 0: with CLONE_PARENT it must be, and the child takes over its cloner's.
int clone_with(std::uint64_t flags, int cgroup) noexcept {
  int* tid = nullptr;  // where glibc keeps this thread's id
  if (::prctl(PR_GET_TID_ADDRESS, &tid) != 0) tid = nullptr;
  clone_args args{};
  args.flags = flags;
  if (tid) {
    args.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    args.child_tid = reinterpret_cast<std::uintptr_t>(tid);
  }
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(cgroup);
  }
  return static_cast<int>(::syscall(SYS_clone3, &args, sizeof args));
}

}  // namespace

int clone_sibling(int cgroup) noexcept { return clone_with(CLONE_PARENT, cgroup); }
int clone_unseen(int cgroup) noexcept { return clone_with(0, cgroup); }

int wait_for_child(int pidfd, siginfo_t& info, int options) noexcept {
  constexpr auto by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, which older headers have not
  return ::waitid(by_pidfd, static_cast<id_t>(pidfd), &info, WEXITED | options | __WALL);
}

Subreaper::Subreaper() noexcept {
  ::prctl(PR_GET_CHILD_SUBREAPER, &former_);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}
Subreaper::~Subreaper() { ::prctl(PR_SET_CHILD_SUBREAPER, former_); }

void set_parent_death_signal(int signal) noexcept { ::prctl(PR_SET_PDEATHSIG, signal); }

}  // namespace muproc::sys
