// The floor: what a round trip between two processes on two cores costs when nothing is done but to wait for the other's
// cache line. Nothing between two cores is faster, and absolute times move with the machine: what counts is how many
// floors something takes, measured in the same run.
#pragma once

#include "bench/measure.hpp"

namespace muproc::bench {

/// Two processes, each spinning on an atomic that the other writes; median time of a round trip in ns.
Round measure_floor(Cores cores);

}  // namespace muproc::bench
