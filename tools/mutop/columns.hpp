// The columns of the table of muprocs: what each shows, how wide it is, and by what it is sorted.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tools/common/sampler.hpp"
#include "tools/mutop/grid.hpp"

namespace muproc::mutop {

enum class Column {
  name,
  os_pid,
  state,
  restarts,
  cpu,
  memory,
  mailbox,
  waiting,
  stash,
  in,
  out,
  oldest,
  handler,
  up,
  threads,
  user,
  last_exit
};
inline constexpr int k_columns = 17;

struct ColumnInfo {
  Column column;
  std::string_view heading;
  int width;  // the name and the last exit take more when there is room
  bool to_the_right;
  std::string_view what;  // for the help page and the menus
};

/// In the order in which they are shown.
std::span<const ColumnInfo> all_columns();
const ColumnInfo& info_of(Column column);

/// A muproc with what is known of it.
struct Subject {
  const tools::Sample& sample;
  const tools::MuprocView& muproc;
  const tools::MuprocRates& rates;
  std::chrono::nanoseconds since_restart;  // since a restart of it was last seen; the maximum: never
};

struct Text {
  std::string text;
  Ink ink = Ink::plain;
};
/// `name` without its tree.
Text text_of(const Subject& subject, Column column, int width, bool ascii);

/// Negative when `a` comes first in that column's natural order: the largest number first, names from A on.
int compare(const Subject& a, const Subject& b, Column column);

/// One character that says what state it is in, for those who see no colours: R running, . waiting for messages, B blocked,
/// ~ backing off, X failed, - stopped, > starting, < stopping, D draining, ? waiting for the broker, Z asleep.
char sign_of(const tools::MuprocView& muproc);
Ink ink_of_state(const tools::MuprocView& muproc);
/// "running", "receiving", "blocked on book", "back-off 12s".
std::string state_text(const tools::Snapshot& now, const tools::MuprocView& muproc);
/// "one_for_one, 1 of 2 in 5s": what it has used of the restarts that it may make in that time.
std::string supervision_text(const tools::SupervisionView& supervision);

/// A mailbox that is fuller than this is shown as a warning, and as bad above the second.
inline constexpr double k_nearly_full = 0.7, k_full = 0.9;
/// For so long a restart is shown as one that has just been.
inline constexpr std::chrono::seconds k_recent{60};

}  // namespace muproc::mutop
