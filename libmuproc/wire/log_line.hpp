// A line of captured output, as it stands in a log file: written by the logger, read by the tools.
//
//     2026-11-24 20:34:42.123456 out   ch-1[4711]: text
//     {"time": "2026-11-24T20:34:42.123456Z", "name": "ch-1", "pid": 4711, "stream": "out", "text": "text"}
//
// The word says where it comes from: `out` and `err` are standard output and standard error, and a level (`info`, `warn`,
// …) is a line of the muproc's own log. A line that is longer than k_longest_line comes in pieces; each piece but the
// last has a + after its word (in JSON: "goes_on": true).
//
// A muproc's runtime tells its logger the level of a line by a prefix that no text begins with by chance: the record
// separator (0x1e) and the level's digit. Only of those who have the runtime is it taken for that.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace muproc::wire {

inline constexpr std::size_t k_longest_line = 64 * 1024;
inline constexpr char k_level_mark = '\x1e';
/// By the digit after the mark: as spdlog numbers its levels.
inline constexpr std::string_view k_level_words[] = {"trace", "debug", "info", "warn", "error", "crit"};

/// The file of a muproc's output, in the folder logs/. Different names have different files, the rotated ones (NAME.1.log)
/// and the broker's own included: a name that ends in a dot and digits has that dot doubled, and what cannot stand in a
/// file's name, or is taken, is written as %2F.
std::string log_file_name(std::string_view muproc);
/// Of the output of all who have no supervisor.
inline constexpr std::string_view k_spawned_log = "spawned.log";
inline constexpr std::string_view k_broker_log = "broker.log";

struct LogLine {
  std::string time;  // as it stands there
  std::string word;  // without the +
  bool goes_on = false;
  std::string name;
  int os_pid = 0;
  std::string text;
};

/// Nothing when it is none: a line that was torn when the disk was full, somebody's own file. Takes both formats.
std::optional<LogLine> parse_log_line(std::string_view line);
/// As one JSON object, without a newline.
std::string to_json(const LogLine& line);
/// As it stands in a text file, without a newline.
std::string to_text(const LogLine& line);

/// A crash report's file: the muproc's log file's stem, the time, the OS pid: "ch-1-20261124-203442.123456-4711.txt".
struct CrashFile {
  std::string stem;
  std::string stamp;  // "20261124-203442.123456": sorts by age
  int os_pid = 0;
};
/// Nothing when it is none.
std::optional<CrashFile> parse_crash_file(std::string_view name);

}  // namespace muproc::wire
