// The broker's books and its two means of speaking, in one place: what all its rooms share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "broker/cgroups.hpp"
#include "broker/channels.hpp"
#include "broker/clock.hpp"
#include "broker/connection.hpp"
#include "broker/dead_letters.hpp"
#include "broker/events.hpp"
#include "broker/extents.hpp"
#include "broker/groups.hpp"
#include "broker/links.hpp"
#include "broker/log.hpp"
#include "broker/loop.hpp"
#include "broker/muproc_table.hpp"
#include "shm/directory.hpp"

namespace muproc::broker {

struct Core {
  Loop& loop;
  Log& log;
  shm::Directory& directory;
  std::string system;
  std::filesystem::path runtime_base;
  Cgroups& cgroups;
  std::string token;         // of the marks by which descendants of muprocs are known (descendants.hpp)

  Clock clock{loop, directory};
  bool is_up = false;        // the root supervisor and all below it have started
  bool is_stopping = false;
  std::uint64_t crashes = 0; // since the system began, of all
  std::function<void()> when_vacated = [] {};  // told of each end, and of each birth that failed

  MuprocTable table{};
  Links links{};
  Channels channels{};
  Extents extents{};
  DeadLetters dead_letters{};
  Events events{};
  Groups groups{};
  shm::GroupTable group_table{directory.groups_area()};
  std::map<Pid, std::shared_ptr<const Muproc>> memories{};  // of dead senders that a kept mailbox may have something unread of

  /// Shows in the directory what the table says of a slot.
  void show(SlotIndex slot);
  void set_state(SlotIndex slot, shm::SlotState state) {
    table.record(slot).state = state;
    show(slot);
  }
  /// Nobody lives there any more. Frees the slot unless a supervisor keeps it.
  void vacate(SlotIndex slot, const Reason& last_exit, shm::SlotState state);
  /// Its name can be found, and it is alive.
  void publish(const Muproc& muproc);
  /// It is dead, its name and ports find nobody, and it is in no group.
  /// Its name stays, for messages that wait for its successor, when its mailbox is kept.
  void withdraw(const Muproc& muproc, bool is_kept = false);

  /// To those who watch the group.
  void send_group_change(const std::string& group, const Groups::Change& change);

  /// To whoever has ears; others are passed over.
  void send_notice(Muproc& to, Pid ended, const std::string& name, const Reason& reason, std::uint64_t ref);
  /// `counted`: up to where the channel from `to` was looked through for what the dead one had not read.
  void send_peer_down(Muproc& to, Pid ended, const Reason& reason, std::optional<std::uint64_t> counted, bool is_kept = false);

  /// Nobody will read any more what that dead one has sent.
  void forget_memory_of(Pid dead) {
    extents.forget(dead);
    dead_letters.forget(dead);
    memories.erase(dead);
  }

  /// What descends from it bears this: "<0.3.1>@4242-…".
  std::string mark_of(const Muproc& muproc) const { return to_string(muproc.pid) + token; }

  /// For muctl events; the log has its own words.
  void tell(std::string kind, const Muproc& muproc, std::string text, std::string reason = {}) {
    events.add({0, 0, std::move(kind), muproc.name, muproc.pid, muproc.os_pid, std::move(text), std::move(reason)});
  }
  void tell(std::string kind, std::string name, std::string text, std::string reason = {}) {
    events.add({0, 0, std::move(kind), std::move(name), {}, 0, std::move(text), std::move(reason)});
  }

  /// "ch-1 <0.3.1>", for the log.
  static std::string name_of(const Muproc& muproc) { return muproc.name + " " + to_string(muproc.pid); }
};

/// Sends what `write` makes of a reason. Reasons are of any size, frames are not: one that does not fit is told in short.
void send_with_reason(Connection& to, const Reason& reason, const std::function<void(Message&, const Reason&)>& write);

/// As to_string says it, and no longer than people read.
std::string in_words(const Reason& reason);

/// Copies a text into a fixed array, cut off, with its NUL.
template <std::size_t N>
void store_text(char (&to)[N], std::string_view text) {
  const std::size_t size = text.copy(to, N - 1);
  to[size] = '\0';
}

}  // namespace muproc::broker
