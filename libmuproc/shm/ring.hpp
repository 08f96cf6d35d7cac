// A single-producer, single-consumer ring of records, from one muproc to another.
//
// The writer owns the bytes; the reader maps them read-only and owns only its cursor. There is no shared head: the
// reader looks at its own position until the mark that belongs there appears. A record that would not fit before the
// ring's end is preceded by a skip record, so records are contiguous.
//
// If the writer dies before the store of the mark, nothing was sent; after it, everything. A death between a skip and
// its record leaves the skip, which says nothing. If the reader dies, the writer finds out from the broker, not here.
// Positions count bytes from the channel's beginning and never wrap; the offset in the ring is position % size.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "shm/layout.hpp"

namespace muproc::shm {

/// The mark of the record at `position`; never 0, which is what fresh memory holds.
constexpr std::uint64_t record_mark(std::uint64_t secret, std::uint64_t position) {
  return (secret ^ (position + 64) * 0x9e3779b97f4a7c15) | 1;
}

constexpr std::size_t record_size(std::size_t payload_words) {
  return (sizeof(RecordHeader) + payload_words * 8 + k_line - 1) / k_line * k_line;
}

/// The largest record body (reference, table, payload) in words for a ring of `size` bytes: an eighth of it.
constexpr std::size_t max_record_words(std::size_t size) { return (size / 8 - sizeof(RecordHeader)) / 8; }

// Records' bodies are short, and memcpy's call costs more than its work.

/// To the ring, word by word: what was just written word by word cannot be loaded in larger pieces without waiting.
[[gnu::always_inline]] inline void copy_few_in(std::byte* to, const std::byte* from, std::size_t words) {
#pragma GCC unroll 4
  for (std::size_t i = 0; i < words; ++i) std::memcpy(to + 8 * i, from + 8 * i, 8);
}
constexpr std::size_t k_few_words = 64;

inline void copy_in(std::byte* to, const std::byte* from, std::size_t words) {
  if (words > k_few_words) {
    std::memcpy(to, from, words * 8);
    return;
  }
  copy_few_in(to, from, words);
}

/// From the ring, where the bytes have long been.
inline void copy_out(std::byte* to, const std::byte* from, std::size_t words) {
  if (words > 64) {
    std::memcpy(to, from, words * 8);
    return;
  }
  std::size_t i = 0;
  for (; i + 2 <= words; i += 2) std::memcpy(to + 8 * i, from + 8 * i, 16);
  if (i < words) std::memcpy(to + 8 * i, from + 8 * i, 8);
}

class RingReader;

class RingWriter {
 public:
  RingWriter() = default;
  /// `size` is a power of two; `consumed` is the reader's cursor.
  RingWriter(std::byte* base, std::size_t size, std::uint64_t secret, const AtomicU64* consumed)
      : base_(base), size_(size), secret_(secret), consumed_(consumed) {}

  /// Room for a record with a body of so many words: where the body goes, or null when there is no room now. What is
  /// written there is seen by nobody until `commit`, and claiming again forgets it.
  std::byte* claim(std::size_t words) {
    const std::size_t record = record_size(words);
    const std::size_t offset = position_ & (size_ - 1);
    if (record > size_ - offset) [[unlikely]]
      return claim_at_beginning(words);
    if (!has_room(record)) [[unlikely]]
      return nullptr;
    return base_ + offset + sizeof(RecordHeader);
  }
  /// The same, only where that is simple: null when the record does not fit before the ring's end, or when it takes a new look
  /// at the reader's cursor to know that there is room.
  [[gnu::always_inline]] std::byte* claim_here(std::size_t words) const {
    const std::size_t record = record_size(words);
    const std::size_t offset = position_ & (size_ - 1);
    if (words > max_record_words(size_) || record > size_ - offset || position_ + record - consumed_seen_ > size_) [[unlikely]]
      return nullptr;
    return base_ + offset + sizeof(RecordHeader);
  }
  /// Makes the claimed record one, with all that was written to its body. `header.mark` and `header.words` do not matter.
  [[gnu::always_inline]] void commit(const RecordHeader& header, std::size_t words) {
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
    const std::size_t record = record_size(words);
    position_ += record;
    // The reader's cache holds what it read there a lap ago. Asked for early, the lines come back all at once, and not one
    // after the other as the stores drain.
    for (std::size_t line = 0; line < record && line < k_prefetched; line += k_line)
      __builtin_prefetch(base_ + ((position_ + k_ahead + line) & (size_ - 1)), 1);
  }
  /// Writes one record whose body is `parts` one after the other, each a whole number of words. False when there is no
  /// room now; nothing is visible then.
  bool write(const RecordHeader& header, std::span<const std::span<const std::byte>> parts);

  std::uint64_t position() const { return position_; }
  std::size_t size() const { return size_; }
  /// For a look at what was written from that position on.
  RingReader observer(std::uint64_t position) const;
  /// From now on that is the reader's cursor: another reader goes on where the former had got to.
  void follow(const AtomicU64* consumed) { consumed_ = consumed; }
  /// Bytes between the last cursor seen and the position: what may still be unread.
  std::uint64_t unread();

