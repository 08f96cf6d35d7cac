#include "broker/restart_window.hpp"

#include <algorithm>
#include <cmath>

namespace muproc::broker {

bool RestartWindow::admit(const Limit& limit, std::chrono::nanoseconds now) {
  while (!times_.empty() && now - times_.front() > limit.within) times_.pop_front();
  times_.push_back(now);
  return times_.size() <= limit.restarts;
}

std::chrono::nanoseconds backoff_delay(const Backoff& backoff, std::uint32_t failures, double dice) {
  const auto cap = static_cast<double>(backoff.max.count());
  const double grown = static_cast<double>(backoff.initial.count()) * std::pow(backoff.factor, failures);
  const double spread = 1.0 + backoff.jitter * (2.0 * dice - 1.0);
  // The cap twice: growth overflows to infinity, and the spread must not exceed it either.
  const double delay = std::min(std::min(grown, cap) * spread, cap);
  return std::chrono::nanoseconds(std::llround(std::max(delay, 0.0)));
}

}  // namespace muproc::broker
