// The system that is measured: a broker in a process of its own, an exec of this very program, so that it shares nothing
// with the benchmark but its code; and the benchmark itself, attached to it.
#pragma once

#include <muproc/muproc.hpp>

#include <filesystem>
#include <optional>
#include <string>

#include "bench/row.hpp"

namespace muproc::bench {

class Live {
 public:
  /// `ballast`: MiB that the broker has touched before it begins, and that all that is cloned there has from its birth.
  explicit Live(Cores cores, unsigned ballast = 0);
  ~Live();
  Live(const Live&) = delete;
  Live& operator=(const Live&) = delete;

  Self& self() { return **attachment_; }
  Cores cores() const { return cores_; }
  int broker_os_pid() const { return broker_; }
  std::string fresh_name(const std::string& prefix) { return prefix + '-' + std::to_string(++names_); }
  /// OS pid of a living muproc.
  int os_pid(Pid pid);

  /// Spawns a muproc that runs on a core; what else it needs to know goes into its arguments.
  Pid spawn(const std::string& name, Function function, unsigned core, Mumsg args = {}, MailboxSizes mailbox = {});
  /// Spawns one on the first core that measures and then tells what it has measured (`tell`). Its argument "other" is the
  /// second core.
  Round measured_by(Function function, Mumsg args = {}, MailboxSizes mailbox = {});

 private:
  Cores cores_;
  std::filesystem::path folder_;
  int broker_ = 0;
  int names_ = 0;
  std::optional<Attachment> attachment_;
};

/// In a muproc that was spawned here: goes to its core.
void settle(Self& self);
/// Spawns another on the core that "other" names; it ends with its spawner.
Pid spawn_beside(Self& self, const std::string& prefix, Function function, Mumsg args = {});
/// Tells the benchmark what was measured.
void tell(Self& self, const Round& round);
/// Waits for its end. How it ends is none of what is measured.
void idle(Self& self);
/// Tells who says hello when it heard that, and goes on.
void victim(Self& self);

/// The program that is `victim` by itself.
std::string victim_program();

/// What the program does when it is the broker: `mubench --serve`.
int serve(unsigned ballast);

void add_round_trips(Rows& rows, Live& live);
void add_sleepers(Rows& rows, Live& live);
void add_streams(Rows& rows, Live& live);
void add_large_messages(Rows& rows, Live& live);
void add_calls(Rows& rows, Live& live);
void add_births(Rows& rows, Live& live);
void add_restarts(Rows& rows, Live& live);
void add_restart_rate(Rows& rows, Live& live);
void add_trees(Rows& rows, Live& live);
void add_memory(Rows& rows, Live& live);
void add_growth(Rows& rows, Live& live);

/// So many senders that share the second core, one receiver on the first.
Row fan_in(Live& live, std::string name, int senders, Bytes ring = MailboxSizes().ring);

}  // namespace muproc::bench
