// What the kernel needs by itself for a death and a birth: what down/notice and restart/zygote are compared with.
//
// The clones are of whoever measures, so that there is as much to copy and to take down as for a muproc when a muproc
// measures. They do nothing at all: no set-up, no mailbox, nobody who decides whether there is to be another.
#pragma once

#include "bench/measure.hpp"

namespace muproc::bench {

/// From SIGKILL of a clone, at rest on `core`, until its pidfd tells who waits for it in poll.
Histogram measure_bare_deaths(unsigned core, int count);

/// From SIGKILL of a clone until the next one, which is cloned when the pidfd has told of the end, runs. They run where the
/// kernel puts them.
Histogram measure_bare_restarts(int count);

}  // namespace muproc::bench
