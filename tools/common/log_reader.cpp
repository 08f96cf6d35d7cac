#include "tools/common/log_reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <utility>

namespace muproc::tools {
namespace {

constexpr unsigned k_most_files = 1000;
/// So often a rotation may come in between before the reader settles for what it can have.
constexpr int k_most_tries = 1000;

/// 0: there is no such file.
ino_t inode_of(const std::filesystem::path& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

std::filesystem::path LogReader::rotated(unsigned index) const {
  if (index == 0) return path_;
  auto path = path_;
  return path.replace_filename(path_.stem().string() + "." + std::to_string(index) + path_.extension().string());
}

/// A rotation renames the files one by one, from the oldest on: there is one gap at a time, and a file that this looks
/// for only moves to where it has not looked yet.
int LogReader::index_of_present() const {
  bool gap = false;
  for (unsigned index = 0; index < k_most_files; ++index) {
    const ino_t inode = inode_of(rotated(index));
    if (inode == inode_) return static_cast<int>(index);
    if (inode == 0 && std::exchange(gap, true)) break;
  }
  return -1;
}

bool LogReader::open(const std::filesystem::path& path) {
  return adopt(sys::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
}

bool LogReader::adopt(sys::UniqueFd file) {
  struct stat status;
  if (!file || ::fstat(file.get(), &status) != 0) return false;
  file_ = std::move(file);
  inode_ = status.st_ino;
  partial_.clear();
  return true;
}

bool LogReader::read_to_end(const Emit& emit) {
  bool has_read = false;
  char buffer[65536];
  for (;;) {
    const ssize_t got = ::read(file_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return has_read;
    std::string_view rest(buffer, static_cast<std::size_t>(got));
    for (auto newline = rest.find('\n'); newline != rest.npos; newline = rest.find('\n')) {
      has_read = true;
      partial_ += rest.substr(0, newline);
      emit(partial_);
      partial_.clear();
      rest.remove_prefix(newline + 1);
    }
    partial_ += rest;
  }
}

std::vector<std::string> LogReader::last(std::size_t count, const std::function<bool(std::string_view)>& wanted) {
  std::deque<std::string> lines;
  if (!open(path_)) return {};
  std::deque<std::string> newest;
  const auto keep_in = [&](std::deque<std::string>& kept, std::size_t most) {
    return [&, most](std::string_view line) {
      if (!wanted(line) || most == 0) return;
      kept.emplace_back(line);
      if (kept.size() > most) kept.pop_front();
    };
  };
  read_to_end(keep_in(lines, count));
  const int present = index_of_present();
  for (auto index = static_cast<unsigned>(std::max(present, 0)) + 1; lines.size() < count; ++index) {
    LogReader older(rotated(index));
    if (!older.open(older.path_)) break;
    std::deque<std::string> before;
    older.read_to_end(keep_in(before, count - lines.size()));
    lines.insert(lines.begin(), before.begin(), before.end());
  }
  return {lines.begin(), lines.end()};
}

bool LogReader::open_successor() {
  for (int tries = 0; tries < k_most_tries; ++tries) {
    const int index = index_of_present();
    if (index == 0) return false;
    if (index < 0) break;
    const auto place = static_cast<unsigned>(index);
    sys::UniqueFd next(::open(rotated(place - 1).c_str(), O_RDONLY | O_CLOEXEC));
    // A rotation moves the older file first: while that is in its place, the one before it is what came after it.
    if (next && inode_of(rotated(place)) == inode_) return adopt(std::move(next));
  }
  // Rotated away: begin with the oldest that there is.
  ++lost_;
  unsigned oldest = 0;
  while (oldest + 1 < k_most_files && inode_of(rotated(oldest + 1)) != 0) ++oldest;
  return open(rotated(oldest));
}

bool LogReader::read_on(const Emit& emit) {
  if (!file_ && !open(path_)) return false;
  bool has_read = read_to_end(emit);
  // Once it is called otherwise nothing more is written to it: what is read now is the rest.
  while (inode_of(path_) != inode_ && inode_of(path_) != 0) {
    has_read = read_to_end(emit) || has_read;
    if (!open_successor()) break;
    has_read = read_to_end(emit) || has_read;
  }
  return has_read;
}

}  // namespace muproc::tools
