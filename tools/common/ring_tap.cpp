#include "tools/common/ring_tap.hpp"

#include <algorithm>
#include <cstring>

#include "shm/ring.hpp"
#include "shm/words.hpp"

namespace muproc::tools {
namespace {

constexpr std::size_t k_batch = std::size_t{64} << 10;  // bytes that are copied before it is asked whether they are whole
constexpr int k_attempts = 100;

}  // namespace

RingTap::RingTap(TappedRing ring, Start start) : ring_(ring) {
  const bool is_ring = ring.base && ring.consumed && ring.position && ring.size >= shm::k_min_ring && ring.size <= shm::k_max_ring &&
                       (ring.size & (ring.size - 1)) == 0;
  if (!is_ring) {
    is_broken_ = true;
    return;
  }
  if (start == Start::opened) return;
  const auto ends = look();
  if (ends) position_ = start == Start::now ? ends->written : ends->taken;
}

/// One record further, over skips; `at` is left at the record, or where nothing is yet. Two whole words of the header are
/// loaded after the mark, so that what they say belongs to it unless it is being written over.
RingTap::Step RingTap::step(std::uint64_t& at, shm::RecordHeader& header) const {
  for (int skips = 0; skips < 2; ++skips) {
    const std::size_t offset = at & (ring_.size - 1);
    const std::byte* record = ring_.base + offset;
    // [SYNC ring.commit] acquire: with the mark, all of the record is there.
    if (shm::word_at(record).load(std::memory_order_acquire) != shm::record_mark(ring_.secret, at)) return Step::end;
    header = shm::load_words(*reinterpret_cast<const shm::RecordHeader*>(record));
    if (header.kind != static_cast<std::uint8_t>(shm::RecordKind::skip)) {
      const bool is_one = header.kind <= static_cast<std::uint8_t>(shm::RecordKind::error) &&
                          header.words <= shm::max_record_words(ring_.size) && offset + shm::record_size(header.words) <= ring_.size;
      return is_one ? Step::record : Step::nonsense;
    }
    if (offset == 0) return Step::nonsense;
    at += ring_.size - offset;
  }
  return Step::nonsense;
}

/// Both are boundaries of records; the later one is the nearer to the writer.
std::uint64_t RingTap::receiver() const {
  const std::uint64_t consumed = ring_.consumed->load(std::memory_order_acquire);
  return std::max(consumed, ring_.position->load(std::memory_order_relaxed));
}

std::optional<RingTap::Ends> RingTap::look() {
  for (int attempt = 0; attempt < k_attempts; ++attempt) {
    const std::uint64_t from = std::max(receiver(), position_);
    if (from % shm::k_line != 0) {
      is_broken_ = true;
      break;
    }
    std::uint64_t at = from;
    shm::RecordHeader header;
    Step last;
    while ((last = step(at, header)) == Step::record && at - from < ring_.size) at += shm::record_size(header.words);
    std::atomic_thread_fence(std::memory_order_acquire);
    // Not one byte from there on was given back, so none of what was just read had been written over.
    if (ring_.consumed->load(std::memory_order_relaxed) > from) continue;
    if (last == Step::end && at - from <= ring_.size) return Ends{from, at};
    is_broken_ = true;
    break;
  }
  return std::nullopt;
}

bool RingTap::copy(std::uint64_t until, std::uint64_t most) {
  copied_.clear();
  words_.clear();
  copied_to_ = position_;
  shm::RecordHeader header;
  while (copied_to_ < until && copied_.size() < most && words_.size() * 8 < k_batch) {
    if (step(copied_to_, header) != Step::record) return copied_to_ == until;  // a skip at the end
    copied_.push_back({header, words_.size(), copied_to_});
    const std::byte* body = ring_.base + (copied_to_ & (ring_.size - 1)) + sizeof header;
    for (std::uint32_t i = 0; i < header.words; ++i)
      words_.push_back(shm::word_at(body + i * std::size_t{8}).load(std::memory_order_relaxed));
    copied_to_ += shm::record_size(header.words);
  }
  return copied_to_ <= until;
}

/// Asked after it was copied. What was copied says nothing of where the writer is, since it may be nonsense.
bool RingTap::is_whole() {
  std::atomic_thread_fence(std::memory_order_acquire);
  if (ring_.consumed->load(std::memory_order_relaxed) <= position_) return true;
  const auto ends = look();
  return ends && ends->written - position_ <= ring_.size - ring_.size / 4;
}

/// Where a tap that was left behind goes on: half a ring behind the writer, so that there is time to copy, or where the
/// receiver is, if that is further back. A mark is made of its position and a secret: where it fits, a record begins.
std::uint64_t RingTap::oldest_boundary(const Ends& ends) const {
  const std::uint64_t half = ring_.size / 2;
  for (std::uint64_t at = ends.written > half ? ends.written - half : 0; at < ends.taken; at += shm::k_line)
    if (shm::word_at(ring_.base + (at & (ring_.size - 1))).load(std::memory_order_acquire) == shm::record_mark(ring_.secret, at)) return at;
  return ends.taken;
}

void RingTap::go_on_at(std::uint64_t position) {
  missed_bytes_ += position - position_;
  position_ = position;
}

bool RingTap::poll(const std::function<void(const TappedRecord&)>& each, std::uint64_t most) {
  for (std::uint64_t given = 0; !is_broken_;) {
    const auto ends = look();
    if (!ends) return !is_broken_;  // the receiver gives back faster than the chain can be walked
    lag_ = ends->written - std::min(ends->written, position_);
    if (lag_ > ring_.size - ring_.size / 4 && ends->taken > position_) {
      go_on_at(oldest_boundary(*ends));
      continue;
    }
    if (ends->written <= position_) return false;
    if (given >= most) return true;
    const bool is_chain = copy(ends->written, most - given);
    if (when_copied) when_copied();
    if (!is_chain || !is_whole()) {
      const auto now = look();
      if (now && now->taken > position_) {
        const std::uint64_t boundary = oldest_boundary(*now);
        go_on_at(boundary > position_ ? boundary : now->taken);
      } else if (now && !is_chain) {
        is_broken_ = true;  // nobody has written over it: it was none
      }
      continue;
    }
    for (const Copied& record : copied_)
      each({record.header, std::as_bytes(std::span(words_).subspan(record.words_at, record.header.words)), record.at});
    seen_ += copied_.size();
    seen_bytes_ += copied_to_ - position_;
    given += copied_.size();
    position_ = copied_to_;
  }
  return false;
}

std::uint64_t RingTap::missed() const {
  if (missed_bytes_ == 0) return 0;
  if (seen_ == 0) return missed_bytes_ / shm::k_line;
  const double each = static_cast<double>(seen_bytes_) / static_cast<double>(seen_);
  return static_cast<std::uint64_t>(static_cast<double>(missed_bytes_) / each + 0.5);
}

}  // namespace muproc::tools
