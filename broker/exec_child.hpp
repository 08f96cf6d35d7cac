// From a clone to another program: the one place where code runs between a clone and an exec.
//
// Everything that needs memory (argument and environment arrays, the program's resolved path, limits) is prepared
// before the clone, in `ExecChild`'s constructor. `run`, in the clone, makes only async-signal-safe calls until the
// exec. If one of them fails, it writes an ExecFailure to the status descriptor and exits with 127; when the exec
// succeeds the kernel closes that descriptor: so whoever holds its other end learns which, without waiting for it.
#pragma once

#include <sched.h>
#include <sys/resource.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sys/fd.hpp"
#include "wire/control.capnp.h"

namespace muproc::broker {

/// What went wrong between clone and exec, as it travels through the status descriptor.
struct ExecFailure {
  enum class Step : std::int32_t { chdir, file_limit, memory_limit, core_limit, cpus, nice, oom_score_adj, exec };
  Step step;
  std::int32_t error;  // errno
};

/// "exec ./decoder: No such file or directory"
std::string to_string(const ExecFailure& failure, const std::string& program, const std::string& cwd);

class ExecChild {
 public:
  /// `status` and `control` stay the caller's; no control descriptor for a plain program. `files` is the limit on open
  /// files that the child gets when the spec says none.
  ExecChild(wire::ExecSpec::Reader spec, int status, int control, rlimit files);

  /// In the clone, whose parent is to be `broker`. Never returns.
  [[noreturn]] void run(int broker) const noexcept;

 private:
  void apply_limits() const noexcept;
  [[noreturn]] void fail(ExecFailure::Step step) const noexcept;

  std::vector<std::string> arguments_, environment_;
  std::vector<char*> argv_, envp_;
  std::string program_, cwd_;
  int status_, control_;
  bool plain_;

  rlimit files_, memory_{}, core_{};
  bool has_memory_ = false, has_core_ = false, has_cpus_ = false, has_nice_ = false, has_umask_ = false;
  cpu_set_t cpus_{};
  int nice_ = 0;
  unsigned umask_ = 0;
  std::string oom_score_adj_;  // as it is written; empty: unchanged
};

}  // namespace muproc::broker
