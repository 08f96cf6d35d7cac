#include "tools/mutop/columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <compare>

#include "tools/common/text.hpp"
#include "tools/mutop/words.hpp"

namespace muproc::mutop {
namespace {

using namespace std::chrono;
using shm::Activity;
using shm::SlotState;
using tools::MuprocView;

constexpr std::array<ColumnInfo, k_columns> k_infos = {{
    {Column::name, "NAME", 20, false, "its name; in the tree below its supervisor"},
    {Column::os_pid, "OSPID", 7, true, "the process's number"},
    {Column::state, "STATE", 15, false, "what it does, with a sign before it"},
    {Column::restarts, "RST", 4, true, "restarts; ! when the latest was within a minute"},
    {Column::cpu, "CPU%", 5, true, "of one core"},
    {Column::memory, "RES", 5, true, "resident memory"},
    {Column::mailbox, "MAILBOX", 11, false, "how full its fullest ring is; the mark is the highest since mutop looks"},
    {Column::waiting, "WAIT", 5, true, "messages that wait in its rings"},
    {Column::in, "IN/s", 5, true, "messages received a second"},
    {Column::out, "OUT/s", 5, true, "messages sent a second"},
    {Column::stash, "STASH", 5, true, "messages received and not yet matched"},
    {Column::oldest, "OLDEST", 6, true, "since the oldest message that waits was sent"},
    {Column::handler, "HANDLER", 7, true, "in the present handler for so long at most"},
    {Column::up, "UP", 5, true, "since this incarnation began"},
    {Column::threads, "THR", 3, true, "threads"},
    {Column::user, "USER", 8, false, "as whom the process runs"},
    {Column::last_exit, "LAST EXIT", 16, false, "why the incarnation before ended"},
}};

constexpr bool in_order() {
  for (int i = 0; i < k_columns; ++i)
    if (std::count_if(k_infos.begin(), k_infos.end(),
                      [i](const ColumnInfo& info) { return static_cast<int>(info.column) == i; }) != 1)
      return false;
  return true;
}
static_assert(in_order());

bool is_up(const MuprocView& muproc) { return muproc.state == SlotState::running; }

std::string if_any(std::uint64_t number) { return number == 0 ? "" : short_count(static_cast<double>(number)); }

Text restarts_text(const Subject& subject) {
  if (subject.muproc.restarts == 0) return {};
  const bool is_recent = subject.since_restart < k_recent;
  return {fmt::format("{}{}", short_count(subject.muproc.restarts), is_recent ? "!" : ""),
          is_recent ? Ink::bad : Ink::plain};
}

Text mailbox_text(const Subject& subject, int width, bool ascii) {
  const tools::MailboxView& mailbox = subject.muproc.mailbox;
  if (!subject.muproc.status || mailbox.channels == 0) return {};
  const bool is_bad = mailbox.fill >= k_full, is_warning = mailbox.fill >= k_nearly_full;
  return {fill_bar(mailbox.fill, subject.rates.high_water, width - 1, ascii) + (is_bad       ? "!"
                                                                                : is_warning ? "*"
                                                                                             : ""),
          is_bad       ? Ink::bad
          : is_warning ? Ink::warning
                       : Ink::plain};
}

Text last_exit_text(const MuprocView& muproc) {
  const std::string text = tools::printable(muproc.last_exit);
  const bool is_usual = text.empty() || text == "normal" || text == "shutdown";
  return {text, is_usual ? Ink::faint : Ink::warning};
}

std::string time_if(const std::optional<nanoseconds>& time) { return time ? short_time(*time) : std::string(); }

int sign(std::partial_ordering order) { return order < 0 ? -1 : order > 0 ? 1 : 0; }

/// The larger first; what has none last.
template <class T>
int largest_first(const T& a, const T& b) {
  return sign(b <=> a);
}

int state_rank(const MuprocView& muproc) {
  static constexpr std::string_view order = "X~BR?<D>Z.-";  // what somebody should look at comes first
  return static_cast<int>(order.find(sign_of(muproc)));
}

}  // namespace

std::span<const ColumnInfo> all_columns() { return k_infos; }

const ColumnInfo& info_of(Column column) {
  return *std::find_if(k_infos.begin(), k_infos.end(),
                       [column](const ColumnInfo& info) { return info.column == column; });
}

char sign_of(const MuprocView& muproc) {
  switch (muproc.state) {
    case SlotState::free:
    case SlotState::stopped: return '-';
    case SlotState::starting: return '>';
    case SlotState::stopping: return '<';
    case SlotState::backing_off: return '~';
    case SlotState::failed: return 'X';
    case SlotState::draining: return 'D';
    case SlotState::running: break;
  }
  if (!muproc.status) return 'R';
  switch (muproc.status->activity) {
    case Activity::starting: return '>';
    case Activity::running: return 'R';
    case Activity::receiving: return '.';
    case Activity::sending: return 'B';
    case Activity::exiting: return '<';
    case Activity::sleeping: return 'Z';
    case Activity::asking: return '?';
  }
  return 'R';
}

Ink ink_of_state(const MuprocView& muproc) {
  switch (sign_of(muproc)) {
    case 'X': return Ink::bad;
    case '~':
    case 'B': return Ink::warning;
    case 'R': return Ink::busy;
    case '.': return Ink::good;
    case '-': return Ink::faint;
    default: return Ink::plain;
  }
}

std::string state_text(const tools::Snapshot& now, const MuprocView& muproc) {
  if (muproc.state == SlotState::backing_off) return "back-off " + short_time(muproc.due_in.value_or(0ns));
  if (!is_up(muproc) || !muproc.status) return std::string(tools::state_word(muproc.state));
  if (muproc.status->blocked_on) return "blocked:" + tools::printable(now.name_of(muproc.status->blocked_on));
  return std::string(tools::activity_word(muproc.status->activity));
}

std::string supervision_text(const tools::SupervisionView& supervision) {
  return fmt::format("{}, {} of {} in {}", supervision.strategy, supervision.used, supervision.limit,
                     tools::short_duration(supervision.within));
}

Text text_of(const Subject& subject, Column column, int width, bool ascii) {
  const MuprocView& muproc = subject.muproc;
  const tools::MuprocRates& rates = subject.rates;
  switch (column) {
    case Column::name: return {tools::printable(muproc.name), Ink::strong};
    case Column::os_pid: return {muproc.os_pid == 0 ? "" : std::to_string(muproc.os_pid)};
    case Column::state:
      return {fmt::format("{} {}", sign_of(muproc), state_text(*subject.sample.now, muproc)), ink_of_state(muproc)};
    case Column::restarts: return restarts_text(subject);
    case Column::cpu:
      return rates.cpu ? Text{short_percent(*rates.cpu), *rates.cpu >= 90  ? Ink::warning
                                                         : *rates.cpu >= 1 ? Ink::plain
                                                                           : Ink::faint}
                       : Text();
    case Column::memory: return {rates.resident ? short_bytes(static_cast<double>(*rates.resident)) : ""};
    case Column::mailbox: return mailbox_text(subject, width, ascii);
    case Column::waiting: return {if_any(muproc.mailbox.waiting) + (muproc.mailbox.has_more ? "+" : "")};
    case Column::stash: return {muproc.status ? if_any(muproc.status->stash_messages) : ""};
    case Column::in:
      return muproc.status ? Text{short_count(rates.received), rates.received > 0 ? Ink::plain : Ink::faint} : Text();
    case Column::out:
      return muproc.status ? Text{short_count(rates.sent), rates.sent > 0 ? Ink::plain : Ink::faint} : Text();
    case Column::oldest:
      return {time_if(muproc.mailbox.oldest), muproc.mailbox.oldest.value_or(0ns) >= 1s ? Ink::warning : Ink::plain};
    case Column::handler:
      return {time_if(rates.handling), rates.handling.value_or(0ns) >= 10s ? Ink::warning : Ink::plain};
    case Column::up: return {time_if(muproc.up_for)};
    case Column::threads: return {rates.threads == 0 ? "" : std::to_string(rates.threads)};
    case Column::user: return {rates.user};
    case Column::last_exit: return last_exit_text(muproc);
  }
  return {};
}

int compare(const Subject& a, const Subject& b, Column column) {
  const auto by_name = [&] { return a.muproc.name.compare(b.muproc.name); };
  const auto status_number = [](const Subject& subject, auto member) {
    return subject.muproc.status ? (*subject.muproc.status).*member : 0;
  };
  int order = 0;
  switch (column) {
    case Column::name: break;
    case Column::os_pid: order = sign(a.muproc.os_pid <=> b.muproc.os_pid); break;
    case Column::state: order = sign(state_rank(a.muproc) <=> state_rank(b.muproc)); break;
    case Column::restarts: order = largest_first(a.muproc.restarts, b.muproc.restarts); break;
    case Column::cpu: order = largest_first(a.rates.cpu.value_or(-1), b.rates.cpu.value_or(-1)); break;
    case Column::memory: order = largest_first(a.rates.resident.value_or(0), b.rates.resident.value_or(0)); break;
    case Column::mailbox: order = largest_first(a.muproc.mailbox.fill, b.muproc.mailbox.fill); break;
    case Column::waiting: order = largest_first(a.muproc.mailbox.waiting, b.muproc.mailbox.waiting); break;
    case Column::stash:
      order = largest_first(status_number(a, &tools::MuprocStatus::stash_messages),
                            status_number(b, &tools::MuprocStatus::stash_messages));
      break;
    case Column::in: order = largest_first(a.rates.received, b.rates.received); break;
    case Column::out: order = largest_first(a.rates.sent, b.rates.sent); break;
    case Column::oldest:
      order =
          largest_first(a.muproc.mailbox.oldest.value_or(-1ns).count(), b.muproc.mailbox.oldest.value_or(-1ns).count());
      break;
    case Column::handler:
      order = largest_first(a.rates.handling.value_or(-1ns).count(), b.rates.handling.value_or(-1ns).count());
      break;
    case Column::up:
      order = largest_first(a.muproc.up_for.value_or(-1ns).count(), b.muproc.up_for.value_or(-1ns).count());
      break;
    case Column::threads: order = largest_first(a.rates.threads, b.rates.threads); break;
    case Column::user: order = a.rates.user.compare(b.rates.user); break;
    case Column::last_exit: order = sign(b.muproc.last_exit.empty() <=> a.muproc.last_exit.empty()) * -1; break;
  }
  return order != 0 ? order : by_name();
}

}  // namespace muproc::mutop
