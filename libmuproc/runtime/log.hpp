// A muproc's error stream.
#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <string>

namespace muproc::detail {

/// A logger that stamps time and name: to stderr when `file` is empty, else appending to the file.
std::shared_ptr<spdlog::logger> make_log(const std::string& name, const std::string& file);

}  // namespace muproc::detail
