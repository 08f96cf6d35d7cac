// A config file's text, and places in it.
//
// Lines and columns count from 1, columns in code points, as editors show them. A region ends before its end's column.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace muproc::broker {

struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
  friend auto operator<=>(const Position&, const Position&) = default;
};

struct Region {
  std::uint32_t file = 0;  // which of the files that were read: the launched one first
  Position begin;
  Position end;
  friend auto operator<=>(const Region&, const Region&) = default;
};

class SourceText {
 public:
  /// `name` is what messages call the file.
  SourceText(std::string name, std::string text);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string text() const;
  /// Without its line end; empty past the last line.
  [[nodiscard]] std::string_view line(std::uint32_t number) const;
  [[nodiscard]] std::uint32_t line_count() const { return static_cast<std::uint32_t>(lines_.size()); }
  /// Empties a line, so that later ones keep their numbers.
  void blank(std::uint32_t number);

  /// Two lines: the source line, and below it a caret at the region's begin, with its length underlined as far as it
  /// stays on that line.
  [[nodiscard]] std::string excerpt(const Region& region) const;

 private:
  std::string name_;
  std::vector<std::string> lines_;
};

}  // namespace muproc::broker
