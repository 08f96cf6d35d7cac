// The directory: who lives here, under which names, and who may send to whom.
//
// The broker writes it, everybody reads it, without waiting for each other: a slot's description has two copies of
// which one store says the current one, and what is acted upon is a single word. If the broker dies anywhere in here,
// readers see the state before or after the one store. Names are looked up here, so sends to a name need no broker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <muproc/pid.hpp>

#include "shm/group_table.hpp"
#include "shm/layout.hpp"
#include "sys/fd.hpp"
#include "sys/mapping.hpp"

namespace muproc::shm {

/// A read-only view; cheap to copy as a reference, one a process.
class DirectoryView {
 public:
  /// Throws std::runtime_error that says both versions when the layout is another one.
  explicit DirectoryView(int memfd, sys::Mapping::Access access = sys::Mapping::Access::read_only);

  const DirectoryHeader& header() const { return *map_.at<DirectoryHeader>(0); }
  std::string_view system() const;
  std::uint32_t slots() const;
  SlotLive& live(std::uint32_t slot) const { return map_.at<SlotLive>(k_live_offset)[slot]; }
  /// True when this very incarnation is alive: what is sent to it arrives.
  bool alive(Pid pid) const {
    // [SYNC directory.live] acquire: what follows a death is seen by who sees the death.
    return pid.slot() < k_max_slots && live(pid.slot()).pid.load(std::memory_order_acquire) == pid.bits();
  }
  /// True when it still lives, but is not alive as far as new messages are concerned.
  bool draining(Pid pid) const {
    return pid && pid.slot() < k_max_slots && live(pid.slot()).draining.load(std::memory_order_acquire) == pid.bits();
  }
  /// True when it has ended, and its mailbox takes messages for its successor.
  bool kept(Pid pid) const {
    // [SYNC directory.kept] acquire
    return pid && pid.slot() < k_max_slots && live(pid.slot()).kept.load(std::memory_order_acquire) == pid.bits();
  }
  /// Takes new messages, or answers at least.
  bool lives(Pid pid) const { return alive(pid) || draining(pid); }
  /// A consistent copy of a slot's description, or nothing when it is in constant change or out of range.
  std::optional<SlotInfo> info(std::uint32_t slot) const;

  /// The live muproc of that port or muproc name, or nil. A port is looked for first.
  Pid find(std::string_view name) const;
  Pid find_muproc(std::string_view name) const;
  Pid find_port(std::string_view name) const;
  /// The latest muproc of that name, which has ended and whose mailbox takes messages for its successor; or nil.
  Pid find_kept(std::string_view name) const;
  /// The ports of a muproc.
  std::vector<std::string> ports(Pid owner) const;

  /// How long ago a message's timestamp was.
  std::chrono::nanoseconds age(std::uint64_t timestamp) const;
  bool use_tsc() const { return header().use_tsc != 0; }
  /// How the two sides of [SYNC sleep.asleep] fence: see sys/fence.hpp.
  bool asymmetric_fences() const { return header().asymmetric_fences != 0; }
  /// Where a system with virtual time has its clock (nanoseconds), or null when time is real.
  const AtomicU64* virtual_clock() const {
    return header().virtual_ns.load(std::memory_order_acquire) ? &header().virtual_ns : nullptr;
  }
  /// Who is in which process group.
  GroupTableView groups() const { return GroupTableView(map_.at<std::byte>(k_groups_offset)); }

 protected:
  Slot& slot(std::uint32_t index) const { return map_.at<Slot>(k_slots_offset)[index]; }
  PortEntry& port(std::uint32_t index) const { return map_.at<PortEntry>(k_ports_offset)[index]; }
  ChannelRow& row(std::uint32_t index) const { return map_.at<ChannelRow>(k_rows_offset)[index]; }
  DirectoryHeader& mutable_header() const { return *map_.at<DirectoryHeader>(0); }

  sys::Mapping map_;
};

/// The broker's side.
class Directory : public DirectoryView {
 public:
  /// Makes the memfd, writes the header, seals. `os_pid` is the broker's.
  static Directory create(std::string_view system, int os_pid);

  int memfd() const { return memfd_.get(); }

  /// The memory of the process groups, for the one GroupTable that writes it.
  std::byte* groups_area() const { return map_.at<std::byte>(k_groups_offset); }
  /// From the first call on, before there is anybody, the system's time is virtual and is what is said here; not zero.
  void set_virtual_time(std::chrono::nanoseconds now);

  /// Shows a new description.
  void describe(std::uint32_t slot, const SlotInfo& info);
  /// The name can be found from now on; `ring_size` is that of channels into the muproc.
  void publish_name(std::uint32_t slot, std::string_view name, std::uint32_t ring_size);
  void withdraw_name(std::uint32_t slot);
  /// The incarnation is alive: sends to it count.
  void publish_live(Pid pid);
  void withdraw_live(std::uint32_t slot);
  /// It has ended; its name stays, for messages that its successor will get.
  void keep(Pid pid);
  /// There will be no successor.
  void forget_kept(std::uint32_t slot);
  /// It lives on, and takes no new messages.
  void drain(Pid pid);
  /// Tells the muproc that another frame is in its control socket; then wake it.
  void announce_frame(std::uint32_t slot);
  void reset_frames(std::uint32_t slot);

  /// False when there is no room.
  bool add_port(std::string_view name, Pid owner);
  void remove_port(std::string_view name);

  /// The row's index, or nothing when there is no room.
  std::optional<std::uint32_t> add_channel(Pid sender, Pid receiver, std::uint64_t ring_offset, std::uint32_t ring_size,
                                           std::uint32_t cursor, std::uint64_t secret);
  void remove_channel(std::uint32_t row);

  void count_birth() { bump(mutable_header().births); }
  void count_death() { bump(mutable_header().deaths); }
  void count_restart() { bump(mutable_header().restarts); }

 private:
  explicit Directory(sys::UniqueFd memfd)
      : DirectoryView(memfd.get(), sys::Mapping::Access::read_write), memfd_(std::move(memfd)) {}
  static void bump(AtomicU64& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  sys::UniqueFd memfd_;
  std::vector<std::uint32_t> free_rows_;
};

}  // namespace muproc::shm
