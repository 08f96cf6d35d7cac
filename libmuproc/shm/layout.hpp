// Every shared byte, in one place.
//
// There are two kinds of shared memory. Each muproc has one *segment*, which it alone can write: the broker seals it
// once its owner has mapped it, and from then on the kernel grants no further writable map of it to anybody. The
// broker's own segment is the *directory*. So every field below has exactly one writer, named beside it, and there is
// nothing to lock and nothing to repair after a death: a single writer's data is either published or not.
//
// A field that others read while it may change is a std::atomic. Unless it says otherwise it is written with relaxed
// stores and is a hint for people (a counter). Fields on which somebody acts carry the name of their SYNC POINT, which
// stands in the code at both ends of the pair.
//
// Readers trust nothing: they copy a value, check the copy, and use the copy.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace muproc::shm {

inline constexpr std::uint64_t k_segment_magic = 0x65'73636f72'70756d;  // "muprocse"
inline constexpr std::uint64_t k_directory_magic = 0x69'64636f72'70756d;  // "muprocdi"
inline constexpr std::uint32_t k_layout_version = 2;

inline constexpr std::size_t k_line = 64;             // a cache line
inline constexpr std::size_t k_sector = 128;          // two: what the adjacent-line prefetcher moves together
inline constexpr std::size_t k_name_size = 64;        // of a muproc or port, with its final NUL
inline constexpr std::uint32_t k_max_slots = 4096;    // muprocs and supervisors at one time
inline constexpr std::uint32_t k_max_ports = 4096;
inline constexpr std::uint32_t k_max_channels = 4096; // into one muproc
inline constexpr std::uint32_t k_max_channel_rows = 65536;
inline constexpr std::uint32_t k_max_in_hand = 8;     // nested handlers that are told of

using AtomicU64 = std::atomic<std::uint64_t>;
using AtomicU32 = std::atomic<std::uint32_t>;
static_assert(AtomicU64::is_always_lock_free && sizeof(AtomicU64) == 8);
static_assert(AtomicU32::is_always_lock_free && sizeof(AtomicU32) == 4);

// ---- a muproc's segment ----------------------------------------------------------------------------------------------

/// At offset 0. The owner writes it once, before the broker seals the segment.
struct SegmentHeader {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t reserved;
  std::uint64_t pid;           // the owner's Pid
  std::uint64_t size;          // of the whole segment, bytes
  std::uint64_t status_offset;
  std::uint64_t cursors_offset;
  std::uint64_t rings_offset;  // the area from which the owner cuts the rings of its channels out
  std::uint64_t rings_size;
  std::uint64_t arena_offset;  // large messages; managed by Boost, whose bookkeeping only the owner reads
  std::uint64_t arena_size;
};

enum class Asleep : std::uint32_t {
  no = 0,        // running: nobody needs to write its eventfd
  for_news = 1,  // wants to hear of anything
  for_room = 2,  // blocked in send: wants to hear of anything, and of published cursors too
};

enum class Activity : std::uint32_t { starting = 0, running = 1, receiving = 2, sending = 3, exiting = 4 };

/// What a muproc is handling; the owner writes it, the broker reads it after a death, tools at any time.
struct InHand {
  AtomicU64 sender;
  AtomicU64 type_id;
  AtomicU64 timestamp;
};

/// The owner writes all of it.
struct StatusBlock {
  // [SYNC sleep.asleep] The owner stores it and fences before it looks at everything once more; whoever publishes
  // something fences and then reads it. Alone on its line: senders keep that line shared while the owner is busy.
  alignas(k_sector) AtomicU32 asleep;

  alignas(k_sector) AtomicU32 activity;  // Activity
  AtomicU32 traps_exits;
  AtomicU64 blocked_on;                  // Pid, while `activity` is sending
  AtomicU32 in_hand_depth;
  AtomicU32 reserved;
  InHand in_hand[k_max_in_hand];

  alignas(k_sector) AtomicU64 messages_sent;
  AtomicU64 bytes_sent;
  AtomicU64 large_sent;         // messages that travelled by reference
  AtomicU64 sends_blocked;      // sends that had to wait for room
  AtomicU64 sent_to_dead;       // dropped, since their receiver was dead

