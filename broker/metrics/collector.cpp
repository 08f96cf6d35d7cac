#include "broker/metrics/collector.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <unordered_set>

#include "shm/dead_letters.hpp"
#include "shm/ring.hpp"
#include "shm/segment.hpp"
#include "sys/clock.hpp"
#include "sys/mapping.hpp"
#include "sys/process_usage.hpp"
#include "wire/version.hpp"

namespace muproc::broker {
namespace {

constexpr std::uint64_t k_longest_walk = 8192;    // records of one channel
constexpr std::uint64_t k_most_walked = 100'000;  // and of all channels, in one collection

template <class Atomic>
std::uint64_t load(const Atomic& field) {
  return field.load(std::memory_order_relaxed);
}

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

std::uint64_t allocated(int memfd) {
  struct stat status {};
  return ::fstat(memfd, &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
}

std::optional<ProcessNumbers> process_numbers(int os_pid) {
  if (os_pid <= 0) return std::nullopt;
  const auto usage = sys::ProcessProbe(os_pid).look();
  if (!usage) return std::nullopt;
  return ProcessNumbers{seconds(usage->cpu), usage->resident, usage->threads};
}

class Collection {
 public:
  Collection(Core& core, std::array<std::uint64_t, shm::k_drops>& dead_letters) : core_(core), dead_letters_(dead_letters) {}

  NodeNumbers node(SlotIndex slot) {
    const SlotRecord& record = core_.table.record(slot);
    NodeNumbers numbers;
    numbers.name = record.name;
    if (record.is_kept && record.parent) numbers.supervisor = core_.table.record(record.parent.slot()).name;
    numbers.kind = record.kind;
    numbers.state = record.state;
    numbers.restarts = record.restarts;
    numbers.crashes = record.crashes;
    numbers.last_exit = record.last_exit;
    if (!record.life) return numbers;
    const Muproc& life = *record.life;
    numbers.pid = to_string(life.pid);
    numbers.os_pid = life.os_pid;
    if (record.started_ns != 0) numbers.up_seconds = std::max(0.0, seconds(sys::monotonic() - std::chrono::nanoseconds(static_cast<std::int64_t>(record.started_ns))));
    numbers.process = process_numbers(life.os_pid);
    if (life.has_mailbox() && life.segment && life.is_up()) numbers.mailbox = mailbox(life);
    return numbers;
  }

 private:
  /// Nothing when its memory is none that we can read.
  std::optional<MailboxNumbers> mailbox(const Muproc& muproc) try {
    const sys::Mapping map(muproc.segment.get(), sys::Mapping::Access::read_only, shm::k_cursors_offset);
    const auto& status = *map.at<const shm::StatusBlock>(shm::k_status_offset);
    MailboxNumbers numbers;
    numbers.messages_received = load(status.messages_received);
    numbers.messages_sent = load(status.messages_sent);
    numbers.bytes_received = load(status.bytes_received);
    numbers.bytes_sent = load(status.bytes_sent);
    numbers.stash_messages = load(status.stash_messages);
    numbers.stash_bytes = load(status.stash_bytes);
    numbers.sends_blocked = load(status.sends_blocked);
    numbers.sent_to_dead = load(status.sent_to_dead);
    numbers.malformed = load(status.malformed);
    numbers.activity = status.activity.load(std::memory_order_relaxed);
    numbers.shared_bytes = allocated(muproc.segment.get());
    for (std::size_t drop = 0; drop < shm::k_drops; ++drop) dead_letters_[drop] += load(status.dead_letters.counts[drop]);
    add_waiting(numbers, muproc);
    return numbers;
  } catch (const std::exception&) {
    return std::nullopt;
  }

  void add_waiting(MailboxNumbers& numbers, const Muproc& muproc) {
    const auto channels = core_.channels.into(muproc.pid);
    if (channels.empty()) return;
    const sys::Mapping map(muproc.segment.get(), sys::Mapping::Access::read_only, shm::k_rings_offset);
    for (const Channel& channel : channels) {
      const Muproc* sender = core_.table.find(channel.sender);
      const auto position = load(map.at<const shm::AtomicU64>(shm::k_positions_offset)[channel.cursor]);
      if (!sender || !sender->segment || position % shm::k_line != 0) continue;
      follow(numbers, channel, sender->segment.get(), position);
    }
  }

  /// Its sender and its receiver go on meanwhile: what is waiting is never more than the ring.
  void follow(MailboxNumbers& numbers, const Channel& channel, int sender_segment, std::uint64_t position) {
    const sys::Mapping ring(sender_segment, sys::Mapping::Access::read_only, channel.ring_size, channel.ring_offset);
    auto reader = shm::RingReader::observer(ring.data(), channel.ring_size, channel.secret, position);
    shm::RecordHeader header;
    std::uint64_t messages = 0, bytes = 0;
    while (reader.look(header) == shm::RingReader::Look::record) {
      reader.pass(header);
      if (reader.position() - position > channel.ring_size) break;
      bytes = reader.position() - position;
      ++messages;
      if (messages < k_longest_walk && ++walked_ < k_most_walked) continue;
      numbers.depth_is_more = true;
      break;
    }
    numbers.depth += messages;
    numbers.depth_bytes += bytes;
    numbers.fill = std::max(numbers.fill, static_cast<double>(bytes) / channel.ring_size);
  }

  Core& core_;
  std::array<std::uint64_t, shm::k_drops>& dead_letters_;
  std::uint64_t walked_ = 0;
};

std::uint64_t open_fds() {
  std::error_code failure;
  std::uint64_t count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", failure), end; !failure && at != end; at.increment(failure)) ++count;
  return count > 0 ? count - 1 : 0;  // the folder's own
}

}  // namespace

SystemNumbers collect(Core& core, const std::vector<SlotIndex>& order) {
  const shm::DirectoryHeader& header = core.directory.header();
  SystemNumbers numbers;
  numbers.system = core.system;
  numbers.version = wire::k_library_version;
  numbers.start_time = static_cast<double>(header.start_wall_ns) / 1e9;
  numbers.now = seconds(std::chrono::system_clock::now().time_since_epoch());
  numbers.births = load(header.births);
  numbers.deaths = load(header.deaths);
  numbers.restarts = load(header.restarts);
  numbers.crashes = core.crashes;
  numbers.broker = process_numbers(::getpid());
  numbers.broker_fds = open_fds();
  numbers.shared_bytes = allocated(core.directory.memfd());
  numbers.dead_letters = core.dead_letters.counts();
  Collection collection(core, numbers.dead_letters);
  std::vector<SlotIndex> slots = order;
  const std::unordered_set<SlotIndex> ordered(order.begin(), order.end());
  for (const SlotIndex slot : core.table.slots())
    if (!ordered.contains(slot)) slots.push_back(slot);
  for (const SlotIndex slot : slots) {
    numbers.nodes.push_back(collection.node(slot));
    if (const auto& mailbox = numbers.nodes.back().mailbox) numbers.shared_bytes += mailbox->shared_bytes;
  }
  return numbers;
}

}  // namespace muproc::broker
