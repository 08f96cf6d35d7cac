#include "broker/dead_letters.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "shm/keep.hpp"
#include "shm/ring.hpp"
#include "shm/segment.hpp"
#include "sys/mapping.hpp"
#include "wire/codec.hpp"
#include "wire/summary.hpp"

namespace muproc::broker {
namespace {

constexpr std::size_t k_told_of_a_channel = 8;   // of the last that were unread in it
constexpr std::uint64_t k_most = 1'000'000'000'000'000;  // a count beyond that is nonsense
constexpr std::size_t k_told_targets = 200;

std::uint64_t wall_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

struct Unread {
  shm::RecordHeader header;
  std::uint64_t position;
};

/// What the record at that position of the ring says, in short.
std::string summary_of(const std::byte* ring, std::size_t size, const Unread& record) {
  std::size_t skipped = record.header.flags & shm::k_flag_reference ? 1 : 0;
  if (record.header.flags & shm::k_flag_large || record.header.words < skipped) return {};
  std::vector<capnp::word> words(record.header.words - skipped);
  std::memcpy(static_cast<void*>(words.data()), ring + (record.position & (size - 1)) + sizeof record.header + skipped * 8, words.size() * 8);
  return wire::summary(words, record.header.type_id, shm::k_dead_letter_text - 1);
}

}  // namespace

// ---- what is kept ----------------------------------------------------------------------------------------------------

void DeadLetters::Pages::count_for(Pid to, const std::string& to_name, std::uint64_t messages) {
  std::string key = to_name.empty() && to ? to_string(to) : to_name;
  if (targets.size() >= k_targets && !targets.contains(key)) key.clear();
  Target& target = targets[key];
  target.count += messages;
  if (key.empty()) return;
  target.pid = std::max(target.pid, to);
  target.name = to_name;
}

void DeadLetters::Pages::add_last(Letter letter) {
  last.push_back(std::move(letter));
  if (last.size() > 2 * k_last) cut();
}

void DeadLetters::Pages::cut() {
  std::stable_sort(last.begin(), last.end(), [](const Letter& a, const Letter& b) { return a.message.wall_ns < b.message.wall_ns; });
  if (last.size() > k_last) last.erase(last.begin(), last.end() - static_cast<std::ptrdiff_t>(k_last));
}

void DeadLetters::remember(const Muproc& dead) {
  names_[dead.pid] = dead.name;
  named_.push_back(dead.pid);
  if (named_.size() <= k_names) return;
  names_.erase(named_.front());
  named_.pop_front();
}

std::string DeadLetters::name_of(Pid pid, const MuprocTable& table) const {
  if (const Muproc* alive = table.find(pid)) return alive->name;
  const auto known = names_.find(pid);
  return known == names_.end() ? std::string() : known->second;
}

// ---- a death ---------------------------------------------------------------------------------------------------------

void DeadLetters::keep(const Muproc& dead) {
  if (!dead.segment || segments_.size() >= k_segments) return;
  try {
    segments_[dead.pid] = sys::duplicate(dead.segment.get());
  } catch (const std::exception&) {
    // No descriptor is left: what its receivers leave unread of it is not counted.
  }
}

void DeadLetters::forget(Pid dead) { segments_.erase(dead); }

std::map<Pid, std::uint64_t> DeadLetters::bury(const Muproc& dead, const std::vector<Channel>& into, const MuprocTable& table) {
  std::map<Pid, std::uint64_t> counted;
  remember(dead);
  if (!dead.segment || !dead.has_mailbox()) return counted;
  try {
    const shm::PeerSegment segment(dead.segment.get(), dead.pid);
    count_channels(counted, dead, into, table, [&](const Channel& channel) { return segment.position(channel.cursor).load(std::memory_order_relaxed); });
    add_stashed(dead, std::min(segment.status().stash_messages.load(std::memory_order_relaxed), k_most));
  } catch (const std::exception&) {
    // It was never one, or it has spoilt its header: nothing that it says is worth anything.
  }
  take_over(pages_, dead, table);
  return counted;
}

void DeadLetters::bury_kept(const Muproc& dead, const MuprocTable& table) {
  remember(dead);
  take_over(pages_, dead, table);
}

std::map<Pid, std::uint64_t> DeadLetters::count_estate(const Muproc& dead, bool redelivers, const std::vector<Channel>& into, const MuprocTable& table) {
  std::map<Pid, std::uint64_t> counted;
  try {
    const shm::PeerSegment segment(dead.segment.get(), dead.pid);
    const shm::KeptRemains remains(segment);
    count_channels(counted, dead, into, table, [&](const Channel& channel) { return remains.position({channel.cursor, channel.secret}, redelivers); });
    add_stashed(dead, remains.in_log(redelivers));
  } catch (const std::exception&) {
    // As above.
  }
  return counted;
}

void DeadLetters::count_channels(std::map<Pid, std::uint64_t>& counted, const Muproc& dead, const std::vector<Channel>& into, const MuprocTable& table,
                                 const std::function<std::uint64_t(const Channel&)>& position_in) {
  for (const Channel& channel : into) {
    const Muproc* sender = table.find(channel.sender);
    const auto kept = segments_.find(channel.sender);
    const int memfd = sender ? sender->segment.get() : kept != segments_.end() ? kept->second.get() : -1;
    const std::uint64_t position = position_in(channel);
    if (memfd >= 0 && position % shm::k_line == 0) counted[channel.sender] = count_unread(dead, channel, memfd, position, table);
  }
}

void DeadLetters::add_stashed(const Muproc& dead, std::uint64_t messages) {
  if (messages == 0) return;
  add_unread(dead, messages);
  pages_.add_last({{shm::Drop::unread, {}, dead.pid, shm::RecordKind::message, 0, {}, "in its stash", wall_clock()}, {}, dead.name, messages});
}

void DeadLetters::add_in_hand(const Muproc& dead, Pid sender, std::uint64_t type_id, const std::string& text, const MuprocTable& table) {
  ++pages_.counts[static_cast<std::size_t>(shm::Drop::in_hand)];
  pages_.count_for(dead.pid, dead.name, 1);
  pages_.add_last({{shm::Drop::in_hand, sender, dead.pid, shm::RecordKind::message, type_id, {}, text, wall_clock()}, name_of(sender, table), dead.name});
}

void DeadLetters::add_unread(const Muproc& dead, std::uint64_t messages) {
  pages_.counts[static_cast<std::size_t>(shm::Drop::unread)] += messages;
  pages_.count_for(dead.pid, dead.name, messages);
}

/// Where the look has ended.
std::uint64_t DeadLetters::count_unread(const Muproc& dead, const Channel& channel, int sender_segment, std::uint64_t position,
                                        const MuprocTable& table) {
  const sys::Mapping ring(sender_segment, sys::Mapping::Access::read_only, channel.ring_size, channel.ring_offset);
  shm::RingReader reader = shm::RingReader::observer(ring.data(), channel.ring_size, channel.secret, position);
  std::deque<Unread> last;
  std::uint64_t messages = 0;
  shm::RecordHeader header;
  // Its sender may go on writing: what is unread is never more than the ring.
  while (reader.position() - position < channel.ring_size && reader.look(header) == shm::RingReader::Look::record) {
    last.push_back({header, reader.position()});
    if (last.size() > k_told_of_a_channel) last.pop_front();
    reader.pass(header);
    ++messages;
  }
  if (messages == 0) return reader.position();
  add_unread(dead, messages);
  for (const Unread& record : last)
    pages_.add_last({{shm::Drop::unread, channel.sender, dead.pid, static_cast<shm::RecordKind>(record.header.kind), record.header.type_id, {},
                      summary_of(ring.data(), channel.ring_size, record), wall_clock()},
                     name_of(channel.sender, table), dead.name});
  return reader.position();
}

/// What a status block says, of one that lives or has just ended.
void DeadLetters::take_over(Pages& pages, const Muproc& from, const MuprocTable& table) const {
  shm::DeadLettersRead read;
  try {
    const shm::PeerSegment segment(from.segment.get(), from.pid);
    read = shm::read(segment.status().dead_letters);
  } catch (const std::exception&) {
    return;
  }
  for (std::size_t why = 0; why < shm::k_drops; ++why) pages.counts[why] += std::min(read.counts[why], k_most);
  for (const auto& [to, count] : read.targets) pages.count_for(to, name_of(to, table), std::min(count, k_most));
  for (auto& message : read.last) {
    const std::string from_name = name_of(message.from, table);
    const std::string to_name = message.to ? name_of(message.to, table) : message.name;
    pages.add_last({std::move(message), from_name, to_name});
  }
}

// ---- asked -----------------------------------------------------------------------------------------------------------

void DeadLetters::write(wire::DeadLetters::Builder to, const std::vector<Muproc*>& living, unsigned last, const MuprocTable& table) const {
  Pages pages = pages_;
  for (const Muproc* muproc : living)
    if (muproc->segment && muproc->has_mailbox() && muproc->is_up()) take_over(pages, *muproc, table);
  pages.cut();

  auto counts = to.initCounts(shm::k_drops);
  for (unsigned i = 0; i < shm::k_drops; ++i) counts.set(i, pages.counts[i]);

  std::vector<Target> targets;
  for (auto& [key, target] : pages.targets) targets.push_back(std::move(target));
  std::stable_sort(targets.begin(), targets.end(), [](const Target& a, const Target& b) { return a.count > b.count; });
  targets.resize(std::min(targets.size(), k_told_targets));
  auto rows = to.initTargets(static_cast<unsigned>(targets.size()));
  for (unsigned i = 0; i < targets.size(); ++i) {
    rows[i].setPid(targets[i].pid.bits());
    rows[i].setName(wire::pointer(targets[i].name));
    rows[i].setCount(targets[i].count);
  }

  const auto shown = static_cast<unsigned>(std::min<std::size_t>(last, pages.last.size()));
  auto letters = to.initLast(shown);
  for (unsigned i = 0; i < shown; ++i) {
    const Letter& letter = pages.last[pages.last.size() - shown + i];
    letters[i].setWallNs(static_cast<std::int64_t>(letter.message.wall_ns));
    letters[i].setFrom(letter.message.from.bits());
    letters[i].setFromName(wire::pointer(letter.from_name));
    letters[i].setTo(letter.message.to.bits());
    letters[i].setToName(wire::pointer(letter.to_name));
    letters[i].setDrop(static_cast<std::uint32_t>(letter.message.why));
    letters[i].setKind(static_cast<std::uint32_t>(letter.message.kind));
    letters[i].setTypeId(letter.message.type_id);
    letters[i].setText(wire::pointer(letter.message.text));
    letters[i].setCount(letter.count);
  }
}

}  // namespace muproc::broker
