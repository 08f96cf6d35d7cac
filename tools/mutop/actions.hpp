// What can be done to a muproc, and whether it is still the one that somebody meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <muproc/pid.hpp>

#include "tools/common/snapshot.hpp"

namespace muproc::mutop {

enum class Verb { restart, stop, start, kill };
std::string_view word(Verb verb);  // "restart", …

/// Bound to the incarnation that was on the screen; nil: it was down.
struct Action {
  Verb verb;
  std::string name;
  Pid pid;
  int os_pid = 0;
  std::uint32_t restarts = 0;
};

Action action_on(Verb verb, const tools::MuprocView& muproc);
/// Why it cannot be done now, or not to this one any more; empty: it can.
std::string why_not(const tools::Snapshot& now, const Action& action);
/// "kill ch-1 <0.3.1> (process 4711)".
std::string title(const Action& action);

}  // namespace muproc::mutop
