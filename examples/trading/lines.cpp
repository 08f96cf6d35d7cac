#include "lines.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace trading {

Lines::Lines(const std::filesystem::path& file)
    : fd_(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "open " + file.string());
  std::ifstream in(file);
  std::uintmax_t whole = 0;
  for (std::string line; std::getline(in, line) && !in.eof();) {
    whole += line.size() + 1;
    found_.push_back(std::move(line));
  }
  if (whole != std::filesystem::file_size(file)) std::filesystem::resize_file(file, whole);
}

Lines::~Lines() { ::close(fd_); }

void Lines::add(const std::string& line) {
  if (line.find('\n') != line.npos) throw std::invalid_argument("not one line: " + line);
  const std::string text = line + '\n';
  ssize_t written;
  do {
    written = ::write(fd_, text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  // Of a line that went in half, as when the disk is full, the writer had better die: its replacement cuts it off.
  if (written != static_cast<ssize_t>(text.size()))
    throw std::system_error(written < 0 ? errno : ENOSPC, std::generic_category(), "write a line");
}

}  // namespace trading
