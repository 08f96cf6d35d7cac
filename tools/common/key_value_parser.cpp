#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "tools/common/key_value.hpp"
#include "tools/common/text.hpp"
#include "wire/suggest.hpp"

namespace muproc::tools {
namespace {

using Kind = Value::Kind;

constexpr int k_max_depth = 16;  // a receiver's reader gives up beyond 64 pointers, two for each level

/// What is wrong, without the word that it is wrong with.
struct Fault {
  std::string what;
};

// ---- single values, once it is known where they end ------------------------------------------------------------------

constexpr std::array k_types = {Kind::nil,  Kind::boolean, Kind::integer, Kind::real,  Kind::symbol,
                                Kind::text, Kind::data,    Kind::list,    Kind::mumsg, Kind::pid};

Kind type_named(std::string_view word) {
  std::array<std::string_view, k_types.size()> words;
  std::transform(k_types.begin(), k_types.end(), words.begin(), [](Kind kind) { return to_string(kind); });
  const auto found = std::find(words.begin(), words.end(), word);
  if (found != words.end()) return k_types[static_cast<std::size_t>(found - words.begin())];
  throw Fault{fmt::format("there is no type \"{}\"{} (types are {})", printable(word), wire::did_you_mean(word, words),
                          fmt::join(words, ", "))};
}

/// All of the text as a number, or nothing; too large is a fault.
template <class T, class... Base>
std::optional<T> number(std::string_view text, Base... base) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base...);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range)
    throw Fault{fmt::format("{} is beyond the range of {}; text is written in quotes, or as NAME:text={}", text,
                            std::is_integral_v<T> ? "an int (64 bits)" : "a float", text)};
  return value;
}

std::size_t digits_at(std::string_view text, std::size_t at) {
  std::size_t count = 0;
  while (at + count < text.size() && text[at + count] >= '0' && text[at + count] <= '9') ++count;
  return count;
}

/// The kind of number that JSON would see in it, if any. A zero in front makes it text: an article number, say.
std::optional<Kind> number_kind(std::string_view text) {
  std::size_t at = text.starts_with('-') ? 1 : 0;
  const std::size_t whole = digits_at(text, at);
  if (whole == 0 || (whole > 1 && text[at] == '0')) return std::nullopt;
  at += whole;
  if (at == text.size()) return Kind::integer;
  if (text[at] == '.') {
    const std::size_t part = digits_at(text, at + 1);
    if (part == 0) return std::nullopt;
    at += 1 + part;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    const std::size_t exponent = digits_at(text, at);
    if (exponent == 0) return std::nullopt;
    at += exponent;
  }
  return at == text.size() ? std::optional(Kind::real) : std::nullopt;
}

/// `0.3.1` or `<0.3.1>`, or nothing.
std::optional<Pid> pid_in(std::string_view text) {
  if (text.starts_with('<') && text.ends_with('>')) text = text.substr(1, text.size() - 2);
  constexpr std::array<std::uint32_t, 3> limits = {0xffff, 0xffffff, 0xffffff};
  std::array<std::uint32_t, 3> parts{};
  for (std::size_t i = 0; i < 3; ++i) {
    const std::size_t digits = digits_at(text, 0);
    if (digits == 0 || digits > 8) return std::nullopt;
    std::from_chars(text.data(), text.data() + digits, parts[i]);
    if (parts[i] > limits[i]) return std::nullopt;
    text.remove_prefix(digits);
    if (i == 2)
      return text.empty() ? std::optional(Pid(static_cast<std::uint16_t>(parts[0]), parts[1], parts[2])) : std::nullopt;
    if (!text.starts_with('.')) return std::nullopt;
    text.remove_prefix(1);
  }
  return std::nullopt;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<Data> data_in(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  Data data;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    data.push_back(static_cast<std::byte>(high << 4 | low));
  }
  return data;
}

/// A word without quotes or brackets, its type to be guessed.
Value guess(std::string_view text) {
  if (text == "nil") return {};
  if (text == "true") return true;
  if (text == "false") return false;
  if (const auto kind = number_kind(text)) {
    if (*kind == Kind::integer) return *number<std::int64_t>(text);
    return *number<double>(text);
  }
  if (text.starts_with("<<") && text.ends_with(">>") && text.size() >= 4) {
    if (auto data = data_in(text.substr(2, text.size() - 4))) return *std::move(data);
  } else if (text.starts_with('<') && text.ends_with('>')) {
    if (const auto pid = pid_in(text)) return *pid;
  }
  return text;
}

