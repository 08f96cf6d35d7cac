// A process's settings on their way to the process: what the seed applies before an exec, and a cloned child to itself.
#pragma once

#include "sys/settings.hpp"
#include "wire/control.capnp.h"

namespace muproc::wire {

/// What a Limits says, and the working directory that stands beside it. Processor numbers that cannot be are left out.
sys::ProcessSettings settings_of(Limits::Reader limits, capnp::Text::Reader cwd);

}  // namespace muproc::wire
