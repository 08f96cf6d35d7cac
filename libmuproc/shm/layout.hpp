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
inline constexpr std::uint32_t k_layout_version = 7;

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
/// With an Asleep, of one who sleeps often: whoever publishes something fences, and looks again at what it says now. The
/// fence of all processors, which spares senders theirs, costs its owner more than theirs would cost them.
inline constexpr std::uint32_t k_wakers_fence = 1u << 8;

/// `running` is between runtime calls or in one that does not wait; `asking` waits for the broker's answer.
enum class Activity : std::uint32_t {
  starting = 0,
  running = 1,
  receiving = 2,
  sending = 3,
  exiting = 4,
  sleeping = 5,
  asking = 6,
};

/// What a muproc is handling; the owner writes it, the broker reads it after a death, tools at any time.
struct InHand {
  AtomicU64 sender;
  AtomicU64 type_id;
  AtomicU64 timestamp;
};

// ---- dead letters ----------------------------------------------------------------------------------------------------

/// Why a message reached nobody.
enum class Drop : std::uint32_t {
  ended = 0,       // it was sent to a pid that had ended
  no_name = 1,     // nobody had the name; the sender was told
  call = 2,        // a call to one that had ended; the caller was told
  late = 3,        // its receiver ended while it was being sent
  unread = 4,      // its receiver ended before it had taken it: the broker counts these
  draining = 5,    // its receiver takes no new messages
  late_reply = 6,  // an answer that nobody waited for any more
  in_hand = 7,     // its receiver ended while it handled it, and keeps its mailbox: the broker counts these
};
inline constexpr std::uint32_t k_drops = 8;
inline constexpr std::uint32_t k_drop_targets = 32;
inline constexpr std::uint32_t k_dead_letters = 12;
inline constexpr std::size_t k_dead_letter_name = 48;  // bytes, cut off, with its final NUL
inline constexpr std::size_t k_dead_letter_text = 72;

/// One of the last: the owner of the block has sent it, or was to get it.
struct DeadLetterInfo {
  std::uint64_t from, to;              // Pids; `to` is 0 when nobody had the name
  std::uint64_t type_id;
  std::uint64_t wall_ns;               // CLOCK_REALTIME
  std::uint32_t drop;                  // Drop
  std::uint32_t kind;                  // RecordKind
  char name[k_dead_letter_name];       // that nobody had
  char text[k_dead_letter_text];       // a mumsg's fields, in short
};

struct DeadLetter {
  // [SYNC dead_letter.number] Counts from 1, and is 0 while the entry is written. Release, last.
  AtomicU64 number;
  DeadLetterInfo info;
};
static_assert(sizeof(DeadLetterInfo) == 160 && sizeof(DeadLetter) == 168);

/// How many were for one receiver.
struct DropTarget {
  AtomicU64 to;     // Pid; stored before the first count
  AtomicU64 count;
};

/// Written where a message is dropped, and nowhere else: what arrives costs nothing here. The first of the targets is for
/// names that nobody had, and for whom there is no further room.
struct DeadLetterBox {
  alignas(k_line) AtomicU64 counts[k_drops];
  AtomicU64 number;  // of the latest entry
  DropTarget targets[k_drop_targets];
  DeadLetter last[k_dead_letters];  // number n is at (n - 1) % k_dead_letters
};

/// The owner writes all of it.
struct StatusBlock {
  // [SYNC sleep.asleep] The owner stores it and fences before it looks at everything once more; whoever publishes
  // something fences and then reads it. Alone on its line: senders keep that line shared while the owner is busy.
  // An Asleep, and k_wakers_fence.
  alignas(k_sector) AtomicU32 asleep;

  alignas(k_sector) AtomicU32 activity;  // Activity
  AtomicU32 traps_exits;
  AtomicU64 blocked_on;                  // Pid, while `activity` is sending
  AtomicU32 in_hand_depth;
  AtomicU32 runtime_calls;               // counts them, and wraps: the broker's watchdog looks whether it moves
  InHand in_hand[k_max_in_hand];

  alignas(k_sector) AtomicU64 messages_sent;
  AtomicU64 bytes_sent;
  AtomicU64 large_sent;         // messages that travelled by reference
  AtomicU64 sends_blocked;      // sends that had to wait for room
  AtomicU64 sent_to_dead;       // dropped, since their receiver was dead
  AtomicU64 arena_blocks;       // blocks of large messages that exist now: being built, in flight, or not yet taken back

