#include "broker/logs/log_file.hpp"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>

#include <ctime>

#include "wire/printable.hpp"

namespace muproc::broker {
namespace {

using spdlog::details::log_msg;

std::string_view word_of(const log_msg& line) { return line.source.funcname ? line.source.funcname : "out"; }

/// The word, padded.
class WordFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const log_msg& line, const std::tm&, spdlog::memory_buf_t& to) override {
    const std::string_view word = word_of(line);
    to.append(word.data(), word.data() + word.size());
    for (std::size_t size = word.size(); size < 5; ++size) to.push_back(' ');
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<WordFlag>(); }
};

class JsonLines final : public spdlog::formatter {
 public:
  void format(const log_msg& line, spdlog::memory_buf_t& to) override {
    text_.clear();
    text_ += "{\"time\": \"";
    append_time(line.time);
    text_ += "\", \"name\": ";
    const std::string_view name(line.logger_name.data(), line.logger_name.size());
    const auto bracket = name.rfind('[');
    wire::append_json_text(text_, name.substr(0, bracket));
    text_ += ", \"pid\": ";
    text_ += name.substr(bracket + 1, name.size() - bracket - 2);
    std::string_view word = word_of(line);
    const bool goes_on = word.ends_with('+');
    if (goes_on) word.remove_suffix(1);
    text_ += word == "out" || word == "err" ? ", \"stream\": " : ", \"level\": ";
    wire::append_json_text(text_, word);
    if (goes_on) text_ += ", \"goes_on\": true";
    text_ += ", \"text\": ";
    const std::string_view said(line.payload.data(), line.payload.size());
    wire::append_json_text(text_, said);
    if (!wire::is_valid_utf8(said)) append_bytes(said);
    text_ += "}\n";
    to.append(text_.data(), text_.data() + text_.size());
  }
  std::unique_ptr<formatter> clone() const override { return std::make_unique<JsonLines>(); }

 private:
  void append_bytes(std::string_view bytes) {
    text_ += ", \"bytes\": \"";
    for (const char c : bytes) fmt::format_to(std::back_inserter(text_), "{:02x}", static_cast<unsigned char>(c));
    text_ += '"';
  }
  /// Local time with its distance from UTC; all but the microseconds changes once a second.
  void append_time(spdlog::log_clock::time_point time) {
    const auto since = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
    const std::time_t second = since / 1'000'000;
    if (second != second_ || seconds_.empty()) {
      second_ = second;
      std::tm parts{};
      ::localtime_r(&second, &parts);
      char text[32], zone[8];
      seconds_.assign(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts));
      const std::size_t size = std::strftime(zone, sizeof zone, "%z", &parts);
      zone_ = size == 5 ? std::string(zone, 3) + ':' + std::string(zone + 3, 2) : "Z";
    }
    text_ += seconds_;
    fmt::format_to(std::back_inserter(text_), ".{:06}", since % 1'000'000);
    text_ += zone_;
  }

  std::string text_, seconds_, zone_;
  std::time_t second_ = 0;
};

}  // namespace

std::unique_ptr<spdlog::formatter> log_formatter(LogFormat format) {
  if (format == LogFormat::json) return std::make_unique<JsonLines>();
  auto text = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::local, "\n");
  text->add_flag<WordFlag>('*').set_pattern("%Y-%m-%d %H:%M:%S.%f %^%*%$ %n: %v");
  return text;
}

LogFile::LogFile(std::string path, LogFileSettings settings, std::function<void(const std::string&)> trouble)
    : path_(std::move(path)), settings_(settings), trouble_(std::move(trouble)) {}

LogFile::~LogFile() { flush(); }

bool LogFile::open() {
  if (sink_) return true;
  if (is_in_trouble_ && std::chrono::steady_clock::now() < again_at_) return false;
  sink_ = std::make_shared<spdlog::sinks::rotating_file_sink_st>(path_, settings_.size, settings_.files - 1);
  sink_->set_formatter(log_formatter(settings_.format));
  return true;
}

void LogFile::write(const log_msg& line) noexcept {
  try {
    if (!open()) {
      ++missing_;
      return;
    }
    ++unflushed_;
    sink_->log(line);
  } catch (const std::exception& failure) {
    failed(failure.what());
  }
}

void LogFile::flush() noexcept {
  if (!sink_ || (unflushed_ == 0 && !is_in_trouble_)) return;
  try {
    sink_->flush();
    unflushed_ = 0;
    if (is_in_trouble_) say_what_is_missing();
  } catch (const std::exception& failure) {
    failed(failure.what());
  }
}

/// A sink that has failed may hold a closed file: it is not used again.
void LogFile::failed(const char* what) noexcept {
  missing_ += unflushed_;
  if (!sink_ && unflushed_ == 0) ++missing_;
  unflushed_ = 0;
  sink_.reset();
  again_at_ = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  if (std::exchange(is_in_trouble_, true)) return;
  trouble_(fmt::format("{} cannot be written, lines are lost: {}", path_, what));
}

void LogFile::say_what_is_missing() {
  const std::string text = fmt::format("up to {} lines are missing here: they could not be written", missing_);
  log_msg line(spdlog::source_loc("", 0, "warn"), "muproc-logger[0]", spdlog::level::warn, text);
  sink_->log(line);
  sink_->flush();
  is_in_trouble_ = false;
  missing_ = 0;
  trouble_(fmt::format("{} is written again; {}", path_, text));
}

}  // namespace muproc::broker