std::optional<std::int64_t> integer_in(std::string_view text) {
  if (text.starts_with("0x") && !text.starts_with("0x-")) return number<std::int64_t>(text.substr(2), 16);
  return number<std::int64_t>(text, 10);
}

/// A word without brackets as a value of that type, or nothing.
std::optional<Value> convert(Kind type, std::string_view text) {
  switch (type) {
    case Kind::nil: return text.empty() || text == "nil" ? std::optional(Value()) : std::nullopt;
    case Kind::boolean:
      if (text == "true") return true;
      return text == "false" ? std::optional(Value(false)) : std::nullopt;
    case Kind::integer: return integer_in(text);
    case Kind::real: return number<double>(text);
    case Kind::symbol: return text.empty() ? std::nullopt : std::optional(Value(Symbol(text)));
    case Kind::text: return text;
    case Kind::data:
      return data_in(
          text.starts_with("<<") && text.ends_with(">>") && text.size() >= 4 ? text.substr(2, text.size() - 4) : text);
    case Kind::pid: return text == "nil" ? std::optional(Pid()) : pid_in(text);
    case Kind::list:
    case Kind::mumsg:
    case Kind::structure:
    case Kind::reason: return std::nullopt;
  }
  return std::nullopt;
}

// ---- where values end ------------------------------------------------------------------------------------------------

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  /// A whole word: NAME=VALUE, NAME:TYPE=VALUE.
  NamedValue field_word() {
    NamedValue field = field_head();
    field.value = outer_value();
    return field;
  }
  Value value_word() { return outer_value(); }

 private:
  /// NAME= or NAME:TYPE=; the type is kept in `type_`.
  NamedValue field_head() {
    NamedValue field;
    field.name = at('"') ? quoted() : bare_name();
    skip_spaces();
    type_.reset();
    if (take(':')) {
      const auto end = std::min(text_.find('=', at_), text_.size());
      type_ = type_named(trimmed(text_.substr(at_, end - at_)));
      at_ = end;
    }
    if (!take('=')) throw Fault{here() + " instead of a \"=\" after the name"};
    return field;
  }

  std::string bare_name() {
    const auto end = std::min(text_.find_first_of(":=,\"[]{} \t\r\n", at_), text_.size());
    const auto name = text_.substr(at_, end - at_);
    if (name.empty()) throw Fault{here() + " instead of a name"};
    at_ = end;
    return std::string(name);
  }

  /// A value that reaches to the end of the word.
  Value outer_value() {
    const bool is_enclosed = opens_bracket() || at('"') || at_symbol_quote();
    Value value = is_enclosed ? inner_value(0) : typed(text_.substr(at_));
    if (is_enclosed && at_ < text_.size())
      throw Fault{
          here() +
          " behind the end of the value; text with brackets or quotes in it is written in quotes, or as NAME:text=…"};
    return value;
  }

  /// A value in a list or mumsg; it ends before a comma or bracket.
  Value inner_value(int depth) {
    if (depth > k_max_depth) throw Fault{fmt::format("it nests deeper than {} levels", k_max_depth)};
    if (opens_bracket()) return bracketed(depth);
    if (at('"')) return type_ ? typed_quoted() : Value(quoted());
    if (at_symbol_quote()) {
      ++at_;
      return Symbol(quoted());
    }
    const auto end = std::min(text_.find_first_of(",]}", at_), text_.size());
    const auto word = trimmed(text_.substr(at_, end - at_));
    if (word.empty() && type_ != Kind::nil && type_ != Kind::text)
      throw Fault{here() + " instead of a value; an empty text is written as \"\""};
    at_ = end;
    return typed(word);
  }

  bool opens_bracket() const {
    if (type_ && *type_ != Kind::list && *type_ != Kind::mumsg) return false;
    return at('[') || at('{');
  }
  bool at_symbol_quote() const { return (!type_ || type_ == Kind::symbol) && text_.substr(at_).starts_with(":\""); }

  Value bracketed(int depth) {
    const auto type = std::exchange(type_, std::nullopt);
    const Kind kind = at('[') ? Kind::list : Kind::mumsg;
    if (type && *type != kind)
      throw Fault{fmt::format("it is said to be a {} and is a {}", to_string(*type), to_string(kind))};
    return kind == Kind::list ? Value(list(depth)) : Value(mumsg(depth));
  }

  List list(int depth) {
    List list;
    each_until(']', [&] {
      type_.reset();
      list.push_back(inner_value(depth + 1));
    });
    return list;
  }

  Mumsg mumsg(int depth) {
    Mumsg mumsg;
    each_until('}', [&] {
      NamedValue field = field_head();
      skip_spaces();
      if (mumsg.has(field.name)) throw Fault{fmt::format("\"{}\" comes twice", printable(field.name))};
      mumsg.set(field.name, inner_value(depth + 1));
    });
    return mumsg;
  }

  /// Elements between an opening bracket and `close`, with commas.
  template <class Element>
  void each_until(char close, Element element) {
    ++at_;
    skip_spaces();
    if (take(close)) return;
    for (;;) {
      element();
      skip_spaces();
      if (take(close)) return;
      if (!take(',')) throw Fault{fmt::format("{} instead of a \",\" or \"{}\"", here(), close)};
      skip_spaces();
    }
  }

  std::string quoted() {
    const auto start = at_++;
    std::string out;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) out += text_[at_] == '\\' ? escaped() : text_[at_];
    if (!take('"')) throw Fault{fmt::format("the quote at character {} is never closed", start + 1)};
    return out;
  }

  /// At a backslash; leaves the position at the escape's last character.
  char escaped() {
    const auto rest = text_.substr(++at_);
    if (rest.starts_with('n')) return '\n';
    if (rest.starts_with('r')) return '\r';
    if (rest.starts_with('t')) return '\t';
    if (rest.starts_with('"') || rest.starts_with('\\')) return rest[0];
    if (rest.starts_with('x') && rest.size() >= 3 && hex_digit(rest[1]) >= 0 && hex_digit(rest[2]) >= 0) {
      at_ += 2;
      return static_cast<char>(hex_digit(rest[1]) << 4 | hex_digit(rest[2]));
    }
    throw Fault{fmt::format("the escape at character {} is none of \\\" \\\\ \\n \\r \\t \\xNN", at_)};
  }

  Value typed_quoted() { return typed(quoted()); }

  Value typed(std::string_view word) const {
    if (!type_) return word.starts_with(':') ? symbol(word.substr(1)) : guess(word);
    if (*type_ == Kind::symbol && word.starts_with(':')) word.remove_prefix(1);
    if (auto value = convert(*type_, word)) return *std::move(value);
    throw Fault{fmt::format("\"{}\" is no {}", printable(word), to_string(*type_))};
  }

  static Value symbol(std::string_view name) {
    if (name.empty()) throw Fault{"a symbol's name is missing after the \":\""};
    return Symbol(name);
  }

  bool at(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool take(char c) {
    if (!at(c)) return false;
    ++at_;
    return true;
  }
  void skip_spaces() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
  static std::string_view trimmed(std::string_view text) {
    const auto end = text.find_last_not_of(" \t\r\n");
    return end == std::string_view::npos ? std::string_view() : text.substr(0, end + 1);
  }
  /// What stands at the position: `character 7 is "]"`, `it ends`.
  std::string here() const {
    if (at_ >= text_.size()) return "it ends";
    return fmt::format("character {} is \"{}\"", at_ + 1, printable(text_.substr(at_, 1)));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::optional<Kind> type_;  // of the value that comes next, when it was said
};

NamedValue parse_field(const std::string& word) {
  if (word.find('=') == std::string::npos)
    throw KeyValueError(fmt::format("\"{}\" is no NAME=VALUE: it has no \"=\"", printable(word)));
  try {
    return Parser(word).field_word();
  } catch (const Fault& fault) {
    throw KeyValueError(fmt::format("in {}: {}", printable(word), fault.what));
  }
}

}  // namespace

Mumsg parse_fields(std::span<const std::string> words) {
  Mumsg mumsg;
  for (const std::string& word : words) {
    NamedValue field = parse_field(word);
    if (mumsg.has(field.name)) throw KeyValueError(fmt::format("the name \"{}\" comes twice", printable(field.name)));
    mumsg.set(field.name, std::move(field.value));
  }
  return mumsg;
}

Value parse_value(std::string_view text) {
  try {
    return Parser(text).value_word();
  } catch (const Fault& fault) {
    throw KeyValueError(fmt::format("in {}: {}", printable(text), fault.what));
  }
}

}  // namespace muproc::tools
