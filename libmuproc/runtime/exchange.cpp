// Messages out and in: the two halves of the message corridor that meet in a muproc.
#include <algorithm>

#include "runtime/arguments.hpp"
#include "runtime/runtime.hpp"
#include "sys/clock.hpp"

namespace muproc::detail {
namespace {

void add(shm::AtomicU64& counter, std::uint64_t count) {
  counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

template <class Enum>
void set(shm::AtomicU32& word, Enum value) {
  word.store(static_cast<std::uint32_t>(value), std::memory_order_relaxed);
}

bool valid_ring_size(std::uint32_t size) {
  return size >= shm::k_min_ring && size <= shm::k_max_ring && (size & (size - 1)) == 0;
}

}  // namespace

// ---- out -------------------------------------------------------------------------------------------------------------

bool Runtime::send(Address to, ScratchLease& lease, std::uint64_t type_id, SendWait wait, Message::Kind kind,
                   std::uint64_t ref) {
  check();
  const Pid target = resolve(to);
  if (target == kit_.pid) {
    send_to_self(lease, type_id, kind, ref);
    return true;
  }
  shm::RecordHeader header = header_for(target, type_id, kind, ref);
  OutChannel* channel = outbox_.find(target);
  if (channel && directory_->alive(target) && try_send_once(*channel, lease, header, ref)) [[likely]] return true;

  const Time deadline = wait.kind == SendWait::Kind::within ? sys::monotonic() + wait.limit : Time::max();
  for (bool counted = false;;) {
    if (!channel && directory_->alive(target)) channel = open_channel(target);
    if (!channel || !directory_->alive(target)) {
      add(own_->status().sent_to_dead, 1);
      return true;
    }
    if (try_send_once(*channel, lease, header, ref)) return true;
    if (!std::exchange(counted, true)) add(own_->status().sends_blocked, 1);
    if (!wait_for_room(target, wait, deadline)) return false;
    channel = outbox_.find(target);  // it may have been closed while we waited
  }
}

bool Runtime::send_at_once(Address to, std::span<const NamedArgument> fields) {
  const std::uint64_t now = ticks();  // the processor takes its time for this, and can do the rest meanwhile
  check();
  const std::size_t words = plain_words(fields);
  const Pid target = resolve(to);
  const Claimed claimed = words ? claim_at_once(target, words) : Claimed();
  if (!claimed.body) return false;
  write_plain(claimed.body, fields);
  commit_at_once(claimed, target, capnp::typeId<wire::Mumsg>(), words, now);
  return true;
}

bool Runtime::send_flat(Address to, std::span<const std::uint64_t> words, std::uint64_t type_id, SendWait wait) {
  const std::uint64_t now = ticks();
  check();
  const Pid target = resolve(to);
  if (const Claimed claimed = claim_at_once(target, 1 + words.size()); claimed.body) [[likely]] {
    const std::uint64_t root = wire::struct_pointer(0, words.size(), 0);
    std::memcpy(claimed.body, &root, 8);
    for (std::size_t i = 0; i < words.size(); ++i) std::memcpy(claimed.body + 8 + 8 * i, &words[i], 8);
    commit_at_once(claimed, target, type_id, 1 + words.size(), now);
    return true;
  }
  struct Lease {
    Runtime& runtime;
    ScratchLease* scratch = runtime.lease();
    ~Lease() { runtime.give_back(scratch); }
  } lease{*this};
  auto copy = lease.scratch->builder().initRoot<capnp::AnyPointer>().initAsAnyStruct(static_cast<std::uint16_t>(words.size()), 0);
  std::memcpy(copy.getDataSection().begin(), words.data(), words.size_bytes());
  return send(target, *lease.scratch, type_id, wait, Message::Kind::message, 0);
}

Runtime::Claimed Runtime::claim_at_once(Pid to, std::size_t words) {
  OutChannel* channel = outbox_.find(to);
  if (!channel || words > shm::max_record_words(channel->ring_size) || !directory_->alive(to)) return {};
  const std::uint64_t position = channel->writer.position();
  return {channel, channel->writer.claim(words), position};
}

void Runtime::commit_at_once(const Claimed& claimed, Pid to, std::uint64_t type_id, std::size_t words,
                             std::uint64_t now) {
  shm::RecordHeader header = header_for(to, type_id, Message::Kind::message, 0);
  header.timestamp = stamp(now);
  shm::RingWriter& writer = claimed.channel->writer;
  writer.commit(header, words);
  sent(*claimed.channel, writer.position() - claimed.position);
}

shm::RecordHeader Runtime::header_for(Pid to, std::uint64_t type_id, Message::Kind kind, std::uint64_t ref) const {
  shm::RecordHeader header{};
  header.kind = static_cast<std::uint8_t>(kind);
  header.flags = ref ? shm::k_flag_reference : 0;
  header.target = static_cast<std::uint16_t>(to.incarnation());
  header.type_id = type_id;
  return header;
}

bool Runtime::try_send_once(OutChannel& channel, ScratchLease& lease, shm::RecordHeader& header, std::uint64_t ref) {
  header.timestamp = stamp(ticks());
  const std::uint64_t before = channel.writer.position();
  if (!outbox_.write(channel, lease, header, ref)) return false;
  sent(channel, channel.writer.position() - before);
  return true;
}

void Runtime::sent(OutChannel& channel, std::uint64_t bytes) {
  channel.peer->wake(shm::Asleep::for_news);
  shm::StatusBlock& status = own_->status();
  add(status.messages_sent, 1);
  add(status.bytes_sent, bytes);
}

/// Waits for a published cursor or a released block; meanwhile takes what arrives into the stash, so that two muprocs
/// that send to each other cannot block each other. False when there is no time left.
bool Runtime::wait_for_room(Pid to, SendWait wait, Time deadline) {
  if (wait.kind == SendWait::Kind::never) return false;
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
                 cursor.released.load(std::memory_order_acquire) != released || !directory_->alive(to) || news();
        },
        [&] { inbox_.publish_cursors(); });
    set(status.activity, shm::Activity::running);
  }
  channel->consumed_when_full = consumed;
  channel->released_when_full = released;
  return true;
}

