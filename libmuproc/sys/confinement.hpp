// A process that gives up, for ever and for all that it starts, what it does not need: the kernel's side of a sandbox.
//
// What is to be given up is decided, and the filter compiled, before the clone; here it is only handed to the kernel, by
// async-signal-safe calls. A step that fails leaves a process that must not go on: `sys::apply` (settings.hpp) says which.
// Nothing of it can be taken back, and if the process dies at any line nothing is left of it.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace muproc::sys {

/// In a filter this number stands for the process that it is installed in, which is not there yet when it is compiled.
inline constexpr std::uint32_t k_own_process = 0x7e5e1f00;

struct Confinement {
  std::vector<sock_filter> filter;  // of system calls; k_own_process in its comparisons is the process itself
  bool holds_files = false;  // writes nowhere but below `writable`, and signals nobody who is not in there with it
  std::vector<std::string> writable;  // as the file system has them: a symbolic link on the way is an error
  bool has_notify_socket = false;     // it must reach an abstract Unix socket, and so reaches all of them
};

/// Which Landlock the kernel has; 0: none.
int landlock_version() noexcept;

/// setuid programs give it nothing. False with errno.
bool take_no_new_privileges() noexcept;

enum class FilesHeld { yes, kernel_cannot, path_failed, failed };
/// With errno when it failed; `path` says then at which of the writable ones.
FilesHeld hold_files(const Confinement& confinement, std::size_t& path) noexcept;

/// For all threads. False with errno.
bool install_filter(const Confinement& confinement) noexcept;

}  // namespace muproc::sys
