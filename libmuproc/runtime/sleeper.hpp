// Sleeping and being woken: the one primitive for all waits of a muproc.
//
// A muproc sleeps on its own eventfd only. Whoever has news for it publishes the news, fences, and writes the eventfd if
// the `asleep` flag says so; the sleeper sets the flag, fences, and looks at everything once more before it sleeps. The
// eventfd is sticky, so between the last look and the sleep nothing is lost. Before it sleeps it spins for a while, but
// only as long as spinning has lately paid: with a peer on another core news comes sooner than a wake-up would; on one
// core it never comes while we spin.
#pragma once

#include <chrono>
#include <optional>

#include "shm/layout.hpp"
#include "sys/clock.hpp"
#include "sys/fd.hpp"
#include "sys/fence.hpp"

namespace muproc::detail {

class Sleeper {
 public:
  /// `asymmetric_fences`: what the directory says.
  Sleeper(sys::UniqueFd eventfd, shm::StatusBlock& status, bool asymmetric_fences = false);

  /// Waits until `news()` or until the deadline (sys::monotonic); may return early for no reason. `before_sleep` is
  /// called once, when spinning has not helped. `other_fd`, if any, ends the sleep when it becomes readable or closes.
  template <class News, class Before>
  void wait(shm::Asleep why, std::optional<std::chrono::nanoseconds> deadline, int other_fd, News&& news,
            Before&& before_sleep) {
    if (spin(news)) return;
    before_sleep();
    const bool fenced = say(why);
    if (!news()) sleep(deadline, other_fd, !fenced);
    if (!always_armed_) awake();
  }

  /// Sleeps through all news but the broker's, who writes the eventfd whatever the flag says.
  void nap(std::chrono::nanoseconds deadline, int other_fd) { sleep(deadline, other_fd); }

  /// True when `other_fd` has ended the last sleep.
  bool other_was_ready() const { return other_was_ready_; }

  int eventfd() const { return eventfd_.get(); }
  /// From now on everyone writes the eventfd: somebody else's loop polls it.
  void arm_for_ever();

 private:
  template <class News>
  bool spin(News& news) {
    for (unsigned left = spin_rounds_; left > 0; --left) {
      if (news()) {
        spin_paid();
        return true;
      }
      sys::cpu_relax();  // a look without a pause in between disturbs the writer: it delays what it waits for
    }
    spin_did_not_pay();
    return false;
  }
  /// Says in the flag that we sleep, and fences. False when what others did just before may be seen late all the same.
  bool say(shm::Asleep why);
  void awake() {
    status_.asleep.store(static_cast<std::uint32_t>(shm::Asleep::no) | (wakers_fence_ ? shm::k_wakers_fence : 0), std::memory_order_relaxed);
  }
  void spin_paid();
  void spin_did_not_pay();
  /// `not_for_long`: when the last look may have missed something.
  void sleep(std::optional<std::chrono::nanoseconds> deadline, int other_fd, bool not_for_long = false);

  sys::UniqueFd eventfd_;
  shm::StatusBlock& status_;
  bool asymmetric_fences_;
  bool wakers_fence_ = false;  // the flag has said so since a fence of all processors
  bool always_armed_ = false;
  bool other_was_ready_ = false;
  bool may_spin_;
  unsigned spin_rounds_;
  unsigned unpaid_ = 0;
  unsigned probe_at_;
};

}  // namespace muproc::detail
