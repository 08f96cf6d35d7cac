#include "runtime/keeper.hpp"

#include <muproc/self.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "wire/rpc.capnp.h"

namespace muproc::detail {

Keeper::Keeper(std::shared_ptr<shm::OwnSegment> own, std::unique_ptr<shm::KeepLog> log)
    : own_(std::move(own)), log_(std::move(log)) {}

bool Keeper::is_keepable(const shm::RecordHeader& header) {
  const auto kind = static_cast<shm::RecordKind>(header.kind);
  const bool is_rpc =
      header.type_id == capnp::typeId<wire::RpcFrame>();  // a part of what was said between two that lived
  return (kind == shm::RecordKind::message || kind == shm::RecordKind::cast) && !is_rpc;
}

// ---- channels --------------------------------------------------------------------------------------------------------

std::uint64_t Keeper::begin_channel(std::uint32_t cursor, std::uint64_t secret) {
  shm::KeepRow& row = own_->keep_row(cursor);
  if (row.secret.load(std::memory_order_relaxed) == secret)
    return own_->position(cursor).load(std::memory_order_relaxed);
  for (shm::AtomicU64* word : {&row.in_hand, &row.again, &row.large, &row.owed})
    word->store(0, std::memory_order_relaxed);
  own_->position(cursor).store(0, std::memory_order_relaxed);
  row.secret.store(secret, std::memory_order_release);
  return 0;
}

void Keeper::end_channel(std::uint32_t cursor) {
  own_->position(cursor).store(shm::k_drained, std::memory_order_release);
  own_->cursor(cursor).consumed.store(0, std::memory_order_release);
  own_->cursor(cursor).released.store(0, std::memory_order_release);
  own_->keep_row(cursor).owed.store(0, std::memory_order_release);
}

bool Keeper::holds(const InChannel& channel) const {
  const bool is_open = open_ != k_none && holds_[open_].channel == &channel;
  return is_open || own_->keep_row(channel.index).owed.load(std::memory_order_relaxed) !=
                        own_->cursor(channel.index).released.load(std::memory_order_relaxed);
}

// ---- a message's way -------------------------------------------------------------------------------------------------

std::uint32_t Keeper::hold() {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(holds_.size()));
    holds_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  holds_[index] = {};
  holds_[index].is_used = true;
  return index;
}

void Keeper::took(InChannel& channel, std::uint64_t begin, Body& body) {
  own_->position(channel.index).store(begin, std::memory_order_release);
  const std::uint32_t index = hold();
  Hold& hold = holds_[index];
  hold.channel = &channel;
  hold.begin = begin;
  const shm::RecordHeader& header = channel.head;
  hold.facts = {own_->keep_row(channel.index).secret.load(std::memory_order_relaxed),
                channel.reader.position(),
                channel.speaker,
                header.type_id,
                header.timestamp,
                header.words,
                header.kind,
                header.flags,
                0};
  const std::uint64_t again = own_->keep_row(channel.index).again.load(std::memory_order_relaxed);
  if (again != 0 && (again & ~std::uint64_t{63}) == begin + 64)
    hold.facts.again = static_cast<std::uint16_t>(again & 63);
  if (body.channel) took_large(hold, body);
  open_ = index;
  body.kept = index + 1;
  body.redelivered = hold.facts.again;
}

/// What its sender is owed is noted before anybody can handle the message, so that a successor knows what to give back.
void Keeper::took_large(Hold& hold, Body& body) {
  hold.large = body.channel;
  hold.ticket = std::exchange(body.ticket, shm::k_tickets);
  shm::KeepRow& row = own_->keep_row(body.channel->index);
  row.large.store((hold.begin + 64) | hold.ticket, std::memory_order_release);
  row.owed.store(row.owed.load(std::memory_order_relaxed) ^ (std::uint64_t{1} << hold.ticket),
                 std::memory_order_release);
}

void Keeper::passed(InChannel& channel) {
  const bool is_open = open_ != k_none && holds_[open_].channel == &channel;
  if (!is_open) own_->position(channel.index).store(channel.reader.position(), std::memory_order_release);
}

