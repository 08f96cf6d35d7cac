#include "wire/log_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "wire/printable.hpp"

namespace muproc::wire {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Where a name's end of the form ".12" begins, or npos.
std::size_t numbered_end(std::string_view name) {
  const auto dot = name.rfind('.');
  const bool is_number = dot != name.npos && dot + 1 < name.size() && std::all_of(name.begin() + static_cast<std::ptrdiff_t>(dot) + 1, name.end(), is_digit);
  return is_number ? dot : name.npos;
}

/// Walks over a line from left to right; each step fails, and all after it, when something else stands there.
class Cursor {
 public:
  explicit Cursor(std::string_view line) : rest_(line) {}
  bool ok() const { return ok_; }
  bool skip(std::string_view text) {
    if (!ok_ || !rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  void expect(std::string_view text) { ok_ = skip(text); }
  std::string_view until(std::string_view text) {
    const auto at = ok_ ? rest_.find(text) : rest_.npos;
    if (at == rest_.npos) return ok_ = false, std::string_view();
    const auto found = rest_.substr(0, at);
    rest_.remove_prefix(at + text.size());
    return found;
  }
  int number() {
    int value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    ok_ = ok_ && error == std::errc();
    if (ok_) rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }
  std::string json_text();
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

void append_utf8(std::string& to, unsigned c) {
  if (c < 0x80) {
    to += static_cast<char>(c);
  } else {  // our own escapes do not go beyond 0x9f
    to += static_cast<char>(0xc0 | (c >> 6 & 0x1f));
    to += static_cast<char>(0x80 | (c & 0x3f));
  }
}

std::string Cursor::json_text() {
  std::string text;
  expect("\"");
  while (ok_ && !rest_.empty() && rest_[0] != '"') {
    if (rest_[0] != '\\') {
      text += rest_[0];
      rest_.remove_prefix(1);
      continue;
    }
    constexpr std::string_view k_letters = "\"\\nrt", k_characters = "\"\\\n\r\t";
    const char letter = rest_.size() > 1 ? rest_[1] : '\0';
    unsigned code = 0;
    if (const auto at = k_letters.find(letter); at != k_letters.npos) {
      text += k_characters[at];
      rest_.remove_prefix(2);
    } else if (letter == 'u' && rest_.size() >= 6 && std::from_chars(rest_.data() + 2, rest_.data() + 6, code, 16).ptr == rest_.data() + 6) {
      append_utf8(text, code);
      rest_.remove_prefix(6);
    } else {
      ok_ = false;
    }
  }
  expect("\"");
  return text;
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    unsigned byte = 0;
    std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

std::optional<LogLine> parse_text(std::string_view line) {
  LogLine result;
  Cursor at(line);
  result.time = std::string(at.until(" "));
  (result.time += ' ') += at.until(" ");
  std::string_view word = at.until(" ");
  while (at.skip(" ")) {
  }
  if (word.ends_with('+')) {
    result.goes_on = true;
    word.remove_suffix(1);
  }
  result.word = std::string(word);
  // A name may have brackets of its own: the first [number]: ends it.
  const std::string_view rest = at.rest();
  for (auto end = rest.find("]: "); at.ok() && end != rest.npos; end = rest.find("]: ", end + 1)) {
    const auto open = rest.rfind('[', end);
    if (open == rest.npos || open + 1 == end) continue;
    Cursor number(rest.substr(open + 1));
    result.os_pid = number.number();
    if (!number.ok() || !number.rest().starts_with("]: ")) continue;
    result.name = std::string(rest.substr(0, open));
    result.text = std::string(rest.substr(end + 3));
    return result;
  }
  return std::nullopt;
}

std::optional<LogLine> parse_json(std::string_view line) {
  LogLine result;
  Cursor at(line);
  at.expect("{\"time\": ");
  result.time = at.json_text();
  at.expect(", \"name\": ");
  result.name = at.json_text();
  at.expect(", \"pid\": ");
  result.os_pid = at.number();
  if (at.skip(", \"stream\": ")) {
    result.word = at.json_text();
  } else {
    at.expect(", \"level\": ");
    result.word = at.json_text();
  }
  result.goes_on = at.skip(", \"goes_on\": true");
  at.expect(", \"text\": ");
  result.text = at.json_text();
  if (at.skip(", \"bytes\": ")) result.text = from_hex(at.json_text());
  at.expect("}");
  return at.ok() ? std::optional(std::move(result)) : std::nullopt;
}

/// "2026-11-24 20:34:42.123456", which is local, with its distance from UTC.
std::string as_json_time(std::string time) {
  std::tm parts{};
  if (time.size() < 19 || time[10] != ' ' || !::strptime(time.substr(0, 19).c_str(), "%Y-%m-%d %H:%M:%S", &parts)) return time;
  parts.tm_isdst = -1;
  ::mktime(&parts);
  char zone[8];
  if (std::strftime(zone, sizeof zone, "%z", &parts) != 5) return time;
  time[10] = 'T';
  return time + std::string(zone, 3) + ':' + std::string(zone + 3, 2);
}

}  // namespace

std::string log_file_name(std::string_view muproc) {
  std::string file;
  const auto numbered = numbered_end(muproc);
  const std::string plain = std::string(muproc) + ".log";
  const bool is_taken = plain == k_spawned_log || plain == k_broker_log;
  for (std::size_t i = 0; i < muproc.size(); ++i) {
    const auto c = static_cast<unsigned char>(muproc[i]);
    const bool is_odd = c < 0x20 || c == 0x7f || c == '/' || c == '%';
    if (is_odd || (i == 0 && (c == '.' || is_taken)) || (c == '.' && i + 1 == muproc.size())) {
      file += fmt::format("%{:02X}", c);
    } else {
      if (i == numbered) file += '.';
      file += static_cast<char>(c);
    }
  }
  return file + ".log";
}

std::optional<LogLine> parse_log_line(std::string_view line) {
  return line.starts_with('{') ? parse_json(line) : parse_text(line);
}

std::optional<CrashFile> parse_crash_file(std::string_view name) {
  CrashFile file;
  for (const std::string_view ending : {".txt", ".json"})
    if (name.ends_with(ending)) name.remove_suffix(ending.size());
  const auto dash = name.rfind('-');
  constexpr std::string_view k_stamp = "dddddddd-dddddd.dddddd";
  if (dash == name.npos || dash < k_stamp.size() + 1) return std::nullopt;
  const std::string_view stamp = name.substr(dash - k_stamp.size(), k_stamp.size());
  for (std::size_t i = 0; i < stamp.size(); ++i)
    if (k_stamp[i] == 'd' ? !is_digit(stamp[i]) : stamp[i] != k_stamp[i]) return std::nullopt;
  Cursor pid(name.substr(dash + 1));
  file.os_pid = pid.number();
  if (!pid.ok() || !pid.rest().empty() || name[dash - k_stamp.size() - 1] != '-') return std::nullopt;
  file.stamp = std::string(stamp);
  file.stem = std::string(name.substr(0, dash - k_stamp.size() - 1));
  return file;
}

std::string to_text(const LogLine& line) {
  std::string time = line.time;
  if (time.size() > 26 && time[10] == 'T') {
    time[10] = ' ';
    time.resize(26);
  }
  return fmt::format("{} {:<5} {}[{}]: {}", time, line.word + (line.goes_on ? "+" : ""), line.name, line.os_pid, line.text);
}

std::string to_json(const LogLine& line) {
  std::string json = "{\"time\": ";
  append_json_text(json, as_json_time(line.time));
  json += ", \"name\": ";
  append_json_text(json, line.name);
  json += fmt::format(", \"pid\": {}, \"{}\": ", line.os_pid, line.word == "out" || line.word == "err" ? "stream" : "level");
  append_json_text(json, line.word);
  if (line.goes_on) json += ", \"goes_on\": true";
  json += ", \"text\": ";
  append_json_text(json, line.text);
  if (!is_valid_utf8(line.text)) {
    json += ", \"bytes\": \"";
    for (const char c : line.text) fmt::format_to(std::back_inserter(json), "{:02x}", static_cast<unsigned char>(c));
    json += '"';
  }
  return json + '}';
}

}  // namespace muproc::wire
