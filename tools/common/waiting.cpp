#include "tools/common/waiting.hpp"

#include <bit>

#include "shm/ring.hpp"

namespace muproc::tools {

bool is_ring(std::uint64_t offset, std::uint32_t size, std::uint64_t position) {
  return std::has_single_bit(size) && size >= shm::k_min_ring && size <= shm::k_max_ring && offset % shm::k_line == 0 &&
         offset >= shm::k_rings_offset && offset - shm::k_rings_offset <= shm::k_rings_size - size &&
         position % shm::k_line == 0;
}

Waiting waiting_in(const std::byte* ring, std::uint32_t size, std::uint64_t secret, std::uint64_t position) {
  Waiting waiting;
  auto reader = shm::RingReader::observer(ring, size, secret, position);
  shm::RecordHeader header;
  while (reader.look(header) == shm::RingReader::Look::record) {
    if (waiting.messages == 0) waiting.first_timestamp = header.timestamp;
    reader.pass(header);
    const std::uint64_t bytes = reader.position() - position;
    if (bytes > size) break;  // the reader has moved on, and we follow the next lap
    ++waiting.messages;
    waiting.bytes = bytes;
    if (waiting.messages < k_longest_walk) continue;
    waiting.has_more = true;
    break;
  }
  return waiting;
}

}  // namespace muproc::tools