OutChannel* Runtime::open_channel(Pid to) {
  const std::uint32_t ring_size = directory_->live(to.slot()).ring_size.load(std::memory_order_relaxed);
  if (!valid_ring_size(ring_size)) return nullptr;
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
    return nullptr;
  }
  reply.expect_fds(2);
  auto peer = meet(to, reply.fds()[0].get(), std::move(reply.fds()[1]));
  const auto channel = contents.getChannel();
  if (channel.getCursor() >= shm::k_max_channels) throw Error("the broker named a channel that cannot be");
  return &outbox_.open(std::move(peer), offset, ring_size, channel.getCursor(), channel.getSecret());
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
  add(own_->status().messages_sent, 1);
  if (!route_reply(message)) inbox_.push(std::move(message));
}

// ---- in --------------------------------------------------------------------------------------------------------------

bool Runtime::news() {
  return directory_live_->lane.load(std::memory_order_acquire) > lane_.received() || interrupted_ || inbox_.ready();
}

void Runtime::wait_for_news(std::optional<Time> deadline) {
  sleeper_.wait(
      shm::Asleep::for_news, nearest(deadline), kit_.is_child ? -1 : lane_.fd(), [this] { return news(); },
      [this] {
        inbox_.publish_cursors();
        set(own_->status().activity, shm::Activity::receiving);
      });
  set(own_->status().activity, shm::Activity::running);
}

