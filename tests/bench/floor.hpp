// What the kernel and the hardware need by themselves: what rows are compared with.
//
// The floor is what a round trip between two processes on two cores costs when nothing is done but to wait for the other's
// cache line. Nothing between two cores is faster, and absolute times move with the machine: what counts is how many
// floors something takes, measured in the same run.
#pragma once

#include "bench/measure.hpp"

namespace muproc::bench {

/// Two processes, each spinning on an atomic that the other writes: round trips.
Histogram measure_floor(Cores cores);

/// From the write of an eventfd until the one who sleeps in a read of it, on the other core, has returned from there.
Histogram measure_eventfd_wake(Cores cores);
/// Two processes on the first core that wake each other by two eventfds: round trips.
Histogram measure_eventfd_same_core(Cores cores);

}  // namespace muproc::bench
