// Everything that goes out from this muproc: scratch memory and arena in which messages are built, and the channels.
//
// A small message is built in scratch memory that stays hot in the cache and is copied into the ring; what does not fit
// there goes on in the arena, whose blocks are never copied: the record refers to them. Blocks in flight are read-only,
// from the moment after they were handed over until their receiver releases them or is reported dead by the kernel.
#pragma once

#include <capnp/message.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include <muproc/self.hpp>

#include "runtime/body.hpp"
#include "runtime/peer.hpp"
#include "shm/directory.hpp"

namespace muproc::detail {

class Outbox;

/// A builder whose first segment is scratch memory and whose further ones are blocks of the arena.
class ScratchBuilder : public capnp::MessageBuilder {
 public:
  ScratchBuilder(Outbox& outbox, kj::ArrayPtr<capnp::word> scratch) : outbox_(outbox), scratch_(scratch) {}
  kj::ArrayPtr<capnp::word> allocateSegment(unsigned minimum_words) override;
  /// Null while everything is in scratch memory.
  std::shared_ptr<LargeBlocks>& blocks() { return blocks_; }
  LargeBlocks& made_blocks() {
    if (!blocks_) blocks_ = std::make_shared<LargeBlocks>();
    return *blocks_;
  }
  /// The block that the first segment was copied to, once it was found too large for its receiver's ring.
  std::optional<shm::Block> moved_first;

 private:
  Outbox& outbox_;
  kj::ArrayPtr<capnp::word> scratch_;
  std::shared_ptr<LargeBlocks> blocks_;
};

/// Scratch memory with a builder, for one message after the other.
///
/// Making a builder costs more than building a small message, so it stays: each message is appended behind the one
/// before, and what was sent is zeroed and lies unused until the builder is made anew, before it has wandered out of the
/// cache. The root pointer, at the beginning, is the new message's each time.
class ScratchLease {
 public:
  static constexpr std::size_t k_words = 3840;  // a default ring's record less a full table of segments

  explicit ScratchLease(Outbox& outbox);
  ScratchBuilder& builder() { return *builder_; }

  /// A message that is all in scratch memory: its root pointer and what comes behind it. Pointers are relative, so it
  /// may be copied to one piece.
  struct Small {
    std::uint64_t root;
    std::span<const capnp::word> rest;
    std::size_t words() const { return 1 + rest.size(); }
  };
  std::optional<Small> small();
  /// What was built, in words.
  std::size_t words();
  /// All of it in private memory, not opened yet.
  BodyPtr copy();
  /// Forgets what was built.
  void clear() noexcept;

 private:
  static constexpr std::size_t k_wander = 512;  // words, of a first-level cache that holds some 4,000

  struct Unmap {
    void operator()(capnp::word* words) const noexcept;
  };

  Outbox& outbox_;
  std::unique_ptr<capnp::word[], Unmap> words_;  // mapped: zero, and no page of it is there before it is needed
  std::optional<ScratchBuilder> builder_;
  std::size_t begin_ = 1;  // where the message's first object is put: behind the root pointer and what was sent
};

/// The scratch for structs of data alone, with the builder that lies behind it.
class FlatBuilder {
 public:
  FlatBuilder();
  FlatScratch scratch;

 private:
  capnp::word memory_[1 + FlatScratch::k_words] = {};
  capnp::MallocMessageBuilder message_;
};

class Outbox {
 public:
  struct Hooks {
    /// A new extent of at least that size: its number and its memory.
    std::function<std::pair<std::uint32_t, sys::Mapping>(std::size_t bytes)> new_extent;
    std::function<void(std::uint32_t)> drop_extent;
  };

  Outbox(std::shared_ptr<shm::OwnSegment> own, std::uint64_t max_message, Hooks hooks);

  // -- building
  ScratchLease* lease();
  void give_back(ScratchLease* lease) noexcept;
  shm::Block allocate(std::size_t bytes);
  /// One of those who hold these blocks is done with them; the last one gives them back to the arena.
  void let_go(std::shared_ptr<LargeBlocks>& blocks) noexcept;

  // -- channels
  OutChannel* find(Pid to) {
    const std::uint32_t slot = to.slot();
    return slot < by_slot_.size() && by_slot_[slot] && by_slot_[slot]->peer->pid == to ? by_slot_[slot].get() : nullptr;
  }
  /// Cuts a ring of that size out of our segment; its offset. Throws Error when there is no room.
  std::size_t reserve_ring(std::size_t size);
  void give_back_ring(std::size_t offset, std::size_t size);
  OutChannel& open(std::shared_ptr<Peer> peer, std::size_t offset, std::size_t size, std::uint32_t cursor,
                   std::uint64_t secret);
  /// The kernel has reported the receiver dead.
  void close(Pid to);
  /// The same, and its mailbox is kept: the channel stays, for its successor.
  void keep(Pid to) {
    if (OutChannel* channel = find(to)) channel->receiver_has_ended = true;
  }
  /// The receiver's successor reads the channel from now on, with a cursor of its own.
  void move(Pid from, std::shared_ptr<Peer> successor, std::uint32_t cursor);

  /// Throws MessageTooLarge.
  void check_size(ScratchLease& lease) const;
  /// Writes the message into the channel if there is room now. It may be written into several channels, one after the
  /// other: they share its blocks.
  bool write(OutChannel& channel, ScratchLease& lease, const shm::RecordHeader& header, std::uint64_t ref);
  /// To be called once the receiver has been woken: makes what was written read-only, and takes back what it has released.
  /// That takes the longer the larger the message, and the receiver need not wait for it.
  void settle(OutChannel& channel, ScratchLease& lease);
  /// Takes back the blocks of what receivers have released.
  void reclaim(OutChannel& channel);
  void reclaim_all();

 private:
  bool write_large(OutChannel& channel, ScratchLease& lease, shm::RecordHeader header, std::uint64_t ref);
  void count_blocks();

  std::shared_ptr<shm::OwnSegment> own_;
  std::uint64_t max_message_;
  Hooks hooks_;
  shm::Arena arena_;
  std::vector<std::unique_ptr<ScratchLease>> free_leases_;
  std::vector<std::unique_ptr<OutChannel>> by_slot_;
  std::unordered_map<std::size_t, std::vector<std::size_t>> free_rings_;
  std::size_t rings_end_ = shm::k_rings_offset;
};

}  // namespace muproc::detail
