// The numbers in a DeadLetter, as words: for people, and for `--json`, where they are part of the format.
#pragma once

#include <cstdint>
#include <string_view>

namespace muproc::wire {

/// Why a message reached nobody (shm::Drop): "ended", "no_name", …; "?" for a number that this version does not know.
std::string_view drop_word(std::uint32_t drop);
/// The same in a few words for people: "to one that had ended".
std::string_view drop_text(std::uint32_t drop);
/// "message", "call", "cast", "reply", "error" (shm::RecordKind); "?".
std::string_view record_word(std::uint32_t kind);

}  // namespace muproc::wire
