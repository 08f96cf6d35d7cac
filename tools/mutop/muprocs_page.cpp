#include "tools/mutop/muprocs_page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/text.hpp"
#include "tools/mutop/boxes.hpp"
#include "tools/mutop/detail_page.hpp"
#include "tools/mutop/trace_page.hpp"

namespace muproc::mutop {

using tools::MuprocView;

void MuprocsPage::refresh(Shell& shell) {
  rows_ = rows_of(shell.model(), options_, shell.settings().ascii);
  cursor_.resize(static_cast<int>(rows_.size()));
  if (!follows_) return;
  const auto& muprocs = shell.model().now().muprocs;
  const auto found =
      std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return muprocs[row.index].name == selected_; });
  if (found != rows_.end()) cursor_.to(static_cast<int>(found - rows_.begin()));
}

const MuprocView* MuprocsPage::selected(Shell& shell) const {
  const auto row = static_cast<std::size_t>(cursor_.row());
  return row < rows_.size() ? &shell.model().now().muprocs[rows_[row].index] : nullptr;
}

void MuprocsPage::remember_selected(Shell& shell) {
  const MuprocView* muproc = selected(shell);
  selected_ = muproc ? muproc->name : "";
}

// ---- drawing ---------------------------------------------------------------------------------------------------------

/// As many columns as fit, behind the name; what is left over goes to the name and the last exit.
std::vector<MuprocsPage::Place> MuprocsPage::places(int width) const {
  std::vector<Place> places;
  int left = 0, skipped = 0;
  for (const ColumnInfo& info : all_columns()) {
    if (hidden_.contains(info.column)) continue;
    if (info.column != Column::name && skipped < shift_) {
      ++skipped;
      continue;
    }
    if (left + info.width > width) break;
    places.push_back({&info, left, info.width});
    left += info.width + 1;
  }
  if (places.empty()) return places;
  const int spare = width - (left - 1);
  const bool has_exit = places.back().info->column == Column::last_exit;
  const int for_name = std::clamp(has_exit ? spare / 2 : spare, 0, 24);
  for (Place& place : places)
    place.info->column == Column::name ? void(place.width += for_name) : void(place.left += for_name);
  if (has_exit) places.back().width += spare - for_name;
  return places;
}

void MuprocsPage::draw(Grid& grid, Area area, Shell& shell) {
  heading_row_ = area.top;
  drawn_ = places(grid.columns());
  grid.fill(area.top, 0, grid.columns(), Ink::heading);
  for (const Place& place : drawn_) {
    std::string heading(place.info->heading);
    const bool sorts = !options_.is_tree && place.info->column == options_.sort;
    if (sorts) heading += options_.is_inverted ? "^" : "v";
    place.info->to_the_right ? grid.put_right(area.top, place.left, heading, Ink::heading, place.width)
                             : void(grid.put(area.top, place.left, heading, Ink::heading, place.width));
  }
  const int height = area.rows - 1;
  cursor_.fit(static_cast<int>(rows_.size()), height);
  for (int row = 0; row < height && cursor_.top() + row < static_cast<int>(rows_.size()); ++row) {
    const int index = cursor_.top() + row;
    draw_row(grid, area.top + 1 + row, rows_[static_cast<std::size_t>(index)], drawn_, index == cursor_.row(), shell);
  }
  if (rows_.empty())
    grid.put(area.top + 1, 1,
             options_.filter.empty() ? "there is nobody"
                                     : "nobody has a name with \"" + tools::printable(options_.filter) + '"',
             Ink::faint);
}

