// Processes that a test starts, and the proof that none of them, nor any of their descendants, is left behind.
//
// The test's own process is made the reaper of orphans, so whoever loses its parent becomes the test's child. When
// `nobody_is_left` returns, no descendant lives. Only what descends from the test is ever looked at or killed.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace muproc::test {

/// A child process of the test, whose output (stdout and stderr together) goes to a file. It dies with the test.
class Process {
 public:
  /// Runs `body` in a forked child; its result is the exit code. An exception is printed and makes 70.
  static Process forked(std::function<int()> body);
  /// Runs a program, found as execvp does, with these variables added to the environment.
  static Process program(std::vector<std::string> argv, std::map<std::string, std::string> environment = {});

  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  /// Kills it if it still runs, and shows its output if the test has failed.
  ~Process();

  pid_t os_pid() const { return os_pid_; }
  bool running() const;
  void signal(int number) const;
  /// Waits for its end. Its exit code, or 128 + the signal that ended it, as shells have it.
  int wait();
  /// All that it and its descendants have printed so far.
  std::string output() const;
  /// Waits until the output contains the text.
  void wait_for_output(const std::string& text) const;

 private:
  explicit Process(std::filesystem::path output) : output_(std::move(output)) {}
  static Process start(const std::function<void()>& in_child);
  void reap(int status);

  pid_t os_pid_ = 0;
  bool reaped_ = false;
  int exit_code_ = -1;
  std::filesystem::path output_;
};

/// The OS pids of the test's own children, zombies included.
std::vector<pid_t> own_children();

/// Waits until no descendant of this process is left, but for the children named. Those that do not go are killed, and
/// the test fails.
void nobody_is_left(const std::vector<pid_t>& but = {});

/// True while that process exists and is no zombie.
bool process_lives(pid_t os_pid);

}  // namespace muproc::test
