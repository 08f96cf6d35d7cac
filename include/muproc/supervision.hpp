// Supervision: the words in which a tree of supervisors is described, and that description as a value.
//
// A supervisor starts its children in order, each when the one before it is ready, brings back those that die, as their
// restart type says, and stops them in reverse order. When they die too often it gives up: it stops all its children and
// ends, and that is a death like any other to its own supervisor. A tree is a plain value: building one starts nothing,
// and it may be copied, kept and started many times.
//
//     supervisor(one_for_one, {2, 5s},
//                {{"ch-1", module("libsuper.so", "super_child"), {.args = {{"period", 3}}, .stop = kill}},
//                 {"ch-2", exec({"./decoder", "--fast"}), {.restart = transient, .stop = 10s}},
//                 {"inner", supervisor(one_for_all, {2, 5s}, {{"ch-3.1", worker}, {"ch-3.2", worker}})}})
//
// Defaults are OTP's: one_for_one's siblings are left alone, one restart within 5 s, permanent children with 5 s to
// stop, supervisors with all the time they need. Erlang: supervisor:init/1's flags and child specifications.
// cl-muproc: `supervisor`, `supervised-muproc`. The same tree as a file: docs/config.md.
//
// Plain values only: nothing here does anything, and nothing here throws but for want of memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <muproc/bytes.hpp>
#include <muproc/value.hpp>

namespace muproc {

class Self;

/// Who is restarted with a child that died: nobody; all; those that were started after it. simple_one_for_one makes a
/// template supervisor: its one child is a template, which start_child (supervisor.hpp) makes children from; they are
/// restarted alone, and stopped all at once.
enum class Strategy { one_for_one, one_for_all, rest_for_one, simple_one_for_one };

/// Whether a child that ended comes back: always; unless it ended with `normal` or `shutdown`; never.
enum class Restart { permanent, transient, temporary };

/// Whether a supervisor ends when significant children end for good: no; with the first; with the last.
enum class AutoShutdown { never, any_significant, all_significant };

using enum Strategy;
using enum Restart;
using enum AutoShutdown;

/// So many restarts within so long are allowed; the next makes the supervisor give up. Zero restarts allow none.
struct Limit {
  std::uint32_t restarts = 1;
  std::chrono::nanoseconds within = std::chrono::seconds(5);

  friend bool operator==(const Limit&, const Limit&) = default;
};

namespace detail {
struct KillWord {};
}  // namespace detail

/// The word `kill` in `.stop = kill`. It is a function, so that it stands beside ::kill of <signal.h> as an overload
/// where a variable would be ambiguous. Not meant to be called.
inline void kill(detail::KillWord) {}

/// How a child is stopped: killed at once; told to exit (`shutdown`) and killed when it has not ended after a while; or
/// told to exit and waited for, however long that takes. Erlang: brutal_kill, a timeout, infinity.
class Stop {
 public:
  enum class Kind { kill, period, forever };

  constexpr Stop() = default;
  constexpr Stop(void (*)(detail::KillWord)) : kind_(Kind::kill), period_(0) {}
  template <class Rep, class Period>
  constexpr Stop(std::chrono::duration<Rep, Period> period)
      : period_(std::chrono::duration_cast<std::chrono::nanoseconds>(period)) {}

  static constexpr Stop by_kill() { return Stop(Kind::kill); }
  static constexpr Stop wait_forever() { return Stop(Kind::forever); }

  [[nodiscard]] constexpr Kind kind() const { return kind_; }
  /// How long a child has to end by itself; zero but for Kind::period.
  [[nodiscard]] constexpr std::chrono::nanoseconds period() const { return period_; }

  friend constexpr bool operator==(const Stop&, const Stop&) = default;

 private:
  constexpr explicit Stop(Kind kind) : kind_(kind), period_(0) {}

