// A file of lines that only grows: what must still be known after its writer was killed at any instruction.
//
// What `add` has returned from is in the file, and stays: the kernel has it, so no death of a process can take it
// back. (A power cut can. Who must outlive that adds an fdatasync.) A writer that dies inside `add` leaves the line,
// or nothing of it that counts: a line that was cut short is cut off by the next one who opens the file.
//
// One process at a time writes a file. Here that is so because each file belongs to one muproc, and a supervisor
// starts a replacement when nothing of its predecessor runs any more.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace trading {

class Lines {
 public:
  /// Opens it, or makes it. Throws std::system_error.
  explicit Lines(const std::filesystem::path& file);
  ~Lines();
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  /// Those that were there when it was opened.
  const std::vector<std::string>& found() const { return found_; }
  /// Throws std::system_error when it cannot be written, std::invalid_argument when it is more than one line.
  void add(const std::string& line);

 private:
  int fd_;
  std::vector<std::string> found_;
};

}  // namespace trading
