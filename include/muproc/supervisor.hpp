// Supervisors at run time: children that come and go while their supervisor lives. The counterpart of OTP's module
// `supervisor`, as functions.
//
//     start_child(self, "sup", {"logger", logger, {.restart = transient}});   // one more child, the last in order
//     terminate_child(self, "sup", "logger");                                 // stopped; its specification stays
//     restart_child(self, "sup", "logger");
//     terminate_child(self, "sup", "logger"), delete_child(self, "sup", "logger");
//
// A *template supervisor* (strategy simple_one_for_one) has one specification, and children made from it:
//
//     self.start_supervisor("conns", supervisor(simple_one_for_one, {3, 5s}, {{"conn", serve, {.restart = temporary}}}));
//     Pid conn = start_instance(self, "conns", {{"socket", 7}});              // conn-1, with this added to its arguments
//
// A supervisor is given by its name or its pid; a child by its name, or by its pid, which then means that very
// incarnation. The broker answers at once, however busy the supervisor is with restarts, slow stops and back-offs; only
// what has to happen is waited for: start_child, start_instance and restart_child until the child is ready, terminate_child until it and
// all that descends from it have gone. What is asked for by hand never counts as a restart.
//
// All are runtime calls of the muproc that makes them (self.hpp). They throw NoSuchName when no such supervisor lives or
// no such child is known, ChildError for what a child's state does not allow, and Error for what makes no sense. When a
// supervisor ends and is started again it begins with the children that it was described with; those added are gone.
#pragma once

#include <muproc/self.hpp>
#include <muproc/supervision.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace muproc {

/// What a child's state does not allow. Erlang: {error, already_present}, {error, {already_started, Pid}}, …
struct ChildError : Error {
  enum class Kind {
    already_started,  ///< a child of that name is there, and runs, or is being restarted
    already_present,  ///< a child of that name is there, and down: restart_child or delete_child it
    running,          ///< it runs, so it can be neither restarted nor deleted
    restarting,       ///< it is about to be started again, so it cannot be deleted
  };
  ChildError(const std::string& text, Kind what, Pid who = {}) : Error(text), kind(what), pid(who) {}
  Kind kind;
  Pid pid;  ///< of already_started: the one that runs, or nil
};

/// Adds a child after all others and starts it. Returns its pid when it is ready; nil when it declined to run (`ignore`),
/// in which case its specification is kept unless it is temporary. Throws StartFailed when it did not become ready: it is
/// not kept then; ChildError already_started or already_present; NameTaken. Erlang: supervisor:start_child/2.
Pid start_child(Self& self, Address supervisor, const Child& child);
/// Makes a child from the template of a template supervisor, and starts it. `args` are added to the template's, in place
/// of those of the same names. Without a name it gets one: the template's, a dash and a number. Returns and throws as
/// start_child; never kept when it declines. Erlang: supervisor:start_child/2 with a list of arguments.
Pid start_instance(Self& self, Address supervisor, const Mumsg& args, std::string_view name = {});

/// Stops a child and keeps it down. Returns when it has gone. One that is down already is no error. A temporary child,
/// and one that was made from a template, is then forgotten. Erlang: supervisor:terminate_child/2.
void terminate_child(Self& self, Address supervisor, Address child);

/// Starts a child that is down; one that waits for its back-off starts at once. Returns its pid when it is ready; nil
/// when it declined to run. Throws StartFailed; ChildError running. Erlang: supervisor:restart_child/2, which refuses one
/// that waits to be restarted.
Pid restart_child(Self& self, Address supervisor, Address child);

/// Forgets a child that is down; its name is free. Throws ChildError running or restarting. Erlang:
/// supervisor:delete_child/2.
void delete_child(Self& self, Address supervisor, Address child);

/// A row of which_children.
struct ChildInfo {
  enum class State { down, starting, running, stopping, restarting };
  std::string name;
  Pid pid;  ///< nil: it has no process now
  bool is_supervisor = false;
  State state = State::down;
  Restart restart = permanent;
};
/// All children, in start order, as they are now. Erlang: supervisor:which_children/1.
std::vector<ChildInfo> which_children(Self& self, Address supervisor);

/// How many children there are. Erlang: supervisor:count_children/1.
struct ChildCounts {
  std::size_t specs = 0;        ///< specifications: of a template supervisor, one
  std::size_t active = 0;       ///< children with a process
  std::size_t supervisors = 0;  ///< children that are supervisors, with a process or without
  std::size_t workers = 0;      ///< likewise muprocs
};
ChildCounts count_children(Self& self, Address supervisor);

/// In a child that has not said yet that it is ready: ends it, and counts as started, without a process. Its supervisor
/// keeps its specification, and restart_child tries again. Once it is ready it is an end like any other, for which
/// `ignore` is the reason. Erlang: init returning `ignore`.
[[noreturn]] void ignore(Self& self);

}  // namespace muproc
