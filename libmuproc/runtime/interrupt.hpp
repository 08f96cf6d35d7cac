// The interrupting signal: it ends blocking system calls when this muproc must exit, and tells that its parent died.
// A signal handler needs a global; this is the one, and all that the handler does is to set it, unless another thread is
// crashing and wants to know of this one (crash_notes.hpp).
#pragma once

namespace muproc::detail {

/// True since the signal last came. Set by the handler, cleared by the runtime.
extern volatile bool interrupted;

/// Installs the handler, without SA_RESTART, and asks for the signal when the parent dies.
void install_interrupt();

}  // namespace muproc::detail
