// What every server is asked besides its own handlers goes the way of a call, with an id that is no handler's.
#pragma once

#include <muproc/call.hpp>

namespace muproc::detail {

/// Asks and waits. Throws CallError.
Message ask(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments,
            std::chrono::nanoseconds limit);

}  // namespace muproc::detail
