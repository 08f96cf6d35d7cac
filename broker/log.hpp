// The broker's log: each birth, death and decision once, with who and why.
//
// A line is put together at once, with its time, but written when the loop has nothing else to do: a slow terminal does
// not stand between a death and the restart, and one that has stopped stops nobody (logs/console.hpp). If the broker is
// killed, the lines of the event in hand are lost.
#pragma once

#include <spdlog/logger.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/logs/console.hpp"
#include "broker/loop.hpp"
#include "broker/spec.hpp"

namespace muproc::broker {

class Log {
 public:
  /// Writes to standard error, coloured on a terminal, and appends to `file`, which is rotated.
  Log(Loop& loop, const std::string& system, const std::filesystem::path& file, LogLevel level, const LogSettings& settings);
  /// Waits for the console, unless it has stopped.
  ~Log();

  template <class... Args>
  void debug(fmt::format_string<Args...> text, Args&&... args) {
    add(spdlog::level::debug, text, std::forward<Args>(args)...);
  }
  template <class... Args>
  void info(fmt::format_string<Args...> text, Args&&... args) {
    add(spdlog::level::info, text, std::forward<Args>(args)...);
  }
  template <class... Args>
  void warn(fmt::format_string<Args...> text, Args&&... args) {
    add(spdlog::level::warn, text, std::forward<Args>(args)...);
  }
  template <class... Args>
  void error(fmt::format_string<Args...> text, Args&&... args) {
    add(spdlog::level::err, text, std::forward<Args>(args)...);
  }
  void flush() noexcept;
  /// From now on.
  void set_level(LogLevel level);
  /// From now on its file is kept like this.
  void keep(const LogSettings& settings);

 private:
  struct Line {
    spdlog::log_clock::time_point time;
    spdlog::level::level_enum level;
    std::string text;
  };

  template <class... Args>
  void add(spdlog::level::level_enum level, fmt::format_string<Args...> text, Args&&... args) {
    if (logger_->should_log(level)) add({spdlog::log_clock::now(), level, fmt::format(text, std::forward<Args>(args)...)});
  }
  void add(Line line);

  Loop& loop_;
  std::string file_;
  std::shared_ptr<Console> console_;
  Watch again_;
  bool is_over_ = false;
  std::shared_ptr<spdlog::logger> logger_;
  std::vector<Line> waiting_;
};

}  // namespace muproc::broker
