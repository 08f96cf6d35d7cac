#include "shm/ring.hpp"

#include <bit>
#include <cstddef>
#include <cstring>

namespace muproc::shm {
namespace {

std::atomic_ref<std::uint64_t> mark_at(std::byte* record) {
  return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(record));
}

constexpr std::size_t k_ahead = 8 * k_line;
constexpr std::size_t k_prefetched = 16 * k_line;

/// Whole words, plain stores: a record's body is short, and memcpy's call costs more than its work.
void copy_words(std::byte* to, std::span<const std::byte> from) {
  if (from.size() > 512) {
    std::memcpy(to, from.data(), from.size());
    return;
  }
  for (std::size_t i = 0; i < from.size(); i += 8) std::memcpy(to + i, from.data() + i, 8);
}

}  // namespace

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

void RingWriter::commit(const RecordHeader& header, std::size_t words) {
  const std::size_t record = record_size(words);
  std::byte* at = base_ + (position_ & (size_ - 1));
  // Whole words from registers: a header that was just put together byte by byte cannot be loaded in one piece without
  // waiting for its parts.
  const std::uint64_t shape = words | static_cast<std::uint64_t>(header.kind) << 32 |
                              static_cast<std::uint64_t>(header.flags) << 40 |
                              static_cast<std::uint64_t>(header.target) << 48;
  static_assert(std::endian::native == std::endian::little && offsetof(RecordHeader, words) == 8 &&
                offsetof(RecordHeader, kind) == 12 && offsetof(RecordHeader, flags) == 13 &&
                offsetof(RecordHeader, target) == 14);
  std::memcpy(at + offsetof(RecordHeader, words), &shape, 8);
  std::memcpy(at + offsetof(RecordHeader, type_id), &header.type_id, 8);
  std::memcpy(at + offsetof(RecordHeader, timestamp), &header.timestamp, 8);
  // Dying before this store leaves bytes that nobody looks at; after it, a whole message.
  mark_at(at).store(record_mark(secret_, position_), std::memory_order_release);  // [SYNC ring.commit]
  position_ += record;
  // The reader's cache holds what it read there a lap ago. Asked for early, the lines come back all at once, and not one
  // after the other as the stores drain.
  for (std::size_t line = 0; line < record && line < k_prefetched; line += k_line)
    __builtin_prefetch(base_ + ((position_ + k_ahead + line) & (size_ - 1)), 1);
}

bool RingWriter::write(const RecordHeader& header, std::span<const std::span<const std::byte>> parts) {
  std::size_t bytes = 0;
  for (const auto& part : parts) bytes += part.size();
  std::byte* to = claim(bytes / 8);
  if (!to) return false;
  for (const auto& part : parts) {
    copy_words(to, part);
    to += part.size();
  }
  commit(header, bytes / 8);
  return true;
}

RingReader::Look RingReader::look(RecordHeader& header) {
  for (;;) {
    const std::size_t offset = position_ & (size_ - 1);
    const std::byte* at = base_ + offset;
    // [SYNC ring.commit] acquire: with the mark, all of the record is there.
    if (!anything()) return Look::nothing;
    std::memcpy(&header, at, sizeof header);
    if (header.kind == static_cast<std::uint8_t>(RecordKind::skip)) {
      if (offset == 0) return Look::malformed;  // nothing is skipped at the beginning: it could go on for ever
      move_by(size_ - offset);
      continue;
    }
    if (header.kind > static_cast<std::uint8_t>(RecordKind::error) || header.words > max_record_words(size_) ||
        offset + record_size(header.words) > size_)
      return Look::malformed;
    return Look::record;
  }
}

bool RingReader::publish() {
  if (published_ == position_) return false;
  published_ = position_;
  consumed_->store(position_, std::memory_order_release);  // [SYNC ring.consumed]
  return true;
}

}  // namespace muproc::shm
