// The broker's side of what its muprocs print: the pipes, and the logger process that reads them.
//
// A birth gets two pipes. Their write ends go to the child, their read ends to the logger, once the child's OS pid is
// known; what was printed before waits in them. Copies of the read ends stay here until the logger says that nothing more
// can come: so when the logger dies, another one is forked and goes on where the pipes are, and nobody who prints
// notices more than a pause.
//
// Nothing here blocks but `finish`, at the system's end.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "broker/log.hpp"
#include "broker/logs/logger_process.hpp"
#include "broker/loop.hpp"
#include "broker/muproc_table.hpp"
#include "wire/frame.hpp"

namespace muproc::broker {

/// A birth's pipes.
struct OutputPipes {
  std::array<sys::UniqueFd, 2> reads, writes;  // standard output, standard error
  std::uint64_t stderr_inode = 0;              // 0: there are none

  explicit operator bool() const { return stderr_inode != 0; }
};

/// How many reports one muproc may still cause: ten at once, then one a second, so that a tight loop of crashes does not
/// keep a processor busy with its reports.
struct ReportAllowance {
  double left = 10;
  std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now();
  std::uint32_t unreported = 0;

  bool take();
};

struct Core;
struct Crash;

class Logger {
 public:
  struct Settings {
    int lock = -1;
    std::filesystem::path folder;  // the system's
    std::string cgroup;            // the system's
    LogSettings logs;              // where a muproc's plan says nothing
    std::uint32_t crash_reports = 100;  // that are kept; 0: none is written
  };

  Logger(Loop& loop, Log& log, LoggerProcess process, Settings settings);
  ~Logger();

  /// Pipes, when output is captured; else none.
  OutputPipes make_pipes() const;
  /// From now on what it prints is logged. A supervised one has a file of its own.
  void born(const Muproc& muproc, bool is_supervised, std::array<sys::UniqueFd, 2> reads);
  /// Its process has been reaped: what its pipes hold now is its last word.
  void ended(Pid pid);
  /// Has a report written, unless there were too many just before.
  void report(Core& core, const Crash& crash);
  /// What is said from now on is kept like this, where a muproc's plan says nothing.
  void change(Core& core, const LogSettings& logs, std::uint32_t crash_reports);
  /// The logger's own process.
  bool is_ours(int os_pid) const { return pidfd_ && os_pid == os_pid_; }
  /// The level of a muproc's own log.
  LogLevel level_of(const Plan* plan) const;

  /// Waits until all is written and ends the logger; kills it when that takes too long.
  void finish() noexcept;

 private:
  struct Stream {
    capnp::MallocMessageBuilder open;
    std::array<sys::UniqueFd, 2> reads;
    bool has_ended = false;
  };

  void describe(wire::OpenLog::Builder open, const Plan* plan) const;
  void adopt(LoggerProcess process);
  void died();
  void respawn();
  void hear();
  void send(capnp::MessageBuilder& message, std::initializer_list<int> fds = {});
  void send(Stream& stream);
  void flush_later();

  Loop& loop_;
  Log& log_;
  Settings settings_;
  int os_pid_ = 0;
  sys::UniqueFd pidfd_;
  wire::FrameSocket socket_;
  Watch reading_, death_, again_;
  std::chrono::steady_clock::time_point started_{};
  std::map<Pid, Stream> streams_;
  std::map<std::string, ReportAllowance> allowances_;
  bool is_finished_ = false;
};

}  // namespace muproc::broker