  alignas(k_sector) AtomicU64 messages_received;
  AtomicU64 bytes_received;
  AtomicU64 bytes_copied_in;    // out of rings, into private memory: never a byte of a large block
  AtomicU64 wakes;              // returns from sleep
  AtomicU64 stash_messages;     // received and not yet matched
  AtomicU64 stash_bytes;
  AtomicU64 stash_high_water;   // bytes
  AtomicU64 malformed;          // records refused

  DeadLetterBox dead_letters;
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
// Of each channel into this muproc, an AtomicU64: the owner is done with everything before that position. Stored with
// each record, for the broker, which counts after a death what was left; its sender looks at the cursor, which moves less.
inline constexpr std::size_t k_positions_offset = k_cursors_offset + k_max_channels * sizeof(Cursor);
inline constexpr std::size_t k_rings_offset = k_positions_offset + k_max_channels * sizeof(AtomicU64);
inline constexpr std::size_t k_rings_size = std::size_t{1} << 30;
inline constexpr std::size_t k_arena_offset = k_rings_offset + k_rings_size;
inline constexpr std::size_t k_arena_size = std::size_t{64} << 20;
inline constexpr std::size_t k_crash_offset = k_arena_offset + k_arena_size;
inline constexpr std::size_t k_crash_size = std::size_t{4} << 20;
inline constexpr std::size_t k_keep_offset = k_crash_offset + k_crash_size;
inline constexpr std::size_t k_keep_rows_offset = k_keep_offset + 4096;
inline constexpr std::size_t k_keep_log_offset = k_keep_rows_offset + k_max_channels * k_line;
inline constexpr std::size_t k_keep_half = std::size_t{256} << 20;  // of the log of kept messages
inline constexpr std::size_t k_segment_size = k_keep_log_offset + 2 * k_keep_half;
inline constexpr std::size_t k_default_ring = std::size_t{256} << 10;
inline constexpr std::size_t k_min_ring = std::size_t{4} << 10;
inline constexpr std::size_t k_max_ring = std::size_t{256} << 20;
static_assert(sizeof(SegmentHeader) <= k_status_offset);
static_assert(k_status_offset + sizeof(StatusBlock) <= k_cursors_offset);
static_assert(k_rings_offset % 4096 == 0 && k_arena_offset % 4096 == 0);

// ---- the crash area: what the dying one leaves for its report --------------------------------------------------------
//
// Untouched, and so without cost, until its owner dies of a fault or of an exception. It is written by a signal handler
// (runtime/crash_notes.hpp) and read by the reporter, after the death: nobody reads it while its owner lives.

inline constexpr std::uint32_t k_crash_threads = 64;
inline constexpr std::uint32_t k_crash_modules = 128;
inline constexpr std::uint32_t k_crash_registers = 34;
inline constexpr std::size_t k_build_id_size = 20;

enum class CrashState : std::uint32_t { none = 0, begun = 1, whole = 2 };

/// A module in the owner's memory.
struct CrashModule {
  std::uint64_t base;  // where its file's beginning is mapped
  std::uint32_t build_id_size;
  std::uint8_t build_id[k_build_id_size];
};

/// A thread as it was; the first is the one that crashed. Its stack lies at crash_stack_offset of its index.
struct CrashThread {
  // [SYNC crash.thread] CrashState; whole with release, when all of this and the stack are there. Each thread writes its
  // own, so a thread that did not get to it in time is only begun.
  AtomicU32 state;
  std::uint32_t tid;
  char name[16];                              // as the kernel has it
  std::uint64_t registers[k_crash_registers]; // in DWARF's order; x86-64: rax rdx rcx rbx rsi rdi rbp rsp r8 … r15, rip
  std::uint64_t stack_address;                // of the copy's first byte: the stack pointer, less the red zone
  std::uint64_t stack_bytes;
};

struct CrashBlock {
  // [SYNC crash.whole] CrashState. If it is only begun, its owner was ended while it wrote: what is there may be of use.
  AtomicU32 state;
  AtomicU32 threads;          // entries that were given out
  std::int32_t signal;        // 0: an exception that left the muproc's function
  std::int32_t code;          // si_code
  std::uint64_t address;      // si_addr, of a fault
  std::int32_t sender;        // si_pid, when somebody sent it
  std::uint32_t modules;
  std::uint64_t maps_bytes;   // of /proc/self/maps, as text, at k_crash_maps_offset
  std::uint64_t maps_missing; // 1: there was more than there is room for
  char exception_type[256];   // mangled, of the exception that is in flight; "" when there is none
  char exception_what[1024];
  CrashModule module[k_crash_modules];
  CrashThread thread[k_crash_threads];
};

inline constexpr std::size_t k_crash_maps_offset = k_crash_offset + (std::size_t{64} << 10);
inline constexpr std::size_t k_crash_maps_size = std::size_t{448} << 10;
inline constexpr std::size_t k_crash_stacks_offset = k_crash_maps_offset + k_crash_maps_size;
inline constexpr std::size_t k_crash_first_stack = std::size_t{512} << 10;  // bytes kept of the crashed thread's stack
inline constexpr std::size_t k_crash_other_stack = std::size_t{48} << 10;   // and of each other thread's

constexpr std::size_t crash_stack_size(std::size_t thread) { return thread == 0 ? k_crash_first_stack : k_crash_other_stack; }
constexpr std::size_t crash_stack_offset(std::size_t thread) {
  return k_crash_stacks_offset + (thread == 0 ? 0 : k_crash_first_stack + (thread - 1) * k_crash_other_stack);
}
static_assert(k_crash_offset + sizeof(CrashBlock) <= k_crash_maps_offset);
static_assert(crash_stack_offset(k_crash_threads) <= k_keep_offset);

// ---- what is kept of a mailbox: what a successor needs to go on ------------------------------------------------------
//
// Untouched, and so without cost, but in a muproc whose mailbox is kept across restarts. Its owner writes it while it
// lives; when it is dead the broker and the successor read it. What stands there after each store is in shm/keep.hpp.
//
// In a kept mailbox a channel's *position* (k_positions_offset) moves when a message was handled or is in the log, and not
// when it was read: that one store ends a message's handling.

struct KeepHeader {
  AtomicU64 is_whole;    // [SYNC keep.whole] 1: what a predecessor has left is here, all of it
  AtomicU64 generation;  // [SYNC keep.generation] which half of the log counts (generation & 1), and its entries' marks
};

/// One for each channel into a kept mailbox.
struct KeepRow {
  // Whose row this is, a channel's secret; stored after the rest. Another one: nothing of that channel was read yet.
  alignas(k_line) AtomicU64 secret;
  AtomicU64 in_hand;        // the end of the record that is being handled; it is not any more when the position is there
  AtomicU64 in_hand_type;   // of that record, stored before
  AtomicU64 in_hand_stamp;
  // (position + 64) | n: the record at that position was in the hands of n that died.
  AtomicU64 again;
  AtomicU64 large;          // (position + 64) | ticket: the large message that was read last
  // What Cursor::released is to be when all that was handled is given back. A bit is toggled when a large message is read.
  AtomicU64 owed;
};
static_assert(sizeof(KeepRow) == k_line);

inline constexpr std::uint64_t k_drained = ~std::uint64_t{0};  // a position: the channel's sender is dead, all is read
inline constexpr std::uint32_t k_most_redeliveries = 3;

enum class KeptState : std::uint64_t { waiting = 0, in_hand = 1, handled = 2 };

/// Begins an entry of the log, 64-byte aligned; the record's body follows: reference, table and payload.
struct KeptEntry {
  AtomicU64 mark;           // [SYNC keep.commit] of generation and place; release, last
  AtomicU64 state;          // KeptState: one store moves a message on
  std::uint64_t secret;     // of its channel; 0: it was sent to oneself
  std::uint64_t end;        // where its record ends in that channel
  std::uint64_t speaker;    // Pid
  std::uint64_t type_id;
  std::uint64_t timestamp;
  std::uint32_t words;
  std::uint8_t kind;        // RecordKind
  std::uint8_t flags;
  std::uint16_t again;      // so many died with it in their hands
};
static_assert(sizeof(KeptEntry) == k_line);

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
  // [SYNC clock.virtual] The system's time in nanoseconds when that is virtual, as tests have it; 0: time is real.
  alignas(k_line) AtomicU64 virtual_ns;
};

