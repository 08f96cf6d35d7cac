// The running side of a kept mailbox: how far each message is that a successor would get (shm/keep.hpp).
//
// Only a muproc whose mailbox is kept has one. Its inbox says what it reads, its runtime what happens to that:
//
//     took ──▶ waiting ── begin ──▶ in hand ── finish ──▶ handled
//                 ▲                    │
//                 └──── put_back ──────┘   a behaviour keeps it for later
//
// A message that is read and handled at once costs two stores, and is never copied. It goes to the log when it is stashed
// or put back, or when another is read while it is in hand: then every message in the ring behind it can be read.
//
// A handler that is left by an exception leaves its message in hand: mostly that is the end of the muproc. If it is not,
// the message counts as handled as soon as the muproc receives again. One that ends by its own `exit` has handled what it
// had in hand.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/body.hpp"
#include "runtime/peer.hpp"
#include "shm/keep.hpp"
#include "shm/segment.hpp"

namespace muproc::detail {

class Keeper {
 public:
  /// What a predecessor has left is in the segment already, and in the log.
  Keeper(std::shared_ptr<shm::OwnSegment> own, std::unique_ptr<shm::KeepLog> log);

  /// What a successor gets at all: user messages and casts.
  static bool is_keepable(const shm::RecordHeader& header);

  /// Where a channel goes on that has just been opened; shm::k_drained: its sender is dead and all was read.
  std::uint64_t begin_channel(std::uint32_t cursor, std::uint64_t secret);
  /// A channel's sender is dead and all was read: its row is free for another. Dying before the first store leaves one of
  /// which everything was read; after it, one that is drained.
  void end_channel(std::uint32_t cursor);
  /// True while something of that channel is not done with that needs the channel: its ring, or its sender's memory.
  bool holds(const InChannel& channel) const;

  /// Another one is going to be read. Throws StashFull, and nothing was done then.
  void make_way() {
    settle();
    if (open_ != k_none) log_it(holds_[open_], holds_[open_].state);
  }
  /// The message of the record that ends where the channel's reader is now, and began at `begin`.
  void took(InChannel& channel, std::uint64_t begin, Body& body);
  /// Another record was read, which a successor would not get.
  void passed(InChannel& channel);
  /// One that was sent to oneself. Throws StashFull.
  void took_own(Body& body, const std::byte* words, std::uint32_t count);
  /// One of the predecessor's, that is in the log.
  void took_over(shm::KeepLog::Place place, std::shared_ptr<InChannel> channel, Body& body);
  shm::KeepLog& log() { return *log_; }

  /// It has to wait for a clause. Throws StashFull.
  void store(std::uint32_t kept) { log_it(holds_[kept - 1], shm::KeptState::waiting); }
  void begin(std::uint32_t kept);
  /// It is done with. The body gives back what it has of its sender's memory, when it goes.
  void finish(Body& body);
  void put_back(std::uint32_t kept);
  /// Its handler was left by an exception.
  void abandon(std::uint32_t kept);
  /// Those whose handlers were left were survived.
  void settle() {
    if (!abandoned_.empty()) [[unlikely]]
      settle_abandoned();
  }
  /// The muproc ends by its own word.
  void finish_all_in_hand();

 private:
  static constexpr std::uint32_t k_none = ~std::uint32_t{0};
  struct Hold {
    bool is_used = false;
    bool is_logged = false;
    shm::KeptState state = shm::KeptState::waiting;
    InChannel* channel = nullptr;  // whose open message it is, while it is not logged
    std::uint64_t begin = 0;       // of its record
    shm::KeptFacts facts;
    shm::KeepLog::Place place = 0;
    std::uint32_t ticket = shm::k_tickets;  // of a large message
    std::shared_ptr<InChannel> large;       // its channel
  };

  std::uint32_t hold();
  void took_large(Hold& hold, Body& body);
  void log_it(Hold& hold, shm::KeptState state);
  void end(Hold& hold);
  void release(Hold& hold);
  void settle_abandoned();

  std::shared_ptr<shm::OwnSegment> own_;
  std::unique_ptr<shm::KeepLog> log_;
  std::vector<Hold> holds_;  // a message's number is its place here + 1
  std::vector<std::uint32_t> free_;
  std::uint32_t open_ = k_none;  // the one that only its ring has: it is logged before another is read
  std::vector<std::uint32_t> abandoned_;
};

}  // namespace muproc::detail