void MuprocsPage::draw_row(Grid& grid, int screen_row, const Row& row, const std::vector<Place>& places,
                           bool is_selected, Shell& shell) const {
  const Subject subject = shell.model().subject(row.index);
  for (const Place& place : places) {
    if (place.info->column == Column::name) {
      draw_name(grid, screen_row, row, subject, place);
      continue;
    }
    // A supervisor has no process: what it does stands where others have their numbers.
    if (subject.muproc.is_supervisor() && place.info->column == Column::cpu) {
      std::string text = subject.muproc.supervision ? supervision_text(*subject.muproc.supervision) : "";
      if (!subject.muproc.last_exit.empty()) text += "; ended before: " + tools::printable(subject.muproc.last_exit);
      const bool is_used_up = subject.muproc.supervision && subject.muproc.supervision->used > 0 &&
                              subject.muproc.supervision->used >= subject.muproc.supervision->limit;
      grid.put(screen_row, place.left, text + (is_used_up ? " !" : ""), is_used_up ? Ink::warning : Ink::faint);
      break;
    }
    const Text text = text_of(subject, place.info->column, place.width, grid.ascii);
    place.info->to_the_right ? grid.put_right(screen_row, place.left, text.text, text.ink, place.width)
                             : void(grid.put(screen_row, place.left, text.text, text.ink, place.width));
  }
  const bool is_tagged = shell.model().tagged.contains(subject.muproc.pid);
  if (is_tagged) grid.paint(screen_row, Ink::tagged);
  if (is_selected) grid.paint(screen_row, Ink::selected);
}

void MuprocsPage::draw_name(Grid& grid, int screen_row, const Row& row, const Subject& subject,
                            const Place& place) const {
  const int end = place.left + place.width;
  int at = grid.put(screen_row, place.left, row.branch, Ink::faint, place.width);
  if (row.has_children) at = grid.put(screen_row, at, row.is_folded ? "+" : "-", Ink::faint, end - at);
  grid.put(screen_row, at, text_of(subject, Column::name, end - at, grid.ascii).text,
           subject.muproc.is_supervisor() ? Ink::plain : Ink::strong, end - at);
}

FunctionKeys MuprocsPage::function_keys() const {
  return {{1, "Help"},   {2, "Setup"},   {3, "Search"}, {4, "Filter"}, {5, options_.is_tree ? "List" : "Tree"},
          {6, "SortBy"}, {7, "Restart"}, {8, "Stop"},   {9, "Kill"},   {10, "Quit"}};
}

std::string MuprocsPage::input_line() const {
  if (input_ == Input::search)
    return "Search: " + typed_ + (is_missed_ ? "   (nobody)" : "") + "   F3 next  Enter done  Esc cancel";
  if (input_ == Input::filter) return "Filter: " + typed_ + "   a|b: one or the other  Enter done  Esc clear";
  return {};
}

// ---- keys ------------------------------------------------------------------------------------------------------------

bool MuprocsPage::handle(const Key& key, Shell& shell) {
  if (input_ != Input::none) return handle_input(key, shell);
  if (cursor_.handle(key)) {
    follows_ = false;
    return true;
  }
  switch (key.kind) {
    case Key::Kind::enter: open_details(shell); return true;
    case Key::Kind::left: shift_ = std::max(shift_ - 1, 0); return true;
    case Key::Kind::right: shift_ = std::min(shift_ + 1, k_columns - 4); return true;
    case Key::Kind::click:
    case Key::Kind::double_click: return handle_click(key, shell);
    case Key::Kind::function: return handle_function(key.function, shell);
    case Key::Kind::character: return key.text.size() == 1 && handle_letter(key.text[0], shell);
    default: return false;
  }
}

bool MuprocsPage::handle_input(const Key& key, Shell& shell) {
  std::string& text = typed_;
  if (key.is(Key::Kind::escape)) {
    if (input_ == Input::filter) options_.filter.clear();
    input_ = Input::none;
  } else if (key.is(Key::Kind::enter)) {
    searched_ = input_ == Input::search ? typed_ : searched_;
    input_ = Input::none;
  } else if (key.is_function(3) && input_ == Input::search) {
    search_from(cursor_.row() + 1, shell);
  } else if (key.is(Key::Kind::backspace)) {
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.pop_back();
    if (!text.empty()) text.pop_back();
  } else if (key.is(Key::Kind::character)) {
    text += key.text;
  } else {
    return cursor_.handle(key);
  }
  if (input_ == Input::filter) options_.filter = text;
  if (input_ == Input::search && !key.is_function(3)) search_from(cursor_.row(), shell);
  refresh(shell);
  return true;
}

