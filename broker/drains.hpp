// Draining: a muproc takes no new messages, finishes those that wait, and is stopped then.
//
//     begin ── its directory word is cleared, it is told ──▶ draining ── it says that nothing waits, or time is up ──▶ stopped
//
// To who sends it is as if it had ended: its name and its pid find nobody, and what is sent to it all the same is a dead
// letter. Answers to what it has asked others still reach it. What was committed before comes first: it is told over its
// lane, behind the clearing of the word, and looks at its rings once more before it says that they are empty.
//
// Whatever ends it meanwhile, its supervisor does not start it again: it was to be stopped. Only who receives can say that
// nothing waits; one that never does, or keeps a message for which it has no clause, is stopped when time is up.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/control.hpp"
#include "broker/core.hpp"
#include "broker/endings.hpp"

namespace muproc::broker {

class Drains {
 public:
  Drains(Core& core, Endings& endings) : core_(core), endings_(endings) {}

  /// `done` when it has ended, with a failure (TIMEOUT) when it was stopped with something still waiting. Throws
  /// Control::Failure for whom it makes no sense.
  void drain(const std::string& name, std::optional<std::chrono::nanoseconds> limit, Control::Done done);
  /// It says that nothing waits.
  void drained(Muproc& muproc);
  /// It has ended, by itself or since it was stopped.
  void ended(const Muproc& dead);

  /// Stops a supervised child, as `muctl stop` does; one that has just ended is taken as stopped.
  std::function<void(const std::string& name, Control::Done)> stop_child;

 private:
  /// Once it is stopped: who says that it has ended.
  enum class Stage { draining, supervisor_tells, end_tells };
  struct Drain {
    std::string name;
    std::vector<Control::Done> waiting;
    Watch limit;
    std::string failure;  // time was up
    Stage stage = Stage::draining;
  };
  void begin(Muproc& muproc);
  void time_is_up(Pid pid, std::chrono::nanoseconds limit);
  void stop(Pid pid, Drain& drain);
  bool stop_by_supervisor(Pid pid, Drain& drain);
  void finish(Pid pid);

  Core& core_;
  Endings& endings_;
  std::map<Pid, Drain> drains_;
};

}  // namespace muproc::broker
