// The plainest ring between two processes: what streams are compared with.
//
// It has what a hand-made one has, and nothing else: slots of one size with a mark in each, a producer that looks at the
// consumer's position when its slots are used up. Nobody sleeps or may die, there are no types, times or senders, and no byte is checked.
#pragma once

#include "bench/measure.hpp"

namespace muproc::bench {

/// Messages of 64 bytes a second, written on the second core and read on the first.
double measure_bare_ring(Cores cores);

}  // namespace muproc::bench