void MuprocsPage::search_from(int row, Shell& shell) {
  const std::string& text = input_ == Input::search ? typed_ : searched_;
  const auto found = find_row(shell.model(), rows_, text, static_cast<std::size_t>(std::max(row, 0)));
  is_missed_ = !found && !text.empty();
  if (!found) return;
  cursor_.to(static_cast<int>(*found));
  remember_selected(shell);
}

bool MuprocsPage::handle_click(const Key& key, Shell& shell) {
  if (key.row == heading_row_) {
    for (const Place& place : drawn_)
      if (key.column >= place.left && key.column < place.left + place.width) {
        if (!options_.is_tree && options_.sort == place.info->column) options_.is_inverted = !options_.is_inverted;
        sort_by(place.info->column, shell);
      }
    return true;
  }
  const int row = cursor_.at(key.row, heading_row_ + 1);
  if (row < 0) return false;
  cursor_.to(row);
  follows_ = false;
  if (key.is(Key::Kind::double_click)) open_details(shell);
  return true;
}

bool MuprocsPage::handle_function(int number, Shell& shell) {
  switch (number) {
    case 2: open_columns_menu(shell); return true;
    case 3: return handle_letter('/', shell);
    case 4: return handle_letter('\\', shell);
    case 5: return handle_letter('t', shell);
    case 6: open_sort_menu(shell); return true;
    case 7: act(Verb::restart, shell); return true;
    case 8: act(Verb::stop, shell); return true;
    case 9: act(Verb::kill, shell); return true;
    default: return false;
  }
}

bool MuprocsPage::handle_letter(char letter, Shell& shell) {
  switch (letter) {
    case '/':
      input_ = Input::search;
      typed_.clear();
      is_missed_ = false;
      break;
    case '\\':
      input_ = Input::filter;
      typed_ = options_.filter;
      break;
    case 'n':
      search_from(cursor_.row() + 1, shell);
      if (is_missed_) shell.say("nobody has a name with \"" + tools::printable(searched_) + '"');
      break;
    case 't':
      remember_selected(shell);
      options_.is_tree = !options_.is_tree;
      break;
    case 'I':
      options_.is_inverted = !options_.is_inverted;
      options_.is_tree = false;
      break;
    case 'F':
      follows_ = !follows_;
      remember_selected(shell);
      shell.say(follows_ ? "following " + tools::printable(selected_) : "following nobody", Ink::plain);
      break;
    case ' ': tag(shell); break;
    case 'U': shell.model().tagged.clear(); break;
    case 'u': open_scope_menu(shell); break;
    case '+': fold(false, shell); break;
    case '-': fold(true, shell); break;
    case '*': fold_all(shell); break;
    case 'P': sort_by(Column::cpu, shell); break;
    case 'M': sort_by(Column::memory, shell); break;
    case 'T': sort_by(Column::up, shell); break;
    case 'N': sort_by(Column::os_pid, shell); break;
    case '<':
    case '>':
    case '.':
    case ',': open_sort_menu(shell); break;
    case 's':
      if (const MuprocView* muproc = selected(shell)) open_trace(muproc->name, shell);
      break;
    case 'r': act(Verb::restart, shell); break;
    case 'd': act(Verb::stop, shell); break;
    case 'g': act(Verb::start, shell); break;
    case 'k': act(Verb::kill, shell); break;
    default: return false;
  }
  refresh(shell);
  return true;
}

void MuprocsPage::sort_by(Column column, Shell& shell) {
  options_.sort = column;
  options_.is_tree = false;
  refresh(shell);
}

void MuprocsPage::fold(bool is_folded, Shell& shell) {
  const MuprocView* muproc = selected(shell);
  if (!options_.is_tree || !muproc) return;
  if (!muproc->is_supervisor()) {
    // As in htop: - on a leaf folds what it is in.
    const MuprocView* parent =
        muproc->parent == tools::k_no_parent ? nullptr : shell.model().now().at_slot(muproc->parent);
    if (!parent || !is_folded) return;
    muproc = parent;
  }
  is_folded ? void(options_.folded.insert(muproc->name)) : void(options_.folded.erase(muproc->name));
  refresh(shell);
  const auto& muprocs = shell.model().now().muprocs;
  const auto row =
      std::find_if(rows_.begin(), rows_.end(), [&](const Row& at) { return &muprocs[at.index] == muproc; });
  if (row != rows_.end()) cursor_.to(static_cast<int>(row - rows_.begin()));
}

