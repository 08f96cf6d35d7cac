#include "runtime/log.hpp"

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "wire/log_line.hpp"

namespace muproc::detail {
namespace {

/// False once the muproc's own code has put something else there.
bool is_captured(std::uint64_t inode) {
  struct stat status;
  return inode != 0 && ::fstat(STDERR_FILENO, &status) == 0 && S_ISFIFO(status.st_mode) && status.st_ino == inode;
}

/// To the system's logger: each line with its level, a message in one write.
class CapturedSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    text_.clear();
    std::string_view rest(message.payload.data(), message.payload.size());
    do {
      const auto newline = rest.find('\n');
      (text_ += wire::k_level_mark) += static_cast<char>('0' + message.level);
      (text_ += rest.substr(0, newline)) += '\n';
      rest.remove_prefix(newline == rest.npos ? rest.size() : newline + 1);
    } while (!rest.empty());
    for (std::size_t written = 0; written < text_.size();) {
      const ssize_t took = ::write(STDERR_FILENO, text_.data() + written, text_.size() - written);
      if (took < 0 && errno != EINTR) return;  // nobody listens any more
      written += static_cast<std::size_t>(took < 0 ? 0 : took);
    }
  }
  void flush_() override {}

  std::string text_;
};

spdlog::sink_ptr sink_for(const std::string& file, std::uint64_t captured_inode) {
  if (!file.empty()) return std::make_shared<spdlog::sinks::basic_file_sink_st>(file);
  if (is_captured(captured_inode)) return std::make_shared<CapturedSink>();
  return std::make_shared<spdlog::sinks::stderr_color_sink_st>();
}

}  // namespace

std::shared_ptr<spdlog::logger> make_log(const std::string& name, const std::string& file, int level, std::uint64_t captured_inode) {
  auto log = std::make_shared<spdlog::logger>(name, sink_for(file, captured_inode));
  log->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%-5l%$ [%n] %v");
  log->set_level(static_cast<spdlog::level::level_enum>(level));
  log->flush_on(spdlog::level::trace);
  return log;
}

}  // namespace muproc::detail
