// Children in waiting: cloned before anybody has ended, so that a restart need not wait for a clone.
//
//     fill ── clone asked of the zygote ──▶ waits for its kit ── take ──▶ a birth, as the launcher knows it
//                                                │
//                                                └── not wanted any more, its zygote is of the past, it ended ──▶ reaped
//
// A spare is a clone of the zygote like any other child; what it is to be (its pid, its name, its arguments, its segment)
// comes in the first frame on its control socket, and it sleeps until that comes. So nothing about it is particular but
// that this frame comes later, and it is nobody's: it has no slot, no name, and has run none of its function.
//
// Spares belong to a slot that a supervisor keeps, whose muproc runs or will be started again. They are made when it is
// up, a little later, so that they hinder nobody who was just born. One that ends by itself is replaced ever more slowly.
// Spares of a zygote that has ended, or whose module has changed, go. When none is ready, a restart clones as ever.
//
// If the broker dies at any line, its spares die by their parent-death signal: they are its own children.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "broker/core.hpp"
#include "broker/logs/logger.hpp"
#include "broker/zygotes.hpp"

namespace muproc::broker {

struct Spare {
  int os_pid = 0;
  int cloned_by = 0;
  sys::UniqueFd pidfd, control;  // our end of its socket
  OutputPipes output;            // what it prints, once it is somebody
  std::shared_ptr<Cgroup> cgroup;
  Watch death;
};

class Spares {
 public:
  Spares(Core& core, Zygotes& zygotes, Logger& logger) : core_(core), zygotes_(zygotes), logger_(logger) {}
  ~Spares() { stop(); }

  /// Told of each process, from when it is there.
  std::function<void(int os_pid)> has_begun = [](int) {};
  /// Asked to kill and reap one that cannot be watched.
  std::function<void(int os_pid)> end_stray = [](int) {};
  /// Asked to reap one that has ended, or will have in a moment.
  std::function<void(int os_pid, sys::UniqueFd pidfd)> reap = [](int, sys::UniqueFd) {};

  /// One for the next birth in that slot, which is to run this plan; null when there is none.
  std::shared_ptr<Spare> take(SlotIndex slot, const Plan& plan);
  /// One that was taken and is of no use: it could not be told who it is.
  void discard(const std::shared_ptr<Spare>& spare);
  /// Something about that slot is different: it is up, or its plan is another one. Sees to its spares, a little later.
  void look_at(SlotIndex slot);
  /// Somebody has ended. Whose spares are not wanted any more loses them, a little later.
  void look_at_all();
  /// A zygote has ended, or its module has changed: its spares go.
  void drop_those_of(int zygote);
  /// The system is being stopped: all go, and none is made.
  void drop_all();
  /// Likewise, waiting for their ends.
  void stop() noexcept;

  /// How many are ready.
  std::size_t count(SlotIndex slot) const;

 private:
  using SparePtr = std::shared_ptr<Spare>;
  struct Pool {
    PlannedCode code;
    std::vector<SparePtr> ready;
    std::size_t asked = 0;          // of the zygote, and not answered yet
    std::uint64_t generation = 0;   // counts what was dropped: an answer to a question from before is dropped, too
    std::chrono::nanoseconds delay; // before the next are asked for
    Watch later;
  };
  using Pools = std::map<SlotIndex, Pool>;

  std::uint32_t wanted(SlotIndex slot) const;
  void see_to(SlotIndex slot);
  void ask(SlotIndex slot, Pool& pool);
  void cloned(SlotIndex slot, std::uint64_t generation, const SparePtr& spare, const Cloned& result);
  void failed(SlotIndex slot, Pool& pool, const std::string& why);
  void watch(const SparePtr& spare);
  void ended(const SparePtr& spare);
  void empty(Pool& pool);
  void drop(const SparePtr& spare);

  Core& core_;
  Zygotes& zygotes_;
  Logger& logger_;
  Pools pools_;
  std::vector<SparePtr> dying_;  // killed, and not yet reaped
  Watch tidying_;
  bool is_over_ = false;
};

}  // namespace muproc::broker