std::optional<Message> Runtime::next_message() {
  for (;;) {
    if (!inbox_.notices().empty()) {
      settle_notices();
      throw_if_ending();
      if (auto notice = inbox_.take_notice()) return make_notice(*notice);
    }
    InChannel* channel = inbox_.next_channel();
    // What the broker said before that record was written comes first: an exit signal of its sender, or a channel in
    // which an earlier message waits.
    if (directory_live_->lane.load(std::memory_order_acquire) > lane_.received() && !lane_.closed()) {
      hear_lane();
      throw_if_ending();
      continue;
    }
    if (channel) {
      auto message = inbox_.consume(*channel);
      if (message && !route_reply(*message)) return message;
      continue;
    }
    // A channel that was just found drained may have held a notice back.
    if (inbox_.notices().empty() || !inbox_.notice_ready()) return std::nullopt;
  }
}

/// Replies go to who waits for them and never to the mailbox: a late one is dropped.
bool Runtime::route_reply(Message& message) {
  if (message.kind() != Message::Kind::reply && message.kind() != Message::Kind::error) return false;
  const auto call = calls_.find(message.ref());
  if (call != calls_.end() && call->second.target == message.from() && !call->second.reply) {
    message = kept(std::move(message));
    call->second.reply = std::move(message);
  }
  return true;
}

/// Keeps a message beyond the pool that its contents were copied to.
Message Runtime::kept(Message message) {
  return Message(compact(BodyPtr(static_cast<Body*>(message.envelope_.release()))));
}

/// When something is sent: later than all that this muproc has sent or received, so that what follows from a message is
/// never taken for older. The time-stamp counter alone, read as fast as it can be, would not promise that.
std::uint64_t Runtime::stamp(std::uint64_t now) {
  // A sender's stamp from the future is a lie, and must not carry ours along; two cores' counters differ by less.
  constexpr std::uint64_t k_honest = 100'000;
  const std::uint64_t latest = inbox_.latest();
  if (last_stamp_ < latest) last_stamp_ = latest;
  last_stamp_ = now <= last_stamp_ && last_stamp_ - now < k_honest ? last_stamp_ + 1 : now;
  return last_stamp_;
}

void Runtime::drain_to_stash() {
  while (auto message = next_message()) inbox_.push(std::move(*message));
}

namespace {

/// Tells tools, and the broker after a death, what is being handled.
class Handling {
 public:
  Handling(std::vector<const Message*>& stack, shm::StatusBlock& status, const Message& message, std::uint64_t timestamp)
      : stack_(stack), status_(status) {
    const std::size_t depth = stack.size();
    if (depth < shm::k_max_in_hand) {
      shm::InHand& at = status.in_hand[depth];
      at.sender.store(message.from().bits(), std::memory_order_relaxed);
      at.type_id.store(message.type_id(), std::memory_order_relaxed);
      at.timestamp.store(timestamp, std::memory_order_relaxed);
    }
    stack_.push_back(&message);
    status_.in_hand_depth.store(static_cast<std::uint32_t>(stack_.size()), std::memory_order_relaxed);
  }
  ~Handling() {
    stack_.pop_back();
    status_.in_hand_depth.store(static_cast<std::uint32_t>(stack_.size()), std::memory_order_relaxed);
  }

 private:
  std::vector<const Message*>& stack_;
  shm::StatusBlock& status_;
};

}  // namespace

void Runtime::run_clause(const ClauseTable::Entry& entry, Message message, void* result) {
  const Handling handling(in_hand_, own_->status(), message, message.envelope().timestamp);
  entry.run(entry.slot, message, result);
}

/// A message whose fields are not what their kinds say is reported here; its receiver drops it.
Runtime::Match Runtime::match(const ClauseTable::Entry& entry, const Message& message) {
  try {
    return entry.match(entry.slot, message) ? Match::yes : Match::no;
  } catch (const kj::Exception& malformed) {
    drop_malformed(message, malformed);
    return Match::malformed;
  }
}

void Runtime::drop_malformed(const Message& message, const kj::Exception& malformed) {
  log().error("dropped a malformed message of {}: {}", to_string(message.from()), malformed.getDescription().cStr());
  add(own_->status().malformed, 1);
}

