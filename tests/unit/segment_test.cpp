// A muproc's segment: one writer for every byte, by the kernel's word.
#include "shm/segment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>

#include "support/catch.hpp"
#include "support/sealed.hpp"
#include "sys/fd.hpp"

using namespace muproc;
using namespace muproc::shm;
using Catch::Matchers::Contains;

namespace {

const Pid k_owner(0, 3, 1);

sys::UniqueFd fresh_segment() { return sys::create_memfd("test-segment", k_segment_size); }

std::string refusal(int memfd) {
  try {
    PeerSegment peer(memfd, k_owner);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "none";
}

template <class T>
constexpr bool k_shareable = std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T>;

}  // namespace

TEST_CASE("the layout is what docs/shm-layout.md says", "[shm][layout]") {
  STATIC_REQUIRE(k_shareable<SegmentHeader> && k_shareable<StatusBlock> && k_shareable<Cursor> && k_shareable<RecordHeader> &&
                 k_shareable<LargeTable> && k_shareable<LargeSegment>);
  STATIC_REQUIRE(k_shareable<DirectoryHeader> && k_shareable<SlotLive> && k_shareable<Slot> && k_shareable<PortEntry> &&
                 k_shareable<ChannelRow>);

  STATIC_REQUIRE(offsetof(SegmentHeader, magic) == 0 && offsetof(SegmentHeader, layout_version) == 8 &&
                 offsetof(SegmentHeader, pid) == 16 && offsetof(SegmentHeader, size) == 24 &&
                 offsetof(SegmentHeader, status_offset) == 32 && offsetof(SegmentHeader, arena_size) == 72 &&
                 sizeof(SegmentHeader) == 80);
  STATIC_REQUIRE(offsetof(RecordHeader, mark) == 0 && offsetof(RecordHeader, words) == 8 && offsetof(RecordHeader, kind) == 12 &&
                 offsetof(RecordHeader, flags) == 13 && offsetof(RecordHeader, target) == 14 &&
                 offsetof(RecordHeader, type_id) == 16 && offsetof(RecordHeader, timestamp) == 24 && sizeof(RecordHeader) == 32);
  STATIC_REQUIRE(sizeof(LargeTable) == 8 && sizeof(LargeSegment) == 24);
  STATIC_REQUIRE(offsetof(Cursor, consumed) == 0 && offsetof(Cursor, released) == 64 && sizeof(Cursor) == 128);
  STATIC_REQUIRE(offsetof(StatusBlock, asleep) == 0 && offsetof(StatusBlock, activity) == 128 &&
                 offsetof(StatusBlock, in_hand) == 152 && offsetof(StatusBlock, messages_sent) == 384 &&
                 offsetof(StatusBlock, messages_received) == 512 && offsetof(StatusBlock, dead_letters) == 576 && sizeof(StatusBlock) == 3200);
  STATIC_REQUIRE(k_shareable<DeadLetterBox> && offsetof(DeadLetterBox, number) == 64 && offsetof(DeadLetterBox, targets) == 72 &&
                 offsetof(DeadLetterBox, last) == 584 && sizeof(DeadLetter) == 168 && offsetof(DeadLetterInfo, drop) == 32 &&
                 offsetof(DeadLetterInfo, name) == 40 && offsetof(DeadLetterInfo, text) == 88);
  STATIC_REQUIRE(offsetof(DirectoryHeader, system) == 24 && offsetof(DirectoryHeader, broker_os_pid) == 88 &&
                 offsetof(DirectoryHeader, slots_used) == 120 && offsetof(DirectoryHeader, births) == 192 &&
                 offsetof(DirectoryHeader, virtual_ns) == 256 && sizeof(DirectoryHeader) == 320);
  STATIC_REQUIRE(offsetof(SlotLive, lane) == 8 && offsetof(SlotLive, name_hash) == 16 && offsetof(SlotLive, ring_size) == 24 && offsetof(SlotLive, draining) == 32 && offsetof(SlotLive, kept) == 40 &&
                 sizeof(SlotLive) == 64);
  STATIC_REQUIRE(sizeof(SlotInfo) == 240 && sizeof(Slot) == 488 && sizeof(PortEntry) == 80 && sizeof(ChannelRow) == 40);

  STATIC_REQUIRE(k_status_offset == 4096 && k_cursors_offset == 8192 && k_positions_offset == 532480 && k_rings_offset == 565248 &&
                 k_arena_offset == 565248 + (std::size_t{1} << 30) && k_crash_offset == k_arena_offset + (64 << 20) && k_keep_offset == k_crash_offset + (4 << 20) &&
                 k_keep_rows_offset == k_keep_offset + 4096 && k_keep_log_offset == k_keep_rows_offset + 262144 && k_segment_size == k_keep_log_offset + (512 << 20));
  STATIC_REQUIRE(k_shareable<KeepHeader> && k_shareable<KeepRow> && k_shareable<KeptEntry> && offsetof(KeepHeader, generation) == 8 &&
                 offsetof(KeepRow, in_hand) == 8 && offsetof(KeepRow, again) == 32 && offsetof(KeepRow, large) == 40 && offsetof(KeepRow, owed) == 48 &&
                 offsetof(KeptEntry, state) == 8 && offsetof(KeptEntry, secret) == 16 && offsetof(KeptEntry, end) == 24 && offsetof(KeptEntry, speaker) == 32 &&
                 offsetof(KeptEntry, type_id) == 40 && offsetof(KeptEntry, timestamp) == 48 && offsetof(KeptEntry, words) == 56 && offsetof(KeptEntry, kind) == 60 &&
                 offsetof(KeptEntry, flags) == 61 && offsetof(KeptEntry, again) == 62);
  STATIC_REQUIRE(k_shareable<CrashBlock> && offsetof(CrashBlock, threads) == 4 && offsetof(CrashBlock, signal) == 8 &&
                 offsetof(CrashBlock, address) == 16 && offsetof(CrashBlock, maps_bytes) == 32 && offsetof(CrashBlock, exception_type) == 48 &&
                 offsetof(CrashBlock, exception_what) == 304 && offsetof(CrashBlock, module) == 1328 && offsetof(CrashBlock, thread) == 5424 &&
                 sizeof(CrashModule) == 32 && offsetof(CrashThread, registers) == 24 && offsetof(CrashThread, stack_address) == 296 &&
                 sizeof(CrashThread) == 312);
  STATIC_REQUIRE(k_crash_maps_offset == k_crash_offset + 65536 && crash_stack_offset(0) == k_crash_offset + 524288 &&
                 crash_stack_offset(1) == k_crash_offset + 1048576 && crash_stack_offset(2) == k_crash_offset + 1097728);
  STATIC_REQUIRE(k_live_offset == 4096 && k_slots_offset == 266240 && k_ports_offset == 2265088 && k_rows_offset == 2592768 &&
                 k_groups_offset == 5214208 && k_directory_size == 22388736);
}

TEST_CASE("fields that different muprocs write or poll lie on different cache lines", "[shm][layout]") {
  STATIC_REQUIRE(offsetof(Cursor, released) - offsetof(Cursor, consumed) >= k_line);
  STATIC_REQUIRE(offsetof(StatusBlock, activity) - offsetof(StatusBlock, asleep) >= k_sector);
  STATIC_REQUIRE(sizeof(SlotLive) % k_line == 0);
  STATIC_REQUIRE(k_rings_offset % k_line == 0 && k_min_ring % k_line == 0);
}

TEST_CASE("a fresh segment takes memory only where it is touched", "[shm][segment]") {
  const auto memfd = fresh_segment();
  const OwnSegment own(memfd.get(), k_owner);
  own.status().messages_sent.store(1);
  own.cursor(0).consumed.store(1);
  CHECK(sys::file_size(memfd.get()) == k_segment_size);
  CHECK(muproc::test::bytes_allocated(memfd.get()) <= 4 * sys::k_page);
}

TEST_CASE("a segment's header says whose it is and where things lie", "[shm][segment]") {
  const auto memfd = fresh_segment();
  const OwnSegment own(memfd.get(), k_owner);
  SegmentHeader header;
  REQUIRE(::pread(memfd.get(), &header, sizeof header, 0) == sizeof header);
  CHECK(header.magic == k_segment_magic);
  CHECK(std::memcmp(&header.magic, "muprocse", 8) == 0);
  CHECK(header.layout_version == k_layout_version);
  CHECK(header.pid == k_owner.bits());
  CHECK(header.size == k_segment_size);
  CHECK(header.rings_offset == k_rings_offset);
  CHECK(header.arena_offset == k_arena_offset);
}

TEST_CASE("the owner writes on after its segment was sealed, and its peers see it", "[shm][segment][seal]") {
  const auto memfd = fresh_segment();
  const OwnSegment own(memfd.get(), k_owner);
  sys::seal_for_readers(memfd.get());
  const PeerSegment peer(memfd.get(), k_owner);
  own.status().messages_sent.store(77);
  own.cursor(5).consumed.store(4096);
  *own.at(k_rings_offset) = std::byte{9};
  *own.arena() = std::byte{8};
  CHECK(peer.status().messages_sent.load() == 77);
  CHECK(peer.cursor(5).consumed.load() == 4096);
  CHECK(*peer.at(k_rings_offset) == std::byte{9});
  CHECK(*peer.at(k_arena_offset) == std::byte{8});
}

TEST_CASE("the owner may take away and give back its own right to write a page", "[shm][segment][seal]") {
  const auto memfd = fresh_segment();
  const OwnSegment own(memfd.get(), k_owner);
  sys::seal_for_readers(memfd.get());
  CHECK(::mprotect(own.arena(), sys::k_page, PROT_READ) == 0);
  CHECK(::mprotect(own.arena(), sys::k_page, PROT_READ | PROT_WRITE) == 0);
  *own.arena() = std::byte{1};
}

TEST_CASE("nobody can write a sealed segment but through the owner's map, not even root", "[shm][segment][seal]") {
  const auto memfd = fresh_segment();
  const OwnSegment own(memfd.get(), k_owner);
  sys::seal_for_readers(memfd.get());
  muproc::test::check_nobody_can_write(memfd.get());
}

TEST_CASE("a peer's map of a sealed segment cannot be made writable", "[shm][segment][seal]") {
  const auto memfd = fresh_segment();
  const OwnSegment own(memfd.get(), k_owner);
  sys::seal_for_readers(memfd.get());
  const PeerSegment peer(memfd.get(), k_owner);
  auto* page = const_cast<std::byte*>(peer.at(k_rings_offset));
  CHECK(::mprotect(page, sys::k_page, PROT_READ | PROT_WRITE) == -1);
  CHECK(errno == EACCES);
}

TEST_CASE("whatever its owner has made of a segment's header, others read it as any other", "[shm][segment][scribbler]") {
  const auto memfd = fresh_segment();
  const OwnSegment own(memfd.get(), k_owner);
  for (std::size_t i = 0; i < sizeof(SegmentHeader); ++i) *own.at(i) = std::byte{0xaa};
  own.status().messages_sent.store(77);
  CHECK(PeerSegment(memfd.get(), k_owner).status().messages_sent.load() == 77);
}

TEST_CASE("what has another size is no segment", "[shm][segment]") {
  const auto small = sys::create_memfd("test-small", 4096);
  CHECK_THAT(refusal(small.get()), Contains("size") && Contains("version " + std::to_string(k_layout_version)));
  CHECK_THROWS_WITH(OwnSegment(small.get(), k_owner), Contains("version " + std::to_string(k_layout_version)));
}

TEST_CASE("a pipe is no segment, and a closed descriptor is an error", "[shm][segment]") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const sys::UniqueFd out(ends[0]), in(ends[1]);
  CHECK_THROWS_AS(PeerSegment(out.get(), k_owner), std::runtime_error);
  CHECK_THROWS_AS(PeerSegment(-1, k_owner), std::system_error);
}
