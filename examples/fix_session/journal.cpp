#include "journal.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace fix {

Journal::Journal(const std::filesystem::path& file)
    : fd_(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "open " + file.string());
  std::ifstream in(file);
  std::uintmax_t whole = 0;
  for (std::string line; std::getline(in, line) && !in.eof();) {
    whole += line.size() + 1;
    (line.front() == '>' ? sent_ : received_).push_back(line.substr(1));
  }
  std::filesystem::resize_file(file, whole);  // but for a line that was cut short
}

Journal::~Journal() { ::close(fd_); }

int Journal::add_sent(const std::string& text) {
  write('>', text);
  sent_.push_back(text);
  return static_cast<int>(sent_.size());
}

void Journal::add_received(const std::string& text) {
  write('<', text);
  received_.push_back(text);
}

std::vector<std::string> Journal::of_application(const std::vector<std::string>& all) {
  std::vector<std::string> texts;
  for (const std::string& text : all)
    if (!text.empty()) texts.push_back(text);
  return texts;
}

void Journal::write(char kind, const std::string& text) {
  const std::string line = kind + text + '\n';
  if (::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw std::system_error(errno, std::generic_category(), "write the journal");
}

}  // namespace fix