 private:
  bool has_room(std::size_t needed) { return position_ + needed - consumed_seen_ <= size_ || look_for_room(needed); }
  bool look_for_room(std::size_t needed);
  std::byte* claim_at_beginning(std::size_t words);
  static std::atomic_ref<std::uint64_t> mark_at(std::byte* record) {
    return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(record));
  }
  static constexpr std::size_t k_ahead = 8 * k_line;
  static constexpr std::size_t k_prefetched = 16 * k_line;

  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t secret_ = 0;
  const AtomicU64* consumed_ = nullptr;
  std::uint64_t position_ = 0;
  std::uint64_t consumed_seen_ = 0;  // the reader's cursor as it was last looked at: mostly that is enough
};

class RingReader {
 public:
  enum class Look { nothing, record, malformed };

  RingReader() = default;
  RingReader(const std::byte* base, std::size_t size, std::uint64_t secret, AtomicU64* consumed)
      : base_(base), size_(size), secret_(secret), consumed_(consumed), publish_every_(size / 8), expected_mark_(record_mark(secret, 0)) {}
  /// One that goes on at `position`, and gives room back only by `publish_to`.
  static RingReader keeper(const std::byte* base, std::size_t size, std::uint64_t secret, AtomicU64* consumed, std::uint64_t position) {
    RingReader reader(base, size, secret, consumed);
    reader.move_by(position);
    reader.published_ = position;
    reader.publish_every_ = ~std::uint64_t{0};
    return reader;
  }
  /// One that only looks, from `position` on, a multiple of k_line: it steps with `pass`, and publishes nothing.
  static RingReader observer(const std::byte* base, std::size_t size, std::uint64_t secret, std::uint64_t position) {
    RingReader reader(base, size, secret, nullptr);
    reader.move_by(position);
    return reader;
  }
  /// Another that only looks, from where this one is.
  RingReader ahead() const {
    RingReader reader(*this);
    reader.consumed_ = nullptr;
    return reader;
  }
  void pass(const RecordHeader& header) { move_by(record_size(header.words)); }

  /// True when there is something at the reader's position: a record or a skip. One load, if nothing is there, and the
  /// wish for the next line: most records go on there, and both come at once.
  bool anything() const {
    const std::byte* at = base_ + (position_ & (size_ - 1));
    __builtin_prefetch(at + k_line);
    return load_mark(at) == expected_mark_;
  }
  /// Looks at the reader's position, steps over skip records, and on `record` fills in a checked copy of the header.
  Look look(RecordHeader& header) {
    if (!anything()) return Look::nothing;
    // [SYNC ring.commit] acquire, in `anything`: with the mark, all of the record is there.
    const std::size_t offset = position_ & (size_ - 1);
    std::memcpy(&header, base_ + offset, sizeof header);
    return can_be(header, offset) ? Look::record : look_behind(header);
  }
  /// The body of the record that `look` found; other bytes than the header's may still change under a malicious
  /// writer, so copy first.
  const std::byte* body() const { return base_ + (position_ & (size_ - 1)) + sizeof(RecordHeader); }
  /// Leaves the record that `look` found. True when the cursor was published (every eighth of the ring).
  bool advance(const RecordHeader& header) {
    move_by(record_size(header.words));
    return position_ - published_ >= publish_every_ && publish_to(position_);
  }
  /// Makes everything before the position available to the writer. True when that is news.
  bool publish() { return publish_to(position_); }
  /// The same of everything before an earlier position.
  bool publish_to(std::uint64_t position);
  std::uint64_t published() const { return published_; }
  /// The record at a position that is not published.
  const std::byte* record_at(std::uint64_t position) const { return base_ + (position & (size_ - 1)); }

  std::uint64_t position() const { return position_; }
  std::size_t size() const { return size_; }

 private:
  /// Loads the mark through a read-only map; atomic_ref wants a non-const object although a load writes nothing.
  static std::uint64_t load_mark(const std::byte* record) {
    return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(record)))
        .load(std::memory_order_acquire);
  }
  bool can_be(const RecordHeader& header, std::size_t offset) const {
    return header.kind <= static_cast<std::uint8_t>(RecordKind::error) && header.kind != static_cast<std::uint8_t>(RecordKind::skip) &&
           header.words <= max_record_words(size_) && record_size(header.words) <= size_ - offset;
  }
  /// Steps over the skip record whose header this is, if it is one.
  Look look_behind(RecordHeader& header);
  void move_by(std::size_t bytes) {
    position_ += bytes;
    expected_mark_ = record_mark(secret_, position_);
  }

  const std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t secret_ = 0;
  AtomicU64* consumed_ = nullptr;
  std::uint64_t position_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t publish_every_ = 0;  // bytes
  std::uint64_t expected_mark_ = 0;
};

inline RingReader RingWriter::observer(std::uint64_t position) const {
  return RingReader::observer(base_, size_, secret_, position);
}

}  // namespace muproc::shm
