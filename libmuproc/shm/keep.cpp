#include "shm/keep.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace muproc::shm {
namespace {

constexpr std::uint64_t k_small = std::uint64_t{64} << 10;  // a log of less is not worth the copying

// Of a dead one's log no more is looked at than an honest owner has there: a stash counts 256 bytes for a message at least,
// and a kept one holds half of a half. Nor does anybody have so many handlers in each other.
constexpr std::size_t k_most_entries = k_keep_half / 256;
constexpr std::size_t k_most_in_hand = 1024;

constexpr std::uint64_t mark_of(std::uint64_t generation, std::uint64_t offset) {
  return ((generation + 1) * 0xd1342543de82ef95 ^ (offset + 64) * 0x9e3779b97f4a7c15) | 1;
}

constexpr std::uint64_t size_of(std::uint32_t words) {
  return (sizeof(KeptEntry) + std::uint64_t{words} * 8 + k_line - 1) / k_line * k_line;
}

KeptFacts facts_of(const KeptEntry& entry) {
  KeptFacts facts;
  facts.secret = entry.secret;
  facts.end = entry.end;
  facts.speaker = Pid(entry.speaker);
  facts.type_id = entry.type_id;
  facts.timestamp = entry.timestamp;
  facts.words = entry.words;
  facts.kind = entry.kind;
  facts.flags = entry.flags;
  facts.again = entry.again;
  return facts;
}

/// A number that belongs to the record at a position: 0 when the word speaks of another one.
constexpr std::uint64_t belonging(std::uint64_t word, std::uint64_t position) {
  return word != 0 && (word & ~std::uint64_t{63}) == position + 64 ? word & 63 : 0;
}

/// The ticket of a large message, from its record's body; k_tickets when it says none.
std::uint32_t ticket_of(const KeptFacts& facts, const std::byte* body) {
  const std::uint32_t skipped = facts.flags & k_flag_reference ? 1 : 0;
  if (!(facts.flags & k_flag_large) || facts.words < skipped + sizeof(LargeTable) / 8) return k_tickets;
  LargeTable table;
  std::memcpy(&table, body + skipped * 8, sizeof table);
  return std::min(table.ticket, k_tickets);
}

}  // namespace

// ---- the owner's side ------------------------------------------------------------------------------------------------

KeepLog::KeepLog(std::byte* keep_area)
    : current_(reinterpret_cast<KeepHeader*>(keep_area)->generation),
      log_(keep_area + (k_keep_log_offset - k_keep_offset)),
      generation_(current_.load(std::memory_order_relaxed)) {}

KeptFacts KeepLog::facts(Place place) const { return facts_of(entry(place)); }

std::vector<KeepLog::Place> KeepLog::places() const {
  std::vector<Place> places;
  for (const auto& [offset, place] : live_) places.push_back(place);
  return places;
}

void KeepLog::write(std::byte* half, std::uint64_t generation, std::uint64_t offset, const KeptFacts& facts,
                    KeptState state, const std::byte* body) {
  auto& to = *reinterpret_cast<KeptEntry*>(half + offset);
  to.mark.store(0, std::memory_order_relaxed);
  to.state.store(static_cast<std::uint64_t>(state), std::memory_order_relaxed);
  to.secret = facts.secret;
  to.end = facts.end;
  to.speaker = facts.speaker.bits();
  to.type_id = facts.type_id;
  to.timestamp = facts.timestamp;
  to.words = facts.words;
  to.kind = facts.kind;
  to.flags = facts.flags;
  to.again = facts.again;
  std::memcpy(half + offset + sizeof(KeptEntry), body, std::size_t{facts.words} * 8);
  to.mark.store(mark_of(generation, offset), std::memory_order_release);  // [SYNC keep.commit]
}

