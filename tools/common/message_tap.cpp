#include "tools/common/message_tap.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tools/common/failure.hpp"
#include "tools/common/text.hpp"
#include "wire/suggest.hpp"

namespace muproc::tools {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds k_shortest_pause = 50us, k_longest_pause = 1ms;
constexpr std::uint64_t k_most_large = std::uint64_t{256} << 10;  // words of a large message that are copied
constexpr std::size_t k_most_names = 20'000;

ObservedDirectory directory_in(const BrokerMemory& memory) try {
  return ObservedDirectory(memory.directory());
} catch (const std::runtime_error& failure) {
  throw Failure(ExitCode::request_failed, failure.what());
}

/// The name of a muproc with a mailbox that is meant by a muproc's name, a port's, or a pid.
std::string muproc_named(const shm::DirectoryView& directory, std::string_view name) {
  const Pid port = directory.find_port(name);
  std::vector<std::string> there;
  for (std::uint32_t slot = 0; slot < directory.slots(); ++slot) {
    const auto info = directory.info(slot);
    if (!info || static_cast<shm::SlotState>(info->state) == shm::SlotState::free) continue;
    const bool is_meant = name == info->name || (info->pid != 0 && (Pid(info->pid) == port || to_string(Pid(info->pid)) == name));
    if (!is_meant) {
      there.emplace_back(info->name);
      continue;
    }
    const auto kind = static_cast<shm::SlotKind>(info->kind);
    if (kind == shm::SlotKind::muproc || kind == shm::SlotKind::outsider) return info->name;
    throw Failure(ExitCode::request_failed, fmt::format("{} has no mailbox: it is a {}", printable(info->name), kind == shm::SlotKind::plain ? "plain program" : "supervisor"));
  }
  const std::vector<std::string_view> views(there.begin(), there.end());
  const std::string meant = printable(wire::did_you_mean(name, views));
  throw Failure(ExitCode::request_failed, fmt::format("no muproc or supervisor is named \"{}\"{}", printable(name), meant.empty() ? "; \"muctl ps\" shows who there is" : meant));
}

std::vector<std::uint64_t> words_of(std::span<const std::byte> bytes) {
  std::vector<std::uint64_t> words(bytes.size() / 8);
  if (!words.empty()) std::memcpy(words.data(), bytes.data(), words.size() * 8);
  return words;
}

}  // namespace

MessageTap::MessageTap(std::filesystem::path folder, std::string_view name, std::string_view to)
    : memory_(std::move(folder)), directory_(directory_in(memory_)), name_(muproc_named(directory_, name)), to_(to.empty() ? std::string() : muproc_named(directory_, to)) {
  look_for_channels(false);
}

std::string MessageTap::name_of(Pid pid) {
  const auto known = names_.find(pid);
  if (known != names_.end()) return known->second;
  if (names_.size() >= k_most_names) names_.clear();
  const auto info = directory_.info(pid.slot());
  if (!info || Pid(info->pid) != pid) return {};
  return names_[pid] = info->name;
}

bool MessageTap::is_wanted(Pid from, Pid to) {
  if (!to_.empty()) return name_of(from) == name_ && name_of(to) == to_;
  return name_of(from) == name_ || name_of(to) == name_;
}

std::shared_ptr<const shm::PeerSegment> MessageTap::segment(Pid pid) const {
  const auto found = segments_.find(pid);
  return found == segments_.end() ? nullptr : found->second;
}

void MessageTap::map(const std::vector<Pid>& wanted) {
  if (wanted.empty()) return;
  for (auto& [pid, memfd] : memory_.segments(wanted)) {
    try {
      segments_[pid] = std::make_shared<const shm::PeerSegment>(memfd.get(), pid);
    } catch (const std::exception&) {
      segments_[pid] = nullptr;  // of another layout
    }
  }
  for (const Pid pid : wanted) segments_.try_emplace(pid, nullptr);  // gone before we came
}

void MessageTap::look_for_channels(bool are_new) {
  for (auto& [key, channel] : channels_) channel.is_open = false;
  std::vector<ChannelView> fresh;
  std::vector<Pid> unmapped;
  for (const ChannelView& row : directory_.channels()) {
    const auto known = channels_.find({row.from, row.to, row.secret});
    if (known != channels_.end()) {
      known->second.is_open = true;
    } else if (is_wanted(row.from, row.to)) {
      fresh.push_back(row);
      for (const Pid pid : {row.from, row.to})
        if (!segments_.contains(pid)) unmapped.push_back(pid);
    }
  }
  map(unmapped);
  for (const ChannelView& row : fresh) {
    const auto sender = segment(row.from), receiver = segment(row.to);
    if (!sender || !receiver) continue;
    const TappedRing ring{sender->at(row.ring_offset), row.ring_size, row.secret, &receiver->cursor(row.cursor).consumed, &receiver->position(row.cursor)};
    auto tap = std::make_unique<RingTap>(ring, are_new ? RingTap::Start::opened : RingTap::Start::now);
    channels_.emplace(Key{row.from, row.to, row.secret}, Tapped{row.from, row.to, row.cursor, sender, receiver, std::move(tap)});
  }
}

