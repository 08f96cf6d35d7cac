// Reading log files while somebody writes and rotates them.
//
// A file PATH = NAME.log has predecessors NAME.1.log, NAME.2.log, …, the higher the older; when it is full it becomes
// NAME.1.log, and so on. A reader holds on to the file it reads, whatever it is called meanwhile, and finds its
// successors by their order; so it misses nothing unless its file has been rotated away altogether, which it says.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/control_socket.hpp"  // sys::UniqueFd

namespace muproc::tools {

class LogReader {
 public:
  using Emit = std::function<void(std::string_view line)>;

  explicit LogReader(std::filesystem::path path) : path_(std::move(path)) {}

  /// The last lines that `wanted` wants, oldest first, out of all files there are; afterwards `read_on` gives what
  /// comes after them.
  std::vector<std::string> last(std::size_t count, const std::function<bool(std::string_view)>& wanted);
  /// Each whole line that has come since. True when there was any.
  bool read_on(const Emit& emit);
  /// How often files were rotated away before they were read.
  unsigned lost() const { return lost_; }

 private:
  std::filesystem::path rotated(unsigned index) const;
  /// Which of the rotated files the present one is; 0: the one being written; -1: none any more.
  int index_of_present() const;
  bool open(const std::filesystem::path& path);
  bool adopt(sys::UniqueFd file);
  bool read_to_end(const Emit& emit);
  bool open_successor();

  std::filesystem::path path_;
  sys::UniqueFd file_;
  ino_t inode_ = 0;
  std::string partial_;
  unsigned lost_ = 0;
};

}  // namespace muproc::tools