void Keeper::took_own(Body& body, const std::byte* words, std::uint32_t count) {
  const std::uint32_t index = hold();
  Hold& hold = holds_[index];
  hold.facts = {0, 0, Pid(body.from), body.type_id, body.timestamp, count, static_cast<std::uint8_t>(body.kind), 0, 0};
  try {
    hold.place = log_->append(hold.facts, shm::KeptState::waiting, words);
  } catch (const std::length_error& full) {
    release(hold);
    throw StashFull(full.what());
  }
  hold.is_logged = true;
  body.kept = index + 1;
}

void Keeper::took_over(shm::KeepLog::Place place, std::shared_ptr<InChannel> channel, Body& body) {
  const std::uint32_t index = hold();
  Hold& hold = holds_[index];
  hold.facts = log_->facts(place);
  hold.place = place;
  hold.is_logged = true;
  if (body.channel) {
    hold.large = std::move(channel);
    hold.ticket = std::exchange(body.ticket, shm::k_tickets);
  }
  body.kept = index + 1;
  body.redelivered = hold.facts.again;
}

/// Dying before the position's store leaves the message in both, and the log counts.
void Keeper::log_it(Hold& hold, shm::KeptState state) {
  hold.state = state;
  if (hold.is_logged) return log_->set(hold.place, state);
  InChannel& channel = *hold.channel;
  const std::byte* body = channel.reader.record_at(hold.begin) + sizeof(shm::RecordHeader);
  try {
    hold.place = log_->append(hold.facts, state, body);
  } catch (const std::length_error& full) {
    throw StashFull(full.what());
  }
  hold.is_logged = true;
  hold.channel = nullptr;
  open_ = k_none;
  own_->position(channel.index).store(channel.reader.position(), std::memory_order_release);
}

void Keeper::begin(std::uint32_t kept) {
  Hold& hold = holds_[kept - 1];
  hold.state = shm::KeptState::in_hand;
  if (hold.is_logged) return log_->set(hold.place, shm::KeptState::in_hand);
  shm::KeepRow& row = own_->keep_row(hold.channel->index);
  row.in_hand_type.store(hold.facts.type_id, std::memory_order_relaxed);
  row.in_hand_stamp.store(hold.facts.timestamp, std::memory_order_relaxed);
  row.in_hand.store(hold.facts.end, std::memory_order_release);
}

/// The one store.
void Keeper::end(Hold& hold) {
  if (std::exchange(hold.state, shm::KeptState::handled) == shm::KeptState::handled) return;
  if (hold.is_logged) return log_->finish(hold.place);
  InChannel& channel = *hold.channel;
  own_->position(channel.index).store(channel.reader.position(), std::memory_order_release);
  if (channel.reader.position() - channel.reader.published() >= channel.reader.size() / 8 && channel.reader.publish())
    channel.peer->wake(shm::Asleep::for_room);
}

void Keeper::release(Hold& hold) {
  const auto index = static_cast<std::uint32_t>(&hold - holds_.data());
  if (open_ == index) open_ = k_none;
  std::erase(abandoned_, index);
  hold = {};
  free_.push_back(index);
}

void Keeper::finish(Body& body) {
  if (!body.kept) return;
  Hold& hold = holds_[std::exchange(body.kept, 0) - 1];
  end(hold);
  // Only now: before, a successor would have had to read it again.
  if (hold.ticket < shm::k_tickets && body.channel) body.ticket = hold.ticket;
  release(hold);
}

void Keeper::put_back(std::uint32_t kept) {
  Hold& hold = holds_[kept - 1];
  if (hold.is_used && hold.state == shm::KeptState::in_hand) log_it(hold, shm::KeptState::waiting);
}

void Keeper::abandon(std::uint32_t kept) {
  Hold& hold = holds_[kept - 1];
  if (hold.is_used && hold.state == shm::KeptState::in_hand) abandoned_.push_back(kept - 1);
}

void Keeper::settle_abandoned() {
  for (const std::uint32_t index : std::vector<std::uint32_t>(std::move(abandoned_))) {
    Hold& hold = holds_[index];
    end(hold);
    if (hold.ticket < shm::k_tickets && hold.large) hold.large->release_ticket(hold.ticket);
    release(hold);
  }
  abandoned_.clear();
}

void Keeper::finish_all_in_hand() {
  for (Hold& hold : holds_) {
    if (hold.is_used && hold.state == shm::KeptState::in_hand) end(hold);  // a successor gives back what is large
  }
}

}  // namespace muproc::detail
