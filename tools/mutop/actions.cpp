#include "tools/mutop/actions.hpp"

#include <fmt/format.h>

#include "tools/common/text.hpp"

namespace muproc::mutop {

using tools::printable;

std::string_view word(Verb verb) {
  switch (verb) {
    case Verb::restart: return "restart";
    case Verb::stop: return "stop";
    case Verb::start: return "start";
    case Verb::kill: return "kill";
  }
  return "?";
}

Action action_on(Verb verb, const tools::MuprocView& muproc) {
  return {verb, muproc.name, muproc.pid, muproc.os_pid, muproc.restarts};
}

std::string why_not(const tools::Snapshot& now, const Action& action) {
  const std::string name = printable(action.name);
  const tools::MuprocView* muproc = now.find(action.name);
  if (now.broker == tools::BrokerState::gone) return "the broker is gone";
  if (!muproc) return name + " is not there any more";
  if (muproc->pid != action.pid || muproc->restarts != action.restarts)
    return fmt::format("{} is not the one that was meant: it is {} now", name,
                       muproc->pid ? to_string(muproc->pid) : std::string(tools::state_word(muproc->state)));
  const bool is_supervised = muproc->parent != tools::k_no_parent;
  switch (action.verb) {
    case Verb::kill: return muproc->pid ? "" : name + " is not running";
    case Verb::start:
      return !is_supervised ? name + " has no supervisor that could start it"
             : muproc->pid  ? name + " runs already"
                            : "";
    case Verb::stop:
    case Verb::restart:
      return is_supervised ? "" : fmt::format("{} has no supervisor that could {} it", name, word(action.verb));
  }
  return {};
}

std::string title(const Action& action) {
  std::string text = fmt::format("{} {}", word(action.verb), printable(action.name));
  if (action.pid) text += ' ' + to_string(action.pid);
  if (action.os_pid != 0) text += fmt::format(" (process {})", action.os_pid);
  return text;
}

}  // namespace muproc::mutop
