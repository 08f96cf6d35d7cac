// Limits of a process that runs already.
#pragma once

#include <string>

#include "sys/settings.hpp"

namespace muproc::broker {

/// Holds that process, a child that has not been reaped, to these limits, priority and processors; what it has forked
/// keeps its own. Other settings are for a new process only. What could not be done, in words; empty: nothing.
std::string apply_to(int os_pid, const sys::ProcessSettings& settings);

}  // namespace muproc::broker
