#include "broker/clock.hpp"

#include "sys/clock.hpp"

namespace muproc::broker {

void Clock::make_virtual() {
  virtual_now_ = sys::monotonic();
  directory_.set_virtual_time(virtual_now_);
}

Clock::Time Clock::now() const { return virtual_now_.count() ? virtual_now_ : sys::monotonic(); }

Clock::Timer Clock::after(Time delay, std::function<void()> call) {
  Timer timer;
  if (!virtual_now_.count()) {
    timer.real_ = loop_.after(delay, std::move(call));
    return timer;
  }
  timer.waiting_ = std::make_shared<std::function<void()>>(std::move(call));
  due_.emplace(virtual_now_ + delay, timer.waiting_);
  return timer;
}

bool Clock::advance(Time by) {
  if (!virtual_now_.count()) return false;
  const Time end = virtual_now_ + by;
  // Each timer at its own moment: what it starts is timed from there.
  while (!due_.empty() && due_.begin()->first <= end) {
    auto next = due_.extract(due_.begin());
    virtual_now_ = std::max(virtual_now_, next.key());
    directory_.set_virtual_time(virtual_now_);
    if (const auto call = next.mapped().lock()) (*call)();
  }
  virtual_now_ = end;
  directory_.set_virtual_time(virtual_now_);
  return true;
}

}  // namespace muproc::broker
