// Writes crash reports, in processes of its own: unwinding and symbols take as long as they take, and delay nobody.
//
// It lives in the logger, which has the last lines. One report at a time is written, by a fork of the logger at a low
// priority, which ends after a minute whatever happens. A report is two files of one name, .txt and .json, each put in
// place whole by a rename; the oldest go when there are too many.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "broker/logs/log_stream.hpp"
#include "sys/fd.hpp"
#include "wire/frame.hpp"

namespace muproc::broker {

class Reporter {
 public:
  /// Told of each report, and of each that could not be written.
  std::function<void(const std::string& path)> reported = [](const std::string&) {};
  std::function<void(const std::string& what)> trouble = [](const std::string&) {};

  /// `frame` is a wire::ToLogger with a crash.
  void add(wire::Frame frame, std::vector<LastLine> last_lines);
  /// Begins the next one when the one before is done. To be called now and then while it is busy.
  void go_on();
  bool is_busy() const { return os_pid_ != 0 || !waiting_.empty(); }

 private:
  struct Job {
    wire::Frame frame;
    std::vector<LastLine> last_lines;
  };
  bool start(Job& job);

  std::deque<Job> waiting_;
  int os_pid_ = 0;
  std::string path_;
};

}  // namespace muproc::broker
