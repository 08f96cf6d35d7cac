// What the directory and the status blocks say in numbers, as words: for tables, and for `--json` and the status page, where
// they are part of the format.
#pragma once

#include <string_view>

#include "shm/layout.hpp"

namespace muproc::shm {

/// "muproc", "plain", "supervisor", "outsider"; "?" for a number that this version does not know.
std::string_view kind_word(SlotKind kind);
/// "starting", "running", "stopping", "draining", "backing_off", "stopped", "failed", "free"; "?".
std::string_view state_word(SlotState state);
/// What a muproc is doing: "starting", "running", "receiving", "sending", "exiting", "sleeping", "asking"; "?".
std::string_view activity_word(Activity activity);

}  // namespace muproc::shm
