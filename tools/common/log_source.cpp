#include "tools/common/log_source.hpp"

#include <algorithm>

#include "tools/common/log_reader.hpp"

namespace muproc::tools {
namespace {

/// The broker's own: "2026-11-24 20:34:42.123456 info    area: text".
std::optional<wire::LogLine> parse_broker_line(std::string_view line) {
  wire::LogLine result;
  if (line.size() < 28 || line[4] != '-' || line[19] != '.') return std::nullopt;
  result.time = std::string(line.substr(0, 26));
  line.remove_prefix(27);
  result.word = std::string(line.substr(0, line.find(' ')));
  line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ', result.word.size())));
  const auto colon = line.find(": ");
  if (colon == line.npos) return std::nullopt;
  result.name = std::string(line.substr(0, colon));
  result.text = std::string(line.substr(colon + 2));
  return result;
}

}  // namespace

std::optional<wire::LogLine> LogSource::parse(std::string_view line) const {
  return file.filename() == wire::k_broker_log ? parse_broker_line(line) : wire::parse_log_line(line);
}

bool LogSource::wants(std::string_view line) const {
  if (name.empty()) return true;
  const auto parsed = wire::parse_log_line(line);
  return parsed && parsed->name == name;
}

std::optional<LogSource> log_source_of(const std::filesystem::path& folder, const std::string& name) {
  if (name.empty()) return LogSource{folder / wire::k_broker_log, {}};
  const LogSource own{folder / wire::log_file_name(name), {}};
  const LogSource shared{folder / wire::k_spawned_log, name};
  if (std::filesystem::exists(own.file)) return own;
  if (!std::filesystem::exists(shared.file)) return std::nullopt;
  const auto lines = LogReader(shared.file).last(1, [&](std::string_view line) { return shared.wants(line); });
  return lines.empty() ? std::nullopt : std::optional(shared);
}

}  // namespace muproc::tools
