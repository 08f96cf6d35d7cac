#include "runtime/inbox.hpp"

#include <muproc/self.hpp>

#include <algorithm>
#include <cstring>

#include "sys/clock.hpp"
#include "wire/mumsg.capnp.h"

namespace muproc::detail {
namespace {

void add(shm::AtomicU64& counter, std::uint64_t count) {
  counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

/// What a stashed message costs beyond its words, so that empty ones are limited too.
constexpr std::size_t k_stash_overhead = 256;

std::size_t cost(const Body* body) { return (body ? body->bytes() : 0) + k_stash_overhead; }

}  // namespace

Inbox::Inbox(std::shared_ptr<shm::OwnSegment> own, const shm::DirectoryView& directory, Pid self,
             std::uint64_t stash_limit, Hooks hooks)
    : own_(std::move(own)), directory_(directory), self_(self), stash_limit_(stash_limit), hooks_(std::move(hooks)) {}

void Inbox::open(std::uint32_t cursor, std::shared_ptr<Peer> peer, std::uint64_t ring_offset, std::uint32_t ring_size,
                 std::uint64_t secret) {
  if (cursor >= shm::k_max_channels || ring_offset % sys::k_page != 0 || ring_offset < shm::k_rings_offset ||
      ring_size < shm::k_min_ring || ring_size > shm::k_max_ring || (ring_size & (ring_size - 1)) != 0 ||
      ring_offset > shm::k_arena_offset - ring_size)
    return;  // the broker checks too; a channel outside the rings would be read out of bounds
  auto channel = std::make_shared<InChannel>();
  channel->index = cursor;
  channel->own = own_;
  channel->reader = shm::RingReader(peer->segment.at(ring_offset), ring_size, secret, &own_->cursor(cursor).consumed);
  channel->peer = std::move(peer);
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
  InChannel* channel = channel_from(notice.pid);
  if (!channel || channel->closed) return true;
  const bool drained = !look(*channel);
  if (notice.kind == Notice::Kind::terminated) return drained;  // the dead write no more: empty is empty for good
  return !notice.position || channel->reader.position() >= *notice.position || (channel->sender_dead && drained);
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

bool Inbox::look(InChannel& channel) {
  if (channel.has_head || channel.closed || !channel.reader.anything()) return channel.has_head;
  switch (channel.reader.look(channel.head)) {
    case shm::RingReader::Look::nothing: return false;
    case shm::RingReader::Look::record:
      channel.has_head = true;
      channel.seen_in_pass = pass_;
      return true;
    case shm::RingReader::Look::malformed:
      hooks_.corrupt(channel, channel.reader.position(), "a record header that cannot be");
      channel.closed = true;
      add(own_->status().malformed, 1);
      return false;
  }
  return false;
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

InChannel* Inbox::next_channel() {
  for (;;) {
    if (some_dead_) drop_drained();
    ++pass_;
    InChannel* oldest = nullptr;
    for (const auto& channel : channels_)
      if (look(*channel) && (!oldest || is_older(*channel, *oldest))) oldest = channel.get();
    // Seen in this very pass: an earlier one may have become visible in a channel that was already passed.
    if (oldest && oldest->seen_in_pass == pass_ && channels_.size() > 1) continue;
    return oldest;
  }
}

std::optional<Message> Inbox::pull() {
  while (InChannel* channel = next_channel())
    if (auto message = consume(*channel)) return message;
  return std::nullopt;
}

std::optional<Message> Inbox::consume(InChannel& channel) {
  const std::uint64_t position = channel.reader.position();
  channel.has_head = false;
  BodyPtr body;
  if (channel.head.target == static_cast<std::uint16_t>(self_.incarnation())) {
    std::string why_not;
    body = read_record(channel, why_not);
    if (!body) {
      hooks_.corrupt(channel, position, why_not);
      channel.closed = true;
      add(own_->status().malformed, 1);
      return std::nullopt;
    }
  }
  if (channel.reader.advance(channel.head)) channel.peer->wake(shm::Asleep::for_room);
  if (!body) return std::nullopt;
  latest_ = std::max(latest_, channel.head.timestamp);
  add(own_->status().messages_received, 1);
  add(own_->status().bytes_received, body->bytes());
  return Message(std::move(body));
}

/// Copies the record out and opens it; null, with the reason, when it is malformed.
BodyPtr Inbox::read_record(InChannel& channel, std::string& why_not) {
  const shm::RecordHeader& head = channel.head;
  const std::byte* from = channel.reader.body();
  std::size_t words = head.words;
  std::uint64_t ref = 0;
  if (head.flags & shm::k_flag_reference) {
    if (words < 1) return why_not = "a record without its reference", nullptr;
    std::memcpy(&ref, from, 8);
    from += 8;
    --words;
  }
  BodyPtr body = pool_.take(words);
  std::memcpy(body->own.get(), from, words * 8);
  add(own_->status().bytes_copied_in, words * 8);
  body->from = From(channel.peer->pid);
  body->kind = static_cast<Message::Kind>(head.kind);
  body->type_id = head.type_id;
  body->ref = ref;
  body->timestamp = head.timestamp;
  body->first_words = words;
  // Of a large mumsg a clause looks only at what it uses; everything else is looked at before it is handed on.
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
  } catch (const kj::Exception& malformed) {
    why_not = std::string("contents that are no message: ") + malformed.getDescription().cStr();
  } catch (const std::exception& malformed) {
    why_not = malformed.what();
  }
  if (!why_not.empty()) {
    body->channel.reset();  // the block stays in flight: its sender will be ended, and its memory with it
    return nullptr;
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
}

void Inbox::drop_drained() {
  some_dead_ = false;
  for (std::size_t i = 0; i < channels_.size();) {
    InChannel& channel = *channels_[i];
    if (!channel.sender_dead || look(channel)) {
      some_dead_ |= channel.sender_dead;
      ++i;
      continue;
    }
    close(i);
  }
}

void Inbox::close(std::size_t index) {
  std::shared_ptr<InChannel> channel = std::move(channels_[index]);
  channels_.erase(channels_.begin() + static_cast<std::ptrdiff_t>(index));
  channel->closed = true;
  // Nobody reads the cursor now; the next sender that gets this row starts at 0.
  own_->cursor(channel->index).consumed.store(0, std::memory_order_release);
  own_->cursor(channel->index).released.store(0, std::memory_order_release);
  hooks_.drained(*channel);
}

void Inbox::publish_cursors() {
  for (const auto& channel : channels_)
    if (!channel->closed && channel->reader.publish()) channel->peer->wake(shm::Asleep::for_room);
}

// ---- stash -----------------------------------------------------------------------------------------------------------

void Inbox::count_stash() {
  shm::StatusBlock& status = own_->status();
  status.stash_messages.store(stash_.size(), std::memory_order_relaxed);
  status.stash_bytes.store(stash_bytes_, std::memory_order_relaxed);
  if (stash_bytes_ > status.stash_high_water.load(std::memory_order_relaxed))
    status.stash_high_water.store(stash_bytes_, std::memory_order_relaxed);
}

void Inbox::push(Message message) {
  const std::size_t bytes = cost(message.body());
  // A notice of the system is never lost for want of room.
  if (message.from() && stash_bytes_ + bytes > stash_limit_)
    throw StashFull("the stash is full: " + std::to_string(stash_.size()) + " messages, " +
                    std::to_string(stash_bytes_) + " bytes wait unmatched, the limit is " +
                    std::to_string(stash_limit_));
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
  stash_.clear();
  stash_bytes_ = 0;
  count_stash();
  return count;
}

}  // namespace muproc::detail
