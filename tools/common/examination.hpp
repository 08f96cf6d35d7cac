// Gathers the facts that `diagnose` judges: a system watched for a while, through its shared memory and /proc, and what its
// broker says if it answers. Nothing is changed, and a broker that is stopped holds nobody up.
#pragma once

#include <chrono>
#include <string_view>

#include "tools/common/diagnosis.hpp"

namespace muproc::tools {

/// Watches the system for that long, at least two looks. Throws Failure when there is no such system, or it is not ours to see.
SystemFacts examine(std::string_view system, std::chrono::nanoseconds watch);

/// Of the text of /proc/PID/limits: the soft limit of open files; 0: there is none in it.
std::uint64_t open_files_limit(std::string_view limits);

/// The libmuproc that a process has mapped, of the text of /proc/PID/maps.
struct MappedLibrary {
  std::string file;          // "dev:inode", which says whether two are the same; "": none is mapped
  bool is_replaced = false;  // it, or the program, is not on the disk any more
};
MappedLibrary mapped_library(std::string_view maps);

}  // namespace muproc::tools
