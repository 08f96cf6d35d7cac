#include "tools/mutop/grid.hpp"

#include <algorithm>
#include <utility>

namespace muproc::mutop {
namespace {

/// The first character's bytes; the text is valid UTF-8, or is cut byte by byte.
std::size_t first_size(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return std::min(size, text.size());
}

char32_t code_point(std::string_view character) {
  const auto lead = static_cast<unsigned char>(character.front());
  char32_t code = character.size() == 1 ? lead : lead & (0xff >> (character.size() + 1));
  for (const char c : character.substr(1)) code = code << 6 | (static_cast<unsigned char>(c) & 0x3f);
  return code;
}

/// Terminals agree on these. (wcwidth would need a locale, and tests have none.)
int columns_of(std::string_view character) {
  static constexpr std::pair<char32_t, char32_t> none[] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},
                                                           {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064},
                                                           {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}};
  static constexpr std::pair<char32_t, char32_t> two[] = {
      {0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},  {0xfe30, 0xfe6f},
      {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
  const char32_t code = code_point(character);
  const auto is_in = [code](const auto& ranges) {
    return std::any_of(std::begin(ranges), std::end(ranges),
                       [code](const auto& range) { return code >= range.first && code <= range.second; });
  };
  if (code < 0x300) return 1;
  return is_in(none) ? 0 : is_in(two) ? 2 : 1;
}

template <class Each>
void for_each_character(std::string_view text, Each&& each) {
  while (!text.empty()) {
    const std::size_t size = first_size(text);
    if (!each(text.substr(0, size))) return;
    text.remove_prefix(size);
  }
}

}  // namespace

int width_of(std::string_view text) {
  int width = 0;
  for_each_character(text, [&](std::string_view character) {
    width += columns_of(character);
    return true;
  });
  return width;
}

std::string cut(std::string_view text, int width, bool ascii) {
  if (width <= 0) return {};
  if (width_of(text) <= width) return std::string(text);
  std::string head;
  int used = 0;
  for_each_character(text, [&](std::string_view character) {
    used += columns_of(character);
    if (used > width - 1) return false;
    head += character;
    return true;
  });
  return head + (ascii ? "~" : "…");
}

Grid::Grid(int rows, int columns)
    : rows_(std::max(rows, 0)),
      columns_(std::max(columns, 0)),
      cells_(static_cast<std::size_t>(rows_) * static_cast<std::size_t>(columns_)) {}

int Grid::put(int row, int column, std::string_view text, Ink ink, int width) {
  width = std::min(width, columns_ - column);
  if (row < 0 || row >= rows_ || column < 0 || width <= 0) return column;
  for_each_character(cut(text, width, ascii), [&](std::string_view character) {
    const int wide = columns_of(character);
    if (wide == 0) {
      if (column > 0) cells_[index(row, column - 1)].character += character;
      return true;
    }
    cells_[index(row, column)] = {std::string(character), ink};
    if (wide == 2) cells_[index(row, column + 1)] = {std::string(), ink};
    column += wide;
    return true;
  });
  return column;
}

void Grid::put_right(int row, int column, std::string_view text, Ink ink, int width) {
  const int needed = std::min(width_of(text), width);
  put(row, column + width - needed, text, ink, needed);
}

void Grid::fill(int row, int column, int width, Ink ink, std::string_view character) {
  if (row < 0 || row >= rows_) return;
  for (int at = std::max(column, 0), end = std::min(column + width, columns_); at < end; ++at)
    cells_[index(row, at)] = {std::string(character), ink};
}

void Grid::paint(int row, Ink ink) {
  if (row < 0 || row >= rows_) return;
  for (int column = 0; column < columns_; ++column) cells_[index(row, column)].ink = ink;
}

std::vector<std::string> Grid::lines() const {
  std::vector<std::string> lines;
  for (int row = 0; row < rows_; ++row) {
    std::string line;
    for (int column = 0; column < columns_; ++column) line += at(row, column).character;
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace muproc::mutop