void MuprocsPage::fold_all(Shell& shell) {
  if (!options_.folded.empty()) return options_.folded.clear();
  for (const MuprocView& muproc : shell.model().now().muprocs)
    if (muproc.is_supervisor() && muproc.parent != tools::k_no_parent) options_.folded.insert(muproc.name);
}

void MuprocsPage::tag(Shell& shell) {
  const MuprocView* muproc = selected(shell);
  if (!muproc || !muproc->pid) return shell.say("only one that lives can be tagged");
  auto& tagged = shell.model().tagged;
  if (tagged.erase(muproc->pid) == 0) tagged.insert(muproc->pid);
  cursor_.handle({Key::Kind::down});
}

/// All that are tagged, or the one where the cursor is.
void MuprocsPage::act(Verb verb, Shell& shell) {
  if (!shell.settings().allow_actions)
    return shell.say(fmt::format("mutop only looks: to {}, start it with --allow-actions", word(verb)));
  std::vector<Action> actions;
  for (const Pid pid : shell.model().tagged)
    if (const MuprocView* muproc = shell.model().now().find(pid)) actions.push_back(action_on(verb, *muproc));
  if (actions.empty())
    if (const MuprocView* muproc = selected(shell)) actions.push_back(action_on(verb, *muproc));
  if (actions.empty()) return;
  if (actions.size() == 1)
    if (const std::string refused = why_not(shell.model().now(), actions.front()); !refused.empty())
      return shell.say(refused, Ink::bad);
  shell.open(std::make_unique<Question>(std::move(actions)));
}

void MuprocsPage::open_details(Shell& shell) {
  if (const MuprocView* muproc = selected(shell)) shell.open(std::make_unique<DetailPage>(muproc->name));
}

void MuprocsPage::open_sort_menu(Shell& shell) {
  std::vector<Menu::Choice> choices;
  for (const ColumnInfo& info : all_columns())
    choices.push_back({fmt::format("{:<10} {}", info.heading, info.what),
                       [this, &shell, column = info.column] { sort_by(column, shell); }, info.column == options_.sort});
  shell.open(std::make_unique<Menu>("Sort by", std::move(choices)));
}

void MuprocsPage::open_columns_menu(Shell& shell) {
  std::vector<Menu::Choice> choices;
  for (const ColumnInfo& info : all_columns()) {
    if (info.column == Column::name) continue;
    const auto toggle = [this, column = info.column] {
      hidden_.contains(column) ? void(hidden_.erase(column)) : void(hidden_.insert(column));
    };
    const auto mark = [this, column = info.column] { return std::string(hidden_.contains(column) ? "[ ] " : "[x] "); };
    choices.push_back({fmt::format("{:<10} {}", info.heading, info.what), toggle, false, mark});
  }
  shell.open(std::make_unique<Menu>("Columns that are shown", std::move(choices)));
}

/// htop's choice of a user, and of a supervisor.
void MuprocsPage::open_scope_menu(Shell& shell) {
  const auto choose = [this, &shell](std::string user, std::string supervisor) {
    options_.user = std::move(user);
    options_.supervisor = std::move(supervisor);
    refresh(shell);
  };
  std::vector<Menu::Choice> choices = {
      {"all", [choose] { choose("", ""); }, options_.user.empty() && options_.supervisor.empty()}};
  std::set<std::string> users;
  for (const auto& rates : shell.model().sample().muprocs)
    if (!rates.user.empty()) users.insert(rates.user);
  for (const std::string& user : users)
    choices.push_back({"user " + tools::printable(user), [choose, user] { choose(user, ""); }, user == options_.user});
  for (const MuprocView& muproc : shell.model().now().muprocs)
    if (muproc.is_supervisor())
      choices.push_back({"below " + tools::printable(muproc.name), [choose, name = muproc.name] { choose("", name); },
                         muproc.name == options_.supervisor});
  shell.open(std::make_unique<Menu>("Show only", std::move(choices)));
}

}  // namespace muproc::mutop