/// What changes about a muproc and is acted upon. The broker writes it.
struct SlotLive {
  // [SYNC directory.live] The incarnation that lives here, or 0. Cleared with release before anyone is told of a death,
  // so a sender that sees a pid here may still send to it, and one that does not sees that its messages go nowhere.
  alignas(k_line) AtomicU64 pid;
  // [SYNC lane.announced] Frames that the broker has for this muproc, counted after it tried to write them to the
  // control socket: those that did not fit come as soon as there is room.
  AtomicU64 lane;
  AtomicU64 name_hash;  // 0: no name here. Release, after the name can be read.
  AtomicU32 ring_size;  // of channels into this muproc, bytes
  // The incarnation that still lives here but takes no new messages, answers aside; or 0. Release, before `pid` is cleared.
  AtomicU64 draining;
  // [SYNC directory.kept] The incarnation that has ended, and whose mailbox takes messages for its successor; or 0. Release,
  // before `pid` is cleared; cleared after `pid` is the successor's.
  AtomicU64 kept;
};

enum class SlotState : std::uint32_t { free = 0, starting, running, stopping, backing_off, stopped, failed, draining };
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
  std::uint32_t strategy;      // of a supervisor: 1 + muproc::Strategy; else 0
  std::uint64_t started_ns;    // sys::monotonic
  std::uint64_t due_ns;        // while it is backing off: when it is started again, sys::monotonic; else 0
  // Of a supervisor: so many restarts within that time are allowed, and so many counted when the latest was admitted.
  std::uint64_t limit_within_ns;
  std::uint32_t limit_restarts;
  std::uint32_t window_restarts;
  std::uint64_t window_ns;     // when that was; 0: there was none
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

