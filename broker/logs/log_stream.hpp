// What one muproc prints: two pipes, lines, a file, and the last lines for its crash report.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/logs/console.hpp"
#include "broker/logs/line_splitter.hpp"
#include "broker/logs/log_file.hpp"
#include "sys/fd.hpp"
#include "wire/control.capnp.h"

namespace muproc::broker {

/// What stands before a line, and before its pieces when it is too long.
struct LineWord {
  const char *whole, *goes_on;
};

struct LastLine {
  std::string word, text;
};

class LogStream {
 public:
  /// Standard output is shown on the first console, standard error on the second; none if null. While a pipe is open it
  /// is in the epoll set, with `key` and the pipe's number as its data (see `key_of`).
  LogStream(wire::OpenLog::Reader open, std::array<sys::UniqueFd, 2> pipes, std::shared_ptr<LogFile> file,
            std::array<std::shared_ptr<Console>, 2> consoles, int epoll, std::uint64_t key);

  static std::uint64_t key_of(std::uint64_t epoll_data) { return epoll_data >> 1; }
  static std::size_t pipe_of(std::uint64_t epoll_data) { return epoll_data & 1; }

  /// From now on; what was written stays where it is.
  void keep_in(std::shared_ptr<LogFile> file) { file_ = std::move(file); }
  void show_on(std::array<std::shared_ptr<Console>, 2> consoles) { consoles_ = std::move(consoles); }

  std::uint64_t pid() const { return pid_; }
  const std::shared_ptr<LogFile>& file() const { return file_; }
  bool is_closed() const { return !ends_[0].pipe && !ends_[1].pipe; }

  /// Reads once. False when that pipe is empty for now, or closed.
  bool read(std::size_t which);
  /// Its process has ended: takes what is in the pipes, and a line without an end is a line.
  void ended();
  /// Takes what is in the pipes, as much as a pipe can hold.
  void drain();
  /// The last lines, oldest first; long ones are cut.
  std::vector<LastLine> last_lines() const;

 private:
  struct End {
    sys::UniqueFd pipe;
    LineSplitter lines;
    bool goes_on = false;  // the latest piece does, and the next is like it
    const LineWord* word = nullptr;
    spdlog::level::level_enum level = spdlog::level::info;
  };

  void close(std::size_t which);
  void say(End& end, std::size_t which, std::string_view text, LineEnd how);
  void remember(const char* word, std::string_view text);

  int epoll_;
  std::uint64_t pid_;
  std::string title_;
  bool speaks_levels_;
  std::array<End, 2> ends_;
  std::shared_ptr<LogFile> file_;
  std::array<std::shared_ptr<Console>, 2> consoles_;

  static constexpr std::size_t k_remembered = 50, k_remembered_bytes = 1024;
  std::vector<LastLine> last_;
  std::size_t next_last_ = 0;
};

}  // namespace muproc::broker
