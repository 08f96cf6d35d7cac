// A file of captured output: rotated, shared by all that write there, and never the cause of anybody's end.
//
// It is made when the first line comes. When it cannot be written (the disk is full, its folder has gone) that is told
// once; the lines are counted, the next try is a second later, and when it succeeds the file itself says how many are
// missing. What was handed over since the last `flush` may be among those that are lost.
#pragma once

#include <spdlog/common.h>
#include <spdlog/details/log_msg.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <muproc/supervision.hpp>

namespace muproc::broker {

struct LogFileSettings {
  LogFormat format = LogFormat::text;
  std::uint64_t size = 16 << 20;  // bytes, above which it is put aside
  std::uint32_t files = 5;        // kept, the one being written included

  friend bool operator==(const LogFileSettings&, const LogFileSettings&) = default;
};

class LogFile {
 public:
  LogFile(std::string path, LogFileSettings settings, std::function<void(const std::string&)> trouble);
  ~LogFile();

  const LogFileSettings& settings() const { return settings_; }
  void write(const spdlog::details::log_msg& line) noexcept;
  void flush() noexcept;

 private:
  bool open();
  void failed(const char* what) noexcept;
  void say_what_is_missing();

  std::string path_;
  LogFileSettings settings_;
  std::function<void(const std::string&)> trouble_;
  spdlog::sink_ptr sink_;
  std::uint64_t unflushed_ = 0, missing_ = 0;
  bool is_in_trouble_ = false;
  std::chrono::steady_clock::time_point again_at_{};
};

/// How lines look. The word of a line (wire/log_line.hpp) is its source's function name, its name "ch-1[4711]".
std::unique_ptr<spdlog::formatter> log_formatter(LogFormat format);

}  // namespace muproc::broker
