#include "broker/logs/console.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/details/os.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace muproc::broker {
namespace {

/// As spdlog's own colour sinks have them, by level.
constexpr std::string_view k_colours[] = {"\033[37m", "\033[36m", "\033[32m", "\033[33m\033[1m", "\033[31m\033[1m", "\033[1m\033[41m"};
constexpr std::string_view k_plain = "\033[m";

}  // namespace

Console::Console(int fd) : fd_(fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    is_gone_ = true;
    return;
  }
  is_terminal_ = ::isatty(fd) == 1;
  has_colours_ = is_terminal_ && spdlog::details::os::is_color_terminal();
  // A regular file does not block, and a second description would have an offset of its own.
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
    own_ = sys::UniqueFd(::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

void Console::sink_it_(const spdlog::details::log_msg& line) {
  if (is_gone_) return;
  if (waiting_.size() > k_full && is_stuck_) {
    ++dropped_;
    return;
  }
  if (waiting_.empty()) progress_ = std::chrono::steady_clock::now();
  if (dropped_ > 0 && !is_stuck_)
    waiting_ += fmt::format("... {} lines are not shown here, since the console had stopped; they are in the log files\n", std::exchange(dropped_, 0));
  line.color_range_start = line.color_range_end = 0;
  spdlog::memory_buf_t text;
  formatter_->format(line, text);
  const std::string_view all(text.data(), text.size());
  const bool is_coloured = has_colours_ && line.color_range_end > line.color_range_start;
  if (!is_coloured) {
    waiting_ += all;
    return;
  }
  const auto level = std::min<std::size_t>(static_cast<std::size_t>(line.level), std::size(k_colours) - 1);
  ((waiting_ += all.substr(0, line.color_range_start)) += k_colours[level]) += all.substr(line.color_range_start, line.color_range_end - line.color_range_start);
  (waiting_ += k_plain) += all.substr(line.color_range_end);
}

void Console::drain() noexcept {
  std::size_t written = 0;
  while (written < waiting_.size()) {
    const ssize_t took = ::write(fd(), waiting_.data() + written, waiting_.size() - written);
    if (took > 0) {
      written += static_cast<std::size_t>(took);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      is_gone_ = errno == EPIPE || errno == EIO || errno == EBADF;  // its reader or the terminal has gone: nobody to tell
      written = waiting_.size();  // of a full disk the broker's log tells
    }
  }
  const auto now = std::chrono::steady_clock::now();
  if (written > 0) {
    progress_ = now;
    is_stuck_ = false;
  } else if (!waiting_.empty() && now >= stuck_at()) {
    is_stuck_ = true;
  }
  waiting_.erase(0, written);
  if (is_gone_) waiting_.clear();
}

void Console::finish() noexcept {
  for (drain(); has_waiting() && std::chrono::steady_clock::now() < stuck_at(); drain()) {
    pollfd ready{fd(), POLLOUT, 0};
    ::poll(&ready, 1, 100);
  }
}

}  // namespace muproc::broker
