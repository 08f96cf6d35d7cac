#include "shm/ring.hpp"

#include <cstring>

namespace muproc::shm {
namespace {

std::atomic_ref<std::uint64_t> mark_at(std::byte* record) {
  return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(record));
}

/// Loads the mark through a read-only map; atomic_ref wants a non-const object although a load writes nothing.
std::uint64_t load_mark(const std::byte* record) {
  return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(record)))
      .load(std::memory_order_acquire);
}

/// Whole words, plain stores: a record's body is short, and memcpy's call costs more than its work.
void copy_words(std::byte* to, std::span<const std::byte> from) {
  if (from.size() > 512) {
    std::memcpy(to, from.data(), from.size());
    return;
  }
  for (std::size_t i = 0; i < from.size(); i += 8) std::memcpy(to + i, from.data() + i, 8);
}

}  // namespace

bool RingWriter::has_room(std::size_t needed) {
  if (position_ + needed - consumed_seen_ <= size_) return true;
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

void RingWriter::commit(std::byte* at, std::uint64_t mark) {
  mark_at(at).store(mark, std::memory_order_release);  // [SYNC ring.commit]
}

bool RingWriter::write(RecordHeader header, std::span<const std::span<const std::byte>> parts) {
  std::size_t bytes = 0;
  for (const auto& part : parts) bytes += part.size();
  const std::size_t record = record_size(bytes / 8);
  const std::size_t to_end = size_ - (position_ & (size_ - 1));
  const std::size_t skipped = record > to_end ? to_end : 0;
  if (!has_room(skipped + record)) return false;

  if (skipped) {
    std::byte* at = base_ + (position_ & (size_ - 1));
    RecordHeader skip{};
    skip.kind = static_cast<std::uint8_t>(RecordKind::skip);
    std::memcpy(at + 8, reinterpret_cast<const std::byte*>(&skip) + 8, sizeof skip - 8);
    // Dying after this store leaves a skip without its record, which nobody misses.
    commit(at, record_mark(secret_, position_));
    position_ += skipped;
  }
  std::byte* at = base_ + (position_ & (size_ - 1));
  header.words = static_cast<std::uint32_t>(bytes / 8);
  std::memcpy(at + 8, reinterpret_cast<const std::byte*>(&header) + 8, sizeof header - 8);
  std::byte* to = at + sizeof header;
  for (const auto& part : parts) {
    copy_words(to, part);
    to += part.size();
  }
  // Dying before this store leaves bytes that nobody looks at; after it, a whole message.
  commit(at, record_mark(secret_, position_));
  position_ += record;
  return true;
}

RingReader::Look RingReader::look(RecordHeader& header) {
  for (;;) {
    const std::size_t offset = position_ & (size_ - 1);
    const std::byte* at = base_ + offset;
    // [SYNC ring.commit] acquire: with the mark, all of the record is there.
    if (load_mark(at) != record_mark(secret_, position_)) return Look::nothing;
    std::memcpy(&header, at, sizeof header);
    if (header.kind == static_cast<std::uint8_t>(RecordKind::skip)) {
      if (offset == 0) return Look::malformed;  // nothing is skipped at the beginning: it could go on for ever
      position_ += size_ - offset;
      continue;
    }
    if (header.kind > static_cast<std::uint8_t>(RecordKind::error) || header.words > max_record_words(size_) ||
        offset + record_size(header.words) > size_)
      return Look::malformed;
    return Look::record;
  }
}

bool RingReader::advance(const RecordHeader& header) {
  position_ += record_size(header.words);
  return position_ - published_ >= size_ / 8 && publish();
}

bool RingReader::publish() {
  if (published_ == position_) return false;
  published_ = position_;
  consumed_->store(position_, std::memory_order_release);  // [SYNC ring.consumed]
  return true;
}

}  // namespace muproc::shm
