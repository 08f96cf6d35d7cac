// What is kept of a mailbox: the log of messages that were received and are not done with, and how a successor takes it
// all over from the segment of a dead predecessor.
//
// A message of a kept mailbox lies in its sender's ring until it is handled. Then the channel's position moves past it:
// that one store makes it handled. If something else has to be read first (it matched no clause, or its handler receives),
// it goes to the *log*, with all that its record says, and the position moves past it then; in the log its own `state` is
// the one word that says how far it is. The ring's room is given back only up to the position, so what is not past it is
// there.
//
// What is left if the owner dies
//     before an entry's mark            bytes that nobody looks at; the message is in its ring
//     after the mark, before position   the message in both: its entry says where its record ends, so the ring's is passed over
//     before `in_hand` or the state     a message that waits
//     before the position or the state  the message in hand: it is dropped, or delivered again
//     after it                          a message that was handled
//     before `generation`, in `renew`   the half of the log that was current; the other is nobody's
//     while a successor takes over      the predecessor's memory, of which nothing was changed: another successor begins anew
//
// The log has two halves. One that is full of what was handled is left for the other: what is still needed is copied, and
// one store makes that half current. Marks depend on the generation, so what an earlier one left there is no entry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include <muproc/pid.hpp>

#include "shm/layout.hpp"
#include "shm/segment.hpp"

namespace muproc::shm {

/// What an entry says of its message, in private memory.
struct KeptFacts {
  std::uint64_t secret = 0, end = 0;
  Pid speaker;
  std::uint64_t type_id = 0, timestamp = 0;
  std::uint32_t words = 0;
  std::uint8_t kind = 0, flags = 0;
  std::uint16_t again = 0;
};

/// The owner's side of the log.
class KeepLog {
 public:
  using Place = std::uint32_t;

  explicit KeepLog(std::byte* keep_area);

  /// `facts.words` words of body. Throws std::length_error when there is no room, and nothing has changed then.
  Place append(const KeptFacts& facts, KeptState state, const std::byte* body);
  void set(Place place, KeptState state) {
    entry(place).state.store(static_cast<std::uint64_t>(state), std::memory_order_release);
  }
  KeptState state(Place place) const {
    return static_cast<KeptState>(entry(place).state.load(std::memory_order_relaxed));
  }
  KeptFacts facts(Place place) const;
  const std::byte* body(Place place) const { return half() + offsets_[place] + sizeof(KeptEntry); }
  /// It was handled: the place is given to others.
  void finish(Place place);
  /// Those that are not handled, oldest first.
  std::vector<Place> places() const;

 private:
  std::byte* half() const { return log_ + (generation_ & 1) * k_keep_half; }
  KeptEntry& entry(Place place) const { return *reinterpret_cast<KeptEntry*>(half() + offsets_[place]); }
  void write(std::byte* half, std::uint64_t generation, std::uint64_t offset, const KeptFacts& facts, KeptState state,
             const std::byte* body);
  void renew();

  AtomicU64& current_;
  std::byte* log_;
  std::uint64_t generation_ = 0;
  std::uint64_t end_ = 0;  // of the current half's entries
  std::uint64_t live_bytes_ = 0;
  std::map<std::uint64_t, Place> live_;  // by offset
  std::vector<std::uint64_t> offsets_;   // by place
  std::vector<Place> free_;
};

/// A channel into a kept mailbox.
struct KeptChannel {
  std::uint32_t cursor = 0;
  std::uint64_t secret = 0;
};

/// A message that was in hand at the death.
struct KeptInHand {
  KeptFacts facts;  // of one in a ring, no more than type, timestamp and `again`; the channel tells whose it is
  std::optional<KeptChannel> channel;
  std::uint64_t position = 0;       // of its record in the channel, where it is not in the log
  const std::byte* body = nullptr;  // in the log; null: in the ring

  /// Its successor does not get it.
  bool is_dropped(bool redelivers) const { return !redelivers || facts.again >= k_most_redeliveries; }
};

/// What a dead one has left of its kept mailbox. Its memory may say anything, and is looked through once, at the beginning:
/// what is answered then takes no longer for that.
class KeptRemains {
 public:
  /// The segment must outlive it.
  explicit KeptRemains(const PeerSegment& dead);

  /// What it had in hand, outermost handlers first as far as the log tells. No more than anybody has handlers in each other.
  std::vector<KeptInHand> in_hand(std::span<const KeptChannel> channels) const;
  /// How many messages of the log its successor gets.
  std::uint64_t in_log(bool redelivers) const;
  /// Where a successor goes on to read that channel; k_drained: nowhere.
  std::uint64_t position(const KeptChannel& channel, bool redelivers) const;
  /// Copies it to the fresh segment `own`. Nothing counts before `is_whole` is stored, which is the caller's to do.
  void take_over(const OwnSegment& own, KeepLog& log, std::span<const KeptChannel> channels, bool redelivers) const;

 private:
  /// An entry that is not handled.
  struct Entry {
    KeptFacts facts;
    KeptState state;
    const std::byte* body;

    bool is_in_hand() const { return state == KeptState::in_hand; }
    bool is_passed_on(bool redelivers) const {
      return state == KeptState::waiting || (is_in_hand() && redelivers && facts.again < k_most_redeliveries);
    }
  };
  /// How it has left a channel.
  struct Left {
    bool is_known = false;       // else it had read nothing of it
    std::uint64_t position = 0;  // of the first record that it was not done with
    std::uint64_t in_hand = 0;   // the end of that record, when it was in its hand; else 0
    unsigned again = 0;          // by so many before

    bool is_dropped(bool redelivers) const { return in_hand != 0 && (!redelivers || again >= k_most_redeliveries); }
  };
  Left left(const KeptChannel& channel) const;
  void take_over_tickets(const OwnSegment& own, const KeptChannel& channel, const Left& left, bool is_read_again,
                         std::uint64_t in_log) const;

  const PeerSegment& dead_;
  std::vector<Entry> entries_;
  std::unordered_map<std::uint64_t, std::uint64_t> logged_to_;  // by channel: where its last record ends that is in the log
};

}  // namespace muproc::shm