  alignas(k_sector) AtomicU64 messages_received;
  AtomicU64 bytes_received;
  AtomicU64 bytes_copied_in;    // out of rings, into private memory: never a byte of a large block
  AtomicU64 wakes;              // returns from sleep
  AtomicU64 stash_messages;     // received and not yet matched
  AtomicU64 stash_bytes;
  AtomicU64 stash_high_water;   // bytes
  AtomicU64 malformed;          // records refused
};

/// One for each channel into this muproc; the owner (the receiver) writes it.
struct Cursor {
  // [SYNC ring.consumed] Stored with release when the receiver is done with everything before this position; the sender
  // loads it with acquire before it writes over those bytes.
  alignas(k_line) AtomicU64 consumed;
  // [SYNC arena.release] Bit t is toggled with release when the receiver is done with the large message of ticket t.
  alignas(k_line) AtomicU64 released;
};
static_assert(sizeof(Cursor) == k_sector);

inline constexpr std::size_t k_status_offset = 4096;
inline constexpr std::size_t k_cursors_offset = 8192;
inline constexpr std::size_t k_rings_offset = k_cursors_offset + k_max_channels * sizeof(Cursor);
inline constexpr std::size_t k_rings_size = std::size_t{1} << 30;
inline constexpr std::size_t k_arena_offset = k_rings_offset + k_rings_size;
inline constexpr std::size_t k_arena_size = std::size_t{64} << 20;
inline constexpr std::size_t k_segment_size = k_arena_offset + k_arena_size;
inline constexpr std::size_t k_default_ring = std::size_t{256} << 10;
inline constexpr std::size_t k_min_ring = std::size_t{4} << 10;
inline constexpr std::size_t k_max_ring = std::size_t{256} << 20;
static_assert(sizeof(SegmentHeader) <= k_status_offset);
static_assert(k_status_offset + sizeof(StatusBlock) <= k_cursors_offset);
static_assert(k_rings_offset % 4096 == 0 && k_arena_offset % 4096 == 0);

// ---- records in a ring -----------------------------------------------------------------------------------------------

enum class RecordKind : std::uint8_t {
  skip = 0,     // nothing until the end of the ring
  message = 1,  // a mumsg or a typed message, as its type id says
  call = 2,     // carries a reference; wants a reply or an error
  cast = 3,
  reply = 4,    // carries the call's reference
  error = 5,    // a reply too: the payload says what went wrong
};

inline constexpr std::uint8_t k_flag_reference = 1;  // 8 bytes of reference stand before the payload
inline constexpr std::uint8_t k_flag_large = 2;      // a LargeTable stands before the payload's first segment

/// Begins a record, 64-byte aligned. The sender writes the mark last.
struct RecordHeader {
  // [SYNC ring.commit] Derived from the position and the ring's secret, stored with release; until then the record does
  // not exist. Nothing has to be cleared: what an earlier lap left here is never this value.
  std::uint64_t mark;
  std::uint32_t words;       // 8-byte words after this header: reference, table and payload. Of a skip: 0.
  std::uint8_t kind;         // RecordKind
  std::uint8_t flags;
  std::uint16_t target;      // the low bits of the receiver's incarnation
  std::uint64_t type_id;     // of the root struct
  std::uint64_t timestamp;   // sys::ticks when it was sent
};
static_assert(sizeof(RecordHeader) == 32);

/// Where one segment of a large message lies, in memory that its sender owns.
struct LargeSegment {
  std::uint32_t extent;  // 0: the arena in the sender's segment; else a further memfd of the sender
  std::uint32_t reserved;
  std::uint64_t offset;  // bytes, from the beginning of the arena or extent
  std::uint64_t words;
};

/// Followed by `segments` LargeSegments, then by the message's first segment, inline.
struct LargeTable {
  std::uint32_t segments;
  std::uint32_t ticket;  // which bit of Cursor::released gives the blocks back
};
inline constexpr std::uint32_t k_max_large_segments = 56;
inline constexpr std::uint32_t k_tickets = 64;

// ---- the directory ---------------------------------------------------------------------------------------------------

