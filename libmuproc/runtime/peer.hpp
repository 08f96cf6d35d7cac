// The other ends: what is known of a muproc that this one talks to, and the channels to and from it.
//
// A peer's segment is mapped once, however many channels there are, and stays mapped as long as anything here refers to
// it: a large message that is still being read keeps its dead sender's memory alive.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <muproc/pid.hpp>

#include "shm/arena.hpp"
#include "shm/ring.hpp"
#include "shm/segment.hpp"
#include "sys/fd.hpp"
#include "sys/fence.hpp"
#include "sys/mapping.hpp"

namespace muproc::detail {

struct Peer {
  /// `asymmetric_fences`: what the directory says, in a process that has joined them.
  Peer(Pid who, int segment_fd, sys::UniqueFd&& its_eventfd, bool asymmetric_fences = false)
      : pid(who), segment(segment_fd, who), eventfd(std::move(its_eventfd)), asymmetric_fences_(asymmetric_fences) {}

  Pid pid;
  shm::PeerSegment segment;
  sys::UniqueFd eventfd;
  std::map<std::uint32_t, std::shared_ptr<const sys::Mapping>> extents;  // its further arenas, as far as we have met them

  /// Call after publishing something that the peer may be waiting for.
  void wake(shm::Asleep at_least) const {
    // [SYNC sleep.asleep] The fence orders what was published before the look at the flag; its counterpart is in
    // Sleeper::wait.
    sys::light_fence(asymmetric_fences_);
    const shm::AtomicU32& flag = segment.status().asleep;
    std::uint32_t asleep = flag.load(std::memory_order_relaxed);
    if (asleep & shm::k_wakers_fence) {
      std::atomic_thread_fence(std::memory_order_seq_cst);
      asleep = flag.load(std::memory_order_relaxed) & ~shm::k_wakers_fence;
    }
    if (asleep >= static_cast<std::uint32_t>(at_least)) sys::signal_eventfd(eventfd.get());
  }

 private:
  bool asymmetric_fences_;
};

/// From a peer to us: we own the cursor, it owns the ring.
struct InChannel {
  std::uint32_t index = 0;  // in our cursor table
  std::shared_ptr<Peer> peer;
  Pid speaker;                           // whose messages they are: the peer's own, or those of the muproc it is a Sender of
  std::shared_ptr<shm::OwnSegment> own;  // keeps the cursor mapped as long as a large message may release a ticket
  shm::RingReader reader;
  std::uint64_t copy_limit = 0;  // bytes; not 0: its sender is not trusted, so large messages are copied before they
                                 // are looked at, and none that is larger
  bool sender_dead = false;
  bool closed = false;      // drained after the sender's death, or refused: the cursor may be somebody else's now

  bool has_head = false;    // a record was seen at the reader's position
  bool is_listed = false;   // among the inbox's heads
  shm::RecordHeader head{};
  // The sender may write to our predecessor's eventfd still: while it has made no runtime call since it had made so many.
  std::optional<std::uint32_t> unsure_since{};
  std::uint64_t settled_to = 0;  // all before this position was there when the inbox last began to look at all channels

  /// The reader is done with the large message of that ticket.
  void release_ticket(std::uint32_t ticket) {
    if (closed) return;
    shm::AtomicU64& released = own->cursor(index).released;
    // [SYNC arena.release] Dying before this store leaves the block in flight until the sender hears of our death.
    released.store(released.load(std::memory_order_relaxed) ^ (std::uint64_t{1} << ticket), std::memory_order_release);
  }
};

/// The arena's blocks of one large message: one set for all that it was sent to, and for who builds it. Given back by the
/// outbox when the last of them is done.
struct LargeBlocks {
  std::vector<shm::Block> blocks;
  std::size_t read_only = 0;  // so many of them, the first ones, are already
};

/// From us to a peer: we own the ring, it owns the cursor.
struct OutChannel {
  std::shared_ptr<Peer> peer;
  shm::RingWriter writer;
  std::size_t ring_offset = 0;
  std::size_t ring_size = 0;
  const shm::Cursor* cursor = nullptr;
  bool receiver_has_ended = false;  // and its mailbox is kept for a successor
  std::uint64_t in_flight = 0;  // a bit for each ticket
  std::uint64_t consumed_when_full = ~std::uint64_t{0};  // what the cursor said when we last began to wait for room
  std::uint64_t released_when_full = 0;
  std::uint64_t phase = 0;      // what each bit of cursor->released was when its ticket was taken
  std::array<std::shared_ptr<LargeBlocks>, shm::k_tickets> blocks;
};

}  // namespace muproc::detail
