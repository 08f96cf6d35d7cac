#include "tools/common/json.hpp"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <utility>

#include "tools/common/text.hpp"

namespace muproc::tools {
namespace {

/// Appends an escape such as \" or \\ to the text; false when the character has none.
bool append_short_escape(char c, std::string& out) {
  constexpr std::string_view k_characters = "\"\\\n\r\t", k_letters = "\"\\nrt";
  const auto at = k_characters.find(c);
  if (at == std::string_view::npos) return false;
  (out += '\\') += k_letters[at];
  return true;
}

/// Control characters are escaped, those of Unicode's second block too: JSON is also read on terminals.
std::string in_json_quotes(std::string_view text) {
  const std::string valid = valid_utf8(text);
  std::string out = "\"";
  for (std::size_t i = 0; i < valid.size(); ++i) {
    const auto byte = static_cast<unsigned char>(valid[i]);
    if (append_short_escape(valid[i], out)) continue;
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else if (byte == 0xc2 && static_cast<unsigned char>(valid[i + 1]) < 0xa0) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(valid[++i]));
    } else {
      out += valid[i];
    }
  }
  return out + '"';
}

}  // namespace

JsonWriter& JsonWriter::key(std::string_view name) {
  begin_value();
  (out_ += in_json_quotes(name)) += ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::value(double value) {
  return std::isfinite(value) ? raw(fmt::format("{}", value)) : this->value(fmt::format("{}", value));
}

JsonWriter& JsonWriter::value(std::string_view text) { return raw(in_json_quotes(text)); }

std::string JsonWriter::take() {
  if (!levels_.empty() || after_key_) throw std::logic_error("JSON is taken before it is complete");
  return std::exchange(out_, {});
}

JsonWriter& JsonWriter::open(char bracket) {
  raw({&bracket, 1});
  levels_.push_back({bracket});
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  if (levels_.empty() || (levels_.back().bracket == '{') != (bracket == '}') || after_key_)
    throw std::logic_error("JSON is closed that is not open");
  const bool was_empty = levels_.back().is_empty;
  levels_.pop_back();
  if (!was_empty) new_line();
  out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view text) {
  if (!std::exchange(after_key_, false)) begin_value();
  out_ += text;
  return *this;
}

/// The comma and the line that lead to the next element of an array, or the next key of an object.
void JsonWriter::begin_value() {
  if (levels_.empty()) return;
  if (!std::exchange(levels_.back().is_empty, false)) out_ += ',';
  new_line();
}

void JsonWriter::new_line() { (out_ += '\n').append(2 * levels_.size(), ' '); }

}  // namespace muproc::tools
