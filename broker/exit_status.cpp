#include "broker/exit_status.hpp"

#include <csignal>

namespace muproc::broker {

Reason reason_of(const ExitStatus& status, const std::optional<Reason>& claim, const std::optional<Reason>& sentence,
                 bool is_plain, bool out_of_memory) {
  switch (status.kind) {
    case ExitStatus::Kind::exited:
      if (claim) return *claim;
      if (is_plain && status.number == 0) return sentence.value_or(Reason::normal());
      return Reason::code(status.number);
    case ExitStatus::Kind::signalled: {
      const bool is_watchdogs = status.number == SIGABRT && sentence && sentence->is(Reason::Kind::watchdog);
      const bool is_ours = status.number == SIGKILL || (is_plain && status.number == SIGTERM) || is_watchdogs;
      if (out_of_memory && status.number == SIGKILL && !sentence) return Reason(Reason::Kind::out_of_memory);
      return is_ours && sentence ? *sentence : Reason::signal(status.number, status.core);
    }
    case ExitStatus::Kind::unknown: break;  // somebody else has waited for it
  }
  if (claim) return *claim;
  return sentence.value_or(Reason::killed());
}

}  // namespace muproc::broker
