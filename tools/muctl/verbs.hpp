// What muctl can do: a function for each verb. It returns what is to be printed, each line with its newline, and throws
// Failure when it could not do it.
//
// ps, tree, show and dead-letters only ask. spawn, kill, exit, start, stop, restart, drain, delete and shutdown tell the broker to do something. send and call
// join the system as a temporary muproc, since messages go from muproc to muproc, not through the broker.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/common/broker_client.hpp"

namespace muproc::tools {

/// What stands before the verb, or belongs to many.
struct Context {
  std::string system;  // empty: the one that runs
  bool json = false;
  Patience timeout;  // --timeout, when it was given

  /// For what should take no time.
  std::chrono::nanoseconds short_patience() const {
    return std::min<std::chrono::nanoseconds>(timeout.value_or(k_book_patience), k_book_patience);
  }
  BrokerClient broker() const { return BrokerClient(system, short_patience()); }
};

std::string ps(const Context& context);
std::string tree(const Context& context);
std::string show(const Context& context, const std::string& name);

/// Prints the last `count` lines that a muproc has said, or the broker's own log if `name` is empty, and with `follow` all
/// that come, until somebody interrupts it. Reads files: the broker may be stopped, or gone.
std::string log(const Context& context, const std::string& name, std::size_t count, bool follow);

/// The latest crash report of that muproc, or a list of all reports if `name` is empty. Reads files, as `log` does.
std::string crash(const Context& context, const std::string& name);
/// Becomes a debugger at its process, or prints with what words it would be called if the context wants JSON. `program`:
/// empty, $MUPROC_GDB or gdb. `batch`: all threads' stacks, and that is all.
std::string gdb(const Context& context, const std::string& name, const std::string& program, bool batch);

/// Prints the latest births, deaths and decisions, and with `follow` all that come, until the system has ended.
std::string events(const Context& context, bool follow);

/// What reached nobody, counted, and the last `count` of it.
std::string dead_letters(const Context& context, std::size_t count);

/// What the doctor says, and whether it has found nothing.
struct Verdict {
  std::string text;
  bool is_healthy = false;
};
/// Watches the system for that long, and says what is wrong with it or unwise. The broker may be stopped.
Verdict doctor(const Context& context, std::chrono::nanoseconds watch);

/// What `trace` shows, and for how long.
struct TraceRequest {
  std::string name, to;              // whose messages; `to`: empty, or only those that it sends to this one
  std::vector<std::string> schemas;  // .capnp files
  double rate = 1000;                // messages shown a second, at most; 0: all
  std::uint64_t count = 0;           // so many are shown; 0: no limit
  std::optional<std::chrono::nanoseconds> span;  // how long; absent: until it is interrupted, or the system ends
};
/// Prints messages as they pass, and at the end how many there were that it did not show. Reads shared memory: the broker
/// may be stopped.
std::string trace(const Context& context, const TraceRequest& request);

std::string kill(const Context& context, const std::string& name);
/// `reason` is a value as in key_value.hpp; the words normal and shutdown are the reasons of these names.
std::string exit(const Context& context, const std::string& name, const std::string& reason);
/// What is to be spawned. `words`: a name, which a template's instance may go without, then fields of its arguments.
struct SpawnRequest {
  std::vector<std::string> words;
  std::string under;                 // a supervisor; empty: nobody's
  std::string module, entry;         // or:
  std::vector<std::string> program;  // what stood after --
  bool plain = false;
  std::string restart, stop;         // as they were typed; empty: the default
};
/// Returns when it is ready.
std::string spawn(const Context& context, const SpawnRequest& request);
std::string child_verb(const Context& context, const std::string& name, wire::ChildVerb::Verb verb);
/// It takes no new messages, finishes what waits and is stopped; returns when it has ended. The context's time-out: it is
/// stopped after that whatever waits, which is a Failure.
std::string drain(const Context& context, const std::string& name);
/// `wait`: returns when the broker has ended.
std::string shut_down(const Context& context, bool wait);

/// `file`: empty, the one that the system was launched from. `settings`: NAME=VALUE. `only_ask`: nothing is done.
std::string reload(const Context& context, const std::string& file, const std::vector<std::string>& settings, bool only_ask);

/// For completion in shells: who lives and which ports there are, one a line, as far as a line can hold the name. Quick: a
/// broker that does not answer at once is not waited for.
std::string complete_names(const Context& context);
/// Those that have a folder, one a line.
std::string complete_systems();

std::string send(const Context& context, const std::string& name, const std::vector<std::string>& fields);
/// Waits for the first message from whom it was sent to; for 5 s, unless the context says otherwise.
std::string call(const Context& context, const std::string& name, const std::vector<std::string>& fields);

}  // namespace muproc::tools
