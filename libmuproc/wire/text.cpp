// Values and reasons as people read them.
#include <cstring>
#include <string>

#include <muproc/reason.hpp>
#include <muproc/value.hpp>

namespace muproc {
namespace {

std::string real_text(double value) {
  char buffer[32];
  for (int digits = 15; digits <= 17; ++digits) {  // the shortest that reads back as the same number
    std::snprintf(buffer, sizeof buffer, "%.*g", digits, value);
    if (std::strtod(buffer, nullptr) == value) break;
  }
  return buffer;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + '"';
}

struct Printer {
  std::string operator()(std::monostate) const { return "nil"; }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(std::int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return real_text(value); }
  std::string operator()(const Symbol& value) const { return value.name; }
  std::string operator()(const std::string& value) const { return quoted(value); }
  std::string operator()(const Data& value) const { return "<" + std::to_string(value.size()) + " bytes>"; }
  std::string operator()(const List& value) const {
    std::string out = "[";
    for (const auto& element : value) (out += out.size() > 1 ? ", " : "") += to_string(element);
    return out + "]";
  }
  std::string operator()(const Mumsg& value) const { return to_string(value); }
  std::string operator()(Pid value) const { return to_string(value); }
  std::string operator()(const StructValue& value) const {
    char id[32];
    std::snprintf(id, sizeof id, "0x%llx", static_cast<unsigned long long>(value.type_id));
    return std::string("<struct ") + id + ">";
  }
  std::string operator()(const std::shared_ptr<const Reason>& value) const { return to_string(*value); }
};

}  // namespace

std::string_view to_string(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::nil: return "nil";
    case Value::Kind::boolean: return "bool";
    case Value::Kind::integer: return "int";
    case Value::Kind::real: return "float";
    case Value::Kind::symbol: return "symbol";
    case Value::Kind::text: return "text";
    case Value::Kind::data: return "data";
    case Value::Kind::list: return "list";
    case Value::Kind::mumsg: return "mumsg";
    case Value::Kind::pid: return "pid";
    case Value::Kind::structure: return "struct";
    case Value::Kind::reason: return "reason";
  }
  return "?";
}

std::string to_string(const Value& value) { return std::visit(Printer{}, value.variant()); }

std::string to_string(const Mumsg& mumsg) {
  std::string out = "{";
  for (const auto& [name, value] : mumsg) (((out += out.size() > 1 ? ", " : "") += name) += ": ") += to_string(value);
  return out + "}";
}

bool operator==(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  if (a.kind() == Value::Kind::reason)
    return *std::get<std::shared_ptr<const Reason>>(a.v_) == *std::get<std::shared_ptr<const Reason>>(b.v_);
  return a.v_ == b.v_;
}

Reason Reason::exit(Value value) {
  Reason reason(Kind::exit);
  reason.value_ = std::move(value);
  return reason;
}

Reason Reason::signal(int number, bool core) {
  Reason reason(Kind::signal);
  reason.number_ = number;
  reason.core_ = core;
  return reason;
}

Reason Reason::code(int code) {
  Reason reason(Kind::code);
  reason.number_ = code;
  return reason;
}

Reason Reason::exception(std::string type, std::string what) {
  Reason reason(Kind::exception);
  reason.name_ = std::move(type);
  reason.what_ = std::move(what);
  return reason;
}

Reason Reason::linked(std::string name, Pid pid, Reason cause) {
  Reason reason(Kind::linked);
  reason.name_ = std::move(name);
  reason.pid_ = pid;
  reason.cause_ = std::make_shared<const Reason>(std::move(cause));
  return reason;
}

Reason Reason::corrupt_message(std::string what) {
  Reason reason(Kind::corrupt_message);
  reason.what_ = std::move(what);
  return reason;
}

Reason Reason::start_failed(std::string what) {
  Reason reason(Kind::start_failed);
  reason.what_ = std::move(what);
  return reason;
}

Reason Reason::start_failed(Reason cause) {
  Reason reason(Kind::start_failed);
  reason.cause_ = std::make_shared<const Reason>(std::move(cause));
  return reason;
}

const Reason& Reason::root_cause() const {
  const Reason* reason = this;
  while (reason->cause()) reason = reason->cause();
  return *reason;
}

bool operator==(const Reason& a, const Reason& b) {
  if (a.kind_ != b.kind_ || a.core_ != b.core_ || a.number_ != b.number_ || a.pid_ != b.pid_ || a.name_ != b.name_ ||
      a.what_ != b.what_ || !(a.value_ == b.value_) || !a.cause_ != !b.cause_)
    return false;
  return !a.cause_ || *a.cause_ == *b.cause_;
}

bool operator==(const Reason& reason, std::string_view text) {
  if (reason.kind_ != Reason::Kind::exit) return to_string(reason.kind_) == text;
  const auto value = reason.value_.get<std::string_view>();
  return value && *value == text;
}

std::string_view to_string(Reason::Kind kind) {
  switch (kind) {
    case Reason::Kind::normal: return "normal";
    case Reason::Kind::exit: return "exit";
    case Reason::Kind::killed: return "killed";
    case Reason::Kind::signal: return "signal";
    case Reason::Kind::code: return "code";
    case Reason::Kind::exception: return "exception";
    case Reason::Kind::linked: return "linked";
    case Reason::Kind::shutdown: return "shutdown";
    case Reason::Kind::watchdog: return "watchdog";
    case Reason::Kind::out_of_memory: return "out_of_memory";
    case Reason::Kind::corrupt_message: return "corrupt_message";
    case Reason::Kind::start_failed: return "start_failed";
    case Reason::Kind::broker_lost: return "broker_lost";
    case Reason::Kind::noproc: return "noproc";
  }
  return "?";
}

std::string to_string(const Reason& reason) {
  std::string word(to_string(reason.kind()));
  switch (reason.kind()) {
    case Reason::Kind::exit: return word + ": " + to_string(reason.value());
    case Reason::Kind::signal: {
      const char* name = ::sigabbrev_np(reason.number());
      return word + ' ' + (name ? "SIG" + std::string(name) : std::to_string(reason.number())) +
             (reason.core() ? " (core dumped)" : "");
    }
    case Reason::Kind::code: return word + ' ' + std::to_string(reason.number());
    case Reason::Kind::exception: return word + ' ' + reason.name() + ": " + reason.what();
    case Reason::Kind::linked:
      return "linked to " + reason.name() + ' ' + to_string(reason.pid()) +
             (reason.cause() ? ": " + to_string(*reason.cause()) : "");
    case Reason::Kind::start_failed:
      return word + ": " + (reason.cause() ? to_string(*reason.cause()) : reason.what());
    case Reason::Kind::corrupt_message: return word + (reason.what().empty() ? "" : ": " + reason.what());
    case Reason::Kind::normal:
    case Reason::Kind::killed:
    case Reason::Kind::shutdown:
    case Reason::Kind::watchdog:
    case Reason::Kind::out_of_memory:
    case Reason::Kind::broker_lost:
    case Reason::Kind::noproc: return word;
  }
  return word;
}

}  // namespace muproc
