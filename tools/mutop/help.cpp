#include "tools/mutop/help.hpp"

#include <fmt/format.h>

#include "tools/mutop/columns.hpp"

namespace muproc::mutop {
namespace {

constexpr KeyHelp k_keys[] = {
    {"F1 h ?", "this page"},
    {"1 2 3 4 Tab", "muprocs, mailboxes, crashes, events; the next tab"},
    {"Up Down PgUp PgDn Home End", "move"},
    {"Left Right", "columns that do not fit"},
    {"Enter", "all about the one where the cursor is; a crash report"},
    {"F2", "which columns are shown"},
    {"F3 /", "search for a name; F3 or n: the next one"},
    {"F4 \\", "show only names with a text; a|b: with one or the other"},
    {"F5 t", "the tree by supervisors, or a list"},
    {"F6 < >", "sort by a column"},
    {"P M T N", "sort by CPU, memory, time up, process number"},
    {"I", "invert the order"},
    {"+ - *", "unfold or fold a supervisor; all of them"},
    {"F", "follow: the cursor stays with its muproc"},
    {"Space U", "tag, for actions on several; untag all"},
    {"u", "show only one user's, or those below one supervisor"},
    {"s", "trace: its messages as they pass, decoded"},
    {"Z", "pause, and go on"},
    {"r F7", "restart (with --allow-actions, after a question)"},
    {"d F8", "stop"},
    {"g", "start"},
    {"k F9", "kill"},
    {"Esc", "back"},
    {"F10 q", "quit; back"},
};

constexpr KeyHelp k_signs[] = {
    {"R", "running its code"},
    {".", "waits for messages"},
    {"B", "blocked: waits for room in the mailbox that is named"},
    {"~", "backing off: its supervisor starts it again when the time is over"},
    {"X", "failed"},
    {"-", "stopped"},
    {"> <", "starting; stopping"},
    {"D", "draining: takes no new messages"},
    {"?", "waits for the broker"},
    {"Z", "sleeps"},
    {"!", "at a mailbox: full; at restarts: there was one within a minute"},
    {"*", "at a mailbox: nearly full"},
};

void add(TextLines& lines, std::span<const KeyHelp> table) {
  for (const auto& [keys, what] : table) lines.push_back({fmt::format("  {:<28}{}", keys, what)});
}

}  // namespace

std::span<const KeyHelp> key_table() { return k_keys; }

TextLines help_lines(bool allows_actions) {
  TextLines lines = {{"Keys", Ink::strong}};
  add(lines, k_keys);
  if (!allows_actions) lines.push_back({"  mutop was started without --allow-actions: it only looks", Ink::warning});
  lines.push_back({""});
  lines.push_back({"Signs", Ink::strong});
  add(lines, k_signs);
  lines.push_back({""});
  lines.push_back({"Columns", Ink::strong});
  for (const ColumnInfo& info : all_columns()) lines.push_back({fmt::format("  {:<28}{}", info.heading, info.what)});
  return lines;
}

}  // namespace muproc::mutop
