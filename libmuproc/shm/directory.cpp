#include "shm/directory.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "shm/words.hpp"
#include "sys/clock.hpp"
#include "sys/fence.hpp"

namespace muproc::shm {
namespace {

std::uint64_t hash_of(std::string_view name) { return name_hash(name.data(), name.size()); }

struct Name {
  char bytes[k_name_size] = {};
};

/// Cut at its size, whatever the bytes are.
std::string_view view(const char (&bytes)[k_name_size]) {
  return {bytes, static_cast<std::size_t>(std::find(bytes, bytes + k_name_size, '\0') - bytes)};
}

Name name_of(std::string_view text) {
  Name name;
  std::memcpy(name.bytes, text.data(), std::min(text.size(), k_name_size - 1));
  return name;
}

Name& name_at(PortEntry& entry) { return reinterpret_cast<Name&>(entry.name); }

std::uint64_t wall_clock_ns() {
  return static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
}

}  // namespace

DirectoryView::DirectoryView(int memfd, sys::Mapping::Access access) {
  if (sys::file_size(memfd) != k_directory_size)
    throw std::runtime_error("the directory has another size than layout version " + std::to_string(k_layout_version) +
                             " has: broker and muproc were built from different versions");
  map_ = sys::Mapping(memfd, access, k_directory_size);
  if (access == sys::Mapping::Access::read_write) return;
  if (header().magic != k_directory_magic || header().layout_version != k_layout_version)
    throw std::runtime_error("layout version mismatch: the broker has " + std::to_string(header().layout_version) +
                             ", this muproc has " + std::to_string(k_layout_version));
}

std::string_view DirectoryView::system() const { return view(header().system); }

std::uint32_t DirectoryView::slots() const {
  return std::min(header().slots_used.load(std::memory_order_acquire), k_max_slots);
}

std::optional<SlotInfo> DirectoryView::info(std::uint32_t index) const {
  if (index >= k_max_slots) return std::nullopt;
  Slot& from = slot(index);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    // [SYNC directory.version]
    const std::uint64_t version = from.version.load(std::memory_order_acquire);
    SlotInfo copy = load_words(from.info[version & 1]);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (from.version.load(std::memory_order_relaxed) != version) continue;
    copy.name[k_name_size - 1] = '\0';
    copy.last_exit[sizeof copy.last_exit - 1] = '\0';
    return copy;
  }
  return std::nullopt;
}

Pid DirectoryView::find_muproc(std::string_view name) const {
  const std::uint64_t hash = hash_of(name);
  for (std::uint32_t index = 0, end = slots(); index < end; ++index) {
    if (live(index).name_hash.load(std::memory_order_acquire) != hash) continue;
    const auto copy = info(index);
    if (copy && name == copy->name && live(index).pid.load(std::memory_order_acquire) == copy->pid) return Pid(copy->pid);
  }
  return {};
}

Pid DirectoryView::find_kept(std::string_view name) const {
  const std::uint64_t hash = hash_of(name);
  for (std::uint32_t index = 0, end = slots(); index < end; ++index) {
    if (live(index).name_hash.load(std::memory_order_acquire) != hash) continue;
    const Pid pid(live(index).kept.load(std::memory_order_acquire));
    const auto copy = pid ? info(index) : std::nullopt;
    if (copy && name == copy->name) return pid;
  }
  return {};
}

Pid DirectoryView::find_port(std::string_view name) const {
  const std::uint64_t hash = hash_of(name);
  const std::uint32_t end = std::min(header().ports_used.load(std::memory_order_acquire), k_max_ports);
  for (std::uint32_t index = 0; index < end; ++index) {
    PortEntry& entry = port(index);
    if (entry.hash.load(std::memory_order_acquire) != hash) continue;
    // The entry may be another port's by the time of each load: a pid that is not this name's comes out as nobody's.
    const Pid owner(entry.pid.load(std::memory_order_acquire) ^ hash);
    if (view(load_words(name_at(entry)).bytes) == name && alive(owner)) return owner;
  }
  return {};
}

Pid DirectoryView::find(std::string_view name) const {
  if (const Pid owner = find_port(name)) return owner;
  return find_muproc(name);
}

std::vector<std::string> DirectoryView::ports(Pid owner) const {
  std::vector<std::string> names;
  const std::uint32_t end = std::min(header().ports_used.load(std::memory_order_acquire), k_max_ports);
  for (std::uint32_t index = 0; index < end; ++index) {
    PortEntry& entry = port(index);
    const std::uint64_t hash = entry.hash.load(std::memory_order_acquire);
    if (!hash || (entry.pid.load(std::memory_order_acquire) ^ hash) != owner.bits()) continue;
    const Name copy = load_words(name_at(entry));
    if (hash_of(view(copy.bytes)) == hash) names.emplace_back(view(copy.bytes));
  }
  return names;
}

std::chrono::nanoseconds DirectoryView::age(std::uint64_t timestamp) const {
  const std::uint64_t now = sys::ticks(use_tsc());
  if (timestamp >= now) return {};
  if (!use_tsc()) return std::chrono::nanoseconds(now - timestamp);
  const double ns_since_start = static_cast<double>(sys::real_monotonic().count()) - static_cast<double>(header().start_ns);
  const double ticks_since_start = static_cast<double>(now - header().start_ticks);
  return std::chrono::nanoseconds(
      static_cast<std::int64_t>(static_cast<double>(now - timestamp) * ns_since_start / ticks_since_start));
}

// ---- the broker's side -----------------------------------------------------------------------------------------------

