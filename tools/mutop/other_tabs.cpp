#include "tools/mutop/other_tabs.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/text.hpp"
#include "tools/mutop/boxes.hpp"
#include "tools/mutop/detail_page.hpp"
#include "tools/mutop/rows.hpp"
#include "tools/mutop/words.hpp"

namespace muproc::mutop {
namespace {

using namespace std::chrono;

/// A column of a table; the last one takes what is left.
struct Field {
  std::string_view heading;
  int width;
  bool to_the_right = false;
};

void draw_headings(Grid& grid, int row, std::span<const Field> fields) {
  grid.fill(row, 0, grid.columns(), Ink::heading);
  int left = 0;
  for (const Field& field : fields) {
    field.to_the_right ? grid.put_right(row, left, field.heading, Ink::heading, field.width)
                       : void(grid.put(row, left, field.heading, Ink::heading, field.width));
    left += field.width + 1;
  }
}

void draw_fields(Grid& grid, int row, std::span<const Field> fields, const std::vector<Text>& texts) {
  int left = 0;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const int width = i + 1 == fields.size() ? grid.columns() - left : fields[i].width;
    fields[i].to_the_right ? grid.put_right(row, left, texts[i].text, texts[i].ink, width)
                           : void(grid.put(row, left, texts[i].text, texts[i].ink, width));
    left += fields[i].width + 1;
  }
}

void open_details(Shell& shell, const std::string& name) {
  if (shell.model().now().find(name)) return shell.open(std::make_unique<DetailPage>(name));
  shell.say(tools::printable(name) + " is not there any more");
}

}  // namespace

// ---- mailboxes -------------------------------------------------------------------------------------------------------

void MailboxesPage::refresh(Shell& shell) {
  const tools::Sample& sample = shell.model().sample();
  const tools::Snapshot& now = *sample.now;
  rows_.clear();
  for (std::size_t i = 0; i < now.channels.size(); ++i)
    if (fits(now.name_of(now.channels[i].from), filter_) || fits(now.name_of(now.channels[i].to), filter_))
      rows_.push_back(i);
  cursor_.resize(static_cast<int>(rows_.size()));
  const auto number = [&](std::size_t i) -> double {
    const tools::ChannelView& channel = now.channels[i];
    switch (sort_) {
      case Sort::from:
      case Sort::to: return 0;
      case Sort::rate: return sample.channels[i].bytes;
      case Sort::waiting: return static_cast<double>(channel.waiting);
      case Sort::fill: return channel.fill();
      case Sort::oldest: return duration<double>(channel.oldest.value_or(-1ns)).count();
      case Sort::blocked: return duration<double>(sample.channels[i].blocked).count();
    }
    return 0;
  };
  std::stable_sort(rows_.begin(), rows_.end(), [&](std::size_t a, std::size_t b) {
    if (is_inverted_) std::swap(a, b);
    const auto names = [&](std::size_t i) {
      const std::string from = now.name_of(now.channels[i].from), to = now.name_of(now.channels[i].to);
      return sort_ == Sort::to ? std::pair(to, from) : std::pair(from, to);
    };
    return number(a) != number(b) ? number(a) > number(b) : names(a) < names(b);
  });
}

