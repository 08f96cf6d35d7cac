// What victims do when they are killed or stopped: each act that changes shared memory, a name or a process.
#pragma once

#include <vector>

#include "crash/stage.hpp"

namespace muproc::test {

std::vector<Play> sending();     // small, large, to one that is asleep, into a full channel, the first one of a channel
std::vector<Play> receiving();   // a message that is there, one that matches nothing, one of the stash, a large one, asleep
constexpr std::size_t k_into_a_full_channel = 3, k_asleep = 4;  // places among those
std::vector<Play> asking();      // what the broker does: names, births, links, ends

}  // namespace muproc::test
