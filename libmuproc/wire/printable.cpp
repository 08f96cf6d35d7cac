#include "wire/printable.hpp"

#include <fmt/format.h>
#include <kj/encoding.h>

#include <algorithm>

namespace muproc::wire {
namespace {

bool is_surrogate(char32_t c) { return c >= 0xd800 && c < 0xe000; }  // KJ lets these through
bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

/// What nearly all text is: nothing has to be done about it.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

struct Decoded {
  kj::Array<char32_t> characters;
  bool had_errors;
};

Decoded decode(std::string_view text) {
  auto characters = kj::encodeUtf32(kj::arrayPtr(text.data(), text.size()));
  bool had_errors = characters.hadErrors;
  for (char32_t& c : characters) {
    if (!is_surrogate(c)) continue;
    c = U'\ufffd';
    had_errors = true;
  }
  return {kj::mv(characters), had_errors};
}

void append(std::string& to, char32_t c) {
  const auto bytes = kj::decodeUtf32(kj::arrayPtr(&c, 1));
  to.append(bytes.begin(), bytes.size());
}

/// Appends an escape such as \" or \\ to the text; false when the character has none.
bool append_short_escape(char c, std::string& out) {
  constexpr std::string_view k_characters = "\"\\\n\r\t", k_letters = "\"\\nrt";
  const auto at = k_characters.find(c);
  if (at == std::string_view::npos) return false;
  (out += '\\') += k_letters[at];
  return true;
}

}  // namespace

bool is_valid_utf8(std::string_view text) { return is_plain(text) || !decode(text).had_errors; }

std::string valid_utf8(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  const auto decoded = decode(text);
  if (!decoded.had_errors) return std::string(text);
  const auto bytes = kj::decodeUtf32(decoded.characters);
  return {bytes.begin(), bytes.size()};
}

bool is_printable(std::string_view text) {
  const auto decoded = decode(text);
  return !decoded.had_errors && std::none_of(decoded.characters.begin(), decoded.characters.end(), is_control);
}

std::string printable(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string out;
  for (const char32_t c : decode(text).characters) {
    if (c == '\n') {
      out += "\\n";
    } else if (is_control(c)) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      append(out, c);
    }
  }
  return out;
}

void append_json_text(std::string& to, std::string_view text) {
  to += '"';
  const bool plain = is_plain(text);
  const std::string mended = plain ? std::string() : valid_utf8(text);
  const std::string_view valid = plain ? text : std::string_view(mended);
  for (std::size_t i = 0; i < valid.size(); ++i) {
    const auto byte = static_cast<unsigned char>(valid[i]);
    if (append_short_escape(valid[i], to)) continue;
    if (byte < 0x20 || byte == 0x7f) {
      to += fmt::format("\\u{:04x}", byte);
    } else if (byte == 0xc2 && static_cast<unsigned char>(valid[i + 1]) < 0xa0) {
      to += fmt::format("\\u{:04x}", static_cast<unsigned char>(valid[++i]));
    } else {
      to += valid[i];
    }
  }
  to += '"';
}

}  // namespace muproc::wire
