// From a clone to another program: the one place where code runs between a clone and an exec.
//
// Everything that needs memory (argument and environment arrays, the program's resolved path, settings) is prepared
// before the clone, in `ExecChild`'s constructor. `run`, in the clone, makes only async-signal-safe calls until the
// exec. If one of them fails, it writes an ExecFailure to the status descriptor and exits with 127; when the exec
// succeeds the kernel closes that descriptor: so whoever holds its other end learns which, without waiting for it.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sys/fd.hpp"
#include "sys/settings.hpp"
#include "wire/control.capnp.h"

namespace muproc::broker {

/// What went wrong between clone and exec, as it travels through the status descriptor.
struct ExecFailure {
  sys::SettingsFailure settings;
  std::int32_t exec_error = 0;  // errno of the exec, when the settings are fine
};

/// "exec ./decoder: No such file or directory", "setuid: Operation not permitted"
std::string to_string(const ExecFailure& failure, const std::string& program, const sys::ProcessSettings& settings);

class ExecChild {
 public:
  /// All stay the caller's; -1: there is none, as no control descriptor for a plain program.
  struct Descriptors {
    int status, control, out, err;
  };
  /// `files` is the limit on open files that the child gets when the spec says none.
  ExecChild(wire::ExecSpec::Reader spec, Descriptors fds, rlimit files);

  /// In the clone, whose parent is to be `broker`. Never returns.
  [[noreturn]] void run(int broker) const noexcept;

 private:
  void die_with(int broker) const noexcept;
  [[noreturn]] void fail(const ExecFailure& failure) const noexcept;

  std::vector<std::string> arguments_, environment_;
  std::vector<char*> argv_, envp_;
  std::string program_;
  Descriptors fds_;
  bool plain_;
  sys::ProcessSettings settings_;
};

}  // namespace muproc::broker
