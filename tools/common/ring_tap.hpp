// Listening in on a ring: the records that pass from a sender to a receiver, read by somebody who is neither.
//
// The tap only looks. It has no cursor, so nobody waits for it, and what it was too slow for is overwritten under its
// hands; it must notice that, and say how much it was. So it copies first and believes afterwards:
//
//  - The writer's position is nowhere to be read; it is where the chain of marks ends. The chain is walked from where the
//    receiver is, and holds if the receiver's cursor has not moved past that place meanwhile: what the receiver has not
//    given back, nobody writes over. Then an absent mark says that the writer was not past it.
//  - A copy is whole if, after it was made, either the receiver had not yet given back its first byte, or the writer was
//    so far behind a lap that not even the record it is in the midst of (a quarter of the ring, with the skip before it)
//    reaches the copy's first byte.
//
// So a writer or receiver that is stopped or killed at any instruction leads to no wrong record. One that lies (writes
// where it may not, moves its cursor back) can have the tap show nonsense, or nothing, but never read outside of the ring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "shm/layout.hpp"

namespace muproc::tools {

/// Where a channel is, in memory that outlives the tap.
struct TappedRing {
  const std::byte* base = nullptr;
  std::size_t size = 0;                      // a power of two, as a ring has it
  std::uint64_t secret = 0;
  const shm::AtomicU64* consumed = nullptr;  // the receiver's cursor,
  const shm::AtomicU64* position = nullptr;  // and how far it has really got
};

/// A message as it lay in the ring: a copy, valid until the callback returns.
struct TappedRecord {
  shm::RecordHeader header;         // checked: its kind is a message's, its size is the body's
  std::span<const std::byte> body;  // reference, table and payload; whole words, 8-byte aligned
  std::uint64_t at = 0;             // its position in the channel
};

class RingTap {
 public:
  enum class Start {
    now,      // what is written from now on
    waiting,  // what the receiver has not taken yet comes first
    opened,   // from the channel's beginning, as far as that is still there
  };
  /// `missed` counts from where it starts.
  RingTap(TappedRing ring, Start start);

  /// Gives each message that has been written since the last time, oldest first, at most about `most` of them; what
  /// comes after these is not lost by that. True when there may be more at once.
  bool poll(const std::function<void(const TappedRecord&)>& each, std::uint64_t most = ~std::uint64_t{0});

  /// Messages that were given.
  std::uint64_t seen() const { return seen_; }
  /// Bytes of the ring that were written over, or given up, before they could be read. Exact.
  std::uint64_t missed_bytes() const { return missed_bytes_; }
  /// About how many messages these were: as if they had been as large as those that were seen. Exact when it is 0, or
  /// when all messages of the channel take the same room.
  std::uint64_t missed() const;
  /// How far behind the writer it was at the last poll, in bytes: when that is near the ring's size, poll more often.
  std::uint64_t lag() const { return lag_; }
  std::size_t ring_size() const { return ring_.size; }
  /// What lies there is no chain of records: its writer or receiver does not keep to the rules, or has gone and the place
  /// is another channel's. Nothing more will be given.
  bool is_broken() const { return is_broken_; }

  /// For tests: called when something was copied, before it is asked whether it is whole.
  std::function<void()> when_copied;

 private:
  /// Where the writer was at an instant during the call, and a boundary of records before it that it had not written over.
  struct Ends {
    std::uint64_t taken;
    std::uint64_t written;
  };
  enum class Step { record, end, nonsense };

  std::optional<Ends> look();
  Step step(std::uint64_t& at, shm::RecordHeader& header) const;
  std::uint64_t receiver() const;
  std::uint64_t oldest_boundary(const Ends& ends) const;
  bool copy(std::uint64_t until, std::uint64_t most);
  bool is_whole();
  void go_on_at(std::uint64_t position);

  TappedRing ring_;
  std::uint64_t position_ = 0;  // of the next record, a boundary
  bool is_broken_ = false;
  std::uint64_t seen_ = 0, seen_bytes_ = 0, missed_bytes_ = 0, lag_ = 0;

  struct Copied {
    shm::RecordHeader header;
    std::size_t words_at;  // in words_
    std::uint64_t at;
  };
  std::vector<Copied> copied_;
  std::vector<std::uint64_t> words_;
  std::uint64_t copied_to_ = 0;
};

}  // namespace muproc::tools
