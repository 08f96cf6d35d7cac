// The crash reports of a system: files in its folder, there for whoever asks, whatever the broker does.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "wire/log_line.hpp"

namespace muproc::tools {

struct CrashReport {
  wire::CrashFile file;
  std::filesystem::path path;  // without its ending: there are a .txt and a .json

  /// True when it is that muproc's.
  bool is_of(std::string_view muproc) const;
  /// The report for people. Throws Failure when it cannot be read.
  std::string text() const;
  std::string json() const;
};

/// The newest comes first. Throws Failure when the folder cannot be read.
std::vector<CrashReport> crash_reports_in(const std::filesystem::path& folder);

/// Of a report's text, what stands after this word at the beginning of a line.
std::string line_of(const std::string& report, const std::string& word);

/// "2026-11-24 20:34:42.123456", of a report's stamp.
std::string when(const std::string& stamp);

}  // namespace muproc::tools
