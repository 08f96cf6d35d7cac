// What is wrong with a running system, or unwise: decided from plain facts. Pure: no clock, no file, no system; so each
// finding, and the silence about a healthy system, is a unit test. Who gathers the facts: examination.hpp.
//
// A finding is of a kind, which scripts may rely on, and says in plain words what is seen and what can be done.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <muproc/pid.hpp>

#include "tools/common/snapshot.hpp"

namespace muproc::tools {

/// A process, as /proc shows it.
struct ProcessFacts {
  bool is_zombie = false;                 // it has ended and was not reaped, for as long as it was watched
  std::uint64_t zombie_children = 0;      // of its own, likewise
  std::uint64_t open_fds = 0, fd_limit = 0;  // 0: not known
  std::uint64_t fds_at_first = 0;         // when the watching began; 0: not known
  bool runs_replaced_library = false;     // the libmuproc that it has mapped is not that file any more
  bool runs_other_library = false;        // another libmuproc than its broker's
};

struct ChannelFacts {
  std::string from;
  std::uint32_t ring_size = 0;
  std::uint64_t high_water = 0;  // bytes, the most that was seen waiting
};

struct MuprocFacts {
  std::string name;
  Pid pid;                       // nil: it does not run
  shm::SlotKind kind = shm::SlotKind::muproc;
  shm::SlotState state = shm::SlotState::running;
  std::vector<ChannelFacts> channels;  // into it
  Pid blocked_on;                // it waited for room there, at the first look and at the last
  std::uint64_t blocked_sends = 0;     // that began while it was watched
  std::uint64_t stash_at_first = 0, stash = 0;  // messages
  std::uint64_t recent_restarts = 0;   // in the last k_recent
  std::string last_exit;
  std::optional<bool> has_watchdog;    // nothing: not known
  bool is_silent = false;              // in its own code, without a runtime call for as long as it was watched
  std::optional<std::chrono::nanoseconds> in_hand_age;  // since the message that it handles was sent
  std::optional<ProcessFacts> process;
};

struct SupervisorFacts {
  std::string name;
  std::uint32_t limit = 0, used = 0;   // restarts
  std::chrono::nanoseconds within{0};
};

struct SystemFacts {
  std::string system;
  std::chrono::nanoseconds watched{0};
  BrokerState broker = BrokerState::running;
  int broker_os_pid = 0;
  bool broker_answers = true;
  ProcessFacts broker_process;
  std::string broker_trouble;            // why it would not speak with us; "": it did
  std::vector<std::string> config_warnings;  // of the config that it was launched from, as it is now
  std::string config_error;              // why that cannot be used any more; "": it can
  std::vector<MuprocFacts> muprocs;
  std::vector<SupervisorFacts> supervisors;
};

inline constexpr std::chrono::minutes k_recent{10};
inline constexpr std::chrono::seconds k_long_silence{60};

enum class Severity { wrong, unwise };
std::string_view to_string(Severity severity);

struct Finding {
  std::string_view kind;   // "mailbox_near_full", … (docs/muctl.md)
  Severity severity = Severity::wrong;
  std::string name;        // of the muproc or supervisor; "": the system. Any bytes
  std::string text;        // printable
  std::string advice;      // printable
};

/// What is wrong first; each in the order of the facts.
std::vector<Finding> diagnose(const SystemFacts& facts);

/// All kinds that there are, for the documentation's test.
std::vector<std::string_view> finding_kinds();

}  // namespace muproc::tools
