#include "tools/common/table.hpp"

#include <algorithm>

#include "tools/common/text.hpp"

namespace muproc::tools {

Table::Table(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    to_the_right_.push_back(heading.starts_with('>'));
    if (to_the_right_.back()) heading.erase(0, 1);
  }
  rows_.push_back(std::move(headings));
}

void Table::add(std::vector<std::string> row) {
  row.resize(to_the_right_.size());
  rows_.push_back(std::move(row));
}

std::string Table::text() const {
  std::vector<std::size_t> widths(to_the_right_.size());
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - columns(row[i]), ' ');
      line += to_the_right_[i] ? space + row[i] : row[i] + space;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    (out += line) += '\n';
  }
  return out;
}

}  // namespace muproc::tools