  Kind kind_ = Kind::period;
  std::chrono::nanoseconds period_ = std::chrono::seconds(5);
};

inline constexpr Stop forever = Stop::wait_forever();

/// How long a restart waits: `initial`, then `factor` times as long after each further failure, at most `max`, spread by
/// plus or minus `jitter` (a part of one), and from `initial` again once the child has been up for `reset_after`.
/// An initial of zero means no waiting at all.
struct Backoff {
  std::chrono::nanoseconds initial{0};
  std::chrono::nanoseconds max = std::chrono::seconds(30);
  double factor = 2.0;
  double jitter = 0.1;
  std::chrono::nanoseconds reset_after = std::chrono::seconds(60);

  friend bool operator==(const Backoff&, const Backoff&) = default;
};

/// What becomes of a supervised child's mailbox when its supervisor brings it back: it begins with an empty one; or it gets
/// what was sent to the one before, and not handled.
enum class OnRestart { discard, keep };

/// In a mailbox that is kept, what becomes of the message that was being handled at the death: it is dropped, and named;
/// or it is delivered once more, at most 3 times.
enum class InHand { drop, redeliver };

/// A muproc's mailbox. Its sizes: each channel's ring, the largest message, what may wait unmatched (where the mailbox is
/// kept, no more than 128 MiB of it count). And what a restart makes of it: docs/kept-mailboxes.md.
struct MailboxSizes {
  Bytes ring = Bytes::kib(256);
  Bytes max_message = Bytes::gib(1);
  Bytes stash = Bytes::mib(64);
  OnRestart on_restart = OnRestart::discard;
  InHand in_hand = InHand::drop;

  friend bool operator==(const MailboxSizes&, const MailboxSizes&) = default;
};

/// What the kernel is told to hold the process to; absent: inherited from the broker. The largest number of bytes means
/// that there is no limit.
struct ProcessLimits {
  std::optional<Bytes> memory;  // private memory: heap, stacks and data, not shared maps
  std::optional<std::uint64_t> files;
  std::vector<unsigned> cpus;  // the processors it may run on; empty: any
  std::optional<int> nice;
  std::optional<Bytes> core;
  std::optional<int> oom_score_adj;
  std::optional<std::uint64_t> processes;  // processes and threads of its user, all together
  std::optional<Bytes> stack;
  std::optional<Bytes> locked_memory;
  std::optional<Bytes> file_size;  // the largest file that it may write
  std::optional<std::chrono::seconds> cpu_time;
  std::optional<unsigned> realtime_priority;  // the highest that it may give itself

  friend bool operator==(const ProcessLimits&, const ProcessLimits&) = default;
};

/// What the kernel lets a muproc's process do. A strict one gets no new privileges, can make the system calls that the
/// runtime needs and those that are added here, has no sockets but Unix ones, and writes no file (where the kernel has
/// Landlock) but below what is named here. A system call that it may not make ends it with SIGSYS. docs/security.md.
struct Sandbox {
  bool strict = false;
  std::vector<std::string> syscalls = {};  // that it can make besides, by name
  bool network = false;                    // true: it has sockets of all kinds
  std::vector<std::string> writable = {};  // absolute paths of files and folders

  friend bool operator==(const Sandbox&, const Sandbox&) = default;
};

/// When a start is done: once it has attached (a plain program: once its exec has succeeded); when it calls
/// `self.ready()`; when a plain program says READY=1 on $NOTIFY_SOCKET, as with sd_notify.
enum class ReadyOn { attach, call, notify };

/// How much is told: this and what is more important.
enum class LogLevel { trace, debug, info, warn, error, off };

/// How captured output is written: lines for people, or a JSON object a line.
enum class LogFormat { text, json };

/// What becomes of what a muproc says, where its system captures output. What is unset is as the system has it.
struct LogOptions {
  std::optional<LogLevel> level = {};    // of self.log(), captured or not; info if nobody says
  std::optional<LogFormat> format = {};  // of its file
  std::optional<Bytes> file_size = {};   // a file that would grow beyond it is put aside
  std::optional<std::uint32_t> files = {};  // so many are kept, the one being written included

