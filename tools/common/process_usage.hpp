// What a process takes of the machine: sys/process_usage.hpp, for the tools.
#pragma once

#include "sys/process_usage.hpp"

namespace muproc::tools {

using sys::parse_process_stat;
using sys::ProcessProbe;
using sys::ProcessUsage;

}  // namespace muproc::tools
