// Names that the runtime, the broker and the tools agree on.
#pragma once

namespace muproc::detail {

/// An exec child finds the number of its inherited control socket here.
inline constexpr const char* k_control_fd_variable = "MUPROC_CONTROL_FD";
/// Where runtime directories lie; else $XDG_RUNTIME_DIR/muproc, else /run/muproc for root, else /tmp/muproc-<uid>.
inline constexpr const char* k_runtime_dir_variable = "MUPROC_RUNTIME_DIR";
/// The system that tools and `attach` mean when no name is given.
inline constexpr const char* k_system_variable = "MUPROC_SYSTEM";

}  // namespace muproc::detail
