#include "shm/ring.hpp"

namespace muproc::shm {

bool RingWriter::look_for_room(std::size_t needed) {
  // [SYNC ring.consumed] acquire: the reader has finished with the bytes that we are about to write over.
  const std::uint64_t consumed = consumed_->load(std::memory_order_acquire);
  if (consumed > position_) return false;  // a lying reader gets no service
  consumed_seen_ = consumed;
  return position_ + needed - consumed_seen_ <= size_;
}

std::uint64_t RingWriter::unread() {
  const std::uint64_t consumed = consumed_->load(std::memory_order_acquire);
  return consumed > position_ ? 0 : position_ - consumed;
}

std::byte* RingWriter::claim_at_beginning(std::size_t words) {
  const std::size_t skipped = size_ - (position_ & (size_ - 1));
  if (!has_room(skipped + record_size(words))) return nullptr;
  std::byte* at = base_ + (position_ & (size_ - 1));
  RecordHeader skip{};
  skip.kind = static_cast<std::uint8_t>(RecordKind::skip);
  std::memcpy(at + 8, reinterpret_cast<const std::byte*>(&skip) + 8, sizeof skip - 8);
  // Dying after this store leaves a skip without its record, which nobody misses.
  mark_at(at).store(record_mark(secret_, position_), std::memory_order_release);  // [SYNC ring.commit]
  position_ += skipped;
  return base_ + sizeof(RecordHeader);
}

bool RingWriter::write(const RecordHeader& header, std::span<const std::span<const std::byte>> parts) {
  std::size_t bytes = 0;
  for (const auto& part : parts) bytes += part.size();
  std::byte* to = claim(bytes / 8);
  if (!to) return false;
  for (const auto& part : parts) {
    copy_in(to, part.data(), part.size() / 8);
    to += part.size();
  }
  commit(header, bytes / 8);
  return true;
}

RingReader::Look RingReader::look_behind(RecordHeader& header) {
  const std::size_t offset = position_ & (size_ - 1);
  // Nothing is skipped at the beginning: it could go on for ever.
  if (header.kind != static_cast<std::uint8_t>(RecordKind::skip) || offset == 0) return Look::malformed;
  move_by(size_ - offset);
  return look(header);
}

bool RingReader::publish_to(std::uint64_t position) {
  if (published_ == position) return false;
  published_ = position;
  consumed_->store(position, std::memory_order_release);  // [SYNC ring.consumed]
  return true;
}

}  // namespace muproc::shm
