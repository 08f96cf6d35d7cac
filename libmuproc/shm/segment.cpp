#include "shm/segment.hpp"

#include <stdexcept>

#include "sys/fd.hpp"

namespace muproc::shm {

OwnSegment::OwnSegment(int memfd, Pid owner) {
  if (sys::file_size(memfd) != k_segment_size)
    throw std::runtime_error("the segment has another size than layout version " + std::to_string(k_layout_version) +
                             " has: broker and muproc were built from different versions");
  map_ = sys::Mapping(memfd, sys::Mapping::Access::read_write, k_segment_size);
  SegmentHeader& header = *map_.at<SegmentHeader>(0);
  header.layout_version = k_layout_version;
  header.pid = owner.bits();
  header.size = k_segment_size;
  header.status_offset = k_status_offset;
  header.cursors_offset = k_cursors_offset;
  header.rings_offset = k_rings_offset;
  header.rings_size = k_rings_size;
  header.arena_offset = k_arena_offset;
  header.arena_size = k_arena_size;
  header.magic = k_segment_magic;
}

PeerSegment::PeerSegment(int memfd, Pid owner) {
  if (sys::file_size(memfd) != k_segment_size)
    throw std::runtime_error("the segment of " + to_string(owner) + " has another size than layout version " +
                             std::to_string(k_layout_version) + " has");
  map_ = sys::Mapping(memfd, sys::Mapping::Access::read_only, k_segment_size);
}

}  // namespace muproc::shm