// ---- process groups, in the directory --------------------------------------------------------------------------------

inline constexpr std::uint32_t k_max_groups = 4096;
inline constexpr std::uint32_t k_group_places = std::uint32_t{1} << 20;  // for members, in all lists together

/// A member, and how often it has joined.
struct GroupMember {
  std::uint64_t pid;
  std::uint64_t joins;
};

/// A list of a group's members.
struct GroupList {
  std::uint32_t first;  // its place among all; there are `count` from here on
  std::uint32_t count;
};

/// The broker writes the list that is not current, members and all, and then counts `version` up, which makes it
/// current. Whoever sees a version twice has seen the list that belongs to it, and the name.
struct GroupEntry {
  // [SYNC group.version] Release. Never goes back, whatever group lives here.
  AtomicU64 version;
  AtomicU64 hash;  // of the name; 0: no group lives here
  char name[k_name_size];
  GroupList lists[2];  // lists[version & 1] is current
};
static_assert(sizeof(GroupEntry) == 96 && sizeof(GroupList) == 8 && sizeof(GroupMember) == 16);

struct GroupsHeader {
  AtomicU32 groups_used;  // entries at and above were never used; grows only; release
};

inline constexpr std::size_t k_group_entries_at = k_line;  // from the beginning of the area
inline constexpr std::size_t k_group_members_at = k_group_entries_at + k_max_groups * sizeof(GroupEntry);
inline constexpr std::size_t k_groups_size =
    (k_group_members_at + k_group_places * sizeof(GroupMember) + 4095) / 4096 * 4096;

inline constexpr std::uint32_t k_no_slot = 0xffffffff;
inline constexpr std::size_t k_live_offset = 4096;
inline constexpr std::size_t k_slots_offset = k_live_offset + k_max_slots * sizeof(SlotLive);
inline constexpr std::size_t k_ports_offset = k_slots_offset + k_max_slots * sizeof(Slot);
inline constexpr std::size_t k_rows_offset = k_ports_offset + k_max_ports * sizeof(PortEntry);
inline constexpr std::size_t k_groups_offset =
    (k_rows_offset + k_max_channel_rows * sizeof(ChannelRow) + 4095) / 4096 * 4096;
inline constexpr std::size_t k_directory_size = k_groups_offset + k_groups_size;
static_assert(sizeof(DirectoryHeader) <= k_live_offset);
static_assert(sizeof(SlotLive) == k_line);
static_assert(alignof(Slot) == 8 && sizeof(SlotInfo) == 240);

/// FNV-1a, never 0: how names are found.
constexpr std::uint64_t name_hash(const char* text, std::size_t size) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ static_cast<unsigned char>(text[i])) * 0x100000001b3;
  return hash ? hash : 1;
}

}  // namespace muproc::shm
