// A running system at one moment, in plain structs: what SystemView reads out of the shared memory, copied and checked.
//
// Nothing in here points into memory that anybody else can write. Numbers that a muproc tells of itself may be lies (they
// come from its own segment); names, pids, states and the tree come from the broker. Names may hold any bytes: print them
// with `printable`.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <muproc/pid.hpp>

#include "shm/layout.hpp"
#include "shm/state_words.hpp"

namespace muproc::tools {

/// A message that somebody is handling.
struct HandledMessage {
  Pid sender;
  std::uint64_t type_id = 0;
  std::uint64_t timestamp = 0;      // as it was sent: tells one message from the next
  std::chrono::nanoseconds age{0};  // since it was sent
};

/// What a muproc says of itself; counters count since its birth. See docs/shm-layout.md, StatusBlock.
struct MuprocStatus {
  shm::Activity activity = shm::Activity::starting;
  bool traps_exits = false;
  Pid blocked_on;                       // while it is sending and has to wait for room
  std::uint32_t in_hand_depth = 0;      // handlers nest; the innermost k_max_in_hand at most are listed
  std::vector<HandledMessage> in_hand;  // outermost first
  std::uint32_t runtime_calls = 0;      // wraps
  std::uint64_t messages_sent = 0, bytes_sent = 0, large_sent = 0, sends_blocked = 0, sent_to_dead = 0;
  std::uint64_t messages_received = 0, bytes_received = 0, wakes = 0, malformed = 0;
  std::uint64_t stash_messages = 0, stash_bytes = 0, stash_high_water = 0;  // the latter in bytes
  std::uint64_t dead_letters = 0;                                           // that it has dropped
};

/// A supervisor's rules, and what it has used of its limit.
struct SupervisionView {
  std::string_view strategy;  // "one_for_one", …; "?"
  std::uint32_t limit = 0;    // so many restarts …
  std::chrono::nanoseconds within{0};
  std::uint32_t used = 0;  // of those, so many when the latest was counted; 0 again when `within` has passed since
};

/// One channel: messages from a sender that the receiver has not taken yet.
struct ChannelView {
  Pid from, to;
  std::uint32_t ring_size = 0;    // bytes
  std::uint32_t cursor = 0;       // in the receiver
  std::uint64_t ring_offset = 0;  // in the sender's segment
  std::uint64_t secret = 0;
  std::uint64_t taken_to = 0;                      // the receiver's position, bytes since the channel was opened
  std::uint64_t waiting = 0;                       // messages
  std::uint64_t waiting_bytes = 0;                 // of the ring
  bool has_more = false;                           // both are at least that much: counting was given up there
  std::optional<std::chrono::nanoseconds> oldest;  // since the first of them was sent
  bool is_known = false;                           // false: the memory could not be looked at

  /// 0 to 1.
  double fill() const { return ring_size == 0 ? 0 : static_cast<double>(waiting_bytes) / ring_size; }
};

/// All channels into one muproc, taken together.
struct MailboxView {
  std::uint32_t channels = 0;
  std::uint64_t waiting = 0, waiting_bytes = 0;
  std::uint64_t capacity = 0;  // bytes of all rings
  bool has_more = false;
  double fill = 0;  // of the fullest ring, since that is what holds a sender up
  std::optional<std::chrono::nanoseconds> oldest;
};

inline constexpr std::uint32_t k_no_parent = shm::k_no_slot;

struct MuprocView {
  std::uint32_t slot = 0;
  std::string name;
  Pid pid;         // nil: it has no incarnation now
  int os_pid = 0;  // 0: no process
  shm::SlotKind kind = shm::SlotKind::muproc;
  shm::SlotState state = shm::SlotState::free;
  std::uint32_t parent = k_no_parent;  // its supervisor's slot
  std::uint32_t restarts = 0;
  std::string last_exit;  // why the incarnation before ended; "": there was none
  std::optional<std::chrono::nanoseconds> up_for;
  std::optional<std::chrono::nanoseconds> due_in;  // while it is backing off: the time left
  std::optional<SupervisionView> supervision;      // of a supervisor
  std::optional<MuprocStatus> status;              // of one that has a mailbox and whose segment could be mapped
  MailboxView mailbox;
  std::uint64_t shared_bytes = 0;  // memory that its segment takes

  bool is_supervisor() const { return kind == shm::SlotKind::supervisor; }
  bool has_mailbox() const { return kind == shm::SlotKind::muproc || kind == shm::SlotKind::outsider; }
};

enum class BrokerState { running, stopped, gone };

struct Snapshot {
  std::chrono::nanoseconds taken{0};  // steady_clock
  std::int64_t taken_wall_ns = 0;     // CLOCK_REALTIME
  std::string system;
  int broker_os_pid = 0;
  BrokerState broker = BrokerState::running;  // gone: all else is the last that was seen
  bool is_gone() const { return broker == BrokerState::gone; }
  std::chrono::nanoseconds up_for{0};
  std::uint64_t births = 0, deaths = 0, restarts = 0;
  std::uint64_t shared_bytes = 0;   // memory in all segments and the directory
  std::vector<MuprocView> muprocs;  // by slot
  std::vector<ChannelView> channels;

  /// Null when that slot has nobody.
  const MuprocView* at_slot(std::uint32_t slot) const;
  /// That very incarnation.
  const MuprocView* find(Pid pid) const;
  const MuprocView* find(std::string_view name) const;
  /// "ch-1", or "<0.3.1>" when that incarnation is not there any more.
  std::string name_of(Pid pid) const;
};

using shm::activity_word, shm::kind_word, shm::state_word;
std::string_view broker_word(BrokerState state);  // "running", "stopped", "gone"

}  // namespace muproc::tools
