#include "broker/channels.hpp"

#include <fmt/format.h>

#include "shm/layout.hpp"
#include "sys/mapping.hpp"

namespace muproc::broker {
namespace {

/// The lowest index that no channel has.
std::optional<std::uint32_t> free_cursor(const std::map<std::uint32_t, Channel>& taken) {
  if (taken.size() >= shm::k_max_channels) return std::nullopt;
  if (taken.empty() || taken.rbegin()->first + 1 == taken.size()) return static_cast<std::uint32_t>(taken.size());
  std::uint32_t index = 0;
  for (const auto& [cursor, channel] : taken) {
    if (cursor != index) break;
    ++index;
  }
  return index;
}

}  // namespace

std::string Channels::why_not_ring(Pid sender, std::uint64_t offset, std::uint64_t size) const {
  if (size < shm::k_min_ring || size > shm::k_max_ring || (size & (size - 1)) != 0)
    return fmt::format("a ring of {} bytes: it must be a power of two from {} to {}", size, shm::k_min_ring, shm::k_max_ring);
  if (offset % sys::k_page != 0 || offset < shm::k_rings_offset ||
      offset - shm::k_rings_offset > shm::k_rings_size - size)
    return fmt::format("a ring of {} bytes at {}: it must lie in the area for rings, at a page's beginning", size, offset);
  const auto own = outgoing_.find(sender);
  if (own == outgoing_.end()) return {};
  for (const auto& [receiver, cursor] : own->second) {
    const Channel& other = incoming_.at(receiver).at(cursor);
    if (offset < other.ring_offset + other.ring_size && other.ring_offset < offset + size)
      return fmt::format("a ring of {} bytes at {} overlaps another at {}", size, offset, other.ring_offset);
  }
  return {};
}

std::optional<Channel> Channels::open(Pid sender, Pid receiver, std::uint64_t ring_offset, std::uint32_t ring_size,
                                      std::uint64_t secret) {
  auto& taken = incoming_[receiver];
  const auto cursor = free_cursor(taken);
  if (!cursor) return std::nullopt;
  Channel& channel = taken[*cursor];
  channel = {sender, receiver, ring_offset, ring_size, *cursor, secret};
  outgoing_[sender].emplace(receiver, *cursor);
  return channel;
}

void Channels::close(const Channel& channel) {
  if (const auto taken = incoming_.find(channel.receiver); taken != incoming_.end()) {
    taken->second.erase(channel.cursor);
    if (taken->second.empty()) incoming_.erase(taken);
  }
  if (const auto own = outgoing_.find(channel.sender); own != outgoing_.end()) {
    own->second.erase({channel.receiver, channel.cursor});
    if (own->second.empty()) outgoing_.erase(own);
  }
}

const Channel* Channels::find(Pid receiver, std::uint32_t cursor) const {
  const auto taken = incoming_.find(receiver);
  if (taken == incoming_.end()) return nullptr;
  const auto channel = taken->second.find(cursor);
  return channel == taken->second.end() ? nullptr : &channel->second;
}

std::vector<Channel> Channels::into(Pid receiver) const {
  std::vector<Channel> channels;
  if (const auto taken = incoming_.find(receiver); taken != incoming_.end())
    for (const auto& [cursor, channel] : taken->second) channels.push_back(channel);
  return channels;
}

std::optional<Channel> Channels::drained(Pid receiver, std::uint32_t cursor) {
  const Channel* channel = find(receiver, cursor);
  if (!channel || !channel->sender_is_dead) return std::nullopt;
  const Channel ended = *channel;
  close(ended);
  return ended;
}

Channels::Ended Channels::end(Pid dead, bool is_kept) {
  Ended ended;
  if (const auto own = outgoing_.find(dead); own != outgoing_.end())
    for (const auto& [receiver, cursor] : own->second) {
      incoming_.at(receiver).at(cursor).sender_is_dead = true;
      ended.peers.insert(receiver);
    }
  for (const Channel& channel : into(dead)) {
    if (!is_kept) ended.closed.push_back(channel);
    ended.peers.insert(channel.sender);
  }
  for (const Channel& channel : ended.closed) close(channel);
  ended.peers.erase(dead);
  return ended;
}

std::vector<Channel> Channels::inherit(Pid dead, Pid successor) {
  std::vector<Channel> channels = end_into(dead);
  for (Channel& channel : channels) {
    channel.receiver = successor;
    incoming_[successor][channel.cursor] = channel;
    outgoing_[channel.sender].emplace(successor, channel.cursor);
  }
  return channels;
}

std::vector<Channel> Channels::end_into(Pid dead) {
  std::vector<Channel> channels = into(dead);
  for (const Channel& channel : channels) close(channel);
  return channels;
}

bool Channels::connects(Pid sender, Pid receiver) const {
  const auto own = outgoing_.find(sender);
  if (own == outgoing_.end()) return false;
  const auto first = own->second.lower_bound({receiver, 0});
  return first != own->second.end() && first->first == receiver;
}

}  // namespace muproc::broker
