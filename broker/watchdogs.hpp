// Watchdogs: muprocs that have promised to come back to the runtime now and then, and are ended when they do not.
//
// A muproc with a mailbox counts its runtime calls in its own status block; the broker looks at the count five times in
// each interval. One that is seen unmoved so often that the interval has passed, and that does not wait in a runtime
// call, is stuck: it gets SIGABRT, so that there is a stack to look at, and its end is put down to `watchdog`. A plain
// program says WATCHDOG=1 on its notify socket instead. What does not die of the SIGABRT is killed after a grace.
//
// Looks are counted, not time: a broker that was stopped or busy for a while blames nobody for it. One whose process is
// stopped by SIGSTOP, or that a debugger is attached to, is not stuck, and one that has been told to end has its stop period.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "broker/core.hpp"
#include "broker/endings.hpp"
#include "shm/segment.hpp"

namespace muproc::broker {

/// Decides by looks alone. Pure.
class WatchdogCount {
 public:
  static constexpr int k_looks = 5;  // in an interval

  /// One look: `count` is what its activity counter says, `excused` that it is not to be judged now. True when it has
  /// not moved for an interval.
  bool look(std::uint64_t count, bool excused);

 private:
  std::uint64_t last_ = 0;
  int unmoved_ = -1;  // looks since it last moved; -1: none yet
};

/// The one of a muproc that lives, for as long as it does.
struct WatchdogState {
  WatchdogCount count;
  std::uint64_t said = 0;  // a plain program's WATCHDOG=1 so far
  std::unique_ptr<const shm::PeerSegment> segment;  // of one that has a mailbox
  Watch next;
};

class Watchdogs {
 public:
  Watchdogs(Core& core, Endings& endings) : core_(core), endings_(endings) {}

  /// From now on it is looked at, if its plan says so, and else no more. It is ready.
  void watch(Muproc& muproc);
  /// A plain program has said WATCHDOG=1.
  void said_alive(Muproc& muproc);
  /// It does not come back, by its own word (WATCHDOG=trigger) or by ours.
  void bite(Muproc& muproc);

 private:
  void look_later(Muproc& muproc);
  void look(Muproc& muproc);

  Core& core_;
  Endings& endings_;
};

}  // namespace muproc::broker
