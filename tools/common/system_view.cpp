#include "tools/common/system_view.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <exception>

#include "sys/clock.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/waiting.hpp"
#include "wire/control_socket.hpp"

namespace muproc::tools {
namespace {

using namespace std::chrono;

std::filesystem::path folder_of(std::string_view system) try {
  const auto folder = wire::find_system(system);
  return folder.has_filename() ? folder : folder.parent_path();
} catch (const NoSuchName& nobody) {
  throw Failure(ExitCode::no_system, nobody.what());
}

ObservedDirectory directory_in(const BrokerMemory& memory) try {
  return ObservedDirectory(memory.directory());
} catch (const std::runtime_error& failure) {
  throw Failure(ExitCode::request_failed, failure.what());
}

template <class Enum>
Enum checked(std::uint32_t value, Enum last, Enum otherwise) {
  return value <= static_cast<std::uint32_t>(last) ? static_cast<Enum>(value) : otherwise;
}

template <class Atomic>
auto load(const Atomic& field) {
  return field.load(std::memory_order_relaxed);
}

std::string_view strategy_word(std::uint32_t strategy) {
  switch (strategy) {
    case 1: return "one_for_one";
    case 2: return "one_for_all";
    case 3: return "rest_for_one";
    case 4: return "simple_one_for_one";
  }
  return "?";
}

SupervisionView supervision_of(const shm::SlotInfo& info, nanoseconds now) {
  SupervisionView view{strategy_word(info.strategy), info.limit_restarts,
                       nanoseconds(static_cast<std::int64_t>(info.limit_within_ns)), info.window_restarts};
  const auto latest = nanoseconds(static_cast<std::int64_t>(info.window_ns));
  if (info.window_ns == 0 || now - latest > view.within) view.used = 0;
  return view;
}

MuprocView muproc_of(std::uint32_t slot, const shm::SlotInfo& info, nanoseconds now) {
  MuprocView view;
  view.slot = slot;
  view.name = info.name;
  view.pid = Pid(info.pid);
  view.os_pid = info.os_pid;
  view.kind = checked(info.kind, shm::SlotKind::outsider, shm::SlotKind::plain);
  view.state = checked(info.state, shm::SlotState::draining, shm::SlotState::failed);
  view.parent = info.parent_slot < shm::k_max_slots && info.parent_slot != slot ? info.parent_slot : k_no_parent;
  view.restarts = info.restarts;
  view.last_exit = info.last_exit;
  const auto since = [&](std::uint64_t moment) { return now - nanoseconds(static_cast<std::int64_t>(moment)); };
  if (view.pid && info.started_ns != 0) view.up_for = std::max(since(info.started_ns), nanoseconds(0));
  if (view.state == shm::SlotState::backing_off) view.due_in = std::max(-since(info.due_ns), nanoseconds(0));
  if (view.is_supervisor()) view.supervision = supervision_of(info, now);
  return view;
}

std::uint64_t allocated(int memfd) {
  struct stat status;
  return ::fstat(memfd, &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
}

}  // namespace

MuprocStatus read_status(const shm::StatusBlock& status, const shm::DirectoryView& directory) {
  MuprocStatus copy;
  copy.activity = checked(load(status.activity), shm::Activity::asking, shm::Activity::running);
  copy.traps_exits = load(status.traps_exits) != 0;
  if (copy.activity == shm::Activity::sending) copy.blocked_on = Pid(load(status.blocked_on));
  copy.in_hand_depth = load(status.in_hand_depth);
  for (std::uint32_t i = 0, end = std::min(copy.in_hand_depth, shm::k_max_in_hand); i < end; ++i) {
    const auto timestamp = load(status.in_hand[i].timestamp);
    copy.in_hand.push_back(
        {Pid(load(status.in_hand[i].sender)), load(status.in_hand[i].type_id), timestamp, directory.age(timestamp)});
  }
  copy.runtime_calls = load(status.runtime_calls);
  copy.messages_sent = load(status.messages_sent);
  copy.bytes_sent = load(status.bytes_sent);
  copy.large_sent = load(status.large_sent);
  copy.sends_blocked = load(status.sends_blocked);
  copy.sent_to_dead = load(status.sent_to_dead);
  copy.messages_received = load(status.messages_received);
  copy.bytes_received = load(status.bytes_received);
  copy.wakes = load(status.wakes);
  copy.malformed = load(status.malformed);
  copy.stash_messages = load(status.stash_messages);
  copy.stash_bytes = load(status.stash_bytes);
  copy.stash_high_water = load(status.stash_high_water);
  for (const auto& count : status.dead_letters.counts) copy.dead_letters += load(count);
  return copy;
}

SystemView::SystemView(std::string_view system) : memory_(folder_of(system)), directory_(directory_in(memory_)) {}

const shm::PeerSegment* SystemView::segment(Pid pid) const {
  const auto found = segments_.find(pid);
  return found == segments_.end() ? nullptr : &found->second->segment;
}

bool SystemView::is_succeeded() const {
  const int holder = broker_in_lock(folder());
  return holder != 0 && holder != memory_.os_pid();
}

std::chrono::nanoseconds SystemView::now() const {
  const auto* clock = directory_.virtual_clock();
  return clock ? nanoseconds(static_cast<std::int64_t>(clock->load(std::memory_order_acquire))) : sys::real_monotonic();
}

std::vector<ChannelView> ObservedDirectory::channels() const {
  std::vector<ChannelView> channels;
  const std::uint32_t end =
      std::min(header().channel_rows_used.load(std::memory_order_acquire), shm::k_max_channel_rows);
  for (std::uint32_t index = 0; index < end; ++index) {
    const shm::ChannelRow& from = row(index);
    ChannelView channel;
    channel.from = Pid(from.sender.load(std::memory_order_acquire));
    if (!channel.from) continue;
    channel.to = Pid(load(from.receiver));
    channel.ring_offset = load(from.ring_offset);
    channel.ring_size = load(from.ring_size);
    channel.cursor = load(from.cursor);
    channel.secret = load(from.secret);
    std::atomic_thread_fence(std::memory_order_acquire);
    // The row may have become another channel's meanwhile.
    const bool is_same = from.sender.load(std::memory_order_relaxed) == channel.from.bits();
    if (is_same && channel.cursor < shm::k_max_channels && is_ring(channel.ring_offset, channel.ring_size, 0))
      channels.push_back(channel);
  }
  return channels;
}

std::shared_ptr<const Snapshot> SystemView::look() {
  const BrokerState broker = memory_.state();
  if (broker != BrokerState::gone || !last_) return last_ = std::make_shared<const Snapshot>(read(broker));
  if (last_->broker == BrokerState::gone) return last_;
  Snapshot ended = *last_;
  ended.broker = BrokerState::gone;
  return last_ = std::make_shared<const Snapshot>(std::move(ended));
}

Snapshot SystemView::read(BrokerState broker) {
  Snapshot snapshot;
  snapshot.broker = broker;
  snapshot.taken = sys::real_monotonic();
  snapshot.taken_wall_ns = system_clock::now().time_since_epoch() / nanoseconds(1);
  snapshot.system = system();
  snapshot.broker_os_pid = memory_.os_pid();
  const shm::DirectoryHeader& header = directory_.header();
  snapshot.up_for = std::max(snapshot.taken - nanoseconds(static_cast<std::int64_t>(header.start_ns)), nanoseconds(0));
  snapshot.births = load(header.births);
  snapshot.deaths = load(header.deaths);
  snapshot.restarts = load(header.restarts);
  read_muprocs(snapshot);
  snapshot.channels = directory_.channels();
  map_segments(snapshot);
  read_statuses(snapshot);
  read_mailboxes(snapshot);
  return snapshot;
}

void SystemView::read_muprocs(Snapshot& to) const {
  const auto at = now();
  for (std::uint32_t slot = 0, end = directory_.slots(); slot < end; ++slot) {
    const auto info = directory_.info(slot);
    if (info && info->name[0] != '\0') to.muprocs.push_back(muproc_of(slot, *info, at));
  }
}

/// A look through the broker's descriptors only when somebody is new: it is what costs most.
void SystemView::map_segments(const Snapshot& now) {
  std::unordered_set<Pid> in_use;
  for (const MuprocView& muproc : now.muprocs)
    // Before it is up its segment is not sealed, and nobody's to see.
    if (muproc.pid && muproc.has_mailbox() && directory_.lives(muproc.pid)) in_use.insert(muproc.pid);
  for (const ChannelView& channel : now.channels) in_use.insert({channel.from, channel.to});
  std::erase_if(segments_, [&](const auto& entry) { return !in_use.contains(entry.first); });
  std::erase_if(refused_, [&](Pid pid) { return !in_use.contains(pid); });
  std::vector<Pid> missing;
  for (const Pid pid : in_use)
    if (!segments_.contains(pid) && !refused_.contains(pid)) missing.push_back(pid);
  if (missing.empty()) return;
  for (auto& [pid, memfd] : memory_.segments(missing)) try {
      shm::PeerSegment segment(memfd.get(), pid);
      segments_[pid] = std::make_unique<Mapped>(Mapped{std::move(memfd), std::move(segment)});
    } catch (const std::exception&) {
      refused_.insert(pid);  // of another layout, or no memory for the map: shown without a status
    }
}

void SystemView::read_statuses(Snapshot& to) {
  to.shared_bytes = allocated(memory_.directory());
  for (const auto& [pid, mapped] : segments_) to.shared_bytes += allocated(mapped->memfd.get());
  for (MuprocView& muproc : to.muprocs) {
    const auto found = segments_.find(muproc.pid);
    if (!muproc.pid || found == segments_.end()) continue;
    muproc.status = read_status(found->second->segment.status(), directory_);
    muproc.shared_bytes = allocated(found->second->memfd.get());
  }
}

void SystemView::read_mailboxes(Snapshot& to) const {
  for (ChannelView& channel : to.channels) {
    const auto sender = segments_.find(channel.from), receiver = segments_.find(channel.to);
    if (sender == segments_.end() || receiver == segments_.end()) continue;
    channel.taken_to = receiver->second->segment.position(channel.cursor).load(std::memory_order_acquire);
    if (!is_ring(channel.ring_offset, channel.ring_size, channel.taken_to)) continue;
    const Waiting waiting = waiting_in(sender->second->segment.at(channel.ring_offset), channel.ring_size,
                                       channel.secret, channel.taken_to);
    channel.is_known = true;
    channel.waiting = waiting.messages;
    channel.waiting_bytes = waiting.bytes;
    channel.has_more = waiting.has_more;
    if (waiting.messages > 0) channel.oldest = directory_.age(waiting.first_timestamp);
    const auto slot = channel.to.slot();
    const auto muproc =
        std::lower_bound(to.muprocs.begin(), to.muprocs.end(), slot,
                         [](const MuprocView& view, std::uint32_t wanted) { return view.slot < wanted; });
    if (muproc == to.muprocs.end() || muproc->pid != channel.to) continue;
    MailboxView& mailbox = muproc->mailbox;
    ++mailbox.channels;
    mailbox.waiting += channel.waiting;
    mailbox.waiting_bytes += channel.waiting_bytes;
    mailbox.capacity += channel.ring_size;
    mailbox.has_more = mailbox.has_more || channel.has_more;
    mailbox.fill = std::max(mailbox.fill, channel.fill());
    if (channel.oldest) mailbox.oldest = std::max(mailbox.oldest.value_or(nanoseconds(0)), *channel.oldest);
  }
}

void allow_many_descriptors() {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace muproc::tools
