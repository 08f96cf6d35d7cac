// An exception as a reason.
#pragma once

#include <muproc/reason.hpp>

namespace muproc::detail {

/// In a handler of `catch`: what is being handled, as exception{type, what}; of an ExitSignal the reason that it brings.
Reason reason_of_current_exception();

}  // namespace muproc::detail
