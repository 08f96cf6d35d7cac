// Trees of idle muprocs under supervisors, up to all that a system can hold.
#pragma once

#include "bench/live.hpp"

namespace muproc::bench {

/// So many muprocs that wait, a supervisor for each 32 of them; for each 63 where there are 4,000.
Supervisor tree_of(int muprocs);
/// Ends what was started as `top`, and returns when it has gone.
void end_tree(Self& self, Pid top);

}  // namespace muproc::bench