  friend bool operator==(const LogOptions&, const LogOptions&) = default;
};

/// Everything about a supervised muproc but its name and its code.
struct ChildOptions {
  Mumsg args = {};                                            // self.args() in the child
  Mumsg bindings = {};                                        // self.binding<T>(name); cl-muproc's initial bindings
  std::vector<std::pair<std::string, std::string>> env = {};  // added to the broker's own environment
  std::string cwd = {};                                       // empty: the broker's
  Restart restart = permanent;
  Stop stop = {};
  std::chrono::nanoseconds ready_timeout = std::chrono::seconds(10);
  Backoff backoff = {};
  MailboxSizes mailbox = {};
  ProcessLimits limits = {};
  LogOptions log = {};
  std::optional<std::uint32_t> umask = {};
  bool significant = false;
  bool trap_exits = false;
  ReadyOn ready_on = ReadyOn::attach;
  std::chrono::nanoseconds watchdog{0};  // so long without a runtime call, and it is ended by SIGABRT; 0: never
  std::string user = {};                 // a name or a number; empty: the broker's
  std::string group = {};                // empty: the user's own
  std::optional<std::vector<std::string>> groups = {};    // supplementary ones; absent: those that the user is in
  std::optional<std::vector<std::string>> may_send = {};  // whom it may open channels to, by name; absent: anyone
  bool may_control = true;                                // spawn, stop and end others
  bool trust = true;         // false: receivers copy its large messages before they read them
  Sandbox sandbox = {};      // who is in one has nothing spawned outside of it
  std::uint32_t spares = 0;  // children cloned in advance, waiting for a crash
};

/// A module (a shared object) and the name of an entry that MUPROC_ENTRY registered in it.
struct ModuleEntry {
  std::string module;
  std::string entry;

  friend bool operator==(const ModuleEntry&, const ModuleEntry&) = default;
};

/// A program and its arguments. `plain` means that it knows nothing of muproc and has no mailbox.
struct Program {
  std::vector<std::string> argv;
  bool plain = false;

  friend bool operator==(const Program&, const Program&) = default;
};

using Function = void (*)(Self&);

/// What a child runs.
using Code = std::variant<ModuleEntry, Program, Function>;

inline Code module(std::string file, std::string entry) { return ModuleEntry{std::move(file), std::move(entry)}; }
inline Code exec(std::vector<std::string> argv) { return Program{std::move(argv), false}; }
inline Code exec_plain(std::vector<std::string> argv) { return Program{std::move(argv), true}; }

struct Child;

/// What a supervisor is to its own supervisor.
struct SupervisorOptions {
  Restart restart = permanent;
  Stop stop = forever;
  bool significant = false;
};

/// A supervisor with its children, in start order.
struct Supervisor {
  Strategy strategy = one_for_one;
  Limit limit = {};
  std::vector<Child> children;
  AutoShutdown auto_shutdown = never;
};

/// A child of a supervisor: a name, what it is, and how it is to be treated.
struct Child {
  struct Muproc {
    Code code;
    ChildOptions options;
  };
  struct Nested {
    Supervisor supervisor;
    SupervisorOptions options;
  };

  Child(std::string child_name, Code code, ChildOptions options = {})
      : name(std::move(child_name)), what(Muproc{std::move(code), std::move(options)}) {}
  Child(std::string child_name, Function function, ChildOptions options = {})
      : Child(std::move(child_name), Code(function), std::move(options)) {}
  Child(std::string child_name, Supervisor supervisor, SupervisorOptions options = {})
      : name(std::move(child_name)), what(Nested{std::move(supervisor), options}) {}

  std::string name;
  std::variant<Muproc, Nested> what;
};

inline Supervisor supervisor(Strategy strategy, Limit limit, std::vector<Child> children,
                             AutoShutdown auto_shutdown = never) {
  return {strategy, limit, std::move(children), auto_shutdown};
}

}  // namespace muproc
