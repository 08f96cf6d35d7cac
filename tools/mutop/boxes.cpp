#include "tools/mutop/boxes.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace muproc::mutop {

// ---- a text ----------------------------------------------------------------------------------------------------------

void TextPage::draw(Grid& grid, Area area, Shell&) {
  grid.fill(area.top, 0, grid.columns(), Ink::heading);
  grid.put(area.top, 1, title_, Ink::heading);
  height_ = std::max(area.rows - 1, 1);
  top_ = std::clamp(top_, 0, std::max(static_cast<int>(lines_.size()) - height_, 0));
  for (int row = 0; row < height_ && top_ + row < static_cast<int>(lines_.size()); ++row) {
    const TextLine& line = lines_[static_cast<std::size_t>(top_ + row)];
    std::string_view text = line.text;
    for (int i = 0; i < shift_ && !text.empty(); ++i) {
      text.remove_prefix(1);
      while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xc0) == 0x80) text.remove_prefix(1);
    }
    grid.put(area.top + 1 + row, 1, text, line.ink);
  }
  const int below = static_cast<int>(lines_.size()) - top_ - height_;
  if (below > 0) grid.put_right(area.top, 0, fmt::format("{} more lines below ", below), Ink::heading, grid.columns());
}

bool TextPage::handle(const Key& key, Shell& shell) {
  switch (key.kind) {
    case Key::Kind::up: --top_; break;
    case Key::Kind::down: ++top_; break;
    case Key::Kind::wheel_up: top_ -= 3; break;
    case Key::Kind::wheel_down: top_ += 3; break;
    case Key::Kind::page_up: top_ -= height_; break;
    case Key::Kind::page_down: top_ += height_; break;
    case Key::Kind::home: top_ = shift_ = 0; break;
    case Key::Kind::end: top_ = static_cast<int>(lines_.size()); break;
    case Key::Kind::left: shift_ = std::max(shift_ - 8, 0); break;
    case Key::Kind::right: shift_ += 8; break;
    case Key::Kind::escape: shell.close(); break;
    default:
      if (!key.is('q') && !key.is_function(10)) return false;
      shell.close();
  }
  return true;
}

// ---- a box -----------------------------------------------------------------------------------------------------------

std::pair<int, int> draw_box(Grid& grid, Area area, int rows, int columns, std::string_view title) {
  rows = std::min(rows + 2, area.rows);
  columns = std::min(columns + 4, grid.columns());
  const int top = area.top + (area.rows - rows) / 2, left = (grid.columns() - columns) / 2;
  const auto glyph = [&grid](const char* utf8, const char* ascii) { return grid.ascii ? ascii : utf8; };
  for (int row = 0; row < rows; ++row) {
    const bool is_edge = row == 0 || row == rows - 1;
    grid.fill(top + row, left, columns, Ink::plain, is_edge ? glyph("─", "-") : " ");
    grid.put(top + row, left, row == 0 ? glyph("┌", "+") : row == rows - 1 ? glyph("└", "+") : glyph("│", "|"));
    grid.put(top + row, left + columns - 1,
             row == 0          ? glyph("┐", "+")
             : row == rows - 1 ? glyph("┘", "+")
                               : glyph("│", "|"));
  }
  grid.put(top, left + 2, fmt::format(" {} ", title), Ink::strong, columns - 4);
  return {left + 2, top + 1};
}

// ---- a menu ----------------------------------------------------------------------------------------------------------

Menu::Menu(std::string title, std::vector<Choice> choices) : title_(std::move(title)), choices_(std::move(choices)) {
  const auto current =
      std::find_if(choices_.begin(), choices_.end(), [](const Choice& choice) { return choice.is_current; });
  cursor_.to(current == choices_.end() ? 0 : static_cast<int>(current - choices_.begin()));
}

void Menu::draw(Grid& grid, Area area, Shell&) {
  int width = width_of(title_) + 2;
  for (const Choice& choice : choices_) width = std::max(width, width_of(choice.text) + 6);
  width = std::min(width, grid.columns() - 4);
  const int height = std::clamp(static_cast<int>(choices_.size()), 1, std::max(area.rows - 2, 1));
  const auto [left, top] = draw_box(grid, area, height, width, title_);
  first_row_ = top;
  cursor_.fit(static_cast<int>(choices_.size()), height);
  for (int row = 0; row < height && cursor_.top() + row < static_cast<int>(choices_.size()); ++row) {
    const int index = cursor_.top() + row;
    const Choice& choice = choices_[static_cast<std::size_t>(index)];
    const Ink ink = index == cursor_.row() ? Ink::selected : Ink::plain;
    grid.fill(top + row, left, width, ink);
    grid.put(top + row, left, (choice.mark ? choice.mark() : "") + choice.text, ink, width);
  }
}

bool Menu::handle(const Key& key, Shell& shell) {
  const bool is_click = key.is(Key::Kind::click) || key.is(Key::Kind::double_click);
  if (is_click && cursor_.at(key.row, first_row_) >= 0) cursor_.to(cursor_.at(key.row, first_row_));
  if (cursor_.handle(key)) return true;
  if (key.is(Key::Kind::escape) || key.is('q') || key.is_function(10)) {
    shell.close();
    return true;
  }
  if ((is_click || key.is(Key::Kind::enter) || key.is(' ')) && !choices_.empty()) {
    const Choice& choice = choices_[static_cast<std::size_t>(cursor_.row())];
    if (!choice.mark) shell.close();
    choice.chosen();
    return true;
  }
  return true;  // nothing below a menu hears of keys
}

// ---- a question ------------------------------------------------------------------------------------------------------

void Question::draw(Grid& grid, Area area, Shell& shell) {
  TextLines lines;
  const int most = std::max(area.rows - 6, 1);
  for (const Action& action : actions_) {
    const std::string refused = why_not(shell.model().now(), action);
    lines.push_back(
        {refused.empty() ? title(action) : "not possible: " + refused, refused.empty() ? Ink::strong : Ink::bad});
  }
  const int more = static_cast<int>(lines.size()) - most;
  if (more > 0) {
    lines.resize(static_cast<std::size_t>(most));
    lines.push_back({fmt::format("and {} more", more), Ink::strong});
  }
  lines.push_back({""});
  lines.push_back({"y: do it   any other key: leave it", Ink::key});
  int width = 0;
  for (const TextLine& line : lines) width = std::max(width, width_of(line.text));
  const auto [left, top] =
      draw_box(grid, area, static_cast<int>(lines.size()), width, fmt::format("{}?", word(actions_.front().verb)));
  for (std::size_t i = 0; i < lines.size(); ++i)
    grid.put(top + static_cast<int>(i), left, lines[i].text, lines[i].ink, grid.columns() - left - 2);
}

bool Question::handle(const Key& key, Shell& shell) {
  const std::vector<Action> actions = actions_;
  shell.close();
  if (!key.is('y') && !key.is('Y')) {
    shell.say("nothing was done", Ink::plain);
    return true;
  }
  std::string refusals;
  for (const Action& action : actions) {
    const std::string refused = why_not(shell.model().now(), action);
    if (refused.empty()) shell.world().act(action);
    if (!refused.empty()) (refusals += refusals.empty() ? "refused: " : "; ") += refused;
  }
  if (!refusals.empty()) shell.say(refusals, Ink::bad);
  return true;
}

}  // namespace muproc::mutop
