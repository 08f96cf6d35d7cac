#include "broker/sandbox.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "sys/confinement.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"

namespace muproc::broker {
namespace {

// What is permitted whatever its arguments are. Names that this machine has not are passed over.
constexpr const char* k_permitted[] = {
    // memory
    "brk mmap munmap mprotect mremap madvise mincore msync mlock mlock2 munlock membarrier memfd_create",
    // threads, and waiting for each other
    "futex futex_waitv get_robust_list set_robust_list set_tid_address rseq sched_yield sched_getaffinity "
    "sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min gettid getcpu arch_prctl "
    "set_thread_area",
    // time
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times timer_create timer_settime "
    "timer_gettime timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime getitimer setitimer "
    "alarm",
    // signals to oneself
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack pause "
    "restart_syscall signalfd signalfd4",
    // who one is
    "getpid getppid getpgid getpgrp getsid getuid geteuid getgid getegid getresuid getresgid getgroups capget uname "
    "sysinfo getrandom getrlimit getrusage getpriority umask",
    // files: which of them can be changed is Landlock's affair. What it cannot tell (owners, modes, times, attributes) is not here
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat openat2 creat close "
    "close_range lseek dup dup2 dup3 flock fstat stat lstat newfstatat statx statfs fstatfs access faccessat "
    "faccessat2 readlink readlinkat getcwd chdir fchdir getdents getdents64 ftruncate fallocate fsync fdatasync "
    "sync_file_range fadvise64 readahead copy_file_range sendfile splice tee vmsplice rename renameat renameat2 link "
    "linkat symlink symlinkat unlink unlinkat mkdir mkdirat rmdir pipe pipe2",
    // events
    "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd "
    "eventfd2",
    // sockets that one has; which one can have is below
    "socketpair connect bind listen accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg getsockopt "
    "setsockopt getsockname getpeername shutdown",
    // the end
    "exit exit_group wait4 waitid",
};

constexpr unsigned long k_ioctls[] = {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX};

// Not those that have others signalled.
constexpr unsigned long k_fcntls[] = {
    F_DUPFD,  F_DUPFD_CLOEXEC, F_GETFD,     F_SETFD,      F_GETFL,      F_SETFL,      F_GETLK,     F_SETLK,
    F_SETLKW, F_OFD_GETLK,     F_OFD_SETLK, F_OFD_SETLKW, F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS};

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
constexpr unsigned long k_prctls[] = {PR_SET_NAME,         PR_GET_NAME,     PR_SET_PDEATHSIG,
                                      PR_GET_PDEATHSIG,    PR_SET_DUMPABLE, PR_GET_DUMPABLE,
                                      PR_GET_NO_NEW_PRIVS, PR_SET_VMA,      PR_GET_TID_ADDRESS};

// A thread of this process: pthread_create's flags, as far as they make it one.
constexpr unsigned long k_thread_flags = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;

void check(int outcome, const std::string& what) {
  if (outcome < 0) throw std::runtime_error("a sandbox cannot be made: " + what + ": " + std::strerror(-outcome));
}

class Filter {
 public:
  explicit Filter(const Sandbox& sandbox) : sandbox_(sandbox), context_(::seccomp_init(SCMP_ACT_TRAP)) {
    if (!context_) throw std::runtime_error("a sandbox cannot be made: libseccomp knows no filters for this machine");
    check(::seccomp_attr_set(context_, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "SCMP_FLTATR_ACT_BADARCH");
    check(::seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2), "SCMP_FLTATR_CTL_OPTIMIZE");
  }
  ~Filter() { ::seccomp_release(context_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  void permit(const char* name) { rule(SCMP_ACT_ALLOW, name, {}); }
  void permit_with(const char* name, scmp_arg_cmp argument) { conditional(SCMP_ACT_ALLOW, name, argument); }
  void refuse(const char* name, int error) { conditional(SCMP_ACT_ERRNO(static_cast<unsigned>(error)), name, {}); }
  void refuse_with(const char* name, int error, scmp_arg_cmp argument) {
    conditional(SCMP_ACT_ERRNO(static_cast<unsigned>(error)), name, argument);
  }

  std::string bytes() const {
    const sys::UniqueFd file = sys::create_memfd("muproc:filter", 0);
    check(::seccomp_export_bpf(context_, file.get()), "seccomp_export_bpf");
    std::string out(sys::file_size(file.get()), '\0');
    if (out.size() > BPF_MAXINSNS * sizeof(sock_filter))
      throw std::runtime_error("a sandbox cannot be made: its filter is too long");
    sys::check(::pread(file.get(), out.data(), out.size(), 0), "pread", "a filter");
    return out;
  }

 private:
  /// Not for what the sandbox adds: that is permitted whatever its arguments are.
  void conditional(std::uint32_t action, const char* name, scmp_arg_cmp argument) {
    if (std::ranges::find(sandbox_.syscalls, name) == sandbox_.syscalls.end()) rule(action, name, argument);
  }
  void rule(std::uint32_t action, const char* name, scmp_arg_cmp argument) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number < 0) return;
    check(::seccomp_rule_add_array(context_, action, number, argument.op == 0 ? 0 : 1, &argument), name);
  }

