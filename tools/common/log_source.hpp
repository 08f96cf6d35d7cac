// Which file has what a muproc has said, and which of its lines those are.
//
// A supervised one has a file of its own; those that were spawned share one, and the broker has its own log.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "wire/log_line.hpp"

namespace muproc::tools {

struct LogSource {
  std::filesystem::path file;
  std::string name;  // only lines of this one; empty: all

  /// Of a captured line, or of the broker's own log.
  std::optional<wire::LogLine> parse(std::string_view line) const;
  bool wants(std::string_view line) const;
};

/// In the folder logs/ of a system; an empty name is the broker. Nothing when one of that name has not said a word so far.
std::optional<LogSource> log_source_of(const std::filesystem::path& folder, const std::string& name);

}  // namespace muproc::tools
