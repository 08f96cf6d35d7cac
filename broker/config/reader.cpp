#include "broker/config/reader.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "broker/units.hpp"

namespace muproc::broker {

namespace {

std::string shown(double number) {
  std::string text = std::to_string(number);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

/// A string that came from a variable may stand for something else.
const std::string* expanded_text(const Field& field) {
  return field.node.is_expanded ? field.node.as<std::string>() : nullptr;
}

template <class Number>
std::optional<Number> number_in(const std::string* text) {
  Number number{};
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  return error == std::errc() && end == text->data() + text->size() ? std::optional(number) : std::nullopt;
}

}  // namespace

std::string header(std::string_view kind, std::string_view name) {
  const auto is_bare = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; };
  const bool needs_quotes = name.empty() || !std::ranges::all_of(name, is_bare);
  return '[' + std::string(kind) + '.' + (needs_quotes ? in_quotes(name) : std::string(name)) + ']';
}

void Reader::wrong_type(const Field& field, std::string_view wanted) {
  error(field.node.at,
        in_quotes(field.key) + " must be " + std::string(wanted) + ", not " + std::string(field.node.kind()));
}

void Reader::not_supported(const Field& field) {
  error(field.key_at, in_quotes(field.key) + " is not supported by this version");
}

std::optional<bool> Reader::boolean(const Field& field) {
  if (const auto* value = field.node.as<bool>()) return *value;
  if (const auto* text = expanded_text(field); text && (*text == "true" || *text == "false")) return *text == "true";
  wrong_type(field, "true or false");
  return std::nullopt;
}

std::optional<std::int64_t> Reader::integer(const Field& field, std::int64_t least, std::int64_t most) {
  const auto from_text = number_in<std::int64_t>(expanded_text(field));
  const auto* value = from_text ? &*from_text : field.node.as<std::int64_t>();
  if (!value) return wrong_type(field, "an integer"), std::nullopt;
  if (*value >= least && *value <= most) return *value;
  error(field.node.at, in_quotes(field.key) + " is " + std::to_string(*value) + ", but must be from " +
                           std::to_string(least) + " to " + std::to_string(most));
  return std::nullopt;
}

std::optional<double> Reader::number(const Field& field, double least, double most) {
  const auto from_text = number_in<double>(expanded_text(field));
  const auto* real = from_text ? &*from_text : field.node.as<double>();
  const auto* whole = field.node.as<std::int64_t>();
  if (!real && !whole) return wrong_type(field, "a number"), std::nullopt;
  const double value = real ? *real : static_cast<double>(*whole);
  if (value >= least && value <= most) return value;
  error(field.node.at,
        in_quotes(field.key) + " is " + shown(value) + ", but must be from " + shown(least) + " to " + shown(most));
  return std::nullopt;
}

std::optional<std::string> Reader::text(const Field& field) {
  const auto* value = field.node.as<std::string>();
  if (!value) return wrong_type(field, "a string"), std::nullopt;
  if (value->find('\0') != value->npos)
    return error(field.node.at, in_quotes(field.key) + " contains a NUL"), std::nullopt;
  return *value;
}

std::optional<std::vector<std::string>> Reader::texts(const Field& field) {
  const auto* array = field.node.as<Node::Array>();
  if (!array) return wrong_type(field, "an array of strings"), std::nullopt;
  std::vector<std::string> out;
  for (const Node& element : *array)
    if (auto one = text({element, field.key, field.key_at})) out.push_back(*std::move(one));
  return out.size() == array->size() ? std::optional(std::move(out)) : std::nullopt;
}

std::optional<std::chrono::nanoseconds> Reader::duration(const Field& field) {
  if (field.node.as<std::int64_t>() || field.node.as<double>()) {
    error(field.node.at, in_quotes(field.key) + R"( needs a unit; write for example "5s" or "250ms")");
    return std::nullopt;
  }
  const auto* text = field.node.as<std::string>();
  if (!text) return wrong_type(field, R"(a duration such as "5s")"), std::nullopt;
  const auto parsed = parse_duration(*text);
  if (const auto* value = std::get_if<std::chrono::nanoseconds>(&parsed)) return *value;
  error(field.node.at, in_quotes(field.key) + ": " + in_quotes(*text) + ' ' + std::get<UnitError>(parsed).message);
  return std::nullopt;
}

std::optional<Bytes> Reader::size(const Field& field) {
  if (const auto* number = field.node.as<std::int64_t>()) {
    if (*number == 0) return Bytes{};
    error(field.node.at, in_quotes(field.key) + R"( needs a unit; write for example "256KiB" or "1GiB")");
    return std::nullopt;
  }
  const auto* text = field.node.as<std::string>();
  if (!text) return wrong_type(field, R"(a size such as "256KiB")"), std::nullopt;
  const auto parsed = parse_size(*text);
  if (const auto* value = std::get_if<Bytes>(&parsed)) return *value;
  error(field.node.at, in_quotes(field.key) + ": " + in_quotes(*text) + ' ' + std::get<UnitError>(parsed).message);
  return std::nullopt;
}

std::optional<Value> Reader::value(const Field& field) {
  const Node& node = field.node;
  if (const auto* boolean = node.as<bool>()) return Value(*boolean);
  if (const auto* integer = node.as<std::int64_t>()) return Value(*integer);
  if (const auto* real = node.as<double>()) return Value(*real);
  if (node.as<std::string>()) {
    auto read = text(field);
    return read ? std::optional<Value>(*std::move(read)) : std::nullopt;
  }
  if (node.as<Node::Table>()) {
    Mumsg inner;
    mumsg(field, inner);
    return Value(std::move(inner));
  }
  if (const auto* array = node.as<Node::Array>()) {
    List list;
    for (const Node& element : *array)
      if (auto one = value({element, field.key, field.key_at})) list.push_back(*std::move(one));
    return Value(std::move(list));
  }
  error(node.at, in_quotes(field.key) + " is a date or time, which no message can hold; write it as a string");
  return std::nullopt;
}

void Reader::mumsg(const Field& field, Mumsg& target) {
  const Node::Table* entries = table(field);
  if (!entries) return;
  for (const Entry& entry : *entries)
    if (auto one = value({entry.node, field.key + '.' + entry.key, entry.key_at}))
      target.set(entry.key, *std::move(one));
}

const Node::Table* Reader::table(const Field& field) {
  const auto* entries = field.node.as<Node::Table>();
  if (!entries) wrong_type(field, "a table");
  return entries;
}

std::string Reader::path(const Field& field, const std::string& path) const {
  return (files_.directories[field.node.at.file] / path).lexically_normal().string();
}

std::string Reader::path_or_name(const Field& field, const std::string& path_text) const {
  return path_text.find('/') == path_text.npos ? path_text : path(field, path_text);
}

std::string Reader::place(const Region& of, const Region& from) const {
  const std::string line = std::to_string(of.begin.line);
  return of.file == from.file ? "line " + line : files_.sources[of.file].name() + ':' + line;
}

}  // namespace muproc::broker
