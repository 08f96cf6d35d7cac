// The first tab: all muprocs, as a tree or a sorted list, with htop's keys.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tools/mutop/page.hpp"
#include "tools/mutop/rows.hpp"

namespace muproc::mutop {

class MuprocsPage : public Page {
 public:
  void refresh(Shell& shell) override;
  void draw(Grid& grid, Area area, Shell& shell) override;
  bool handle(const Key& key, Shell& shell) override;
  FunctionKeys function_keys() const override;
  std::string input_line() const override;

  const TableOptions& options() const { return options_; }

 private:
  enum class Input { none, search, filter };
  struct Place {
    const ColumnInfo* info;
    int left, width;
  };

  std::vector<Place> places(int width) const;
  void draw_row(Grid& grid, int screen_row, const Row& row, const std::vector<Place>& places, bool is_selected,
                Shell& shell) const;
  void draw_name(Grid& grid, int screen_row, const Row& row, const Subject& subject, const Place& place) const;
  void remember_selected(Shell& shell);
  const tools::MuprocView* selected(Shell& shell) const;
  bool handle_input(const Key& key, Shell& shell);
  void search_from(int row, Shell& shell);
  bool handle_click(const Key& key, Shell& shell);
  bool handle_function(int number, Shell& shell);
  bool handle_letter(char letter, Shell& shell);
  void sort_by(Column column, Shell& shell);
  void fold(bool is_folded, Shell& shell);
  void fold_all(Shell& shell);
  void tag(Shell& shell);
  void act(Verb verb, Shell& shell);
  void open_details(Shell& shell);
  void open_sort_menu(Shell& shell);
  void open_columns_menu(Shell& shell);
  void open_scope_menu(Shell& shell);

  TableOptions options_;
  std::set<Column> hidden_;
  std::vector<Row> rows_;
  ListCursor cursor_;
  int shift_ = 0;  // so many columns behind the name are left out, to the left
  bool follows_ = false;
  std::string selected_;  // name
  Input input_ = Input::none;
  std::string typed_, searched_;
  bool is_missed_ = false;
  std::vector<Place> drawn_;
  int heading_row_ = 0;
};

}  // namespace muproc::mutop
