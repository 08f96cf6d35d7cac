#include "broker/log.hpp"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

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

}  // namespace

Log::Log(Loop& loop, const std::string& system, const std::filesystem::path& file, LogLevel level)
    : loop_(loop),
      logger_(std::make_shared<spdlog::logger>(
          system, spdlog::sinks_init_list{std::make_shared<spdlog::sinks::stderr_color_sink_mt>(),
                                          std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.native())})) {
  logger_->set_level(level_of(level));
  logger_->set_pattern("%Y-%m-%d %H:%M:%S.%f %^%-7l%$ %n: %v");
  logger_->flush_on(spdlog::level::trace);
}

void Log::add(Line line) {
  waiting_.push_back(std::move(line));
  loop_.when_idle([this] { flush(); });
}

void Log::flush() noexcept {
  for (const Line& line : std::exchange(waiting_, {}))
    logger_->log(line.time, spdlog::source_loc{}, line.level, line.text);
}

}  // namespace muproc::broker