KeepLog::Place KeepLog::append(const KeptFacts& facts, KeptState state, const std::byte* body) {
  const std::uint64_t size = size_of(facts.words);
  const bool is_mostly_handled = end_ > k_small && end_ > 4 * live_bytes_;
  if (is_mostly_handled || end_ + size > k_keep_half) renew();
  if (end_ + size > k_keep_half) throw std::length_error("the log of kept messages is full");
  if (free_.empty()) {
    free_.push_back(static_cast<Place>(offsets_.size()));
    offsets_.push_back(0);
  }
  const Place place = free_.back();
  write(half(), generation_, end_, facts, state, body);
  free_.pop_back();
  offsets_[place] = end_;
  live_.emplace_hint(live_.end(), end_, place);
  live_bytes_ += size;
  end_ += size;
  return place;
}

void KeepLog::finish(Place place) {
  set(place, KeptState::handled);  // what is behind this store is nobody's affair any more
  live_bytes_ -= size_of(entry(place).words);
  live_.erase(offsets_[place]);
  free_.push_back(place);
}

/// The other half, with what is still needed.
void KeepLog::renew() {
  std::byte* other = log_ + (~generation_ & 1) * k_keep_half;
  std::uint64_t end = 0;
  std::map<std::uint64_t, Place> moved;
  for (const auto& [offset, place] : live_) {
    const KeptFacts facts = facts_of(entry(place));
    write(other, generation_ + 1, end, facts, state(place), body(place));
    moved.emplace_hint(moved.end(), end, place);
    end += size_of(facts.words);
  }
  // What lies behind was written for an earlier generation of this half, and its marks say so.
  current_.store(generation_ + 1, std::memory_order_release);  // [SYNC keep.generation]
  ++generation_;
  end_ = end;
  live_ = std::move(moved);
  for (const auto& [offset, place] : live_) offsets_[place] = offset;
}

// ---- after a death ---------------------------------------------------------------------------------------------------

KeptRemains::KeptRemains(const PeerSegment& dead) : dead_(dead) {
  // [SYNC keep.generation] acquire
  const std::uint64_t generation = dead.keep_header().generation.load(std::memory_order_acquire);
  const std::byte* half = dead.at(k_keep_log_offset) + (generation & 1) * k_keep_half;
  for (std::uint64_t offset = 0; offset + sizeof(KeptEntry) <= k_keep_half && entries_.size() < k_most_entries;) {
    const auto& entry = *reinterpret_cast<const KeptEntry*>(half + offset);
    if (entry.mark.load(std::memory_order_acquire) != mark_of(generation, offset)) break;  // [SYNC keep.commit]
    const KeptFacts facts = facts_of(entry);
    if (size_of(facts.words) > k_keep_half - offset) break;
    const auto state = static_cast<KeptState>(entry.state.load(std::memory_order_relaxed));
    // What was handled has moved its channel's position before.
    if (state == KeptState::waiting || state == KeptState::in_hand) {
      entries_.push_back({facts, state, half + offset + sizeof(KeptEntry)});
      std::uint64_t& end = logged_to_[facts.secret];
      end = std::max(end, facts.end & ~std::uint64_t{63});
    }
    offset += size_of(facts.words);
  }
}

KeptRemains::Left KeptRemains::left(const KeptChannel& channel) const {
  Left left;
  if (channel.cursor >= k_max_channels) return left;
  const KeepRow& row = dead_.keep_row(channel.cursor);
  if (row.secret.load(std::memory_order_relaxed) != channel.secret) return left;
  left.is_known = true;
  left.position = dead_.position(channel.cursor).load(std::memory_order_relaxed);
  if (left.position == k_drained) return left;
  if (left.position % k_line != 0)
    left.position = dead_.cursor(channel.cursor).consumed.load(std::memory_order_relaxed) & ~std::uint64_t{63};
  if (const auto logged = logged_to_.find(channel.secret); logged != logged_to_.end())
    left.position = std::max(left.position, logged->second);
  const std::uint64_t in_hand = row.in_hand.load(std::memory_order_relaxed);
  if (in_hand > left.position && in_hand % k_line == 0) left.in_hand = in_hand;
  left.again = static_cast<unsigned>(belonging(row.again.load(std::memory_order_relaxed), left.position));
  return left;
}

