// What becomes of a process that does something: for faults that must be faults, and for what forked children may not do.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>

#include "sys/error.hpp"

namespace muproc::test {

/// Runs `body` in a forked child and says how it ended: "exit 3" (what body returned), "SIGSEGV", "threw".
/// Memory that is kept out of forked children must be made by `body` itself.
template <class Body>
std::string fate_of(Body&& body) {
  const pid_t child = sys::check(::fork(), "fork");
  if (child == 0) {
    for (int signal : {SIGSEGV, SIGBUS, SIGABRT}) std::signal(signal, SIG_DFL);
    int code = 125;
    try {
      code = std::forward<Body>(body)();
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) {
    return WEXITSTATUS(status) == 125 ? "threw" : "exit " + std::to_string(WEXITSTATUS(status));
  }
  return "SIG" + std::string(::sigabbrev_np(WTERMSIG(status)));
}

}  // namespace muproc::test
