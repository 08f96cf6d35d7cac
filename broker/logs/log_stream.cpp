#include "broker/logs/log_stream.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "sys/error.hpp"
#include "wire/codec.hpp"
#include "wire/log_line.hpp"
#include "wire/printable.hpp"

namespace muproc::broker {
namespace {

constexpr std::size_t k_read = 64 * 1024;
constexpr std::size_t k_largest_pipe = 1024 * 1024;

constexpr LineWord k_streams[] = {{"out", "out+"}, {"err", "err+"}};
constexpr LineWord k_levels[] = {{"trace", "trace+"}, {"debug", "debug+"}, {"info", "info+"}, {"warn", "warn+"}, {"error", "error+"}, {"crit", "crit+"}};

/// The level that a line begins with, or -1.
int level_of(std::string_view text) {
  const bool is_marked = text.size() >= 2 && text[0] == wire::k_level_mark && text[1] >= '0' && text[1] < '0' + static_cast<int>(std::size(k_levels));
  return is_marked ? text[1] - '0' : -1;
}

}  // namespace

LogStream::LogStream(wire::OpenLog::Reader open, std::array<sys::UniqueFd, 2> pipes, std::shared_ptr<LogFile> file,
                     std::array<std::shared_ptr<Console>, 2> consoles, int epoll, std::uint64_t key)
    : epoll_(epoll),
      pid_(open.getPid()),
      title_(fmt::format("{}[{}]", wire::view(open.getName()), open.getOsPid())),
      speaks_levels_(open.getSpeaksLevels()),
      file_(std::move(file)),
      consoles_(std::move(consoles)) {
  for (std::size_t i = 0; i < pipes.size(); ++i) {
    ends_[i].pipe = std::move(pipes[i]);
    sys::set_nonblocking(ends_[i].pipe.get(), true);
    epoll_event event{EPOLLIN, {}};
    event.data.u64 = key << 1 | i;
    sys::check(::epoll_ctl(epoll_, EPOLL_CTL_ADD, ends_[i].pipe.get(), &event), "epoll_ctl");
  }
}

bool LogStream::read(std::size_t which) {
  End& end = ends_[which];
  static char buffer[k_read];  // one thread
  if (!end.pipe) return false;
  const ssize_t got = ::read(end.pipe.get(), buffer, sizeof buffer);
  if (got < 0) return errno == EINTR;
  if (got == 0) return close(which), false;
  end.lines.add({buffer, static_cast<std::size_t>(got)}, [&](std::string_view text, LineEnd how) { say(end, which, text, how); });
  return true;
}

void LogStream::close(std::size_t which) {
  End& end = ends_[which];
  end.lines.finish([&](std::string_view text, LineEnd how) { say(end, which, text, how); });
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, end.pipe.get(), nullptr);  // the broker's copy would keep it in the set
  end.pipe.reset();
}

/// Not for ever: somebody else may hold the pipe and write on.
void LogStream::drain() {
  for (std::size_t which = 0; which < ends_.size(); ++which)
    for (std::size_t taken = 0; taken < k_largest_pipe && read(which); taken += k_read) {
    }
}

void LogStream::ended() {
  drain();
  for (std::size_t which = 0; which < ends_.size(); ++which)
    ends_[which].lines.finish([&](std::string_view text, LineEnd how) { say(ends_[which], which, text, how); });
}

void LogStream::say(End& end, std::size_t which, std::string_view text, LineEnd how) {
  if (!end.goes_on) {
    const int level = speaks_levels_ ? level_of(text) : -1;
    end.word = level < 0 ? &k_streams[which] : &k_levels[level];
    end.level = level >= 0 ? static_cast<spdlog::level::level_enum>(level) : which == 0 ? spdlog::level::info : spdlog::level::warn;
    if (level >= 0) text.remove_prefix(2);
  }
  end.goes_on = how == LineEnd::goes_on;
  const char* word = end.goes_on ? end.word->goes_on : end.word->whole;

  const spdlog::details::log_msg line(spdlog::source_loc("", 0, word), title_, end.level, spdlog::string_view_t(text.data(), text.size()));
  file_->write(line);
  if (Console* console = consoles_[which].get()) {
    const std::string fit = console->is_terminal() ? wire::printable(text) : std::string();
    auto seen = line;
    if (console->is_terminal()) seen.payload = fit;
    console->log(seen);
  }
  remember(word, text);
}

void LogStream::remember(const char* word, std::string_view text) {
  if (last_.size() < k_remembered) last_.emplace_back();
  LastLine& line = last_[next_last_];
  next_last_ = (next_last_ + 1) % k_remembered;
  line.word = word;
  line.text = text.substr(0, k_remembered_bytes);
}

std::vector<LastLine> LogStream::last_lines() const {
  std::vector<LastLine> lines;
  for (std::size_t i = 0; i < last_.size(); ++i)
    lines.push_back(last_[(last_.size() < k_remembered ? i : (next_last_ + i) % k_remembered)]);
  return lines;
}

}  // namespace muproc::broker
