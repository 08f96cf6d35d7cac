// The time of the system's supervisors: when a child is to be started again, and how many restarts there were within how
// long. It is the kernel's, or, in a test's system, a virtual one that stands still until somebody advances it; then its
// timers go off in their order, and muprocs read it in the directory. (What waits for processes – a stop period, the time
// in which a child has to become ready – is always real.)
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "broker/loop.hpp"
#include "shm/directory.hpp"

namespace muproc::broker {

class Clock {
 public:
  using Time = std::chrono::nanoseconds;

  /// The right to be called back; ends with its object.
  class Timer {
   public:
    Timer() = default;
    void stop() noexcept {
      real_.stop();
      waiting_.reset();
    }

   private:
    friend class Clock;
    Watch real_;
    std::shared_ptr<std::function<void()>> waiting_;
  };

  Clock(Loop& loop, shm::Directory& directory) : loop_(loop), directory_(directory) {}

  /// Before there is anybody.
  void make_virtual();
  Time now() const;
  /// Calls back once, not before `delay` has passed.
  [[nodiscard]] Timer after(Time delay, std::function<void()> call);
  /// False when time is real.
  bool advance(Time by);

 private:
  Loop& loop_;
  shm::Directory& directory_;
  Time virtual_now_{0};  // 0: time is real
  std::multimap<Time, std::weak_ptr<std::function<void()>>> due_;
};

}  // namespace muproc::broker
