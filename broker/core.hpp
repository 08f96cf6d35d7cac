// The broker's books and its two means of speaking, in one place: what all its rooms share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "broker/channels.hpp"
#include "broker/connection.hpp"
#include "broker/extents.hpp"
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

  bool is_up = false;        // the root supervisor and all below it have started
  bool is_stopping = false;
  std::function<void()> when_vacated = [] {};  // told of each end, and of each birth that failed

  MuprocTable table{};
  Links links{};
  Channels channels{};
  Extents extents{};

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
  /// It is dead, and its name and ports find nobody.
  void withdraw(const Muproc& muproc);

  /// To whoever has ears; others are passed over.
  void send_notice(Muproc& to, Pid ended, const std::string& name, const Reason& reason, std::uint64_t ref);
  void send_peer_down(Muproc& to, Pid ended, const Reason& reason);

  /// "ch-1 <0.3.1>", for the log.
  static std::string name_of(const Muproc& muproc) { return muproc.name + " " + to_string(muproc.pid); }
};

/// Copies a text into a fixed array, cut off, with its NUL.
template <std::size_t N>
void store_text(char (&to)[N], std::string_view text) {
  const std::size_t size = text.copy(to, N - 1);
  to[size] = '\0';
}

}  // namespace muproc::broker
