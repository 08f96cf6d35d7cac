// What the kernel says of an end, and what it is put down to. Pure.
//
//     how the process ended          it is put down to
//     exit(n), having given account  its own account
//     exit(n) without                code{n}; of a plain program: normal if n is 0
//     killed by SIGKILL, by us       why we did it: `killed`, or what it was to end for
//     plain, ended by our SIGTERM    the same
//     killed by SIGKILL, by the kernel since its group's memory had run out: `out_of_memory`
//     SIGABRT, by the watchdog       `watchdog`
//     any other signal               signal{n}, whatever it said before
#pragma once

#include <optional>

#include <muproc/reason.hpp>

namespace muproc::broker {

struct ExitStatus {
  enum class Kind { exited, signalled, unknown };
  Kind kind = Kind::unknown;
  int number = 0;  // exit code or signal
  bool core = false;
};

/// Why it ended. `claim` is its own account, `sentence` why we wanted its end; each may be absent. `out_of_memory`: its
/// group has had no memory left, and the kernel has killed somebody there.
Reason reason_of(const ExitStatus& status, const std::optional<Reason>& claim, const std::optional<Reason>& sentence,
                 bool is_plain, bool out_of_memory = false);

}  // namespace muproc::broker
