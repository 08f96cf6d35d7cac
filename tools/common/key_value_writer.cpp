#include <fmt/format.h>

#include <cctype>
#include <cmath>

#include <muproc/reason.hpp>

#include "tools/common/key_value.hpp"
#include "tools/common/text.hpp"

namespace muproc::tools {
namespace {

bool is_plain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("_-./@+").find(c) != std::string_view::npos;
}
bool is_plain(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return is_plain(c); });
}

std::string in_quotes(std::string_view text) {
  const bool keep_unicode = is_printable(text);
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (keep_unicode || (c >= 0x20 && c < 0x7f)) {
          out += c;
        } else {
          out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
    }
  }
  return out + '"';
}

std::string text(std::string_view text) {
  if (!is_plain(text)) return in_quotes(text);
  // A word that is more than text to the parser needs the quotes. Plain ones are short work.
  try {
    const Value read = parse_value(text);
    return read.kind() == Value::Kind::text ? std::string(text) : in_quotes(text);
  } catch (const KeyValueError&) {
    return in_quotes(text);
  }
}

std::string number(double value) {
  std::string out = fmt::format("{}", value);
  if (std::isfinite(value) && out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

struct Formatter {
  std::string operator()(std::monostate) const { return "nil"; }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const { return number(value); }
  std::string operator()(const Symbol& value) const {
    return ':' + (is_plain(value.name) ? value.name : in_quotes(value.name));
  }
  std::string operator()(const std::string& value) const { return text(value); }
  std::string operator()(const Data& value) const {
    std::string out = "<<";
    for (const std::byte byte : value) out += fmt::format("{:02x}", static_cast<unsigned>(byte));
    return out + ">>";
  }
  std::string operator()(const List& value) const {
    std::string out = "[";
    for (const auto& element : value) (out += out.size() > 1 ? ", " : "") += format(element);
    return out + ']';
  }
  std::string operator()(const Mumsg& value) const;
  std::string operator()(Pid value) const { return value ? to_string(value) : "<0.0.0>"; }
  std::string operator()(const StructValue& value) const { return in_quotes(to_string(Value(value))); }
  std::string operator()(const std::shared_ptr<const Reason>& value) const { return in_quotes(to_string(*value)); }
};

std::string field(const NamedValue& field) {
  std::string out = is_plain(field.name) ? field.name : in_quotes(field.name);
  const auto real = field.value.kind() == Value::Kind::real ? field.value.as<double>() : 0.0;
  if (!std::isfinite(real)) out += ":float";
  return (out += '=') += format(field.value);
}

std::string joined(const Mumsg& mumsg, std::string_view separator) {
  std::string out;
  for (const auto& named : mumsg) (out += out.empty() ? "" : separator) += field(named);
  return out;
}

std::string Formatter::operator()(const Mumsg& value) const { return '{' + joined(value, ", ") + '}'; }

}  // namespace

std::string format(const Value& value) { return std::visit(Formatter{}, value.variant()); }
std::string format(const Mumsg& mumsg) { return joined(mumsg, " "); }

}  // namespace muproc::tools