void MailboxesPage::draw(Grid& grid, Area area, Shell& shell) {
  const tools::Sample& sample = shell.model().sample();
  const int name_width = std::clamp((grid.columns() - 52) / 2, 10, 40);
  std::string headings[k_sorts] = {"FROM", "TO", "RATE", "WAIT", "FILL", "OLDEST", "BLOCKED"};
  headings[static_cast<int>(sort_)] += is_inverted_ ? '^' : 'v';
  const Field fields[] = {{headings[0], name_width}, {headings[1], name_width}, {headings[2], 7, true},
                          {headings[3], 6, true},    {headings[4], 12},         {"RING", 5, true},
                          {headings[5], 7, true},    {headings[6], 8, true}};
  draw_headings(grid, area.top, fields);
  first_row_ = area.top + 1;
  cursor_.fit(static_cast<int>(rows_.size()), area.rows - 1);
  for (int row = 0; row < area.rows - 1 && cursor_.top() + row < static_cast<int>(rows_.size()); ++row) {
    const std::size_t index = rows_[static_cast<std::size_t>(cursor_.top() + row)];
    const tools::ChannelView& channel = sample.now->channels[index];
    const tools::ChannelRates& rates = sample.channels[index];
    const double fill = channel.fill();
    const Ink ink = fill >= k_full ? Ink::bad : fill >= k_nearly_full ? Ink::warning : Ink::plain;
    draw_fields(
        grid, first_row_ + row, fields,
        {{tools::printable(sample.now->name_of(channel.from)), Ink::strong},
         {tools::printable(sample.now->name_of(channel.to)), Ink::strong},
         {short_bytes(rates.bytes) + "/s", rates.bytes > 0 ? Ink::plain : Ink::faint},
         {channel.is_known ? short_count(static_cast<double>(channel.waiting)) + (channel.has_more ? "+" : "") : "?"},
         {fill_bar(fill, rates.high_water, 11, grid.ascii) + (fill >= k_full          ? "!"
                                                              : fill >= k_nearly_full ? "*"
                                                                                      : ""),
          ink},
         {short_bytes(channel.ring_size)},
         {channel.oldest ? short_time(*channel.oldest) : "",
          channel.oldest.value_or(0ns) >= 1s ? Ink::warning : Ink::plain},
         {rates.is_blocked      ? "B " + short_time(rates.blocked)
          : rates.blocked > 0ns ? short_time(rates.blocked)
                                : "",
          rates.is_blocked ? Ink::warning : Ink::plain}});
    if (cursor_.top() + row == cursor_.row()) grid.paint(first_row_ + row, Ink::selected);
  }
  if (rows_.empty())
    grid.put(first_row_, 1, filter_.empty() ? "nobody has sent anything to anybody" : "no channel has such a name",
             Ink::faint);
}

FunctionKeys MailboxesPage::function_keys() const { return {{1, "Help"}, {4, "Filter"}, {6, "SortBy"}, {10, "Quit"}}; }

bool MailboxesPage::handle_input(const Key& key, Shell& shell) {
  if (key.is(Key::Kind::escape)) filter_.clear();
  if (key.is(Key::Kind::escape) || key.is(Key::Kind::enter)) is_typing_ = false;
  if (key.is(Key::Kind::backspace) && !filter_.empty()) filter_.pop_back();
  if (key.is(Key::Kind::character)) filter_ += key.text;
  refresh(shell);
  return true;
}

bool MailboxesPage::handle(const Key& key, Shell& shell) {
  if (is_typing_) return handle_input(key, shell);
  const bool is_click = key.is(Key::Kind::click) || key.is(Key::Kind::double_click);
  if (is_click && cursor_.at(key.row, first_row_) >= 0) {
    cursor_.to(cursor_.at(key.row, first_row_));
    if (key.is(Key::Kind::click)) return true;
  }
  if (cursor_.handle(key)) return true;
  if (key.is(Key::Kind::enter) || key.is(Key::Kind::double_click)) {
    const auto row = static_cast<std::size_t>(cursor_.row());
    if (row < rows_.size())
      open_details(shell, shell.model().now().name_of(shell.model().now().channels[rows_[row]].to));
    return true;
  }
  if (key.is('\\') || key.is('/') || key.is_function(4)) {
    is_typing_ = true;
  } else if (key.is_function(6) || key.is('>') || key.is('.')) {
    sort_ = static_cast<Sort>((static_cast<int>(sort_) + 1) % k_sorts);
  } else if (key.is('<') || key.is(',')) {
    sort_ = static_cast<Sort>((static_cast<int>(sort_) + k_sorts - 1) % k_sorts);
  } else if (key.is('I')) {
    is_inverted_ = !is_inverted_;
  } else {
    return false;
  }
  refresh(shell);
  return true;
}

// ---- crashes ---------------------------------------------------------------------------------------------------------

void CrashesPage::refresh(Shell& shell) {
  // A report is written a moment after the death.
  if (shell.model().now().deaths != deaths_seen_) looks_left_ = 20;
  deaths_seen_ = shell.model().now().deaths;
  if (looks_left_ > 0 && looks_left_-- > 0) rows_ = shell.world().crashes();
  cursor_.resize(static_cast<int>(rows_.size()));
}

