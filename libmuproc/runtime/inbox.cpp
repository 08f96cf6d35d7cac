#include "runtime/inbox.hpp"

#include <muproc/self.hpp>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "shm/counter.hpp"
#include "sys/clock.hpp"
#include "wire/mumsg.capnp.h"

namespace muproc::detail {
namespace {

/// What a stashed message costs beyond its words, so that empty ones are limited too.
constexpr std::size_t k_stash_overhead = 256;

std::size_t cost(const Body* body) { return (body ? body->bytes() : 0) + k_stash_overhead; }

}  // namespace

Inbox::Inbox(std::shared_ptr<shm::OwnSegment> own, const shm::DirectoryView& directory, Pid self,
             std::uint64_t stash_limit, Hooks hooks)
    : own_(std::move(own)), directory_(directory), self_(self), stash_limit_(stash_limit), hooks_(std::move(hooks)) {}

void Inbox::open(std::uint32_t cursor, std::shared_ptr<Peer> peer, Pid speaker, std::uint64_t ring_offset,
                 std::uint32_t ring_size, std::uint64_t secret, std::uint64_t copy_limit) {
  if (cursor >= shm::k_max_channels || ring_offset % sys::k_page != 0 || ring_offset < shm::k_rings_offset ||
      ring_size < shm::k_min_ring || ring_size > shm::k_max_ring || (ring_size & (ring_size - 1)) != 0 ||
      ring_offset > shm::k_arena_offset - ring_size)
    return;  // the broker checks too; a channel outside the rings would be read out of bounds
  auto channel = std::make_shared<InChannel>();
  channel->index = cursor;
  channel->own = own_;
  channel->reader = shm::RingReader(peer->segment.at(ring_offset), ring_size, secret, &own_->cursor(cursor).consumed);
  channel->peer = std::move(peer);
  channel->copy_limit = copy_limit;
  channel->speaker = speaker;
  if (keeper_) {
    const std::uint64_t position = keeper_->begin_channel(cursor, secret);
    if (position == shm::k_drained) {  // our predecessor had come to that, and did not come to say it
      keeper_->end_channel(cursor);
      return hooks_.drained(*channel);
    }
    channel->reader = shm::RingReader::keeper(channel->peer->segment.at(ring_offset), ring_size, secret, &own_->cursor(cursor).consumed, position);
  }
  channels_.push_back(std::move(channel));
}

InChannel* Inbox::channel_from(Pid pid) {
  for (const auto& channel : channels_)
    if (channel->peer->pid == pid) return channel.get();
  return nullptr;
}

void Inbox::sender_died(Pid pid) {
  for (const auto& channel : channels_)
    if (channel->peer->pid == pid) channel->sender_dead = some_dead_ = true;
}

// ---- notices ---------------------------------------------------------------------------------------------------------

bool Inbox::deliverable(const Notice& notice) {
  const bool is_of_a_death = notice.kind != Notice::Kind::exit_signal && !notice.stamp;
  if (is_of_a_death) return all_read_from(notice.pid);
  InChannel* channel = channel_from(notice.pid);
  if (!channel || channel->closed) return true;
  if (notice.stamp) return !look(*channel) || channel->head.timestamp > notice.stamp;
  return !notice.position || channel->reader.position() >= *notice.position || (channel->sender_dead && !look(*channel));
}

/// The dead write no more: empty is empty for good. Its Senders were threads of the same process.
bool Inbox::all_read_from(Pid speaker) {
  return std::none_of(channels_.begin(), channels_.end(), [&](const auto& channel) {
    const bool is_its_own = channel->speaker == speaker || channel->peer->pid == speaker;
    return is_its_own && !channel->closed && look(*channel);
  });
}

std::optional<Notice> Inbox::take_notice() {
  for (auto at = notices_.begin(); at != notices_.end(); ++at) {
    if (!deliverable(*at)) continue;
    Notice notice = std::move(*at);
    notices_.erase(at);
    return notice;
  }
  return std::nullopt;
}

bool Inbox::notice_ready() {
  return std::any_of(notices_.begin(), notices_.end(), [this](const Notice& notice) { return deliverable(notice); });
}

// ---- channels --------------------------------------------------------------------------------------------------------

void Inbox::refuse(InChannel& channel, std::uint64_t position, const std::string& why) {
  hooks_.corrupt(channel, position, why);
  channel.closed = true;
  shm::add(own_->status().malformed, 1);
}

bool Inbox::ready() {
  for (const auto& channel : channels_)
    if (channel->has_head || (!channel->closed && channel->reader.anything())) return true;
  return false;
}

/// A stamp from the future counts as now, from the first time that it is compared: it holds nothing back for long.
bool Inbox::is_older(InChannel& a, InChannel& b) {
  for (InChannel* channel : {&a, &b})
    if (channel->head.timestamp > now_)
      channel->head.timestamp = std::min(channel->head.timestamp, now_ = sys::ticks(directory_.use_tsc()));
  return a.head.timestamp < b.head.timestamp;
}

void Inbox::list(InChannel& channel) {
  if (!look(channel) || channel.is_listed) return;
  channel.is_listed = true;
  heads_.push_back(&channel);
}

void Inbox::unlist(InChannel& channel) {
  channel.is_listed = false;
  const auto at = std::find(heads_.begin(), heads_.end(), &channel);
  *at = heads_.back();
  heads_.pop_back();
}

InChannel* Inbox::oldest_head() {
  InChannel* oldest = nullptr;
  for (InChannel* channel : heads_)
    if (!oldest || is_older(*channel, *oldest)) oldest = channel;
  return oldest;
}

/// What is there now is settled afterwards: whatever came before it, in any channel, was there too and is seen. Of a long row
/// of records in one channel, so many at a time.
void Inbox::look_at_all() {
  constexpr unsigned k_most = 32;
  shm::RecordHeader header;
  for (InChannel* channel : heads_) {
    shm::RingReader ahead = channel->reader.ahead();
    ahead.pass(channel->head);
    for (unsigned n = 0; n < k_most && ahead.look(header) == shm::RingReader::Look::record; ++n) ahead.pass(header);
    channel->settled_to = ahead.position();
  }
  for (const auto& channel : channels_) list(*channel);
}

InChannel* Inbox::next_of_many() {
  if (some_dead_) drop_drained();
  if (taken_from_) list(*std::exchange(taken_from_, nullptr));
  for (bool looked = false;; looked = true) {
    InChannel* oldest = oldest_head();
    if (oldest && oldest->reader.position() < oldest->settled_to) return oldest;
    if (looked && !oldest) return nullptr;
    look_at_all();
  }
}

std::optional<Message> Inbox::pull() {
  while (InChannel* channel = next_channel())
    if (auto body = consume(*channel)) return Message(std::move(body));
  return std::nullopt;
}

BodyPtr Inbox::consume(InChannel& channel) {
  if (keeper_) [[unlikely]] return consume_kept(channel);
  take_head(channel);
  BodyPtr body;
  if (channel.head.target == static_cast<std::uint16_t>(self_.incarnation())) [[likely]] {
    body = read_record(channel);
    if (!body) [[unlikely]] return nullptr;
  }
  const bool is_published = channel.reader.advance(channel.head);
  own_->position(channel.index).store(channel.reader.position(), std::memory_order_relaxed);
  if (is_published) channel.peer->wake(shm::Asleep::for_room);
  if (!body) [[unlikely]] return body;
  note_received(channel, *body);
  return body;
}

inline void Inbox::note_received(const InChannel& channel, const Body& body) {
  latest_ = std::max(latest_, channel.head.timestamp);
  shm::StatusBlock& status = own_->status();
  shm::add(status.messages_received, 1);
  shm::add(status.bytes_received, body.bytes());
}

/// Of a kept mailbox: what was sent to a predecessor is read too, where it is a successor's to have; and nothing is done with
/// by being read.
BodyPtr Inbox::consume_kept(InChannel& channel) {
  const bool is_keepable = Keeper::is_keepable(channel.head);
  const bool is_for_us = is_keepable || channel.head.target == static_cast<std::uint16_t>(self_.incarnation());
  if (is_keepable) keeper_->make_way();
  take_head(channel);
  BodyPtr body;
  if (is_for_us) {
    body = read_record(channel);
    if (!body) return nullptr;
    body->kept = 0;
    body->redelivered = 0;
  }
  const std::uint64_t begin = channel.reader.position();
  channel.reader.advance(channel.head);
  is_keepable ? keeper_->took(channel, begin, *body) : keeper_->passed(channel);
  if (body) note_received(channel, *body);
  return body;
}

/// Copies the record out and opens it; null when it is malformed, which is known to the broker then.
inline BodyPtr Inbox::read_record(InChannel& channel) {
  try {
    if (channel.head.flags) return read_other_record(channel, channel.head, channel.reader.body());
    BodyPtr body = copy_record(channel, channel.head, channel.reader.body(), channel.head.words);
    body->open();
    // Of a large mumsg a clause looks only at what it uses; everything else is looked at before it is handed on.
    if (channel.head.type_id != capnp::typeId<wire::Mumsg>()) body->check();
    return body;
  } catch (const kj::Exception& malformed) {
    refuse(channel, channel.reader.position(), std::string("contents that are no message: ") + malformed.getDescription().cStr());
  } catch (const Error& malformed) {
    refuse(channel, channel.reader.position(), malformed.what());
  }
  return nullptr;  // anything else is our own want of memory or descriptors: the record stays where it is
}

inline BodyPtr Inbox::copy_record(const InChannel& channel, const shm::RecordHeader& head, const std::byte* from, std::size_t words) {
  BodyPtr body = pool_.take(words);
  shm::copy_out(reinterpret_cast<std::byte*>(body->own.get()), from, words);
  shm::add(own_->status().bytes_copied_in, words * 8);
  body->from = From(channel.speaker);
  body->kind = static_cast<Message::Kind>(head.kind);
  body->type_id = head.type_id;
  body->ref = 0;
  body->timestamp = head.timestamp;
  body->first_words = words;
  return body;
}

/// One with a reference, or with memory of its sender's.
BodyPtr Inbox::read_other_record(InChannel& channel, const shm::RecordHeader& head, const std::byte* from) {
  std::size_t words = head.words;
  std::uint64_t ref = 0;
  if (head.flags & shm::k_flag_reference) {
    if (words < 1) throw Error("a record without its reference");
    std::memcpy(&ref, from, 8);
    from += 8;
    --words;
  }
  BodyPtr body = copy_record(channel, head, from, words);
  body->ref = ref;
  try {
    if (head.flags & shm::k_flag_large) {
      body->channel = channels_[static_cast<std::size_t>(
          std::find_if(channels_.begin(), channels_.end(), [&](const auto& c) { return c.get() == &channel; }) -
          channels_.begin())];
      body->ticket = shm::k_tickets;  // none, until the table says which
      read_large(channel, *body, words);
    }
    body->open();
    if (head.type_id != capnp::typeId<wire::Mumsg>()) body->check();
  } catch (...) {
    body->channel.reset();  // the block stays in flight: its sender will be ended, and its memory with it
    throw;
  }
  return body;
}

/// The private copy begins with the table; what it says is checked before it is used.
void Inbox::read_large(InChannel& channel, Body& body, std::size_t body_words) {
  shm::LargeTable table;
  if (body_words * 8 < sizeof table) throw Error("a large message without its table");
  std::memcpy(&table, body.own.get(), sizeof table);
  const std::size_t table_words = (sizeof table + table.segments * sizeof(shm::LargeSegment)) / 8;
  if (table.segments > shm::k_max_large_segments || table.ticket >= shm::k_tickets || table_words > body_words)
    throw Error("a large message whose table cannot be");
  for (std::uint32_t i = 0; i < table.segments; ++i) {
    shm::LargeSegment segment;
    std::memcpy(&segment, reinterpret_cast<const std::byte*>(body.own.get()) + sizeof table + i * sizeof segment,
                sizeof segment);
    const std::byte* base;
    std::size_t size;
    if (segment.extent == 0) {
      base = channel.peer->segment.at(shm::k_arena_offset);
      size = shm::k_arena_size;
    } else {
      if (!channel.peer->extents.count(segment.extent)) hooks_.fetch_extent(*channel.peer, segment.extent);
      const auto& extent = body.extents.emplace_back(channel.peer->extents.at(segment.extent));
      base = extent->data();
      size = extent->size();
    }
    if (segment.offset % 8 != 0 || segment.offset > size || segment.words > (size - segment.offset) / 8)
      throw Error("a large message that lies outside its sender's memory");
    body.further.emplace_back(reinterpret_cast<const capnp::word*>(base + segment.offset), segment.words);
  }
  body.ticket = table.ticket;
  body.first_words = body_words - table_words;
  body.first_is_further = body.first_words == 0;
  std::memmove(body.own.get(), body.own.get() + table_words, body.first_words * 8);
  if (channel.copy_limit) copy_large(channel, body);
}

/// Nothing that is looked at from here on can be changed by its sender any more; the block is given back at once.
void Inbox::copy_large(const InChannel& channel, Body& body) {
  std::uint64_t words = 0;
  for (const auto& segment : body.further) words += segment.size();  // at most 56 of less than 2^61: no overflow
  if (words > channel.copy_limit / 8) throw Error("a large message that is larger than may be copied");
  body.copy.reset(new (std::nothrow) capnp::word[words]);
  if (!body.copy) throw Error("a large message that there is no memory to copy");
  capnp::word* to = body.copy.get();
  for (auto& segment : body.further) {
    std::memcpy(static_cast<void*>(to), segment.begin(), segment.size() * 8);
    segment = {to, segment.size()};
    to += segment.size();
  }
  shm::add(own_->status().bytes_copied_in, words * 8);
  if (keeper_) return;  // a successor may have to copy it once more
  body.channel->release_ticket(body.ticket);
  channel.peer->wake(shm::Asleep::for_room);
  body.channel.reset();
  body.extents.clear();
}

void Inbox::drop_drained() {
  some_dead_ = false;
  for (std::size_t i = 0; i < channels_.size();) {
    InChannel& channel = *channels_[i];
    if (!channel.sender_dead || look(channel) || (keeper_ && keeper_->holds(channel))) {
      some_dead_ |= channel.sender_dead;
      ++i;
      continue;
    }
    close(i);
  }
}

void Inbox::close(std::size_t index) {
  std::shared_ptr<InChannel> channel = std::move(channels_[index]);
  if (channel->has_head) take_head(*channel);
  if (taken_from_ == channel.get()) taken_from_ = nullptr;
  channels_.erase(channels_.begin() + static_cast<std::ptrdiff_t>(index));
  channel->closed = true;
  // Nobody reads the cursor now; the next sender that gets this row starts at 0.
  if (keeper_) {
    keeper_->end_channel(channel->index);
    return hooks_.drained(*channel);
  }
  own_->cursor(channel->index).consumed.store(0, std::memory_order_release);
  own_->cursor(channel->index).released.store(0, std::memory_order_release);
  own_->position(channel->index).store(0, std::memory_order_relaxed);
  hooks_.drained(*channel);
}

void Inbox::publish_cursors() {
  for (const auto& channel : channels_) {
    if (channel->closed) continue;
    const bool is_news = keeper_ ? channel->reader.publish_to(own_->position(channel->index).load(std::memory_order_relaxed)) : channel->reader.publish();
    if (is_news) channel->peer->wake(shm::Asleep::for_room);
  }
}

// ---- what a predecessor has left -------------------------------------------------------------------------------------

bool Inbox::is_unsure() {
  bool unsure = false;
  for (const auto& channel : channels_) {
    if (!channel->unsure_since) continue;
    const shm::StatusBlock& sender = channel->peer->segment.status();
    // In its sleep, and in any later call, it first hears who has succeeded to whom.
    const bool knows = channel->sender_dead || sender.asleep.load(std::memory_order_relaxed) != 0 ||
                       sender.runtime_calls.load(std::memory_order_relaxed) != *channel->unsure_since;
    knows ? channel->unsure_since.reset() : void(unsure = true);
  }
  return unsure;
}

/// The entry's message. Throws when it is none, or when its sender's memory is gone.
BodyPtr Inbox::read_entry(shm::KeepLog::Place place, std::shared_ptr<InChannel>& channel) {
  const shm::KeptFacts facts = keeper_->log().facts(place);
  const auto found = std::find_if(channels_.begin(), channels_.end(), [&](const auto& c) { return own_->keep_row(c->index).secret.load(std::memory_order_relaxed) == facts.secret; });
  channel = found != channels_.end() ? *found : std::make_shared<InChannel>();
  if (found == channels_.end()) {
    if (facts.flags & shm::k_flag_large) throw Error("its sender's memory is gone");
    channel->own = own_;
    channel->speaker = facts.speaker;
  }
  shm::RecordHeader head{};
  head.words = facts.words;
  head.kind = facts.kind;
  head.flags = facts.flags;
  head.type_id = facts.type_id;
  head.timestamp = facts.timestamp;
  BodyPtr body = read_other_record(*channel, head, keeper_->log().body(place));
  body->from = From(facts.speaker);
  return body;
}

void Inbox::take_over() {
  for (const auto& channel : channels_) channel->unsure_since = channel->peer->segment.status().runtime_calls.load(std::memory_order_relaxed);
  for (const shm::KeepLog::Place place : keeper_->log().places()) {
    std::shared_ptr<InChannel> channel;
    BodyPtr body;
    std::string why;
    try {
      body = read_entry(place, channel);
    } catch (const kj::Exception& malformed) {
      why = malformed.getDescription().cStr();
    } catch (const Error& malformed) {
      why = malformed.what();
    }
    if (!body) {
      hooks_.lost(keeper_->log().facts(place).speaker, why);
      keeper_->log().finish(place);
      continue;
    }
    keeper_->took_over(place, channel, *body);
    keep(Message(std::move(body)));
  }
}

// ---- stash -----------------------------------------------------------------------------------------------------------

void Inbox::count_stash() {
  shm::StatusBlock& status = own_->status();
  status.stash_messages.store(stash_.size(), std::memory_order_relaxed);
  status.stash_bytes.store(stash_bytes_, std::memory_order_relaxed);
  if (stash_bytes_ > status.stash_high_water.load(std::memory_order_relaxed))
    status.stash_high_water.store(stash_bytes_, std::memory_order_relaxed);
}

void Inbox::say_full() const {
  throw StashFull("the stash is full: " + std::to_string(stash_.size()) + " messages, " + std::to_string(stash_bytes_) +
                  " bytes wait unmatched, the limit is " + std::to_string(stash_limit_));
}

void Inbox::require_room_for(const Message& message) const {
  // A notice of the system is never lost for want of room.
  if (message.from() && stash_bytes_ + cost(message.body()) > stash_limit_) say_full();
}

void Inbox::push(Message message) {
  require_room_for(message);
  keep(std::move(message));
}

void Inbox::keep(Message message) {
  const std::size_t bytes = cost(message.body());
  if (message.envelope().kept) [[unlikely]] keeper_->store(message.envelope().kept);
  BodyPtr body = compact(BodyPtr(static_cast<Body*>(message.envelope_.release())));
  if (!body) body.reset(new Body(0));
  body->stash_order = ++pushed_;
  message.envelope_ = std::move(body);
  stash_bytes_ += bytes;
  stash_.push_back(std::move(message));
  count_stash();
}

Inbox::Stash::iterator Inbox::pushed_after(std::uint64_t count) {
  if (count == 0) return stash_.begin();
  auto at = stash_.end();
  while (at != stash_.begin() && std::prev(at)->body()->stash_order > count) --at;
  return at;
}

Message Inbox::take(Stash::iterator at) {
  Message message = std::move(*at);
  stash_bytes_ -= cost(message.body());
  stash_.erase(at);
  count_stash();
  return message;
}

std::size_t Inbox::discard() {
  const std::size_t count = stash_.size();
  if (keeper_)
    for (Message& message : stash_) keeper_->finish(*message.body());
  stash_.clear();
  stash_bytes_ = 0;
  count_stash();
  return count;
}

}  // namespace muproc::detail
