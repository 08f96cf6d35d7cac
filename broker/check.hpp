// The tree of a system for people: what `mubroker check` prints for a config that is right.
#pragma once

#include <string>

#include "broker/spec.hpp"

namespace muproc::broker {

/// One line for the system, then one for each node, children below their supervisor in start order:
///
///     super-1
///     └─ root  one_for_one, limit 2 in 5s
///        ├─ ch-1  permanent, stop kill, libsuper.so:super_child
///        └─ ch-2  permanent, stop kill, libsuper.so:super_child
std::string describe(const SystemSpec& system);

}  // namespace muproc::broker