Directory Directory::create(std::string_view system, int os_pid) {
  Directory directory(sys::create_memfd("muproc-directory", k_directory_size));
  sys::seal_for_readers(directory.memfd());
  DirectoryHeader& header = directory.mutable_header();
  header.layout_version = k_layout_version;
  header.use_tsc = sys::has_invariant_tsc();
  header.asymmetric_fences = sys::has_asymmetric_fences();
  header.size = k_directory_size;
  std::memcpy(header.system, name_of(system).bytes, k_name_size);
  header.broker_os_pid = static_cast<std::uint64_t>(os_pid);
  header.start_ns = static_cast<std::uint64_t>(sys::real_monotonic().count());
  header.start_ticks = sys::ticks(header.use_tsc);
  header.start_wall_ns = wall_clock_ns();
  header.magic = k_directory_magic;
  return directory;
}

void Directory::set_virtual_time(std::chrono::nanoseconds now) {
  mutable_header().virtual_ns.store(static_cast<std::uint64_t>(now.count()), std::memory_order_release);  // [SYNC clock.virtual]
}

void Directory::describe(std::uint32_t index, const SlotInfo& info) {
  Slot& to = slot(index);
  const std::uint64_t next = to.version.load(std::memory_order_relaxed) + 1;
  store_words(to.info[next & 1], info);
  to.version.store(next, std::memory_order_release);  // [SYNC directory.version]
  AtomicU32& used = mutable_header().slots_used;
  if (used.load(std::memory_order_relaxed) <= index) used.store(index + 1, std::memory_order_release);
}

void Directory::publish_name(std::uint32_t index, std::string_view name, std::uint32_t ring_size) {
  live(index).ring_size.store(ring_size, std::memory_order_relaxed);
  live(index).name_hash.store(hash_of(name), std::memory_order_release);
}

void Directory::withdraw_name(std::uint32_t index) { live(index).name_hash.store(0, std::memory_order_release); }

void Directory::publish_live(Pid pid) {
  live(pid.slot()).draining.store(0, std::memory_order_relaxed);
  live(pid.slot()).pid.store(pid.bits(), std::memory_order_release);  // [SYNC directory.live]
  live(pid.slot()).kept.store(0, std::memory_order_release);          // [SYNC directory.kept]
}

void Directory::keep(Pid pid) {
  live(pid.slot()).kept.store(pid.bits(), std::memory_order_release);  // [SYNC directory.kept]
  withdraw_live(pid.slot());
}

void Directory::forget_kept(std::uint32_t index) {
  live(index).kept.store(0, std::memory_order_release);
  if (!live(index).pid.load(std::memory_order_relaxed)) withdraw_name(index);
}

void Directory::withdraw_live(std::uint32_t index) {
  live(index).pid.store(0, std::memory_order_release);  // [SYNC directory.live]
  live(index).draining.store(0, std::memory_order_release);
}

void Directory::drain(Pid pid) {
  live(pid.slot()).draining.store(pid.bits(), std::memory_order_release);
  live(pid.slot()).pid.store(0, std::memory_order_release);  // [SYNC directory.live]
}

void Directory::announce_frame(std::uint32_t index) {
  AtomicU64& lane = live(index).lane;
  lane.store(lane.load(std::memory_order_relaxed) + 1, std::memory_order_release);  // [SYNC lane.announced]
}

void Directory::reset_frames(std::uint32_t index) { live(index).lane.store(0, std::memory_order_relaxed); }

bool Directory::add_port(std::string_view name, Pid owner) {
  for (std::uint32_t index = 0; index < k_max_ports; ++index) {
    PortEntry& entry = port(index);
    if (entry.hash.load(std::memory_order_relaxed)) continue;
    store_words(name_at(entry), name_of(name));
    entry.pid.store(owner.bits() ^ hash_of(name), std::memory_order_release);
    entry.hash.store(hash_of(name), std::memory_order_release);
    AtomicU32& used = mutable_header().ports_used;
    if (used.load(std::memory_order_relaxed) <= index) used.store(index + 1, std::memory_order_release);
    return true;
  }
  return false;
}

void Directory::remove_port(std::string_view name) {
  const std::uint64_t hash = hash_of(name);
  const std::uint32_t end = header().ports_used.load(std::memory_order_relaxed);
  for (std::uint32_t index = 0; index < end; ++index) {
    PortEntry& entry = port(index);
    if (entry.hash.load(std::memory_order_relaxed) != hash || view(entry.name) != name) continue;
    entry.hash.store(0, std::memory_order_release);
    entry.pid.store(0, std::memory_order_release);
  }
}

std::optional<std::uint32_t> Directory::add_channel(Pid sender, Pid receiver, std::uint64_t ring_offset,
                                                    std::uint32_t ring_size, std::uint32_t cursor,
                                                    std::uint64_t secret) {
  std::uint32_t index;
  AtomicU32& used = mutable_header().channel_rows_used;
  if (!free_rows_.empty()) {
    index = free_rows_.back();
    free_rows_.pop_back();
  } else {
    index = used.load(std::memory_order_relaxed);
    if (index >= k_max_channel_rows) return std::nullopt;
    used.store(index + 1, std::memory_order_release);
  }
  ChannelRow& entry = row(index);
  entry.receiver.store(receiver.bits(), std::memory_order_relaxed);
  entry.ring_offset.store(ring_offset, std::memory_order_relaxed);
  entry.ring_size.store(ring_size, std::memory_order_relaxed);
  entry.cursor.store(cursor, std::memory_order_relaxed);
  entry.secret.store(secret, std::memory_order_relaxed);
  entry.sender.store(sender.bits(), std::memory_order_release);
  return index;
}

void Directory::remove_channel(std::uint32_t index) {
  row(index).sender.store(0, std::memory_order_release);
  free_rows_.push_back(index);
}

}  // namespace muproc::shm