std::vector<KeptInHand> KeptRemains::in_hand(std::span<const KeptChannel> channels) const {
  std::vector<KeptInHand> in_hand;
  for (const Entry& entry : entries_)
    if (entry.is_in_hand() && in_hand.size() < k_most_in_hand) in_hand.push_back({.facts = entry.facts, .channel = {}, .body = entry.body});
  for (const KeptChannel& channel : channels) {
    const Left left = this->left(channel);
    if (!left.is_known || left.in_hand == 0 || in_hand.size() >= k_most_in_hand) continue;
    KeptInHand found{.facts = {}, .channel = channel, .position = left.position};
    found.facts.type_id = dead_.keep_row(channel.cursor).in_hand_type.load(std::memory_order_relaxed);
    found.facts.timestamp = dead_.keep_row(channel.cursor).in_hand_stamp.load(std::memory_order_relaxed);
    found.facts.again = static_cast<std::uint16_t>(left.again);
    in_hand.push_back(found);
  }
  return in_hand;
}

std::uint64_t KeptRemains::in_log(bool redelivers) const {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(entries_, [&](const Entry& entry) { return entry.is_passed_on(redelivers); }));
}

std::uint64_t KeptRemains::position(const KeptChannel& channel, bool redelivers) const {
  const Left left = this->left(channel);
  return left.is_dropped(redelivers) ? left.in_hand : left.position;
}

/// The tickets are counted on by the sender: a bit is toggled back once for each large message that is done with. Those in
/// the log are not; one that was only read, and will be read again, is as if it had not been; all others are done with.
void KeptRemains::take_over_tickets(const OwnSegment& own, const KeptChannel& channel, const Left& left, bool is_read_again,
                                    std::uint64_t in_log) const {
  const KeepRow& from = dead_.keep_row(channel.cursor);
  const std::uint64_t released = dead_.cursor(channel.cursor).released.load(std::memory_order_relaxed);
  std::uint64_t outstanding = (from.owed.load(std::memory_order_relaxed) ^ released) & ~in_log;
  const std::uint64_t large = from.large.load(std::memory_order_relaxed);
  const bool is_of_first = large != 0 && (large & ~std::uint64_t{63}) == left.position + 64;
  if (is_of_first && is_read_again) outstanding &= ~(std::uint64_t{1} << (large & 63));
  own.cursor(channel.cursor).released.store(released ^ outstanding, std::memory_order_relaxed);
  own.keep_row(channel.cursor).owed.store(released ^ outstanding ^ in_log, std::memory_order_relaxed);
}

void KeptRemains::take_over(const OwnSegment& own, KeepLog& log, std::span<const KeptChannel> channels, bool redelivers) const {
  std::unordered_map<std::uint64_t, std::uint64_t> tickets;  // in the log, by channel
  for (const Entry& entry : entries_) {
    if (!entry.is_passed_on(redelivers)) continue;
    KeptFacts facts = entry.facts;
    facts.again = static_cast<std::uint16_t>(facts.again + entry.is_in_hand());
    log.append(facts, KeptState::waiting, entry.body);
    if (const auto ticket = ticket_of(facts, entry.body); ticket < k_tickets)
      tickets[facts.secret] |= std::uint64_t{1} << ticket;
  }
  for (const KeptChannel& channel : channels) {
    const Left left = this->left(channel);
    if (!left.is_known) continue;
    const bool drops = left.is_dropped(redelivers);
    const std::uint64_t position = drops ? left.in_hand : left.position;
    KeepRow& row = own.keep_row(channel.cursor);
    own.position(channel.cursor).store(position, std::memory_order_relaxed);
    row.secret.store(channel.secret, std::memory_order_relaxed);
    if (position == k_drained) continue;
    own.cursor(channel.cursor).consumed.store(position, std::memory_order_relaxed);
    const unsigned again = drops ? 0 : left.again + (left.in_hand != 0 ? 1 : 0);
    row.again.store(again ? (position + 64) | again : 0, std::memory_order_relaxed);
    take_over_tickets(own, channel, left, !drops, tickets[channel.secret]);
  }
}

}  // namespace muproc::shm
