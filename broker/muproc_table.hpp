// The book of who lives, in which slot, under which name.
//
// A *slot* is a row of the directory. It is taken for as long as its name is: for a spawned muproc that is its life, for
// a supervised child its supervisor's memory of it, over all its incarnations. A `Muproc` is one incarnation: it comes
// with `begin` and goes with `end`, and its Pid is never used again.
//
// Names of muprocs and names of ports share one space. A name that is taken while its muproc is down (its supervisor
// will bring it back, or keeps it stopped) is nobody else's to have, though it finds nobody.
//
// Pure books: nothing here makes a system call.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <muproc/pid.hpp>
#include <muproc/reason.hpp>

#include "broker/loop.hpp"
#include "broker/plan.hpp"
#include "shm/layout.hpp"
#include "sys/fd.hpp"

namespace muproc::broker {

class Cgroup;
class Connection;
struct Birth;
struct WatchdogState;
class NotifySocket;

using SlotIndex = std::uint32_t;

/// One incarnation.
struct Muproc {
  Muproc();
  ~Muproc();

  Pid pid;
  std::string name;
  shm::SlotKind kind = shm::SlotKind::muproc;
  Pid parent;      // who spawned it, or its supervisor; nil for the root and for outsiders
  Pid speaks_for;  // a Sender's muproc: what comes from here is that one's; nil otherwise
  PlanPtr plan;    // null for supervisors and outsiders
  std::string error_stream;

  // The process. A supervisor has none.
  int os_pid = 0;
  int cloned_by = 0;  // the OS pid of its zygote, or of the seed
  sys::UniqueFd pidfd, segment, eventfd;
  std::shared_ptr<Cgroup> cgroup;    // in which it was cloned; null: groups are not used
  Connection* connection = nullptr;  // its control socket; null for supervisors and plain programs
  Watch death;

  std::unique_ptr<Birth> birth;    // while it is not up
  std::shared_ptr<Birth> unready;  // while it is up, and has still to say that it is ready
  std::unique_ptr<NotifySocket> notify;     // of a plain program that is to say something on it
  std::unique_ptr<WatchdogState> watchdog;  // while somebody looks at it
  std::string said_status;                  // STATUS= on the notify socket
  bool traps_exits = false;

  // How it ends.
  bool is_dead = false;           // known to be; what is left is bookkeeping
  std::optional<Reason> claim;    // its own account
  std::optional<Reason> sentence; // why we end it: what its end by our signal is put down to
  bool must_end = false;          // by a kill, its supervisor's or the system's word, whatever it traps
  bool heeded = false;            // it has seen that it must end
  bool leaves_mailbox = false;    // it has ended, and its mailbox is kept for a successor
  struct Fate {
    Pid sender;
    std::uint64_t type_id, timestamp;
    std::string text;
  };
  std::vector<Fate> fates;        // of what it had in hand then
  bool is_draining = false;       // it takes no new messages, and will be stopped when it has read what waits
  Watch interrupts, deadline;
  std::chrono::nanoseconds deadline_at{0};

  /// Tells whoever answers for it, after everybody else has been told.
  std::function<void(const Reason&)> when_ended;

  bool has_process() const { return kind != shm::SlotKind::supervisor; }
  bool has_mailbox() const { return kind == shm::SlotKind::muproc || kind == shm::SlotKind::outsider; }
  bool is_up() const { return !birth && !is_dead; }
  Stop stop() const { return plan ? plan->stop : Stop(); }
};

/// How a supervisor restarts, and what it has used of its limit.
struct Supervision {
  std::uint32_t strategy = 0;  // 1 + muproc::Strategy; 0: it is no supervisor
  std::uint32_t limit_restarts = 0, window_restarts = 0;
  std::uint64_t limit_within_ns = 0, window_ns = 0;
  bool operator==(const Supervision&) const = default;
};

/// What a slot remembers between incarnations.
struct SlotRecord {
  std::string name;     // empty: the slot is free
  bool is_kept = false; // by a supervisor, between incarnations
  shm::SlotKind kind = shm::SlotKind::muproc;
  shm::SlotState state = shm::SlotState::free;
  Pid parent;
  std::uint32_t incarnation = 0;
  std::uint32_t restarts = 0;
  std::uint64_t crashes = 0;
  std::uint64_t kept_messages = 0, redelivered = 0, dropped_in_hand = 0;  // where the mailbox is kept
  std::uint64_t started_ns = 0;
  std::uint64_t due_ns = 0;  // when it is started again; means something while it is backing off
  Supervision supervision;
  std::string last_exit;
  PlanPtr plan;
  std::unique_ptr<Muproc> life;
};

class MuprocTable {
 public:
  MuprocTable();
  ~MuprocTable();

  /// Why a muproc or a port cannot have this name, or empty. A port may have its owner's own name.
  std::string why_not_name(std::string_view name) const;
  std::string why_not_port(std::string_view port, Pid owner) const;

  /// A slot for this name, for which why_not_name is empty; nothing when all are taken.
  std::optional<SlotIndex> reserve(std::string name, shm::SlotKind kind, Pid parent, PlanPtr plan);
  void release(SlotIndex slot);

  Muproc& begin(SlotIndex slot);
  /// The incarnation is over. Its ports are forgotten too.
  std::unique_ptr<Muproc> end(SlotIndex slot);

  /// That very incarnation, if it lives.
  Muproc* find(Pid pid);
  const Muproc* find(Pid pid) const { return const_cast<MuprocTable*>(this)->find(pid); }
  /// Who lives under that muproc or port name now.
  Muproc* find(std::string_view name);
  std::optional<SlotIndex> slot_named(std::string_view name) const;
  SlotRecord& record(SlotIndex slot) { return *records_.at(slot); }
  const SlotRecord& record(SlotIndex slot) const { return *records_.at(slot); }

  void add_port(std::string port, Pid owner) { ports_.emplace(std::move(port), owner); }
  Pid port_owner(std::string_view port) const;
  void remove_port(std::string_view port) { ports_.erase(ports_.find(port)); }
  std::vector<std::string> ports_of(Pid owner) const;

  /// All slots that are taken, and all who live, in slot order.
  std::vector<SlotIndex> slots() const;
  std::vector<Muproc*> living();

 private:
  std::vector<std::unique_ptr<SlotRecord>> records_;
  std::deque<SlotIndex> free_;
  std::map<std::string, SlotIndex, std::less<>> names_;
  std::map<std::string, Pid, std::less<>> ports_;
};

}  // namespace muproc::broker
