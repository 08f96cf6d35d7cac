// How a tool ends when it cannot do what it was asked: a text that names the thing, and an exit code that scripts can
// rely on. Thrown anywhere in a tool, printed once, in its main.
#pragma once

#include <stdexcept>
#include <string>

namespace muproc::tools {

enum class ExitCode : int {
  ok = 0,
  request_failed = 1,
  usage = 2,
  no_system = 3,  // no such system, or no broker
  bad_config = 4,
  timeout = 5,
  permission = 6,
};

struct Failure : std::runtime_error {
  Failure(ExitCode exit_code, const std::string& text) : std::runtime_error(text), code(exit_code) {}
  ExitCode code;
};

}  // namespace muproc::tools
