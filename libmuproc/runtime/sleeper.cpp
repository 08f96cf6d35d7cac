#include "runtime/sleeper.hpp"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "sys/clock.hpp"

namespace muproc::detail {
namespace {

constexpr unsigned k_most_rounds = 1200;  // of some 40 ns: about as long as a wake-up across cores takes
constexpr unsigned k_probe_every = 64;    // sleeps without spinning before spinning is tried again

}  // namespace

Sleeper::Sleeper(sys::UniqueFd eventfd, shm::StatusBlock& status, bool asymmetric_fences)
    : eventfd_(std::move(eventfd)),
      status_(status),
      asymmetric_fences_(asymmetric_fences),
      may_spin_(sys::usable_processors() > 1),
      spin_rounds_(may_spin_ ? k_most_rounds : 0) {}

void Sleeper::spin_paid() {
  spin_rounds_ = k_most_rounds;
  unpaid_ = 0;
}

void Sleeper::spin_did_not_pay() {
  if (!may_spin_) return;
  ++unpaid_;
  spin_rounds_ = unpaid_ % k_probe_every == 0 ? k_most_rounds / 4 : spin_rounds_ / 2;
}

void Sleeper::arm_for_ever() {
  always_armed_ = true;
  status_.asleep.store(static_cast<std::uint32_t>(shm::Asleep::for_news), std::memory_order_relaxed);
  [[maybe_unused]] const bool fenced = sys::heavy_fence(asymmetric_fences_);
}

std::optional<std::chrono::nanoseconds> Sleeper::soon(std::optional<std::chrono::nanoseconds> deadline) {
  const auto soon = sys::monotonic() + std::chrono::milliseconds(10);
  return deadline ? std::min(*deadline, soon) : soon;
}

void Sleeper::sleep(std::optional<std::chrono::nanoseconds> deadline, int other_fd) {
  timespec left{};
  if (deadline) {
    const auto ns = std::max<std::int64_t>((*deadline - sys::monotonic()).count(), 0);
    left = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  pollfd wanted[] = {{eventfd_.get(), POLLIN, 0}, {other_fd, POLLIN | POLLRDHUP, 0}};
  // An interrupting signal ends the sleep too: it means that there is news on the lane.
  ::ppoll(wanted, other_fd >= 0 ? 2 : 1, deadline ? &left : nullptr, nullptr);
  std::uint64_t count;
  if (wanted[0].revents & POLLIN) [[maybe_unused]] auto got = ::read(eventfd_.get(), &count, sizeof count);
  other_was_ready_ = wanted[1].revents != 0;
  status_.wakes.store(status_.wakes.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace muproc::detail
