// Messages out and in: the two halves of the message corridor that meet in a muproc.
#include <algorithm>

#include "runtime/arguments.hpp"
#include "runtime/runtime.hpp"
#include "shm/counter.hpp"
#include "shm/dead_letters.hpp"
#include "sys/clock.hpp"
#include "wire/server.capnp.h"
#include "wire/summary.hpp"

namespace muproc::detail {
namespace {

template <class Enum>
void set(shm::AtomicU32& word, Enum value) {
  word.store(static_cast<std::uint32_t>(value), std::memory_order_relaxed);
}

bool is_reply(Message::Kind kind) { return kind == Message::Kind::reply || kind == Message::Kind::error; }
/// For the successor of one that has ended. (Who calls has heard of the end.)
bool may_wait(Message::Kind kind) { return kind == Message::Kind::message || kind == Message::Kind::cast; }

constexpr std::size_t k_most_bytes = (std::size_t{1} << 29) - 1;  // of one list in Cap'n Proto's encoding
constexpr std::size_t k_summary = shm::k_dead_letter_text - 1;

std::string summary_of(ScratchLease& lease, std::uint64_t type_id) {
  if (type_id == capnp::typeId<wire::Request>()) return wire::string(lease.builder().getRoot<wire::Request>().getName());
  if (type_id != capnp::typeId<wire::Mumsg>()) return {};
  return wire::summary(lease.builder().getRoot<wire::Mumsg>().asReader(), k_summary);
}

std::string summary_of(std::span<const NamedArgument> fields) {
  wire::Summary summary(k_summary);
  for (const NamedArgument& field : fields)
    summary.add(field.name, field.value.kind(), field.value.owned() ? std::string_view() : field.value.text());
  return summary.take();
}

std::uint64_t wall_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

/// What a reader of Cap'n Proto says of contents that are of another shape than their type's, as when a text does not end.
/// What builders say is told apart from that.
bool is_about_contents(const kj::Exception& failure) {
  const kj::StringPtr description = failure.getDescription();  // quotes bytes of the message, zeros among them
  const std::string_view what(description.begin(), description.size());
  const auto says = [&](std::string_view words) { return what.find(words) != what.npos; };
  return says("Message contain") || says("Message is too deeply-nested") || says("Exceeded message traversal limit");
}

bool valid_ring_size(std::uint32_t size) {
  return size >= shm::k_min_ring && size <= shm::k_max_ring && (size & (size - 1)) == 0;
}

}  // namespace

// ---- dead letters ----------------------------------------------------------------------------------------------------

/// Who is meant; what was for nobody is a dead letter, and its sender's error.
template <class Summary>
Pid Runtime::recipient(Address to, Message::Kind kind, std::uint64_t type_id, Summary&& summary) {
  if (to.is_name()) {
    if (const Pid pid = directory_->find(to.name())) return pid;
    if (may_wait(kind))
      if (const Pid pid = directory_->find_kept(to.name())) return pid;
  }
  try {
    return resolve(to);
  } catch (const NoSuchName&) {
    note_nobody(to, Message::Kind::message, type_id, summary());
    throw;
  }
}

void Runtime::note_nobody(Address to, Message::Kind kind, std::uint64_t type_id, std::string text) {
  note(own_->status().dead_letters, {shm::Drop::no_name, kit_.pid, {}, static_cast<shm::RecordKind>(kind), type_id,
                                     to.is_name() ? std::string(to.name()) : std::string(), std::move(text), wall_clock()});
}

/// Answers still reach one that is being drained. What is sent to a name waits for the successor of one whose mailbox is kept.
bool Runtime::takes(Pid pid, Address to, Message::Kind kind) const {
  return directory_->alive(pid) || (is_reply(kind) && directory_->draining(pid)) || (to.is_name() && may_wait(kind) && directory_->kept(pid));
}

/// Its receiver does not take it.
void Runtime::drop(Pid to, Message::Kind kind, std::uint64_t type_id, std::string text) {
  ++dropped_;
  const shm::Drop why = directory_->draining(to)      ? shm::Drop::draining
                        : kind == Message::Kind::call ? shm::Drop::call
                                                      : shm::Drop::ended;
  if (why != shm::Drop::draining) shm::add(own_->status().sent_to_dead, 1);
  note(own_->status().dead_letters, {why, kit_.pid, to, static_cast<shm::RecordKind>(kind), type_id, {}, std::move(text), wall_clock()});
}

/// An answer that nobody waits for, or not any more.
void Runtime::drop_answer(const Message& answer) {
  note(own_->status().dead_letters, {shm::Drop::late_reply, answer.from(), kit_.pid, static_cast<shm::RecordKind>(answer.kind()),
                                     answer.type_id(), {}, {}, wall_clock()});
}

/// What was written to a dead one's channel after the broker had looked what was unread in it. It is our own memory.
void Runtime::count_late(const OutChannel& channel, std::uint64_t counted) {
  if (counted % shm::k_line != 0 || counted > channel.writer.position()) return;
  shm::RingReader behind = channel.writer.observer(counted);
  shm::RecordHeader header, last{};
  std::uint64_t messages = 0;
  for (; behind.position() < channel.writer.position() && behind.look(header) == shm::RingReader::Look::record; ++messages) {
    last = header;
    behind.pass(header);
  }
  if (messages == 0) return;
  count(own_->status().dead_letters, shm::Drop::late, channel.peer->pid, messages - 1);
  note(own_->status().dead_letters, {shm::Drop::late, kit_.pid, channel.peer->pid, static_cast<shm::RecordKind>(last.kind),
                                     last.type_id, {}, {}, wall_clock()});
}

// ---- out -------------------------------------------------------------------------------------------------------------

bool Runtime::send(Address to, ScratchLease& lease, std::uint64_t type_id, SendWait wait, Message::Kind kind,
                   std::uint64_t ref) {
  check();
  const auto summary = [&] { return summary_of(lease, type_id); };
  Pid target = recipient(to, kind, type_id, summary);
  if (target == kit_.pid) {
    send_to_self(lease, type_id, kind, ref);
    return true;
  }
  shm::RecordHeader header = header_for(target, type_id, kind, ref);
  OutChannel* channel = outbox_.find(target);
  if (channel && directory_->alive(target) && try_send_once(*channel, lease, header, ref)) [[likely]] return true;

  const Time deadline = wait.has_limit() ? sys::from_now(wait.limit()) : Time::max();
  for (bool counted = false;;) {
    if (!channel && takes(target, to, kind)) channel = open_channel(target);
    if (!channel || !takes(target, to, kind)) {
      // Meanwhile another one may have the name.
      if (const Pid now = to.is_name() ? recipient(to, kind, type_id, summary) : target; now != target) {
        header.target = static_cast<std::uint16_t>(now.incarnation());
        channel = outbox_.find(target = now);
        continue;
      }
      drop(target, kind, type_id, summary_of(lease, type_id));
      return true;
    }
    if (try_send_once(*channel, lease, header, ref)) return true;
    if (!std::exchange(counted, true)) shm::add(own_->status().sends_blocked, 1);
    if (!wait_for_room(target, wait, deadline)) return false;
    channel = outbox_.find(target);  // it may have been closed while we waited
  }
}

bool Runtime::send_at_once(Address to, std::span<const NamedArgument> fields) {
  const std::uint64_t now = ticks();  // the processor takes its time for this, and can do the rest meanwhile
  check();
  const std::size_t words = plain_words(fields);
  const Pid target = recipient(to, Message::Kind::message, capnp::typeId<wire::Mumsg>(), [&] { return summary_of(fields); });
  const Claimed claimed = words ? claim_at_once(target, words) : Claimed();
  if (!claimed.body) return false;
  write_plain(claimed.body, fields);
  commit_at_once(claimed, header_for(target, capnp::typeId<wire::Mumsg>(), Message::Kind::message, 0), words, now);
  return true;
}

bool Runtime::send_flat(Address to, std::span<const std::uint64_t> words, std::uint64_t type_id, SendWait wait) {
  const std::uint64_t now = ticks();
  check();
  const Pid target = recipient(to, Message::Kind::message, type_id, [] { return std::string(); });
  if (const Claimed claimed = claim_at_once(target, 1 + words.size()); claimed.body) [[likely]] {
    const std::uint64_t root = wire::struct_pointer(0, words.size(), 0);
    std::memcpy(claimed.body, &root, 8);
    shm::copy_in(claimed.body + 8, reinterpret_cast<const std::byte*>(words.data()), words.size());
    commit_at_once(claimed, header_for(target, type_id, Message::Kind::message, 0), 1 + words.size(), now);
    return true;
  }
  const Lease scratch(*this);
  auto copy = scratch->builder().initRoot<capnp::AnyPointer>().initAsAnyStruct(static_cast<std::uint16_t>(words.size()), 0);
  std::memcpy(copy.getDataSection().begin(), words.data(), words.size_bytes());
  return send(to, *scratch, type_id, wait, Message::Kind::message, 0);
}

bool Runtime::send_bytes(Address to, std::span<const std::byte> bytes, SendWait wait) {
  const std::uint64_t now = ticks();
  check();
  if (bytes.size() > k_most_bytes) throw MessageTooLarge("bytes that are more than Cap'n Proto can carry as one");
  constexpr std::uint64_t type_id = k_byte_message;
  const Pid target = recipient(to, Message::Kind::message, type_id, [] { return std::string(); });
  const std::size_t words = 2 + (bytes.size() + 7) / 8;
  if (const Claimed claimed = claim_at_once(target, words); claimed.body) [[likely]] {
    const std::uint64_t pointers[] = {wire::struct_pointer(0, 0, 1), wire::list_pointer(0, wire::k_bytes, bytes.size())};
    std::memcpy(claimed.body, pointers, sizeof pointers);
    std::byte* last = claimed.body + 8 * (words - 1);
    if (bytes.size() % 8) std::memset(last, 0, 8);
    shm::copy_in(claimed.body + sizeof pointers, bytes.data(), bytes.size() / 8);
    for (std::size_t i = bytes.size() / 8 * 8; i < bytes.size(); ++i) last[i % 8] = bytes[i];
    commit_at_once(claimed, header_for(target, type_id, Message::Kind::message, 0), words, now);
    return true;
  }
  const Lease scratch(*this);
  auto copy = scratch->builder().initRoot<wire::ByteMessage>().initBytes(static_cast<unsigned>(bytes.size()));
  if (!bytes.empty()) std::memcpy(copy.begin(), bytes.data(), bytes.size());
  return send(to, *scratch, type_id, wait, Message::Kind::message, 0);
}

bool Runtime::try_send_once(OutChannel& channel, ScratchLease& lease, shm::RecordHeader& header, std::uint64_t ref) {
  header.timestamp = stamp(ticks());
  const std::uint64_t before = channel.writer.position();
  if (!outbox_.write(channel, lease, header, ref)) return false;
  sent(channel, channel.writer.position() - before);
  outbox_.settle(channel, lease);
  return true;
}

/// Waits for a published cursor or a released block; meanwhile takes what arrives into the stash, so that two muprocs
/// that send to each other cannot block each other. False when there is no time left.
bool Runtime::wait_for_room(Pid to, SendWait wait, Time deadline) {
  if (wait.is_never()) return false;
  check();
  drain_to_stash();
  OutChannel* channel = outbox_.find(to);
  if (!channel) return true;
  const shm::Cursor& cursor = *channel->cursor;
  // [SYNC ring.consumed], [SYNC arena.release] acquire
  const std::uint64_t consumed = cursor.consumed.load(std::memory_order_acquire);
  const std::uint64_t released = cursor.released.load(std::memory_order_acquire);
  if (consumed == channel->consumed_when_full && released == channel->released_when_full) {
    if (sys::monotonic() >= deadline) return false;
    shm::StatusBlock& status = own_->status();
    status.blocked_on.store(to.bits(), std::memory_order_relaxed);
    set(status.activity, shm::Activity::sending);
    sleeper_.wait(
        shm::Asleep::for_room, nearest(deadline == Time::max() ? std::nullopt : std::optional(deadline)),
        kit_.is_child ? -1 : lane_.fd(),
        [&] {
          return cursor.consumed.load(std::memory_order_acquire) != consumed ||
                 cursor.released.load(std::memory_order_acquire) != released || !(directory_->lives(to) || directory_->kept(to)) || news();
        },
        [&] { inbox_.publish_cursors(); });
    set(status.activity, shm::Activity::running);
  }
  channel->consumed_when_full = consumed;
  channel->released_when_full = released;
  return true;
}

OutChannel* Runtime::open_channel(Pid to) {
  // What the broker said before it showed us that one may be that a channel which we have is its predecessor's.
  if (const auto announced = directory_live_->lane.load(std::memory_order_acquire); announced > lane_.received() && !lane_.closed()) {
    lane_.pump_to(announced);
    if (OutChannel* moved = outbox_.find(to)) return moved;
  }
  auto granted = granted_.find(to);
  if (granted == granted_.end()) {
    const std::uint32_t ring_size = directory_->live(to.slot()).ring_size.load(std::memory_order_relaxed);
    if (!valid_ring_size(ring_size)) return nullptr;
    auto reply = ask_for_channel(to, ring_size);
    if (!reply) return nullptr;
    granted = granted_.emplace(to, *std::move(reply)).first;
  }
  // From here on no memory may be left: then who tries once more goes on with what was granted.
  auto& [reply, ring_offset, ring_size] = granted->second;
  auto peer = meet(to, reply.fds()[0].get(), std::move(reply.fds()[1]));
  const auto channel = reply.as<wire::FromBroker>().getChannel();
  OutChannel& opened = outbox_.open(std::move(peer), ring_offset, ring_size, channel.getCursor(), channel.getSecret());
  granted_.erase(granted);
  return &opened;
}

/// Nothing when there is no such receiver any more.
std::optional<Runtime::Granted> Runtime::ask_for_channel(Pid to, std::uint32_t ring_size) {
  const std::size_t offset = outbox_.reserve_ring(ring_size);
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initOpenChannel();
  request.setReceiver(to.bits());
  request.setRingOffset(offset);
  request.setRingSize(ring_size);
  wire::Frame reply = ask(message);
  auto contents = reply.as<wire::FromBroker>();
  if (!contents.isChannel()) {
    outbox_.give_back_ring(offset, ring_size);
    if (contents.isError() && contents.getError().getKind() != wire::Error::Kind::NOPROC)
      throw_error(contents.getError());
    return std::nullopt;
  }
  reply.expect_fds(2);
  if (contents.getChannel().getCursor() >= shm::k_max_channels) throw Error("the broker named a channel that cannot be");
  return Granted{std::move(reply), offset, ring_size};
}

void Runtime::send_to_self(ScratchLease& lease, std::uint64_t type_id, Message::Kind kind, std::uint64_t ref) {
  outbox_.check_size(lease);
  auto body = lease.copy();
  body->from = From(kit_.pid);
  body->kind = kind;
  body->type_id = type_id;
  body->ref = ref;
  body->timestamp = stamp(ticks());
  body->open();
  Message message(std::move(body));
  shm::add(own_->status().messages_sent, 1);
  if (route_reply(message)) return;
  // What a timer has sent is the timer's affair, and that ends with us.
  if (keeper_ && may_wait(kind) && !firing_) keep_own(message);
  inbox_.push(std::move(message));
}

// ---- in --------------------------------------------------------------------------------------------------------------

bool Runtime::news() {
  return directory_live_->lane.load(std::memory_order_acquire) > lane_.received() || interrupted_ || inbox_.ready();
}

void Runtime::wait_for_news(std::optional<Time> deadline) {
  // Nobody else tells of what one writes who does not know us yet.
  if (keeper_ && inbox_.is_unsure()) [[unlikely]] {
    const Time soon = sys::from_now(std::chrono::milliseconds(5));
    deadline = deadline ? std::min(*deadline, soon) : soon;
  }
  sleeper_.wait(
      shm::Asleep::for_news, nearest(deadline), kit_.is_child ? -1 : lane_.fd(), [this] { return news(); },
      [this] {
        inbox_.publish_cursors();
        set(own_->status().activity, shm::Activity::receiving);
      });
  set(own_->status().activity, shm::Activity::running);
}

/// The first notice that may be delivered now.
std::optional<Message> Runtime::next_notice() {
  settle_notices();
  throw_if_ending();
  auto notice = inbox_.take_notice();
  return notice ? std::optional(make_notice(*notice)) : std::nullopt;
}

/// Empty when there is none. (Inline: every message passes here.)
[[gnu::always_inline]] inline Message Runtime::next_in_order() {
  for (;;) {
    if (!inbox_.notices().empty()) [[unlikely]]
      if (auto notice = next_notice()) return *std::move(notice);
    InChannel* channel = inbox_.next_channel();
    // What the broker said before that record was written comes first: an exit signal of its sender, or a channel in
    // which an earlier message waits.
    if (const auto announced = directory_live_->lane.load(std::memory_order_acquire);
        announced > lane_.received() && !lane_.closed()) [[unlikely]] {
      lane_.pump_to(announced);
      hear_lane();
      throw_if_ending();
      continue;
    }
    if (channel) [[likely]] {
      const auto kind = static_cast<Message::Kind>(channel->head.kind);
      // What may have to wait in a full stash stays where it is. An answer has its own place.
      if (!is_reply(kind)) inbox_.require_room();
      Message message(inbox_.consume(*channel));
      const bool is_for_others = is_reply(kind) || router_;
      if (message.envelope_ && !(is_for_others && route_reply(message))) return message;
      continue;
    }
    // A channel that was just found drained may have held a notice back.
    if (inbox_.notices().empty() || !inbox_.notice_ready()) return {};
  }
}

std::optional<Message> Runtime::next_message() {
  Message message = next_in_order();
  return message.envelope_ ? std::optional(std::move(message)) : std::nullopt;
}

/// Replies go to who waits for them and never to the mailbox: a late one is dropped. So do the router's messages.
bool Runtime::route_reply(Message& message) {
  if (router_ && message.type_id() == routed_type_ && message.kind() == Message::Kind::message) {
    ++routed_;
    router_->deliver(kept(std::move(message)));
    return true;
  }
  if (!is_reply(message.kind())) return false;
  const auto call = calls_.find(message.ref());
  if (call == calls_.end() || call->second.target != message.from() || call->second.reply) {
    drop_answer(message);
    return true;
  }
  if (message.is<wire::HandedOver>()) {
    call->second.target = Pid(message.as<wire::HandedOver>().getTo());
    call->second.handed = true;
    call->second.down.reset();
  } else {
    call->second.reply = message.ref() == awaited_ ? std::move(message) : kept(std::move(message));
  }
  return true;
}

Message Runtime::kept(Message message) {
  return Message(compact(BodyPtr(static_cast<Body*>(message.envelope_.release()))));
}

/// For a message that was taken and that nobody wants now. Throws StashFull when it has filled the stash; it is in it.
void Runtime::stash(Message message) {
  const bool is_of_the_system = !message.from();
  inbox_.keep(std::move(message));
  if (!is_of_the_system) inbox_.require_room();
}

void Runtime::drain_to_stash() {
  while (auto message = next_message()) stash(std::move(*message));
}

inline void Runtime::run_clause(const ClauseTable::Entry& entry, Message& message, void* result) {
  if (keeper_) [[unlikely]] return run_clause_kept(entry, message, result);
  const InHand hand(*this, message);
  entry.run(entry.slot, message, result);
}

/// A message whose fields are not what their kinds say is reported here; its receiver drops it.
inline Runtime::Match Runtime::match(const ClauseTable::Entry& entry, const Message& message) {
  try {
    return entry.match(entry.slot, message) ? Match::yes : Match::no;
  } catch (const kj::Exception& malformed) {
    drop_malformed(message, malformed);
    return Match::malformed;
  }
}

void Runtime::drop_malformed(const Message& message, const kj::Exception& malformed) {
  log().error("dropped a malformed message of {}: {}", to_string(message.from()), malformed.getDescription().cStr());
  shm::add(own_->status().malformed, 1);
}

bool Runtime::receive(const ClauseTable& table, void* result) {
  if (table.after && table.after->count() < 0) throw std::invalid_argument("a negative time-out");
  check();
  if (keeper_) [[unlikely]] keeper_->settle();
  const auto deadline = table.after ? std::optional(sys::from_now(*table.after)) : std::nullopt;
  const auto choose = [&](const Message& message) -> std::pair<Match, std::size_t> {
    for (std::size_t i = 0; i < table.count; ++i)
      if (const Match found = match(table.entries[i], message); found != Match::no) return {found, i};
    return {Match::no, 0};
  };
  // A guard that throws has not taken the message that it looked at.
  const auto choose_or_keep = [&](Message& message) {
    try {
      return choose(message);
    } catch (...) {
      inbox_.keep(std::move(message));
      throw;
    }
  };
  // Contents that turn out to be malformed under the hands of their handler unwind it, and are dropped.
  const auto run = [&](std::size_t clause, Message& message) __attribute__((always_inline)) {
    const Pid from = message.from();
    try {
      run_clause(table.entries[clause], message, result);
      return true;
    } catch (const kj::Exception& malformed) {
      if (!from || from == kit_.pid || !is_about_contents(malformed)) throw;
      log().error("dropped a malformed message of {}, which was being handled: {}", to_string(from), malformed.getDescription().cStr());
      shm::add(own_->status().malformed, 1);
      return false;
    }
  };
  // What lies in the stash and has not been looked at: all of it at first, later what timers have put there meanwhile.
  std::uint64_t looked_at = 0;
  const auto take_from_stash = [&] {
    for (auto at = inbox_.pushed_after(looked_at); at != inbox_.stash().end();) {
      const auto here = at++;
      const auto [found, clause] = choose(*here);
      if (found == Match::no) continue;
      Message message = inbox_.take(here);
      if (found == Match::yes && run(clause, message)) return true;
      if (found == Match::malformed) is_done_with(message);
    }
    looked_at = inbox_.pushed();
    return false;
  };
  // When time is up, what was sent before is still looked at, and nothing that was sent later: it could go on for ever.
  std::optional<std::uint64_t> time_was_up;
  for (;; check()) {
    if (inbox_.pushed() != looked_at && take_from_stash()) return true;
    bool everything_seen = true;
    unsigned pulled = 0;
    for (;;) {
      Message message = next_in_order();
      if (!message.envelope_) break;
      const bool too_late = time_was_up && message.from() && message.envelope().timestamp > *time_was_up;
      const auto [found, clause] = choose_or_keep(message);
      if (found == Match::yes && run(clause, message)) return true;
      if (found == Match::no) stash(std::move(message));
      if (found == Match::malformed) [[unlikely]] is_done_with(message);
      looked_at = inbox_.pushed();
      if (too_late) return false;
      if (++pulled == 256) {  // timers and exit signals are due now and then, however much arrives
        everything_seen = false;
        break;
      }
    }
    if (everything_seen) say_if_drained();
    const bool time_is_up = deadline && sys::monotonic() >= *deadline;
    if (time_is_up && everything_seen) return false;
    if (time_is_up && !time_was_up) time_was_up = sys::ticks(directory_->use_tsc());
    if (everything_seen) wait_for_news(deadline);
  }
}

std::optional<Message> Runtime::receive_any(std::optional<Time> limit) {
  if (limit && limit->count() < 0) throw std::invalid_argument("a negative time-out");
  check();
  const auto deadline = limit ? std::optional(sys::from_now(*limit)) : std::nullopt;
  for (;; check()) {
    if (keeper_) keeper_->settle();
    if (!inbox_.stash().empty()) {
      Message message = inbox_.take(inbox_.stash().begin());
      is_done_with(message);
      return message;
    }
    if (auto message = next_message()) {
      is_done_with(*message);
      message = kept(std::move(*message));
      try {
        message->check();
      } catch (const kj::Exception& malformed) {
        drop_malformed(*message, malformed);
        continue;
      }
      return message;
    }
    say_if_drained();
    if (deadline && sys::monotonic() >= *deadline) return std::nullopt;
    wait_for_news(deadline);
  }
}

/// All that had been sent is read, and nothing that was read waits for later: who drains us may go on.
void Runtime::say_if_drained() {
  if (drain_ != Drain::asked || in_hand_ || !inbox_.stash().empty() || !inbox_.notices().empty() || postponed_ > 0) return;
  drain_ = Drain::told;
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setDrained();
  lane_.tell(message);
}

std::size_t Runtime::discard_all() {
  check();
  std::size_t count = inbox_.discard();
  for (; auto message = next_message(); ++count) is_done_with(*message);
  return count;
}

int Runtime::event_fd() {
  check();
  sleeper_.arm_for_ever();
  return sleeper_.eventfd();
}

// ---- calls -----------------------------------------------------------------------------------------------------------

std::uint64_t Runtime::begin_call(Address to, ScratchLease& lease, std::uint64_t type_id) {
  check();
  const Pid target = resolve(to);
  const std::uint64_t ref = make_ref();
  Call& call = new_call(ref);
  call.target = target;
  const std::uint64_t dropped = dropped_;
  try {
    send(target, lease, type_id, {}, Message::Kind::call, ref);
  } catch (...) {
    forget_call(ref);
    throw;
  }
  const bool is_lost = dropped != dropped_ || (!outbox_.find(target) && target != kit_.pid);
  if (is_lost && !call.down) call.down = Reason::noproc();
  return ref;
}

Runtime::Call& Runtime::new_call(std::uint64_t ref) {
  if (!spare_call_) return calls_[ref];
  spare_call_.key() = ref;
  spare_call_.mapped() = {};
  return calls_.insert(std::move(spare_call_)).position->second;
}

std::optional<std::size_t> Runtime::await_any(std::span<const std::uint64_t> refs, std::optional<Time> deadline) {
  const auto first = [&](auto&& known) -> std::optional<std::size_t> {
    for (std::size_t i = 0; i < refs.size(); ++i)
      if (known(calls_[refs[i]])) return i;
    return std::nullopt;
  };
  for (;; check()) {
    for (;;) {
      if (const auto found = first([](const Call& call) { return call.reply.has_value(); })) return found;
      auto message = next_message();
      if (!message) break;
      stash(std::move(*message));
    }
    // What the dead had still sent was read by now: a reply, or that another one will give it.
    const auto found = first([this](Call& call) {
      if (call.handed) hear_of_end(call);
      return call.reply || call.down;
    });
    if (found) return found;
    if (deadline && sys::monotonic() >= *deadline) return std::nullopt;
    wait_for_news(deadline);
  }
}

/// Who has a channel to another hears of its end.
void Runtime::hear_of_end(Call& call) {
  call.handed = false;
  const OutChannel* channel = outbox_.find(call.target);
  if (call.target == kit_.pid || (channel && !channel->receiver_has_ended)) return;
  if (channel) return void(call.down = Reason::noproc());
  if (!directory_->lives(call.target) || !open_channel(call.target)) call.down = Reason::noproc();
}

Runtime::Reply Runtime::await(std::uint64_t ref, std::optional<Time> deadline) {
  struct Spent {
    Runtime& runtime;
    std::uint64_t ref, outer = std::exchange(runtime.awaited_, ref);
    ~Spent() {
      runtime.awaited_ = outer;
      runtime.forget_call(ref);
    }
  } spent{*this, ref};
  if (!await_any({&ref, 1}, deadline)) return {Reply::Outcome::timeout, {}, {}};
  Call& call = calls_[ref];
  if (!call.reply) return {Reply::Outcome::down, {}, *call.down};
  const bool error = call.reply->kind() == Message::Kind::error;
  return {error ? Reply::Outcome::error : Reply::Outcome::value, std::move(*call.reply), {}};
}

// ---- routing ---------------------------------------------------------------------------------------------------------

void Runtime::route(std::uint64_t type_id, Router* router) {
  if (router && router_) throw std::logic_error("this muproc has a router of messages already");
  router_ = router;
  routed_type_ = type_id;
  unrouted_ends_.clear();
  if (!router) return;
  auto& stash = inbox_.stash();
  for (auto at = stash.begin(); at != stash.end();) {
    const auto here = at++;
    if (here->type_id() != type_id || here->kind() != Message::Kind::message) continue;
    Message message = inbox_.take(here);
    route_reply(message);
  }
}

bool Runtime::reaches(Pid peer) {
  const auto is_peer = [&](const auto& end) { return end.first == peer; };
  const OutChannel* channel = outbox_.find(peer);
  return peer == kit_.pid || (channel && !channel->receiver_has_ended) ||
         std::any_of(unrouted_ends_.begin(), unrouted_ends_.end(), is_peer);  // it comes after what the dead had sent
}

/// True when something was the router's.
bool Runtime::take_in_routed() {
  const std::uint64_t before = routed_;
  drain_to_stash();
  for (const auto& [peer, reason] : std::exchange(unrouted_ends_, {})) {
    ++routed_;
    router_->ended(peer, reason);
  }
  return routed_ != before;
}

void Runtime::wait_for_routed(std::optional<Time> deadline) {
  check();
  const std::uint64_t pushed = inbox_.pushed();
  if (take_in_routed() || inbox_.pushed() != pushed || router_->has_work()) return;
  if (deadline && sys::monotonic() >= *deadline) return;
  wait_for_news(deadline);
  check();
  take_in_routed();
}

}  // namespace muproc::detail
