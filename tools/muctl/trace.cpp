#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <thread>

#include "tools/common/message_tap.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/control_socket.hpp"
#include "wire/printable.hpp"

namespace muproc::tools {
namespace {

using Clock = std::chrono::steady_clock;

// A signal handler needs it.
volatile std::sig_atomic_t is_interrupted = 0;

/// So that an interrupted trace still says what it has missed.
void heed_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) { is_interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // who is impatient does it twice
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
}

std::int64_t wall_ns(const TappedMessage& message) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now - message.age).count();
}

std::string who(Pid pid, const std::string& name) { return name.empty() ? to_string(pid) : printable(name); }

std::string line_of(const TappedMessage& message, const DecodedMessage& what) {
  std::string line = fmt::format("{} {} -> {}  ", local_time(wall_ns(message)), who(message.from, message.from_name), who(message.to, message.to_name));
  if (what.kind != "message") line += std::string(what.kind) + ' ';
  if (!what.type.empty()) line += what.type + ' ';
  return line + what.text;
}

std::string json_of(const TappedMessage& message, const DecodedMessage& what) {
  std::string json = fmt::format("{{\"time_ns\": {}", wall_ns(message));
  const auto field = [&](const char* name, std::string_view text) {
    json += fmt::format(", \"{}\": ", name);
    text.empty() ? void(json += "null") : wire::append_json_text(json, text);
  };
  field("from", to_string(message.from));
  field("from_name", message.from_name);
  field("to", to_string(message.to));
  field("to_name", message.to_name);
  field("kind", what.kind);
  field("type", what.type);
  field("type_id", what.type.empty() ? "" : fmt::format("{:#018x}", message.header.type_id));
  return json + fmt::format(", \"bytes\": {}, \"malformed\": {}, \"message\": {}}}", message.bytes, what.is_malformed, what.json);
}

/// How many may be shown by now.
class Allowance {
 public:
  explicit Allowance(double rate) : rate_(rate), left_(std::max(1.0, rate)), at_(Clock::now()) {}
  bool take() {
    if (rate_ <= 0) return true;
    const auto now = Clock::now();
    left_ = std::min(std::max(1.0, rate_), left_ + rate_ * std::chrono::duration<double>(now - at_).count());
    at_ = now;
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  double rate_, left_;
  Clock::time_point at_;
};

class Tracer {
 public:
  Tracer(const Context& context, const TraceRequest& request)
      : context_(context), request_(request), allowance_(request.rate), tap_(folder(context), request.name, request.to) {
    for (const auto& file : request.schemas) schemas_.add(file);
  }

  void run() {
    heed_interrupts();
    const auto until = request_.span ? Clock::now() + *request_.span : Clock::time_point::max();
    for (bool is_last = false; !is_last;) {
      is_last = is_interrupted || Clock::now() >= until || tap_.is_over() || is_enough();
      const bool has_more = tap_.poll([this](const TappedMessage& message) { passed_.push_back(message); });
      show_passed();
      std::cout << std::flush;
      if (!std::cout) return;  // nobody reads any more
      if (!is_last && !has_more && tap_.pause().count() > 0) std::this_thread::sleep_for(tap_.pause());
    }
    sum_up();
  }

 private:
  static std::filesystem::path folder(const Context& context) try {
    const auto folder = wire::find_system(context.system);
    return folder.has_filename() ? folder : folder.parent_path();
  } catch (const NoSuchName& nobody) {
    throw Failure(ExitCode::no_system, nobody.what());
  }

  bool is_enough() const { return request_.count > 0 && shown_ >= request_.count; }

  /// In the order in which they were sent; the tap gives them channel by channel.
  void show_passed() {
    const auto by_time = [](const TappedMessage& a, const TappedMessage& b) { return a.header.timestamp < b.header.timestamp; };
    std::stable_sort(passed_.begin(), passed_.end(), by_time);
    for (const TappedMessage& message : passed_) show(message);
    passed_.clear();
  }

  void show(const TappedMessage& message) {
    if (is_enough() || !allowance_.take()) return;
    ++shown_;
    const DecodedMessage what = decoder_.decode(message.header, message.segments);
    std::cout << (context_.json ? json_of(message, what) : line_of(message, what)) << '\n';
  }

  void sum_up() const {
    const std::uint64_t not_shown = tap_.seen() - shown_;
    if (context_.json) {
      std::cout << fmt::format("{{\"shown\": {}, \"not_shown\": {}, \"missed\": {}, \"missed_bytes\": {}, \"broken_channels\": {}}}\n", shown_, not_shown,
                               tap_.missed(), tap_.missed_bytes(), tap_.broken());
      return;
    }
    std::cerr << fmt::format("{} shown", shown_);
    if (not_shown > 0) std::cerr << fmt::format(", {} not shown", not_shown);
    if (tap_.missed_bytes() > 0) std::cerr << fmt::format(", about {} missed ({} bytes of the rings)", tap_.missed(), tap_.missed_bytes());
    else std::cerr << ", none missed";
    if (tap_.broken() > 0) std::cerr << fmt::format("; {} channels hold no messages", tap_.broken());
    std::cerr << '\n';
  }

  const Context& context_;
  const TraceRequest& request_;
  Allowance allowance_;
  Schemas schemas_;
  MessageTap tap_;
  MessageDecoder decoder_{&schemas_};
  std::vector<TappedMessage> passed_;
  std::uint64_t shown_ = 0;
};

}  // namespace

std::string trace(const Context& context, const TraceRequest& request) {
  Tracer(context, request).run();
  return {};
}

}  // namespace muproc::tools
