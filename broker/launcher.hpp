// Births. From a slot and a plan to a muproc that is up, or to an error that says why not.
//
//     begin ── kit queued, clone asked for ──▶ cloning ── OS pid ──▶ greeting ── hello ──▶ up ── go, done(pid)
//                                                │                      │
//                                                └── failed, late, died ┴──▶ done(error); the slot is empty again
//
// The kit waits in the child's socket before the child is cloned, so it need not wait for us. The child's segment is
// sealed between its hello and its go. Links and monitors that were asked for stand in the books before go: there is no
// moment at which the child can die unnoticed. A plain program is up when its exec has succeeded.
//
// A spare (spares.hpp) is cloned already: its kit goes to the socket on which it waits, and the rest is the same.
//
// Where the plan wants more for readiness (a call of ready(), a READY=1), a child that is up runs like any other, but
// its birth is answered, and links and monitors are tied, only when it has said so; if it ends before, it was never born.
//
// Every birth is answered exactly once, and when it is answered with an error no process is left. If the broker dies at
// any line, the child dies by its parent-death signal, or waits for `go` on a socket that has closed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/core.hpp"
#include "broker/endings.hpp"
#include "broker/estates.hpp"
#include "broker/logs/logger.hpp"
#include "broker/spares.hpp"
#include "broker/zygotes.hpp"

namespace muproc::broker {

struct BirthResult {
  Pid pid;            // nil: it failed
  std::string error;  // names the thing
  Reason reason;      // why it is not there
};

struct BirthRequest {
  SlotIndex slot = 0;
  std::string error_stream;  // where the plan names none
  Pid link_to, monitor_by;
  std::uint64_t monitor_ref = 0;
  std::function<void(const BirthResult&)> done;
};

/// What is known of a muproc whose start is not done. As `Muproc::birth` it is not up: it has not been told to go. As
/// `Muproc::unready` it runs, and has still to say that it is ready.
struct Birth {
  BirthRequest request;
  int attempts = 1;
  bool is_from_spare = false;
  bool has_greeted = false;
  int greeted_by = 0;             // the OS pid that said hello
  std::string failure;            // why it is being ended
  OutputPipes output;
  sys::UniqueFd exec_status;      // of a program: says nothing and closes when the exec succeeds
  Watch exec_watch, timeout;
};

class Launcher {
 public:
  Launcher(Core& core, Zygotes& zygotes, Endings& endings, Logger& logger, Spares& spares, Estates& estates);

  /// Opens a control connection for a child, whose frames go to control.
  std::function<Connection&(sys::UniqueFd)> open_connection;
  std::function<void(Connection&)> close_connection;
  /// Told of each child's process, once it exists, and of each process that nobody wants.
  std::function<void(Muproc&)> watch_death;
  std::function<void(int os_pid)> end_stray;

  /// True of the reason with which a muproc that is not up yet declines to run (supervisor.hpp: `ignore`).
  static bool is_declined(const Reason& reason);

  void launch(BirthRequest request);
  /// Gives a birth up; the answer comes when no process is left, maybe at once.
  void cancel(Muproc& muproc, const std::string& why);

  /// Told of each that is ready.
  std::function<void(Muproc&)> is_ready = [](Muproc&) {};
  /// Told of what a plain program says on its notify socket, but for READY=1.
  std::function<void(Muproc&, std::string_view key, std::string_view value)> has_said = [](Muproc&, std::string_view, std::string_view) {};

  /// What an outsider needs to become a muproc; it greets like a child.
  void admit(Muproc& outsider, Connection& connection, std::uint64_t request_id);

  /// It says that its start is done.
  void said_ready(Muproc& muproc);

  /// The new muproc's first word.
  void greeted(Muproc& muproc, wire::Hello::Reader hello, int by_os_pid);
  /// The process of one that is not up has ended. True when it turns out that it *was* up: a program that ended right
  /// after its exec.
  bool was_up_after_all(Muproc& muproc);
  /// The process of one that is not up was a spare that had ended before it was told who it is. Then another birth of the
  /// same takes its place, and this is true.
  bool begins_again(Muproc& muproc);
  std::shared_ptr<const Muproc> died_while_starting(Muproc& muproc, const Reason& reason);

 private:
  void begin(BirthRequest request, int attempts);
  void look_for_landlock();
  void fail_later(Muproc& muproc, const std::string& why);
  void give_group(Muproc& muproc);
  void equip(Muproc& muproc);
  void send_kit(Muproc& muproc, std::uint64_t request_id);
  void clone(Muproc& muproc, int control);
  void replace(Muproc& muproc);
  void cloned(Pid pid, Cloned result);
  void late(Pid pid);
  void watch_exec(Muproc& muproc);
  void read_exec_status(Muproc& muproc);
  void refuse(Muproc& muproc, const std::string& why);
  void come_up_if_ready(Muproc& muproc);
  void come_up(Muproc& muproc);
  void finish(Muproc& muproc, const std::shared_ptr<Birth>& birth);
  void died_unready(const Muproc& dead, const Reason& reason);
  void tie(Muproc& muproc, const BirthRequest& request);
  std::shared_ptr<Muproc> fail(Muproc& muproc, const std::string& error, const Reason& reason);
  void open_notify_socket(Muproc& muproc);
  void heard(Pid pid, std::string_view key, std::string_view value);
  std::vector<std::pair<std::string, std::string>> environment(const Muproc& muproc) const;

  Core& core_;
  Zygotes& zygotes_;
  Endings& endings_;
  Logger& logger_;
  Spares& spares_;
  bool has_looked_for_landlock_ = false;
  Estates& estates_;
};

}  // namespace muproc::broker
