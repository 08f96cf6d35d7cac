// Names that the runtime, the broker and the tools agree on.
#pragma once

namespace muproc::detail {

/// An exec child finds the number of its inherited control socket here.
inline constexpr const char* k_control_fd_variable = "MUPROC_CONTROL_FD";
/// Where runtime directories lie; else $XDG_RUNTIME_DIR/muproc, else /run/muproc for root, else /tmp/muproc-<uid>.
inline constexpr const char* k_runtime_dir_variable = "MUPROC_RUNTIME_DIR";
/// The system that tools and `attach` mean when no name is given.
inline constexpr const char* k_system_variable = "MUPROC_SYSTEM";

/// A muproc finds its own mark here, "<0.3.1>@…", and so does what descends from it.
inline constexpr const char* k_pid_variable = "MUPROC_PID";

/// A muproc that ends with this symbol before it is ready declines to run.
inline constexpr const char* k_ignore = "ignore";

}  // namespace muproc::detail
