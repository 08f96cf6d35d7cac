#include "tools/common/text.hpp"

#include <fmt/format.h>
#include <kj/encoding.h>

#include <algorithm>

namespace muproc::tools {
namespace {

using namespace std::chrono;

bool is_surrogate(char32_t c) { return c >= 0xd800 && c < 0xe000; }  // KJ lets these through
bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

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

}  // namespace

std::string valid_utf8(std::string_view text) {
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

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string short_duration(nanoseconds duration) {
  const auto ms = duration_cast<milliseconds>(duration).count();
  if (ms < 1000) return fmt::format("{}ms", ms);
  const auto s = ms / 1000;
  if (s < 60) return ms % 1000 < 100 ? fmt::format("{}s", s) : fmt::format("{}.{}s", s, ms % 1000 / 100);
  const auto two = [](auto big, char unit, auto small, char small_unit) {
    return small == 0 ? fmt::format("{}{}", big, unit) : fmt::format("{}{}{:02}{}", big, unit, small, small_unit);
  };
  if (s < 3600) return two(s / 60, 'm', s % 60, 's');
  if (s < 86400) return two(s / 3600, 'h', s / 60 % 60, 'm');
  return two(s / 86400, 'd', s / 3600 % 24, 'h');
}

}  // namespace muproc::tools
