// How a muproc is made to end: exit signals, links that ripple, kills, and a supervisor's stop.
//
// Native code cannot be unwound at any instruction. So one who is to end is told so by a frame, and its blocked system
// calls are interrupted by a signal again and again until it has heeded (an ExitSignal is on its way) or is dead. One who
// does not get there within its stop period is killed, and its end is put down to the *original* reason (`sentence`).
// One who traps exits gets a message instead, and nothing else happens, unless its supervisor stops it: then the period
// counts all the same. The first sentence wins; only `kill` overrules it.
//
// Supervisors have no process: for them, and for outsiders who are to be cut off, this room asks others.
#pragma once

#include <functional>

#include "broker/core.hpp"

namespace muproc::broker {

class Endings {
 public:
  /// Where in the sender's channel to the receiver an exit signal belongs.
  struct Position {
    std::uint64_t position = 0;
    bool has_channel = false;
  };

  explicit Endings(Core& core) : core_(core) {}

  /// exit(target, reason). `sender` is nil when a tool or the system asks.
  void exit(Muproc& target, const Reason& reason, Pid sender, Position position);
  /// kill(target).
  void kill(Muproc& target, const Reason& sentence = Reason::killed());
  /// By SIGABRT, for its stack; killed when it is still there after `grace`.
  void abort(Muproc& target, const Reason& sentence, std::chrono::nanoseconds grace);
  /// A linked one has ended.
  void ripple(Muproc& target, Pid ended, const std::string& name, const Reason& reason, bool ignores_normal);
  /// As a supervisor stops its child.
  void stop(Muproc& target, Stop how);

  /// It said so.
  void heeded(Muproc& muproc);
  void traps_exits(Muproc& muproc, bool traps);

  /// For those that are no processes: end in order, or at once.
  std::function<void(Muproc&, bool at_once)> end_supervisor = [](Muproc&, bool) {};
  /// For outsiders that must not be killed: they run in our own process.
  std::function<void(Muproc&)> cut_off = [](Muproc&) {};

 private:
  void say(Muproc& target, const Reason& reason, Pid sender, Position position);
  void sentence(Muproc& target, const Reason& reason, Stop how);
  void interrupt(Muproc& target);
  void arm(Muproc& target, Stop how);

  Core& core_;
};

}  // namespace muproc::broker
