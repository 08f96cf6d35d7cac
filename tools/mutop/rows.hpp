// Which muprocs are shown, in which order: the tree by supervisors, or a sorted list. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tools/mutop/columns.hpp"
#include "tools/mutop/model.hpp"

namespace muproc::mutop {

struct TableOptions {
  bool is_tree = true;  // siblings in start order; a list is sorted
  Column sort = Column::cpu;
  bool is_inverted = false;
  std::string filter;            // parts of names, any of which will do: "book|log"; "": all
  std::string user;              // only those that run as this one
  std::string supervisor;        // only this one and those below it
  std::set<std::string> folded;  // supervisors whose children are not shown
};

struct Row {
  std::size_t index = 0;  // in the snapshot's muprocs
  std::string branch;     // "│  ├─ "
  bool has_children = false;
  bool is_folded = false;
};

std::vector<Row> rows_of(const Model& model, const TableOptions& options, bool ascii);

/// True when the name contains one of the parts that stand between the bars, whatever their case; an empty filter fits all.
bool fits(std::string_view name, std::string_view filter);

/// The next row from `from` on, over the end to the beginning, whose name contains the text; nothing when there is none.
std::optional<std::size_t> find_row(const Model& model, const std::vector<Row>& rows, std::string_view text,
                                    std::size_t from);

}  // namespace muproc::mutop