  const Sandbox& sandbox_;
  scmp_filter_ctx context_;
};

void permit_by_argument(Filter& filter) {
  const scmp_datum_t self = sys::k_own_process;
  filter.permit_with("tgkill", SCMP_A0(SCMP_CMP_EQ, self));
  filter.permit_with("process_vm_readv", SCMP_A0(SCMP_CMP_EQ, self));  // a crash's notes look at their own memory
  filter.permit_with("prlimit64", SCMP_A0(SCMP_CMP_EQ, 0));
  filter.permit_with("prlimit64", SCMP_A0(SCMP_CMP_EQ, self));
  for (const unsigned long request : k_ioctls)
    filter.permit_with("ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, request));
  for (const unsigned long command : k_fcntls)
    filter.permit_with("fcntl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, command));
  for (const unsigned long option : k_prctls)
    filter.permit_with("prctl", SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, option));
  filter.permit_with("clone", SCMP_A0(SCMP_CMP_MASKED_EQ, k_thread_flags, k_thread_flags));
  filter.refuse("clone3", ENOSYS);  // its flags lie in memory, where no filter can look
}

void permit_sockets(Filter& filter, bool network) {
  if (network) return filter.permit("socket");
  filter.permit_with("socket", SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
  filter.refuse_with("socket", EACCES, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
}

/// The narrower filter is put on top of this one.
void permit_exec(Filter& filter) {
  filter.permit("execve");
  filter.permit_with("prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_NO_NEW_PRIVS));
  filter.permit_with("seccomp", SCMP_A0(SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER));
}

std::string compiled(const Sandbox& sandbox, bool before_exec) {
  Filter filter(sandbox);
  for (const char* group : k_permitted) {
    std::istringstream names(group);
    for (std::string name; names >> name;) filter.permit(name.c_str());
  }
  for (const std::string& name : sandbox.syscalls) filter.permit(name.c_str());
  permit_by_argument(filter);
  permit_sockets(filter, sandbox.network || std::ranges::find(sandbox.syscalls, "socket") != sandbox.syscalls.end());
  if (before_exec) permit_exec(filter);
  return filter.bytes();
}

/// Both are without links and dots.
bool is_below(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder.ends_with('/') ? folder : folder + '/');
}

}  // namespace

Filters compile_filters(const Sandbox& sandbox) {
  if (!sandbox.strict) return {};
  for (const std::string& name : sandbox.syscalls)
    if (!is_system_call(name))
      throw std::invalid_argument("a sandbox cannot permit \"" + name + "\": there is no such system call here");
  return {compiled(sandbox, false), compiled(sandbox, true)};
}

bool is_system_call(const std::string& name) { return ::seccomp_syscall_resolve_name(name.c_str()) >= 0; }

const std::vector<std::string>& system_call_names() {
  static const std::vector<std::string> names = [] {
    constexpr int k_beyond_all = 1024;
    std::vector<std::string> known;
    for (int number = 0; number < k_beyond_all; ++number) {
      char* name = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
      if (name) known.emplace_back(name);
      std::free(name);
    }
    return known;
  }();
  return names;
}

std::string system_call_name(int number) {
  char* name = number < 0 ? nullptr : ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
  const std::string text = name ? name : "system call " + std::to_string(number);
  std::free(name);
  return text;
}

Sandbox settled(Sandbox sandbox) {
  for (std::string& path : sandbox.writable) {
    if (!path.starts_with('/'))
      throw std::invalid_argument("a sandbox cannot permit writing to \"" + path + "\": it is no absolute path");
    std::error_code unknown;
    const auto real = std::filesystem::weakly_canonical(path, unknown);
    if (!unknown) path = real;
    if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  }
  return sandbox;
}

Sandbox narrowed(Sandbox wish, const Sandbox& spawners) {
  if (!spawners.strict) return wish;
  if (!wish.strict) return spawners;
  std::erase_if(wish.syscalls, [&](const std::string& name) {
    return std::ranges::find(spawners.syscalls, name) == spawners.syscalls.end();
  });
  wish.network = wish.network && spawners.network;
  std::erase_if(wish.writable, [&](const std::string& path) {
    return std::ranges::none_of(spawners.writable, [&](const std::string& folder) { return is_below(path, folder); });
  });
  return wish;
}

std::string to_string(const Sandbox& sandbox) {
  if (!sandbox.strict) return {};
  const auto listed = [](const std::vector<std::string>& list) {
    std::string text;
    for (const std::string& one : list) text += (text.empty() ? "" : " ") + one;
    return text;
  };
  std::string text = "strict";
  if (sandbox.network) text += ", network";
  if (!sandbox.writable.empty()) text += ", writes below " + listed(sandbox.writable);
  if (!sandbox.syscalls.empty()) text += ", also " + listed(sandbox.syscalls);
  return text;
}

}  // namespace muproc::broker
