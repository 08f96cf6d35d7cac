#include "wire/json.hpp"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <utility>

#include "wire/printable.hpp"

namespace muproc::wire {
namespace {

std::string in_json_quotes(std::string_view text) {
  std::string out;
  append_json_text(out, text);
  return out;
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

}  // namespace muproc::wire