TappedMessage MessageTap::message_of(const Tapped& channel, const TappedRecord& record) {
  TappedMessage message{channel.from, channel.to, name_of(channel.from), name_of(channel.to), record.header, directory_.age(record.header.timestamp), 0, {}};
  auto body = record.body;
  if (record.header.flags & shm::k_flag_reference) body = body.subspan(std::min<std::size_t>(8, body.size()));
  if (!(record.header.flags & shm::k_flag_large)) {
    message.bytes = body.size();
    message.segments.push_back(words_of(body));
    return message;
  }
  shm::LargeTable table;
  if (body.size() < sizeof table) return message;
  std::memcpy(&table, body.data(), sizeof table);
  const std::size_t table_bytes = sizeof table + std::size_t{table.segments} * sizeof(shm::LargeSegment);
  if (table.segments > shm::k_max_large_segments || table_bytes > body.size()) return message;
  MessageSegments segments;
  if (body.size() > table_bytes) segments.push_back(words_of(body.subspan(table_bytes)));
  message.bytes = body.size() - table_bytes;
  bool is_whole = true;
  for (std::uint32_t i = 0; i < table.segments; ++i) {
    shm::LargeSegment part;
    std::memcpy(&part, body.data() + sizeof table + i * sizeof part, sizeof part);
    message.bytes += part.words * 8;
    // Further memory of its sender has no name by which it could be found here.
    is_whole = is_whole && part.extent == 0 && part.offset % 8 == 0 && part.offset <= shm::k_arena_size && part.words <= (shm::k_arena_size - part.offset) / 8 &&
               message.bytes / 8 <= k_most_large;
    if (is_whole) segments.push_back(words_of({channel.sender->at(shm::k_arena_offset + part.offset), part.words * 8}));
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  // Not taken yet, so not given back either: what was copied is the message.
  if (is_whole && channel.receiver->position(channel.cursor).load(std::memory_order_relaxed) <= record.at) message.segments = std::move(segments);
  return message;
}

bool MessageTap::poll(const std::function<void(const TappedMessage&)>& each, std::uint64_t most) {
  look_for_channels(true);
  const std::uint64_t seen_before = seen();
  bool may_be_more = false, is_behind = false;
  for (auto at = channels_.begin(); at != channels_.end();) {
    Tapped& channel = at->second;
    const bool has_more = channel.tap->poll([&](const TappedRecord& record) { each(message_of(channel, record)); }, most);
    may_be_more |= has_more;
    is_behind |= channel.tap->lag() > channel.tap->ring_size() / 8;
    if (channel.is_open || has_more) {
      ++at;
      continue;
    }
    past_seen_ += channel.tap->seen();
    past_missed_ += channel.tap->missed();
    past_missed_bytes_ += channel.tap->missed_bytes();
    at = channels_.erase(at);
  }
  std::erase_if(segments_, [&](const auto& segment) { return segment.second.use_count() <= 1 && !directory_.lives(segment.first); });
  if (is_behind) pause_ = std::chrono::nanoseconds(0);
  else if (seen() != seen_before) pause_ = k_shortest_pause;
  else pause_ = std::clamp<std::chrono::nanoseconds>(pause_ * 2, k_shortest_pause, k_longest_pause);
  return may_be_more;
}

std::uint64_t MessageTap::seen() const {
  std::uint64_t sum = past_seen_;
  for (const auto& [key, channel] : channels_) sum += channel.tap->seen();
  return sum;
}

std::uint64_t MessageTap::missed() const {
  std::uint64_t sum = past_missed_;
  for (const auto& [key, channel] : channels_) sum += channel.tap->missed();
  return sum;
}

std::uint64_t MessageTap::missed_bytes() const {
  std::uint64_t sum = past_missed_bytes_;
  for (const auto& [key, channel] : channels_) sum += channel.tap->missed_bytes();
  return sum;
}

std::size_t MessageTap::broken() const {
  return static_cast<std::size_t>(std::count_if(channels_.begin(), channels_.end(), [](const auto& channel) { return channel.second.tap->is_broken(); }));
}

}  // namespace muproc::tools
