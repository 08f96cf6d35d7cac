// Dead letters: messages that reached nobody, as the one who dropped them writes them down in its own status block.
//
// Whoever drops a message knows: a sender whose receiver has ended, one that gets an answer which nobody waits for. It
// counts it there and then, by why and by whom it was for, and keeps the last few. What arrives is not touched by any of
// this. What lay unread in the mailbox of one that ended is nobody's to count but the broker's, which has the same words
// for it (broker/dead_letters.hpp).
//
// If the writer dies at any line, a count may be one behind, or an entry may be 0, which is none.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <muproc/pid.hpp>

#include "shm/layout.hpp"

namespace muproc::shm {

struct DroppedMessage {
  Drop why = Drop::ended;
  Pid from, to;           // `to` is nil when nobody had the name
  RecordKind kind = RecordKind::message;
  std::uint64_t type_id = 0;
  std::string name;       // that nobody had; cut off when it is long
  std::string text;       // says more; cut off when it is long
  std::uint64_t wall_ns = 0;
};

/// Counts it and keeps it among the last. Only the owner of the block, in one thread.
void note(DeadLetterBox& box, const DroppedMessage& dropped);
/// So many more, of which nothing is kept.
void count(DeadLetterBox& box, Drop why, Pid to, std::uint64_t messages);

/// What a block says, of which nothing is believed: counts are what they are, texts are cut and may hold any bytes.
struct DeadLettersRead {
  std::array<std::uint64_t, k_drops> counts{};
  std::vector<std::pair<Pid, std::uint64_t>> targets;  // nil: nobody's name, and who was not told apart
  std::vector<DroppedMessage> last;                    // oldest first
};
DeadLettersRead read(const DeadLetterBox& box);

}  // namespace muproc::shm
