// Our own standard output or standard error, as a sink that never blocks its owner.
//
// Lines wait here until the other side takes them. A terminal that was stopped (Ctrl-S) or a pager that nobody scrolls
// must not stop the system: when nothing at all was taken for a second, the console counts as stuck, what is waiting
// beyond the limit is dropped, and said so when it takes something again. As long as it takes anything nothing is lost:
// whoever reads our pipe slowly slows down those who print (`is_full`).
#pragma once

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "sys/fd.hpp"

namespace muproc::broker {

class Console final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit Console(int fd);

  bool is_terminal() const { return is_terminal_; }
  /// What to wait on for writability.
  int fd() const { return own_ ? own_.get() : fd_; }
  bool has_waiting() const { return !waiting_.empty(); }
  /// Its readers are slow: whoever can had better wait before giving it more.
  bool is_full() const { return waiting_.size() > k_full && !is_stuck_; }
  /// Until when it will be waited for.
  std::chrono::steady_clock::time_point stuck_at() const { return progress_ + k_stuck_after; }
  /// Writes what is taken now.
  void drain() noexcept;
  /// Waits until all is written, or it counts as stuck.
  void finish() noexcept;

 private:
  static constexpr std::size_t k_full = 256 * 1024;
  static constexpr std::chrono::milliseconds k_stuck_after{1000};

  void sink_it_(const spdlog::details::log_msg& line) override;
  void flush_() override { drain(); }

  int fd_;
  sys::UniqueFd own_;  // the same file, opened once more so that not to block is ours alone
  bool is_terminal_ = false, has_colours_ = false;
  std::string waiting_;
  bool is_stuck_ = false, is_gone_ = false;
  std::uint64_t dropped_ = 0;
  std::chrono::steady_clock::time_point progress_{};
};

}  // namespace muproc::broker
