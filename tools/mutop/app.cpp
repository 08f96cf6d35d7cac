#include "tools/mutop/app.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "tools/common/text.hpp"
#include "tools/mutop/help.hpp"
#include "tools/mutop/words.hpp"

namespace muproc::mutop {
namespace {

constexpr std::string_view k_tabs[] = {"1 Muprocs", "2 Mailboxes", "3 Crashes", "4 Events"};
constexpr int k_tab_width = 13;

}  // namespace

Page& App::tab() {
  switch (tab_) {
    case 1: return mailboxes_;
    case 2: return crashes_;
    case 3: return events_;
    default: return muprocs_;
  }
}

void App::update(tools::Sample sample) {
  if (is_paused_ && !model_.is_empty()) {
    missed_ = std::move(sample);
    return;
  }
  model_.update(std::move(sample));
  refresh();
}

void App::refresh() {
  if (model_.is_empty()) return;
  tab().refresh(*this);
  for (const auto& page : opened_) page->refresh(*this);
}

void App::look_around() {
  for (auto& [text, is_good] : world_.take_results()) say(std::move(text), is_good ? Ink::good : Ink::bad);
}

/// Whoever looks closer, or is asked to do something, sees what is so now: a pause is over.
void App::open(std::unique_ptr<Page> page) {
  go_on();
  opened_.push_back(std::move(page));
  if (!model_.is_empty()) opened_.back()->refresh(*this);
}

void App::go_on() {
  is_paused_ = false;
  if (auto missed = std::exchange(missed_, std::nullopt)) update(*std::move(missed));
}

void App::say(std::string text, Ink ink) {
  said_ = std::move(text);
  said_ink_ = ink;
}

void App::handle(const Key& key) {
  if (key.is(Key::Kind::character) && key.text.empty()) return;  // the screen has another size
  if (model_.is_empty()) {
    wants_to_quit_ = key.is('q') || key.is_function(10);
    return;
  }
  said_.clear();
  // A page may open another one while it handles its key, so it is told to go by its place.
  const std::size_t place = opened_.size();
  if (handle_click(key)) return;
  const bool is_handled = uppermost().handle(key, *this);
  if (std::exchange(close_requested_, false) && place > 0) {
    closed_.push_back(std::move(opened_[place - 1]));
    opened_.erase(opened_.begin() + static_cast<std::ptrdiff_t>(place) - 1);
    refresh();
  }
  if (!is_handled) handle_everywhere(key);
  closed_.clear();
}

bool App::handle_everywhere(const Key& key) {
  if (key.is_function(1) || key.is('h') || key.is('?'))
    return open(std::make_unique<TextPage>("mutop's keys", help_lines(settings_.allow_actions))), true;
  if (key.is('Z') || key.is('p')) return is_paused_ ? go_on() : void(is_paused_ = true), true;
  if (!opened_.empty()) return false;
  for (int number = 0; number < static_cast<int>(std::size(k_tabs)); ++number)
    if (key.is(static_cast<char>('1' + number))) return show_tab(number), true;
  if (key.is(Key::Kind::tab)) return show_tab((tab_ + 1) % 4), true;
  if (key.is(Key::Kind::back_tab)) return show_tab((tab_ + 3) % 4), true;
  if (key.is('q') || key.is_function(10)) return wants_to_quit_ = true;
  return false;
}

void App::show_tab(int number) {
  tab_ = number;
  refresh();
}

bool App::handle_click(const Key& key) {
  if (!key.is(Key::Kind::click)) return false;
  if (key.row == last_row_)
    for (const Button& button : buttons_)
      if (key.column >= button.from && key.column < button.to) {
        handle(Key::f(button.function));
        return true;
      }
  if (key.row != k_header_rows - 1 || !opened_.empty()) return false;
  const int number = key.column / k_tab_width;
  if (number < static_cast<int>(std::size(k_tabs))) show_tab(number);
  return true;
}

// ---- drawing ---------------------------------------------------------------------------------------------------------

Grid App::draw(int rows, int columns) {
  Grid grid(rows, columns);
  grid.ascii = settings_.ascii;
  if (model_.is_empty() || rows < k_header_rows + 3 || columns < 20) {
    grid.put(0, 0, model_.is_empty() ? "mutop looks at the system" : "too small for mutop");
    return grid;
  }
  draw_header(grid, model_, world_, is_paused_);
  draw_tabs(grid);
  const Area area{k_header_rows, rows - k_header_rows - 1};
  std::size_t first = 0;  // the last page that is no box covers what is below
  for (std::size_t i = 0; i < opened_.size(); ++i)
    if (!opened_[i]->is_box()) first = i + 1;
  first == 0 ? tab().draw(grid, area, *this) : opened_[first - 1]->draw(grid, area, *this);
  for (std::size_t i = first; i < opened_.size(); ++i) opened_[i]->draw(grid, area, *this);
  if (!said_.empty()) {
    grid.fill(rows - 2, 0, columns, said_ink_);
    grid.put(rows - 2, 1, said_, said_ink_);
  }
  draw_last_row(grid);
  return grid;
}

void App::draw_tabs(Grid& grid) const {
  for (int number = 0; number < static_cast<int>(std::size(k_tabs)); ++number) {
    const bool is_shown = number == tab_;
    grid.put(k_header_rows - 1, number * k_tab_width,
             is_shown ? fmt::format("[{}]", k_tabs[number]) : fmt::format(" {} ", k_tabs[number]),
             is_shown ? Ink::strong : Ink::faint, k_tab_width);
  }
  std::string notes;
  const auto note = [&notes](const std::string& text) { (notes += notes.empty() ? "" : "  ") += text; };
  const TableOptions& options = muprocs_.options();
  if (tab_ == 0 && !options.filter.empty()) note("filter: " + tools::printable(options.filter));
  if (tab_ == 0 && !options.user.empty()) note("user: " + tools::printable(options.user));
  if (tab_ == 0 && !options.supervisor.empty()) note("below: " + tools::printable(options.supervisor));
  if (!model_.tagged.empty()) note(fmt::format("{} tagged", model_.tagged.size()));
  grid.put_right(k_header_rows - 1, 4 * k_tab_width + 1, notes, Ink::warning, grid.columns() - 4 * k_tab_width - 2);
}

void App::draw_last_row(Grid& grid) {
  last_row_ = grid.rows() - 1;
  buttons_.clear();
  if (const std::string input = uppermost().input_line(); !input.empty()) {
    grid.fill(last_row_, 0, grid.columns(), Ink::selected);
    grid.put(last_row_, 0, input, Ink::selected);
    return;
  }
  int column = 0;
  for (const auto& [number, text] : uppermost().function_keys()) {
    const int begin = column;
    column = grid.put(last_row_, column, fmt::format("F{}", number), Ink::key);
    column = grid.put(last_row_, column, text, Ink::selected);
    buttons_.push_back({begin, column, number});
    ++column;
    if (column >= grid.columns()) break;
  }
}

}  // namespace muproc::mutop
