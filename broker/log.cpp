#include "broker/log.hpp"

#include <spdlog/sinks/rotating_file_sink.h>
#include <unistd.h>

namespace muproc::broker {
namespace {

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::trace: return spdlog::level::trace;
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warn: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
    case LogLevel::off: return spdlog::level::off;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::sinks::sink> file_sink(const std::string& file, const LogSettings& settings) {
  return std::make_shared<spdlog::sinks::rotating_file_sink_mt>(file, settings.file_size.count, settings.files - 1);
}

constexpr const char* k_pattern = "%Y-%m-%d %H:%M:%S.%f %^%-7l%$ %n: %v";
constexpr std::chrono::nanoseconds k_console_again = std::chrono::milliseconds(50);

}  // namespace

Log::Log(Loop& loop, const std::string& system, const std::filesystem::path& file, LogLevel level, const LogSettings& settings)
    : loop_(loop),
      file_(file.native()),
      console_(std::make_shared<Console>(STDERR_FILENO)),
      logger_(std::make_shared<spdlog::logger>(system, spdlog::sinks_init_list{console_, file_sink(file_, settings)})) {
  logger_->set_level(level_of(level));
  logger_->set_pattern(k_pattern);
  logger_->flush_on(spdlog::level::trace);
}

void Log::set_level(LogLevel level) { logger_->set_level(level_of(level)); }

void Log::keep(const LogSettings& settings) {
  flush();
  auto file = file_sink(file_, settings);  // throws before anything has changed
  file->set_pattern(k_pattern);
  logger_->sinks().back() = std::move(file);
}

void Log::add(Line line) {
  waiting_.push_back(std::move(line));
  loop_.when_idle([this] { flush(); });
}

/// What the console does not take now is offered to it again; nobody waits for it.
void Log::flush() noexcept {
  for (const Line& line : std::exchange(waiting_, {}))
    logger_->log(line.time, spdlog::source_loc{}, line.level, line.text);
  console_->drain();
  again_ = console_->has_waiting() && !is_over_ ? loop_.after(k_console_again, [this] { flush(); }) : Watch();
}

Log::~Log() {
  is_over_ = true;
  flush();
  console_->finish();
}

}  // namespace muproc::broker
