// A screen as a grid of cells, in plain memory: pages are drawn into it, a terminal shows it, a test reads it.
//
// A cell holds one character as UTF-8; a wide one takes two cells, the second of which is empty. What is drawn outside is
// cut off. Texts must be printable (wire/printable.hpp): nothing here looks for escape sequences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace muproc::mutop {

/// What a text is, not how it looks: the terminal has colours for them, or other means when it has none.
enum class Ink : std::uint8_t {
  plain,
  faint,     // frames, units, what does not matter now
  strong,    // names, numbers that are meant to be seen
  good,      // up and well
  busy,      // at work
  warning,   // near a limit, backing off, waiting for another
  bad,       // failed, crashed, full
  heading,   // of a table
  selected,  // where the cursor is
  tagged,
  key,  // what one may press
};
inline constexpr int k_inks = 11;

struct Cell {
  std::string character = " ";
  Ink ink = Ink::plain;
};

class Grid {
 public:
  Grid(int rows, int columns);

  int rows() const { return rows_; }
  int columns() const { return columns_; }
  const Cell& at(int row, int column) const { return cells_[index(row, column)]; }

  /// Draws from that column on, at most `width` columns; what had to be cut off ends in `…` or, in ASCII, in `~`. Returns
  /// the column behind it.
  int put(int row, int column, std::string_view text, Ink ink = Ink::plain, int width = k_to_the_end);
  /// The same, so that it ends before column + width.
  void put_right(int row, int column, std::string_view text, Ink ink, int width);
  void fill(int row, int column, int width, Ink ink, std::string_view character = " ");
  /// The whole row gets that ink, whatever stands there.
  void paint(int row, Ink ink);

  /// For tests: the rows' texts, without blanks at their ends.
  std::vector<std::string> lines() const;

  static constexpr int k_to_the_end = 1 << 20;
  bool ascii = false;

 private:
  std::size_t index(int row, int column) const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) + static_cast<std::size_t>(column);
  }
  int rows_, columns_;
  std::vector<Cell> cells_;
};

/// How many columns a printable text takes on a terminal.
int width_of(std::string_view text);
/// So many columns of it at most; what is cut ends in `…` or `~`.
std::string cut(std::string_view text, int width, bool ascii);

}  // namespace muproc::mutop