/// At offset 0. The broker writes it once, except where said.
struct DirectoryHeader {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t use_tsc;       // sys::ticks is the time-stamp counter
  std::uint64_t size;
  char system[k_name_size];
  std::uint64_t broker_os_pid;
  std::uint64_t start_ticks;   // both at the same moment, so that ticks can be turned into nanoseconds without
  std::uint64_t start_ns;      // waiting for a calibration
  std::uint64_t start_wall_ns; // CLOCK_REALTIME at that moment
  AtomicU32 slots_used;        // slots at and above were never used; grows only; release
  AtomicU32 ports_used;
  AtomicU32 channel_rows_used;
  std::uint32_t asymmetric_fences;  // 1: whoever goes to sleep fences for all (sys/fence.hpp)
  alignas(k_line) AtomicU64 births;
  AtomicU64 deaths;
  AtomicU64 restarts;
};

/// What changes about a muproc and is acted upon. The broker writes it.
struct SlotLive {
  // [SYNC directory.live] The incarnation that lives here, or 0. Cleared with release before anyone is told of a death,
  // so a sender that sees a pid here may still send to it, and one that does not sees that its messages go nowhere.
  alignas(k_line) AtomicU64 pid;
  // [SYNC lane.announced] Frames that the broker has put into this muproc's control socket, counted after the write.
  AtomicU64 lane;
  AtomicU64 name_hash;  // 0: no name here. Release, after the name can be read.
  AtomicU32 ring_size;  // of channels into this muproc, bytes
};

enum class SlotState : std::uint32_t { free = 0, starting, running, stopping, backing_off, stopped, failed };
enum class SlotKind : std::uint32_t { muproc = 0, plain, supervisor, outsider };

/// What is told about a muproc. The broker writes the copy that is not current and then flips `version`.
struct SlotInfo {
  char name[k_name_size];
  std::uint64_t pid;
  std::int32_t os_pid;
  std::uint32_t parent_slot;   // the supervisor's, or k_no_slot
  std::uint32_t state;         // SlotState
  std::uint32_t kind;          // SlotKind
  std::uint32_t restarts;
  std::uint32_t reserved;
  std::uint64_t started_ns;    // sys::monotonic
  char last_exit[104];         // of the previous incarnation, as text, cut off
};

struct Slot {
  // [SYNC directory.version] Release after info[version & 1] is whole; a reader copies and reads it again.
  AtomicU64 version;
  SlotInfo info[2];
};

struct PortEntry {
  AtomicU64 hash;  // of the name; 0: free. Release, after pid and name; cleared first when the port goes.
  AtomicU64 pid;   // the owner's Pid, xor the hash: the pid of a name that was there before fits no other name
  char name[k_name_size];
};

/// Who may send to whom: for observers. Receivers hear of their channels over the lane.
struct ChannelRow {
  AtomicU64 sender;  // Pid; 0: the row is free. Release, last.
  AtomicU64 receiver;
  AtomicU64 ring_offset;
  AtomicU32 ring_size;
  AtomicU32 cursor;
  AtomicU64 secret;
};

inline constexpr std::uint32_t k_no_slot = 0xffffffff;
inline constexpr std::size_t k_live_offset = 4096;
inline constexpr std::size_t k_slots_offset = k_live_offset + k_max_slots * sizeof(SlotLive);
inline constexpr std::size_t k_ports_offset = k_slots_offset + k_max_slots * sizeof(Slot);
inline constexpr std::size_t k_rows_offset = k_ports_offset + k_max_ports * sizeof(PortEntry);
inline constexpr std::size_t k_directory_size =
    (k_rows_offset + k_max_channel_rows * sizeof(ChannelRow) + 4095) / 4096 * 4096;
static_assert(sizeof(DirectoryHeader) <= k_live_offset);
static_assert(sizeof(SlotLive) == k_line);
static_assert(alignof(Slot) == 8 && sizeof(SlotInfo) == 208);

/// FNV-1a, never 0: how names are found.
constexpr std::uint64_t name_hash(const char* text, std::size_t size) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ static_cast<unsigned char>(text[i])) * 0x100000001b3;
  return hash ? hash : 1;
}

}  // namespace muproc::shm
