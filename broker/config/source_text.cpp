#include "broker/config/source_text.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace muproc::broker {

namespace {

constexpr std::string_view k_indent = "    ";

bool continues_code_point(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

std::uint32_t code_points(std::string_view text) {
  return static_cast<std::uint32_t>(std::ranges::count_if(text, [](char c) { return !continues_code_point(c); }));
}

// Blank space as wide as the first `columns` code points of the line; tabs stay tabs, so that carets line up.
std::string blank_prefix(std::string_view line, std::uint32_t columns) {
  std::string blank;
  for (char c : line) {
    if (continues_code_point(c)) continue;
    if (blank.size() == columns) break;
    blank += c == '\t' ? '\t' : ' ';
  }
  blank.resize(columns, ' ');
  return blank;
}

}  // namespace

SourceText::SourceText(std::string name, std::string text) : name_(std::move(name)) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines_.emplace_back(line);
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  }
}

std::string SourceText::text() const {
  std::string text;
  for (const std::string& line : lines_) text += line + '\n';
  return text;
}

std::string_view SourceText::line(std::uint32_t number) const {
  return number >= 1 && number <= lines_.size() ? std::string_view(lines_[number - 1]) : std::string_view();
}

void SourceText::blank(std::uint32_t number) {
  if (number >= 1 && number <= lines_.size()) lines_[number - 1].clear();
}

std::string SourceText::excerpt(const Region& region) const {
  const std::string_view shown = line(region.begin.line);
  const std::uint32_t line_end = code_points(shown) + 1;
  const std::uint32_t begin = region.begin.column;
  const std::uint32_t end = region.end.line == region.begin.line ? std::min(region.end.column, line_end) : line_end;
  const std::string underline(end > begin + 1 ? end - begin - 1 : 0, '~');
  return std::string(k_indent) + std::string(shown) + '\n' + std::string(k_indent) + blank_prefix(shown, begin - 1) +
         '^' + underline + '\n';
}

}  // namespace muproc::broker
