// A muproc's error stream.
#pragma once

#include <spdlog/logger.h>

#include <cstdint>
#include <memory>
#include <string>

namespace muproc::detail {

/// A logger that stamps time and name: to stderr when `file` is empty, else appending to the file. When stderr is the pipe
/// with this inode, which the system's logger reads, it is the logger who stamps: it is told the level of each line.
std::shared_ptr<spdlog::logger> make_log(const std::string& name, const std::string& file, int level, std::uint64_t captured_inode);

}  // namespace muproc::detail
