// One way to report a failed system call: operation, operand and the system's own words.
#pragma once

#include <cerrno>
#include <string_view>

namespace muproc::sys {

/// Throws std::system_error whose text is "operation operand: strerror(error)".
[[noreturn]] void throw_errno(std::string_view operation, std::string_view operand = {}, int error = errno);

/// `result` unless it is -1, then as throw_errno.
template <class T>
T check(T result, std::string_view operation, std::string_view operand = {}) {
  if (result == T(-1)) throw_errno(operation, operand);
  return result;
}

}  // namespace muproc::sys
