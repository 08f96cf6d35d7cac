// The runtime of a muproc whose mailbox is kept: what it takes over, and what it tells its keeper.
#include <capnp/message.h>

#include <utility>

#include "runtime/runtime.hpp"

namespace muproc::detail {

/// What the predecessor has left, whose channels we have heard of before we were told to go.
void Runtime::take_over(std::vector<wire::Frame>& before_go) {
  inbox_.keep_by(*keeper_);
  for (wire::Frame& frame : before_go) hear(frame.as<wire::FromBroker>(), frame.fds());
  inbox_.take_over();
}

/// To the log, as one segment.
void Runtime::keep_own(Message& message) {
  inbox_.require_room_for(message);
  Body& body = *message.body();
  if (body.further.empty()) {
    const auto* words = reinterpret_cast<const std::byte*>(body.own.get());
    return keeper_->took_own(body, words, static_cast<std::uint32_t>(body.first_words));
  }
  capnp::MallocMessageBuilder flat(static_cast<unsigned>(message.root().targetSize().wordCount + 1));
  flat.setRoot(message.root());
  const auto segment = flat.getSegmentsForOutput()[0];
  keeper_->took_own(body, reinterpret_cast<const std::byte*>(segment.begin()), static_cast<std::uint32_t>(segment.size()));
}

void Runtime::run_clause_kept(const ClauseTable::Entry& entry, Message& message, void* result) {
  handle(message, [&] { entry.run(entry.slot, message, result); });
}

void Runtime::Handling::begin() {
  if ((kept_ = message_.envelope().kept)) keeper_->begin(kept_);
}

/// A handler that has taken its message away keeps it for later.
void Runtime::Handling::end() {
  const std::uint32_t kept = std::exchange(kept_, 0);
  message_.envelope_ ? keeper_->finish(*message_.body()) : keeper_->put_back(kept);
}

// ---- of others' mailboxes --------------------------------------------------------------------------------------------

/// What we wrote before we knew has woken nobody.
void Runtime::hear_moved(wire::ChannelMoved::Reader moved, std::vector<sys::UniqueFd>& fds) {
  if (fds.size() != 2 || moved.getCursor() >= shm::k_max_channels) return;
  const Pid from(moved.getFrom());
  auto peer = meet(Pid(moved.getTo()), fds[0].get(), std::move(fds[1]));
  // One that we could not map never was in the outbox; its successor is.
  if (const auto granted = granted_.find(from); granted != granted_.end()) {
    auto& [reply, ring_offset, ring_size] = granted->second;
    outbox_.open(peer, ring_offset, ring_size, moved.getCursor(), reply.as<wire::FromBroker>().getChannel().getSecret());
    granted_.erase(granted);
  } else {
    outbox_.move(from, peer, moved.getCursor());
  }
  peer->wake(shm::Asleep::for_news);
}

}  // namespace muproc::detail
