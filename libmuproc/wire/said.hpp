// What one says of an end, told apart from what the kernel or the broker knows of it.
//
// That a muproc was ended by a signal, left a process's exit code, was out of memory, or wrote what is no message: only
// the kernel and the broker can know. A muproc may hand on such a reason, which it has heard of another's end; then it
// has ended with that reason as a value, and nobody takes it for its own.
#pragma once

#include <muproc/reason.hpp>

namespace muproc::wire {

/// The reason as it counts when a muproc says it, of itself or in an exit signal to another.
inline muproc::Reason as_said(muproc::Reason reason) {
  using Kind = muproc::Reason::Kind;
  switch (reason.kind()) {
    case Kind::signal:
    case Kind::code:
    case Kind::watchdog:
    case Kind::out_of_memory:
    case Kind::corrupt_message: return muproc::Reason::exit(Value(std::move(reason)));
    case Kind::normal:
    case Kind::exit:
    case Kind::killed:
    case Kind::exception:
    case Kind::linked:
    case Kind::shutdown:
    case Kind::start_failed:
    case Kind::broker_lost:
    case Kind::noproc: return reason;
  }
  return reason;
}

}  // namespace muproc::wire
