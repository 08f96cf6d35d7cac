#include "runtime/sleeper.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "sys/clock.hpp"

namespace muproc::detail {
namespace {

constexpr unsigned k_most_rounds = 3000;  // of 15 to 40 ns: a little longer than a wake-up across cores takes, on slow machines too
constexpr std::chrono::nanoseconds k_not_long = std::chrono::milliseconds(10);
// Sleeps without spinning before spinning is tried again: so many at first, twice as many each time that it did not pay.
constexpr unsigned k_probe_after = 64;
constexpr unsigned k_seldom = 4096;

}  // namespace

Sleeper::Sleeper(sys::UniqueFd eventfd, shm::StatusBlock& status, bool asymmetric_fences)
    : eventfd_(std::move(eventfd)),
      status_(status),
      asymmetric_fences_(asymmetric_fences),
      may_spin_(sys::usable_processors() > 1),
      spin_rounds_(may_spin_ ? k_most_rounds : 0),
      probe_at_(k_probe_after) {}

// [SYNC sleep.asleep] The fence orders the flag before the last look; its counterpart is in Peer::wake.
bool Sleeper::say(shm::Asleep why) {
  // One who does not spin any more sleeps again and again.
  const bool begins = asymmetric_fences_ && !wakers_fence_ && spin_rounds_ == 0;
  const std::uint32_t mode = wakers_fence_ || begins ? shm::k_wakers_fence : 0;
  status_.asleep.store(static_cast<std::uint32_t>(why) | mode, std::memory_order_relaxed);
  const bool fenced = sys::heavy_fence(asymmetric_fences_ && !wakers_fence_);
  if (begins) wakers_fence_ = fenced;
  return fenced;
}

void Sleeper::spin_paid() {
  if (wakers_fence_ && !always_armed_) {
    wakers_fence_ = false;
    awake();
  }
  spin_rounds_ = k_most_rounds;
  unpaid_ = 0;
  probe_at_ = k_probe_after;
}

void Sleeper::spin_did_not_pay() {
  if (!may_spin_) return;
  spin_rounds_ /= 2;
  if (++unpaid_ < probe_at_) return;
  spin_rounds_ = k_most_rounds / 4;
  unpaid_ = 0;
  probe_at_ = std::min(2 * probe_at_, k_seldom);
}

void Sleeper::arm_for_ever() {
  always_armed_ = true;
  wakers_fence_ = false;
  status_.asleep.store(static_cast<std::uint32_t>(shm::Asleep::for_news), std::memory_order_relaxed);
  [[maybe_unused]] const bool fenced = sys::heavy_fence(asymmetric_fences_);
}

void Sleeper::sleep(std::optional<std::chrono::nanoseconds> deadline, int other_fd, bool not_for_long) {
  // Virtual time does not pass while one sleeps: who advances it writes the eventfd.
  const bool has_end = deadline && !sys::time_is_virtual();
  constexpr auto k_none = std::chrono::nanoseconds::max();
  auto limit = has_end ? std::max(*deadline - sys::monotonic(), std::chrono::nanoseconds(0)) : k_none;
  if (not_for_long) limit = std::min(limit, k_not_long);
  const timespec left{limit.count() / 1'000'000'000, limit.count() % 1'000'000'000};
  pollfd wanted[] = {{eventfd_.get(), POLLIN, 0}, {other_fd, POLLIN | POLLRDHUP, 0}};
  // An interrupting signal ends the sleep too: it means that there is news on the lane.
  ::ppoll(wanted, other_fd >= 0 ? 2 : 1, limit == k_none ? nullptr : &left, nullptr);
  std::uint64_t count;
  if (wanted[0].revents & POLLIN) [[maybe_unused]] auto got = ::read(eventfd_.get(), &count, sizeof count);
  other_was_ready_ = wanted[1].revents != 0;
  status_.wakes.store(status_.wakes.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace muproc::detail
