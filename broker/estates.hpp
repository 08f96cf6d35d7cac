// Estates: what those have left who have ended, whose mailboxes are kept, and whose supervisors are bringing them back.
//
//     leave ── the mailbox takes messages for a successor ──▶ inherit   a successor has taken it over: it is up
//                                                        └──▶ close     there will be none: dead letters
//
// The dead one's memory is held, and the channels into it stay in the book. A successor maps that segment while it is
// born and copies what it needs into its own; if it dies before it says hello, the next one does that anew. Between its
// hello and its go the channels change hands: it is told of each, and so is each living sender, before anybody can find it.
//
// What was in hand is decided here, once, at the death, and named; the successor comes to the same from the same memory.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/core.hpp"
#include "shm/keep.hpp"

namespace muproc::broker {

class Estates {
 public:
  explicit Estates(Core& core) : core_(core) {}

  /// True of those whose mailboxes are kept, if they come back.
  static bool is_kept(const Muproc& muproc) {
    return muproc.plan && muproc.plan->mailbox.on_restart == OnRestart::keep && muproc.segment;
  }

  /// One has ended, whose channels were left in the book. What it had in hand is named now.
  void leave(const std::shared_ptr<Muproc>& dead, const Reason& reason);
  /// A sender has ended: its memory is held when a kept mailbox may have something unread of it.
  void keep_memory(const std::shared_ptr<Muproc>& dead, const std::set<Pid>& readers);

  /// The one whose mailbox waits for a successor in that slot, or that has that pid; or null.
  const Muproc* in(SlotIndex slot) const;
  const Muproc* find(Pid dead) const;

  /// What a successor has to know for its part. Its predecessor's segment, to be sent with it, or -1.
  int describe(wire::Kit::Builder kit, const Muproc& successor) const;
  /// It has said hello: the channels are its own.
  void inherit(Muproc& successor);
  /// Nobody comes back to that slot.
  void close(SlotIndex slot);
  std::vector<SlotIndex> slots() const;

 private:
  struct Estate {
    std::shared_ptr<Muproc> dead;
    Reason reason;
    bool redelivers = false;
  };

  std::vector<shm::KeptChannel> channels_into(Pid dead) const;
  void name_what_was_in_hand(Muproc& dead, bool redelivers);
  std::string text_of(const shm::KeptInHand& message, const Channel* channel) const;
  std::pair<int, int> memory_of(Pid sender) const;
  void hand_over(Channel& channel, Pid dead, Muproc& successor);
  void close(const Channel& channel, std::initializer_list<Pid> receivers);
  void count_kept(const Muproc& dead, bool redelivers, const std::vector<Channel>& channels);

  Core& core_;
  std::map<SlotIndex, Estate> estates_;
};

}  // namespace muproc::broker
