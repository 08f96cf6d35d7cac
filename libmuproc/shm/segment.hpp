// A muproc's own shared segment, seen by its owner and by its peers.
#pragma once

#include <cstddef>
#include <string>

#include <muproc/pid.hpp>

#include "shm/layout.hpp"
#include "sys/mapping.hpp"

namespace muproc::shm {

/// The owner's map: the only writable one there ever is, made before the broker seals the memfd.
class OwnSegment {
 public:
  /// Maps and writes the header. The memfd is fresh, k_segment_size bytes.
  OwnSegment(int memfd, Pid owner);

  StatusBlock& status() const { return *map_.at<StatusBlock>(k_status_offset); }
  Cursor& cursor(std::uint32_t index) const { return map_.at<Cursor>(k_cursors_offset)[index]; }
  AtomicU64& position(std::uint32_t index) const { return map_.at<AtomicU64>(k_positions_offset)[index]; }
  KeepRow& keep_row(std::uint32_t index) const { return map_.at<KeepRow>(k_keep_rows_offset)[index]; }
  KeepHeader& keep_header() const { return *map_.at<KeepHeader>(k_keep_offset); }
  std::byte* at(std::size_t offset) const { return map_.data() + offset; }
  std::byte* arena() const { return map_.data() + k_arena_offset; }

 private:
  sys::Mapping map_;
};

/// Somebody else's segment, read-only by the kernel's word. Nothing in it is trusted.
class PeerSegment {
 public:
  /// Throws std::runtime_error when the size is another one than our layout has. The header is for people: it may be spoilt.
  PeerSegment(int memfd, Pid owner);

  const StatusBlock& status() const { return *map_.at<StatusBlock>(k_status_offset); }
  const Cursor& cursor(std::uint32_t index) const { return map_.at<Cursor>(k_cursors_offset)[index]; }
  const AtomicU64& position(std::uint32_t index) const { return map_.at<AtomicU64>(k_positions_offset)[index]; }
  const KeepRow& keep_row(std::uint32_t index) const { return map_.at<KeepRow>(k_keep_rows_offset)[index]; }
  const KeepHeader& keep_header() const { return *map_.at<KeepHeader>(k_keep_offset); }
  const std::byte* at(std::size_t offset) const { return map_.data() + offset; }

 private:
  sys::Mapping map_;
};

}  // namespace muproc::shm
