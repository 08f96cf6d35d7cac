#include "tools/mutop/detail_page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/text.hpp"
#include "tools/mutop/boxes.hpp"
#include "tools/mutop/trace_page.hpp"
#include "tools/mutop/words.hpp"

namespace muproc::mutop {
namespace {

using namespace std::chrono;
using tools::MuprocView;
using tools::printable;

constexpr int k_plot_height = 3;
constexpr std::size_t k_messages_shown = 50, k_log_lines_shown = 30;

std::string padded(std::string text, int width) {
  const int missing = width - width_of(text);
  return missing > 0 ? text + std::string(static_cast<std::size_t>(missing), ' ') : text;
}

/// Title and lines, all of that width.
std::vector<std::string> titled_plot(const std::string& title, const Series& series, int width, bool ascii,
                                     std::string (*show)(double)) {
  std::vector<std::string> lines = plot(series.values(), width, k_plot_height, ascii);
  lines.insert(lines.begin(),
               padded(cut(fmt::format("{} {}  (highest {})", title, show(series.latest()), show(series.highest())),
                          width, ascii),
                      width));
  return lines;
}

}  // namespace

void DetailPage::refresh(Shell& shell) {
  const auto& now = shell.model().now();
  // Links and monitors change at any time; the broker is asked now and then while it answers.
  if (refreshes_++ % 5 == 0) shell.world().ask_about(name_);
  if (now.deaths != deaths_seen_) looks_left_ = 20;  // a report is written a moment after the death
  deaths_seen_ = now.deaths;
  if (looks_left_ == 0) return;
  --looks_left_;
  for (const CrashLine& crash : shell.world().crashes()) {
    if (crash.muproc != printable(name_) && !crash.muproc.starts_with(printable(name_) + ' ')) continue;
    if (crash.path != crash_path_) crash_ = shell.world().crash_text(crash);
    crash_path_ = crash.path;
    break;
  }
}

void DetailPage::draw(Grid& grid, Area area, Shell& shell) {
  const MuprocView* muproc = shell.model().now().find(name_);
  Lines lines;
  if (muproc) {
    add_plots(lines, *muproc, grid.columns() - 2, shell);
    add_facts(lines, *muproc, shell);
    if (muproc->status) add_status(lines, *muproc, shell);
    add_channels(lines, *muproc, shell);
    add_messages(lines, *muproc, shell);
  } else {
    lines.push_back({"", printable(name_) + " is not there any more", Ink::bad});
  }
  add_broker_facts(lines, shell);
  add_log(lines, shell);
  add_crash(lines);
  std::string title = printable(name_);
  if (muproc && muproc->pid) title += ' ' + to_string(muproc->pid);
  if (muproc && muproc->os_pid != 0) title += fmt::format("  process {}", muproc->os_pid);
  grid.fill(area.top, 0, grid.columns(), Ink::heading);
  grid.put(area.top, 1, title, Ink::heading);
  height_ = std::max(area.rows - 1, 1);
  count_ = static_cast<int>(lines.size());
  top_ = std::clamp(top_, 0, std::max(count_ - height_, 0));
  for (int row = 0; row < height_ && top_ + row < count_; ++row) {
    const Line& line = lines[static_cast<std::size_t>(top_ + row)];
    const int column =
        line.label.empty() ? 1 : std::max(grid.put(area.top + 1 + row, 1, line.label, Ink::faint) + 1, 16);
    grid.put(area.top + 1 + row, column, line.text, line.ink);
  }
  const int below = count_ - top_ - height_;
  if (below > 0) grid.put_right(area.top, 0, fmt::format("{} more lines below ", below), Ink::heading, grid.columns());
}

void DetailPage::add_plots(Lines& lines, const MuprocView& muproc, int columns, Shell& shell) const {
  const MuprocSeries* series = shell.model().history().of(muproc.pid);
  if (!series) return;
  const bool ascii = shell.settings().ascii;
  const int width = (columns - 2) / 2;
  const std::vector<std::string> plots[] = {
      titled_plot("messages in a second", series->rate, width, ascii, short_count),
      titled_plot("messages waiting", series->depth, width, ascii, short_count),
      titled_plot("CPU %", series->cpu, width, ascii, short_percent),
      titled_plot("resident memory", series->resident, width, ascii, short_bytes)};
  for (std::size_t pair = 0; pair < 4; pair += 2)
    for (std::size_t line = 0; line < plots[pair].size(); ++line)
      lines.push_back(
          {"", padded(plots[pair][line], width) + "  " + plots[pair + 1][line], line == 0 ? Ink::strong : Ink::busy});
}

void DetailPage::add_facts(Lines& lines, const MuprocView& muproc, Shell& shell) const {
  const auto& now = shell.model().now();
  const Subject subject = shell.model().subject(static_cast<std::size_t>(&muproc - now.muprocs.data()));
  std::string state = fmt::format("{} {} {}", sign_of(muproc), tools::kind_word(muproc.kind), state_text(now, muproc));
  if (muproc.up_for) state += ", up " + tools::short_duration(*muproc.up_for);
  lines.push_back({"state", state, ink_of_state(muproc)});
  if (const MuprocView* parent = muproc.parent == tools::k_no_parent ? nullptr : now.at_slot(muproc.parent))
    lines.push_back({"supervisor", printable(parent->name)});
  if (muproc.supervision) lines.push_back({"strategy", supervision_text(*muproc.supervision)});
  lines.push_back({"restarts", fmt::format("{}", muproc.restarts)});
  if (!muproc.last_exit.empty())
    lines.push_back({"last exit", printable(muproc.last_exit), text_of(subject, Column::last_exit, 80, true).ink});
  if (subject.rates.resident)
    lines.push_back({"process", fmt::format("{}% CPU, {} resident, {} threads, runs as {}",
                                            subject.rates.cpu ? short_percent(*subject.rates.cpu) : "?",
                                            short_bytes(static_cast<double>(*subject.rates.resident)),
                                            subject.rates.threads, printable(subject.rates.user))});
  std::string ports;
  for (const std::string& port : muproc.pid ? shell.world().ports(muproc.pid) : std::vector<std::string>())
    (ports += ports.empty() ? "" : ", ") += printable(port);
  if (!ports.empty()) lines.push_back({"ports", ports});
}

void DetailPage::add_status(Lines& lines, const MuprocView& muproc, Shell& shell) const {
  const tools::MuprocStatus& status = *muproc.status;
  const tools::MuprocRates& rates = *shell.model().sample().rates_of(muproc);
  lines.push_back({"received", fmt::format("{} messages, {}/s, {}/s", status.messages_received,
                                           short_count(rates.received), short_bytes(rates.bytes_received))});
  lines.push_back({"sent", fmt::format("{} messages, {}/s, {}/s; {} had to wait, {} large", status.messages_sent,
                                       short_count(rates.sent), short_bytes(rates.bytes_sent), status.sends_blocked,
                                       status.large_sent)});
  if (status.dead_letters + status.malformed > 0)
    lines.push_back(
        {"lost", fmt::format("{} dead letters, {} malformed records refused", status.dead_letters, status.malformed),
         Ink::warning});
  lines.push_back({"stash", fmt::format("{} messages, {}; at most {} so far", status.stash_messages,
                                        short_bytes(static_cast<double>(status.stash_bytes)),
                                        short_bytes(static_cast<double>(status.stash_high_water)))});
  lines.push_back({"memory", fmt::format("{} of shared memory; traps exits: {}",
                                         short_bytes(static_cast<double>(muproc.shared_bytes)),
                                         status.traps_exits ? "yes" : "no")});
  for (std::size_t i = 0; i < status.in_hand.size(); ++i) {
    const tools::HandledMessage& message = status.in_hand[i];
    const bool is_innermost = i + 1 == status.in_hand.size();
    lines.push_back(
        {i == 0 ? "in hand" : "",
         fmt::format("from {}, type {:#x}, sent {} ago{}", printable(shell.model().now().name_of(message.sender)),
                     message.type_id, short_time(message.age),
                     is_innermost && rates.handling ? ", handled for " + short_time(*rates.handling) + " at most" : ""),
         Ink::busy});
  }
}

void DetailPage::add_channels(Lines& lines, const MuprocView& muproc, Shell& shell) const {
  const auto& sample = shell.model().sample();
  bool is_first[2] = {true, true};
  for (std::size_t i = 0; i < sample.now->channels.size(); ++i) {
    const tools::ChannelView& channel = sample.now->channels[i];
    for (const bool is_in : {true, false}) {
      if ((is_in ? channel.to : channel.from) != muproc.pid || !muproc.pid) continue;
      const std::string peer = printable(sample.now->name_of(is_in ? channel.from : channel.to));
      lines.push_back({std::exchange(is_first[is_in], false) ? (is_in ? "channels from" : "channels to") : "",
                       fmt::format("{:<20} {} {} waiting, {}/s{}", peer,
                                   fill_bar(channel.fill(), sample.channels[i].high_water, 12, shell.settings().ascii),
                                   channel.waiting, short_bytes(sample.channels[i].bytes),
                                   sample.channels[i].is_blocked ? ", its sender is blocked" : ""),
                       channel.fill() >= k_full ? Ink::bad : Ink::plain});
    }
  }
}

void DetailPage::add_messages(Lines& lines, const MuprocView& muproc, Shell& shell) const {
  if (!muproc.status) return;
  const auto messages = shell.world().waiting(muproc.pid);
  std::size_t shown = 0;
  for (const tools::WaitingMessage& message : messages) {
    if (shown == k_messages_shown) break;
    lines.push_back({shown++ == 0 ? "waiting" : "",
                     fmt::format("{} {} from {}: {}", short_time(message.age), message.kind,
                                 printable(shell.model().now().name_of(message.from)), message.text)});
  }
  const std::uint64_t more = muproc.mailbox.waiting > shown ? muproc.mailbox.waiting - shown : 0;
  if (more > 0 && shown > 0) lines.push_back({"", fmt::format("and {} more", more), Ink::faint});
  if (messages.empty()) lines.push_back({"waiting", "nothing", Ink::faint});
  if (muproc.status->stash_messages > 0)
    lines.push_back(
        {"",
         fmt::format("{} more are in its own memory: received, and not matched so far", muproc.status->stash_messages),
         Ink::faint});
}

void DetailPage::add_broker_facts(Lines& lines, Shell& shell) const {
  lines.push_back({});
  const auto facts = shell.world().facts(name_);
  const bool is_answering = shell.world().is_answering();
  if (!facts) {
    lines.push_back({"",
                     is_answering ? "the broker is asked for links and config"
                                  : "links, monitors and config are the broker's to tell, and it does not answer",
                     Ink::faint});
    return;
  }
  if (!is_answering)
    lines.push_back(
        {"", "the broker does not answer; this is what it said at " + tools::local_time(facts->wall_ns), Ink::warning});
  for (const auto& [label, text] : facts->lines) lines.push_back({label, text});
}

void DetailPage::add_log(Lines& lines, Shell& shell) const {
  lines.push_back({});
  lines.push_back({"", "Log", Ink::strong});
  const auto& log = shell.world().log_tail(name_);
  const std::size_t skipped = log.size() > k_log_lines_shown ? log.size() - k_log_lines_shown : 0;
  for (std::size_t i = skipped; i < log.size(); ++i) lines.push_back({"", log[i]});
  if (log.empty()) lines.push_back({"", "it has not said a word", Ink::faint});
}

void DetailPage::add_crash(Lines& lines) const {
  if (crash_.empty()) return;
  lines.push_back({});
  lines.push_back({"", "Last crash", Ink::bad});
  for (const std::string& line : crash_) lines.push_back({"", line});
}

void DetailPage::act(Verb verb, Shell& shell) const {
  const MuprocView* muproc = shell.model().now().find(name_);
  if (!shell.settings().allow_actions)
    return shell.say(fmt::format("mutop only looks: to {}, start it with --allow-actions", word(verb)));
  if (!muproc) return shell.say(printable(name_) + " is not there any more", Ink::bad);
  const Action action = action_on(verb, *muproc);
  if (const std::string refused = why_not(shell.model().now(), action); !refused.empty())
    return shell.say(refused, Ink::bad);
  shell.open(std::make_unique<Question>(std::vector{action}));
}

bool DetailPage::handle(const Key& key, Shell& shell) {
  switch (key.kind) {
    case Key::Kind::up: --top_; return true;
    case Key::Kind::down: ++top_; return true;
    case Key::Kind::wheel_up: top_ -= 3; return true;
    case Key::Kind::wheel_down: top_ += 3; return true;
    case Key::Kind::page_up: top_ -= height_; return true;
    case Key::Kind::page_down: top_ += height_; return true;
    case Key::Kind::home: top_ = 0; return true;
    case Key::Kind::end: top_ = count_; return true;
    case Key::Kind::escape:
    case Key::Kind::left:
    case Key::Kind::backspace: shell.close(); return true;
    default: break;
  }
  if (key.is('q') || key.is_function(10)) return shell.close(), true;
  if (key.is('s')) return open_trace(name_, shell), true;
  if (key.is('r') || key.is_function(7)) return act(Verb::restart, shell), true;
  if (key.is('d') || key.is_function(8)) return act(Verb::stop, shell), true;
  if (key.is('g')) return act(Verb::start, shell), true;
  if (key.is('k') || key.is_function(9)) return act(Verb::kill, shell), true;
  return false;
}

}  // namespace muproc::mutop
