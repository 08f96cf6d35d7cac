// Collects a system's numbers out of the broker's books, the muprocs' status blocks and /proc.
//
// It runs in the broker's loop, so it is held short: nothing is waited for, of each segment only the first pages are
// mapped, and of what waits in channels no more than so many records are followed in one collection. Numbers of a
// muproc's own are copied; its rings are read as by a receiver, checked.
#pragma once

#include <functional>
#include <vector>

#include "broker/core.hpp"
#include "broker/metrics/sample.hpp"

namespace muproc::broker {

/// `order`: the slots of supervised nodes, in start order.
SystemNumbers collect(Core& core, const std::vector<SlotIndex>& order);

}  // namespace muproc::broker
