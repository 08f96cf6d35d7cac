#include "broker/estates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "shm/ring.hpp"
#include "shm/segment.hpp"
#include "sys/mapping.hpp"
#include "wire/codec.hpp"
#include "wire/summary.hpp"

namespace muproc::broker {
namespace {

constexpr std::uint32_t k_most_shown = 4096;  // words of a record that are looked at for its summary

/// As it lies in a record: a reference first, if there is one.
std::string summary_of(const std::byte* body, std::uint32_t words, std::uint8_t flags, std::uint64_t type_id) {
  const std::uint32_t skipped = flags & shm::k_flag_reference ? 1 : 0;
  if (flags & shm::k_flag_large || words < skipped || words > k_most_shown) return {};
  std::vector<capnp::word> copy(words - skipped);
  std::memcpy(static_cast<void*>(copy.data()), body + std::size_t{skipped} * 8, copy.size() * 8);
  return wire::summary(copy, type_id, shm::k_dead_letter_text - 1);
}

}  // namespace

// ---- a death ---------------------------------------------------------------------------------------------------------

std::vector<shm::KeptChannel> Estates::channels_into(Pid dead) const {
  std::vector<shm::KeptChannel> channels;
  for (const Channel& channel : core_.channels.into(dead)) channels.push_back({channel.cursor, channel.secret});
  return channels;
}

/// It may be for want of descriptors that it has ended, so this needs none.
void Estates::leave(const std::shared_ptr<Muproc>& dead, const Reason& reason) {
  const bool redelivers = dead->plan->mailbox.in_hand == InHand::redeliver;
  try {
    name_what_was_in_hand(*dead, redelivers);
  } catch (const std::exception& failure) {
    core_.log.warn("{}: what it had in hand cannot be told: {}", Core::name_of(*dead), failure.what());
  }
  estates_[dead->pid.slot()] = {dead, reason, redelivers};
}

void Estates::name_what_was_in_hand(Muproc& dead, bool redelivers) {
  const shm::PeerSegment segment(dead.segment.get(), dead.pid);
  SlotRecord& record = core_.table.record(dead.pid.slot());
  for (const shm::KeptInHand& message : shm::KeptRemains(segment).in_hand(channels_into(dead.pid))) {
    const shm::KeptFacts& facts = message.facts;
    const Channel* channel = message.channel ? core_.channels.find(dead.pid, message.channel->cursor) : nullptr;
    const Pid sender = channel ? channel->speaker : facts.speaker;
    const std::string sender_name = core_.dead_letters.name_of(sender, core_.table);
    const bool is_dropped = message.is_dropped(redelivers);
    const std::string fate = !is_dropped
                                 ? fmt::format("it will be delivered again, for the {}. time", facts.again + 1)
                             : facts.again > 0 ? fmt::format("it is dropped, after {} more deliveries", facts.again)
                                                 : std::string("it is dropped");
    dead.fates.push_back({sender, facts.type_id, facts.timestamp, fate});
    const std::string text = text_of(message, channel);
    const std::string what =
        fmt::format("in its hand was {} from {}{}: {}",
                    text.empty() ? fmt::format("a message of type {:#x}", facts.type_id) : "\"" + text + '"',
                    sender_name.empty() ? "" : sender_name + ' ', to_string(sender), fate);
    core_.log.warn("{}: {}", Core::name_of(dead), what);
    core_.tell(is_dropped ? "dropped_in_hand" : "redelivered", dead, what);
    ++(is_dropped ? record.dropped_in_hand : record.redelivered);
    if (is_dropped) core_.dead_letters.add_in_hand(dead, sender, facts.type_id, text, core_.table);
  }
}

std::string Estates::text_of(const shm::KeptInHand& message, const Channel* channel) const {
  const shm::KeptFacts& facts = message.facts;
  if (message.body) return summary_of(message.body, facts.words, facts.flags, facts.type_id);
  const int memfd = channel ? memory_of(channel->sender).first : -1;
  if (memfd < 0) return {};
  const sys::Mapping ring(memfd, sys::Mapping::Access::read_only, channel->ring_size, channel->ring_offset);
  shm::RingReader reader =
      shm::RingReader::observer(ring.data(), channel->ring_size, channel->secret, message.position);
  shm::RecordHeader header;
  if (reader.look(header) != shm::RingReader::Look::record) return {};
  return summary_of(reader.body(), header.words, header.flags, header.type_id);
}

// ---- senders that have ended ------------------------------------------------------------------------------------------

void Estates::keep_memory(const std::shared_ptr<Muproc>& dead, const std::set<Pid>& readers) {
  if (!dead->segment || !dead->eventfd || !core_.channels.is_read(dead->pid)) return;
  const bool is_wanted = std::any_of(readers.begin(), readers.end(), [&](Pid reader) {
    const Muproc* alive = core_.table.find(reader);
    return (alive && is_kept(*alive)) || find(reader);
  });
  if (is_wanted) core_.memories[dead->pid] = dead;
}

/// Its segment and eventfd; -1 when they are gone.
std::pair<int, int> Estates::memory_of(Pid sender) const {
  const Muproc* found = core_.table.find(sender);
  if (const auto kept = core_.memories.find(sender); !found && kept != core_.memories.end()) found = kept->second.get();
  return found ? std::pair(found->segment.get(), found->eventfd.get()) : std::pair(-1, -1);
}

// ---- who has left one ------------------------------------------------------------------------------------------------

const Muproc* Estates::in(SlotIndex slot) const {
  const auto found = estates_.find(slot);
  return found == estates_.end() ? nullptr : found->second.dead.get();
}

const Muproc* Estates::find(Pid dead) const {
  const Muproc* found = in(dead.slot());
  return found && found->pid == dead ? found : nullptr;
}

std::vector<SlotIndex> Estates::slots() const {
  std::vector<SlotIndex> slots;
  for (const auto& [slot, estate] : estates_) slots.push_back(slot);
  return slots;
}

// ---- a successor -----------------------------------------------------------------------------------------------------

int Estates::describe(wire::Kit::Builder kit, const Muproc& successor) const {
  kit.setKeepsMailbox(is_kept(successor));
  const auto found = estates_.find(successor.pid.slot());
  if (!is_kept(successor) || found == estates_.end()) return -1;
  const Estate& estate = found->second;
  kit.setHasPredecessor(true);
  kit.setRedelivers(estate.redelivers);
  const auto channels = channels_into(estate.dead->pid);
  auto list = kit.initInherited(static_cast<unsigned>(channels.size()));
  for (unsigned i = 0; i < channels.size(); ++i) {
    list[i].setCursor(channels[i].cursor);
    list[i].setSecret(channels[i].secret);
  }
  return estate.dead->segment.get();
}

void Estates::inherit(Muproc& successor) {
  const auto found = estates_.find(successor.pid.slot());
  if (found == estates_.end()) return;
  const Estate estate = std::move(found->second);
  estates_.erase(found);
  const Pid dead = estate.dead->pid;
  auto channels = core_.channels.inherit(dead, successor.pid);
  try {
    count_kept(*estate.dead, estate.redelivers, channels);
  } catch (const std::exception& failure) {
    core_.log.warn("{}: what it takes over cannot be counted: {}", Core::name_of(successor), failure.what());
  }
  for (Channel& channel : channels) {
    try {
      hand_over(channel, dead, successor);
    } catch (const std::exception& failure) {
      core_.log.error("{} does not get its predecessor's channel from {}: {}", Core::name_of(successor), to_string(channel.sender), failure.what());
      close(channel, {dead, successor.pid});
    }
  }
  core_.loop.bury(estate.dead);
}

/// The sender hears of it first: where that fails, the successor knows of no such channel.
void Estates::hand_over(Channel& channel, Pid dead, Muproc& successor) {
  core_.directory.remove_channel(channel.row);
  const auto row = core_.directory.add_channel(channel.sender, channel.receiver, channel.ring_offset, channel.ring_size,
                                               channel.cursor, channel.secret);
  if (row) core_.channels.set_row(channel, channel.row = *row);
  const auto [segment, eventfd] = memory_of(channel.sender);
  if (segment < 0) return;
  const Muproc* sender = core_.table.find(channel.sender);
  if (sender && sender->connection) {
    Message moved;
    auto to = moved->initChannelMoved();
    to.setFrom(dead.bits());
    to.setTo(successor.pid.bits());
    to.setCursor(channel.cursor);
    sender->connection->send(moved, {successor.segment.get(), successor.eventfd.get()});
  }
  Message news;
  auto opened = news->initChannelOpened();
  opened.setCursor(channel.cursor);
  opened.setSender(channel.sender.bits());
  opened.setRingOffset(channel.ring_offset);
  opened.setRingSize(channel.ring_size);
  opened.setSecret(channel.secret);
  opened.setIsNotTrusted(channel.is_not_trusted);
  opened.setSpeaksFor(channel.speaker.bits());
  successor.connection->send(news, {segment, eventfd});
  if (!sender) core_.send_peer_down(successor, channel.sender, Reason::noproc(), std::nullopt);
}

/// Nobody will read it. Its sender, who may know its receiver by any of these pids, opens another one.
void Estates::close(const Channel& channel, std::initializer_list<Pid> receivers) {
  core_.directory.remove_channel(channel.row);
  core_.channels.close(channel);
  Muproc* sender = core_.table.find(channel.sender);
  if (!sender && !core_.channels.is_read(channel.sender)) core_.forget_memory_of(channel.sender);
  for (const Pid receiver : receivers)
    if (sender) core_.send_peer_down(*sender, receiver, Reason::noproc(), std::nullopt);
}

/// What its successor gets, as far as it is there now.
void Estates::count_kept(const Muproc& dead, bool redelivers, const std::vector<Channel>& channels) {
  const shm::PeerSegment segment(dead.segment.get(), dead.pid);
  const shm::KeptRemains remains(segment);
  std::uint64_t messages = remains.in_log(redelivers);
  for (const Channel& channel : channels) {
    const int memfd = memory_of(channel.sender).first;
    const std::uint64_t position = remains.position({channel.cursor, channel.secret}, redelivers);
    if (memfd < 0 || position % shm::k_line != 0) continue;
    const sys::Mapping ring(memfd, sys::Mapping::Access::read_only, channel.ring_size, channel.ring_offset);
    shm::RingReader reader = shm::RingReader::observer(ring.data(), channel.ring_size, channel.secret, position);
    for (shm::RecordHeader header;
         reader.position() - position < channel.ring_size && reader.look(header) == shm::RingReader::Look::record;
         reader.pass(header)) {
      const auto kind = static_cast<shm::RecordKind>(header.kind);
      messages += kind == shm::RecordKind::message || kind == shm::RecordKind::cast;
    }
  }
  core_.table.record(dead.pid.slot()).kept_messages += messages;
  if (messages == 0) return;
  core_.log.info("{} has left {} message{} to its successor", Core::name_of(dead), messages, messages == 1 ? "" : "s");
}

// ---- nobody ----------------------------------------------------------------------------------------------------------

void Estates::close(SlotIndex slot) {
  const auto found = estates_.find(slot);
  if (found == estates_.end()) return;
  const Estate estate = std::move(found->second);
  estates_.erase(found);
  const Muproc& dead = *estate.dead;
  core_.directory.forget_kept(slot);
  const auto channels = core_.channels.end_into(dead.pid);
  const auto counted = core_.dead_letters.count_estate(dead, estate.redelivers, channels, core_.table);
  core_.log.info("the mailbox of {} is closed: it does not come back", Core::name_of(dead));
  for (const Channel& channel : channels) {
    core_.directory.remove_channel(channel.row);
    Muproc* sender = core_.table.find(channel.sender);
    if (!sender && !core_.channels.is_read(channel.sender)) core_.forget_memory_of(channel.sender);
    const auto at = counted.find(channel.sender);
    if (sender)
      core_.send_peer_down(*sender, dead.pid, estate.reason,
                           at == counted.end() ? std::nullopt : std::optional(at->second));
  }
  core_.loop.bury(estate.dead);
}

}  // namespace muproc::broker