bool Runtime::receive(const ClauseTable& table, void* result) {
  if (table.after && table.after->count() < 0) throw std::invalid_argument("a negative time-out");
  check();
  const auto deadline = table.after ? std::optional(sys::monotonic() + *table.after) : std::nullopt;
  const auto choose = [&](const Message& message) -> std::pair<Match, std::size_t> {
    for (std::size_t i = 0; i < table.count; ++i)
      if (const Match found = match(table.entries[i], message); found != Match::no) return {found, i};
    return {Match::no, 0};
  };
  // What lies in the stash and has not been looked at: all of it at first, later what timers have put there meanwhile.
  std::uint64_t looked_at = 0;
  const auto take_from_stash = [&] {
    for (auto at = inbox_.pushed_after(looked_at); at != inbox_.stash().end();) {
      const auto here = at++;
      const auto [found, clause] = choose(*here);
      if (found == Match::no) continue;
      Message message = inbox_.take(here);
      if (found == Match::malformed) continue;
      run_clause(table.entries[clause], std::move(message), result);
      return true;
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
    while (auto message = next_message()) {
      const bool too_late = time_was_up && message->from() && message->envelope().timestamp > *time_was_up;
      const auto [found, clause] = choose(*message);
      if (found == Match::yes) {
        run_clause(table.entries[clause], std::move(*message), result);
        return true;
      }
      if (found == Match::no) inbox_.push(std::move(*message));
      looked_at = inbox_.pushed();
      if (too_late) return false;
      if (++pulled == 256) {  // timers and exit signals are due now and then, however much arrives
        everything_seen = false;
        break;
      }
    }
    const bool time_is_up = deadline && sys::monotonic() >= *deadline;
    if (time_is_up && everything_seen) return false;
    if (time_is_up && !time_was_up) time_was_up = sys::ticks(directory_->use_tsc());
    if (everything_seen) wait_for_news(deadline);
  }
}

std::optional<Message> Runtime::receive_any(std::optional<Time> limit) {
  if (limit && limit->count() < 0) throw std::invalid_argument("a negative time-out");
  check();
  const auto deadline = limit ? std::optional(sys::monotonic() + *limit) : std::nullopt;
  for (;; check()) {
    if (!inbox_.stash().empty()) return inbox_.take(inbox_.stash().begin());
    if (auto message = next_message()) {
      message = kept(std::move(*message));
      try {
        message->check();
      } catch (const kj::Exception& malformed) {
        drop_malformed(*message, malformed);
        continue;
      }
      return message;
    }
    if (deadline && sys::monotonic() >= *deadline) return std::nullopt;
    wait_for_news(deadline);
  }
}

std::size_t Runtime::discard_all() {
  check();
  std::size_t count = inbox_.discard();
  while (next_message()) ++count;
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
  Call& call = calls_[ref];
  call.target = target;
  try {
    send(target, lease, type_id, {}, Message::Kind::call, ref);
  } catch (...) {
    calls_.erase(ref);
    throw;
  }
  if (!outbox_.find(target) && target != kit_.pid && !call.down) call.down = Reason::noproc();
  return ref;
}

Runtime::Reply Runtime::await(std::uint64_t ref, std::optional<Time> deadline) {
  struct Spent {
    std::map<std::uint64_t, Call>& calls;
    std::uint64_t ref;
    ~Spent() { calls.erase(ref); }
  } spent{calls_, ref};
  Call& call = calls_[ref];
  for (;; check()) {
    while (!call.reply) {
      auto message = next_message();
      if (!message) break;
      inbox_.push(std::move(*message));
    }
    if (call.reply) {
      const bool error = call.reply->kind() == Message::Kind::error;
      return {error ? Reply::Outcome::error : Reply::Outcome::value, std::move(*call.reply), {}};
    }
    if (call.down) return {Reply::Outcome::down, {}, *call.down};
    if (deadline && sys::monotonic() >= *deadline) return {Reply::Outcome::timeout, {}, {}};
    wait_for_news(deadline);
  }
}

}  // namespace muproc::detail
