// Columns for a terminal: as wide as their widest cell, two spaces apart, numbers to the right.
#pragma once

#include <string>
#include <vector>

namespace muproc::tools {

class Table {
 public:
  /// A heading that begins with '>' is a column of numbers.
  explicit Table(std::vector<std::string> headings);
  /// As many cells as headings; they must be printable.
  void add(std::vector<std::string> row);
  /// Lines, each with its newline.
  std::string text() const;

 private:
  std::vector<bool> to_the_right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace muproc::tools
