#include "sys/proc.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

namespace muproc::sys {
namespace {

// What is read of one file at most: environments and lists of maps have no other bound.
constexpr std::size_t k_most = 4u << 20;

/// Nothing of a file that is not there, or not ours to read. A process that is a zombie has none of these.
std::string read_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  if (!file) return text;
  for (;;) {
    const std::size_t had = text.size();
    text.resize(had + 16384);
    const ssize_t got = ::read(file.get(), text.data() + had, 16384);
    text.resize(had + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got <= 0 || text.size() > k_most) return text;
  }
}

std::string proc(int os_pid, const char* file) { return "/proc/" + std::to_string(os_pid) + "/" + file; }

}  // namespace

std::optional<ProcessStat> process_stat(int os_pid) {
  char text[1024];
  const UniqueFd file(::open(proc(os_pid, "stat").c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t got = file ? ::read(file.get(), text, sizeof text - 1) : -1;
  if (got <= 0) return std::nullopt;
  text[got] = '\0';
  const char* rest = std::strrchr(text, ')');  // the name before it may contain anything
  if (!rest) return std::nullopt;
  ProcessStat stat;
  unsigned long long started = 0;
  // Fields 3 to 6, 22 and 38 of proc(5).
  const int found = std::sscanf(rest + 1,
                                " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %*u %*d %*u %*u %*u "
                                "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %d",
                                &stat.state, &stat.parent, &stat.group, &stat.session, &started, &stat.exit_signal);
  if (found != 6) return std::nullopt;
  stat.started_ticks = started;
  return stat;
}

std::vector<int> all_processes() {
  std::vector<int> processes;
  DIR* folder = ::opendir("/proc");
  if (!folder) return processes;
  while (const dirent* entry = ::readdir(folder))
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') processes.push_back(std::atoi(entry->d_name));
  ::closedir(folder);
  return processes;
}

std::string inheritance_of(int os_pid) {
  std::string found = read_file(proc(os_pid, "environ"));
  const std::string maps = read_file(proc(os_pid, "maps"));
  for (std::size_t begin = 0; begin < maps.size();) {
    const std::size_t end = std::min(maps.find('\n', begin), maps.size());
    const std::string_view line(maps.data() + begin, end - begin);
    if (line.find(" ---p ") != line.npos) found.append("\n").append(line);
    begin = end + 1;
  }
  return found;
}

OwnChildren::OwnChildren() {
  const auto list_of = [](int thread) {
    return UniqueFd(::open(("/proc/self/task/" + std::to_string(thread) + "/children").c_str(), O_RDONLY | O_CLOEXEC));
  };
  main_ = list_of(::getpid());
  if (::gettid() != ::getpid()) own_ = list_of(::gettid());
}

const std::vector<int>& OwnChildren::list() {
  children_.clear();
  if (!main_) look_through_all();
  if (main_) read(main_.get());
  if (own_) read(own_.get());
  return children_;
}

/// A kernel without such lists.
void OwnChildren::look_through_all() {
  const int self = ::getpid();
  for (const int os_pid : all_processes())
    if (const auto stat = process_stat(os_pid); stat && stat->parent == self) children_.push_back(os_pid);
}

void OwnChildren::read(int fd) {
  text_.clear();
  for (off_t at = 0;;) {
    text_.resize(static_cast<std::size_t>(at) + 8192);
    const ssize_t got = ::pread(fd, text_.data() + at, 8192, at);
    if (got > 0) at += got;
    text_.resize(static_cast<std::size_t>(at));
    if (got <= 0) break;
  }
  int number = 0;
  for (const char c : text_) {
    if (c >= '0' && c <= '9') {
      number = 10 * number + (c - '0');
    } else if (number) {
      children_.push_back(std::exchange(number, 0));
    }
  }
  if (number) children_.push_back(number);
}

bool has_ended(int pidfd) noexcept {
  pollfd waiting{pidfd, POLLIN, 0};
  return ::poll(&waiting, 1, 0) > 0;
}

}  // namespace muproc::sys
