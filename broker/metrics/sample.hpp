// A system's numbers at one moment, in plain values: what is served to monitoring systems, and to the status page.
//
// Numbers that a muproc tells of itself come from its own segment and may be lies; counters of an incarnation begin anew
// with each. Names may hold any bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shm/layout.hpp"

namespace muproc::broker {

struct ProcessNumbers {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint32_t threads = 0;
};

struct MailboxNumbers {
  std::uint64_t messages_received = 0, messages_sent = 0;
  std::uint64_t bytes_received = 0, bytes_sent = 0;
  std::uint64_t stash_messages = 0, stash_bytes = 0;
  std::uint64_t sends_blocked = 0, sent_to_dead = 0, malformed = 0;
  std::uint64_t depth = 0, depth_bytes = 0;  // waiting in its channels, not taken yet
  bool depth_is_more = false;                // counting was given up there
  double fill = 0;                           // of its fullest channel, 0 to 1
  std::uint64_t shared_bytes = 0;            // memory that its segment takes
  std::uint32_t activity = 0;                // shm::Activity
};

struct NodeNumbers {
  std::string name;
  std::string supervisor;  // "": none
  shm::SlotKind kind = shm::SlotKind::muproc;
  shm::SlotState state = shm::SlotState::free;
  std::string pid;         // "<0.3.1>"; "": no incarnation
  int os_pid = 0;
  std::uint64_t restarts = 0, crashes = 0;
  std::string last_exit;
  std::optional<double> up_seconds;
  std::optional<ProcessNumbers> process;
  std::optional<MailboxNumbers> mailbox;
};

struct SystemNumbers {
  std::string system, version;
  double start_time = 0;   // seconds since 1970
  double now = 0;
  std::uint64_t births = 0, deaths = 0, restarts = 0, crashes = 0;
  std::array<std::uint64_t, shm::k_drops> dead_letters{};
  std::uint64_t shared_bytes = 0;  // of all segments, and the directory
  std::uint64_t broker_fds = 0;
  std::optional<ProcessNumbers> broker;
  std::vector<NodeNumbers> nodes;  // supervised ones in start order, then the others
};

}  // namespace muproc::broker
