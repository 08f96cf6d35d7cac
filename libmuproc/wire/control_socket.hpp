// Finding a running system: runtime directories, their control sockets, and the way in.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <muproc/self.hpp>

#include "sys/fd.hpp"

namespace muproc::wire {

/// The system is there, and is another user's.
struct NotPermitted : muproc::Error {
  using muproc::Error::Error;
};

/// Where the systems' folders lie: $MUPROC_RUNTIME_DIR, else $XDG_RUNTIME_DIR/muproc, else /run/muproc for root, else
/// /tmp/muproc-<uid>.
std::filesystem::path runtime_root();

/// The folders below the root that have a control socket; their systems may or may not live.
std::vector<std::filesystem::path> system_folders();

/// The folder of a system: a name, a path, or empty: $MUPROC_SYSTEM, else the only one there is. Throws NoSuchName with
/// what there is instead.
std::filesystem::path find_system(std::string_view system);

/// Connects to the system's broker. Throws NoSuchName when none answers, NotPermitted.
sys::UniqueFd connect_control(const std::filesystem::path& folder);

}  // namespace muproc::wire