void CrashesPage::draw(Grid& grid, Area area, Shell&) {
  const Field fields[] = {{"ENDED", 26}, {"MUPROC", 24}, {"REASON", 20}};
  draw_headings(grid, area.top, fields);
  first_row_ = area.top + 1;
  cursor_.fit(static_cast<int>(rows_.size()), area.rows - 1);
  for (int row = 0; row < area.rows - 1 && cursor_.top() + row < static_cast<int>(rows_.size()); ++row) {
    const CrashLine& crash = rows_[static_cast<std::size_t>(cursor_.top() + row)];
    draw_fields(grid, first_row_ + row, fields, {{crash.when}, {crash.muproc, Ink::strong}, {crash.reason, Ink::bad}});
    if (cursor_.top() + row == cursor_.row()) grid.paint(first_row_ + row, Ink::selected);
  }
  if (rows_.empty()) grid.put(first_row_, 1, "no crash has been reported", Ink::faint);
}

bool CrashesPage::handle(const Key& key, Shell& shell) {
  const bool is_click = key.is(Key::Kind::click) || key.is(Key::Kind::double_click);
  if (is_click && cursor_.at(key.row, first_row_) >= 0) cursor_.to(cursor_.at(key.row, first_row_));
  if (cursor_.handle(key)) return true;
  const auto row = static_cast<std::size_t>(cursor_.row());
  if ((!key.is(Key::Kind::enter) && !key.is(Key::Kind::double_click)) || row >= rows_.size()) return is_click;
  TextLines lines;
  for (std::string& line : shell.world().crash_text(rows_[row])) lines.push_back({std::move(line)});
  shell.open(std::make_unique<TextPage>("Crash of " + rows_[row].muproc + ", " + rows_[row].when, std::move(lines)));
  return true;
}

// ---- events ----------------------------------------------------------------------------------------------------------

void EventsPage::draw(Grid& grid, Area area, Shell& shell) {
  const auto& events = shell.world().events();
  const Field fields[] = {{"TIME", 26}, {"EVENT", 12}, {"WHO", 22}, {"WHAT", 20}};
  draw_headings(grid, area.top, fields);
  if (!shell.world().is_answering())
    grid.put_right(area.top, 0, "the broker does not answer: what it told before ", Ink::heading, grid.columns());
  first_row_ = area.top + 1;
  const int count = static_cast<int>(events.size());
  if (is_at_end_) cursor_.to(count - 1);
  cursor_.fit(count, area.rows - 1);
  for (int row = 0; row < area.rows - 1 && cursor_.top() + row < count; ++row) {
    const EventLine& event = events[static_cast<std::size_t>(cursor_.top() + row)];
    const Ink ink =
        event.kind == "death" || event.kind == "gave_up" || event.kind == "start_failed" || event.kind == "crash"
            ? Ink::bad
        : event.kind == "restart" || event.kind == "back_off" ? Ink::warning
                                                              : Ink::plain;
    draw_fields(grid, first_row_ + row, fields,
                {{tools::local_time(event.wall_ns), Ink::faint},
                 {event.kind, ink},
                 {event.name.empty() ? "the system" : event.name, Ink::strong},
                 {event.text}});
    if (cursor_.top() + row == cursor_.row()) grid.paint(first_row_ + row, Ink::selected);
  }
  if (events.empty())
    grid.put(first_row_, 1,
             shell.world().is_answering() ? "nothing has happened" : "the broker tells events, and does not answer",
             Ink::faint);
}

bool EventsPage::handle(const Key& key, Shell& shell) {
  const bool is_click = key.is(Key::Kind::click) || key.is(Key::Kind::double_click);
  const int count = static_cast<int>(shell.world().events().size());
  if (is_click && cursor_.at(key.row, first_row_) >= 0) cursor_.to(cursor_.at(key.row, first_row_));
  if (cursor_.handle(key) || is_click) {
    is_at_end_ = cursor_.row() >= count - 1;
    if (!key.is(Key::Kind::double_click)) return true;
  }
  if ((!key.is(Key::Kind::enter) && !key.is(Key::Kind::double_click)) || cursor_.row() >= count) return false;
  open_details(shell, shell.world().events()[static_cast<std::size_t>(cursor_.row())].name);
  return true;
}

}  // namespace muproc::mutop
