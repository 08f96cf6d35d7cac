#include "broker/events.hpp"

#include <chrono>
#include <utility>

namespace muproc::broker {

void Events::add(Event event) {
  event.number = ++last_;
  event.wall_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  events_.push_back(std::move(event));
  if (events_.size() > k_kept) events_.pop_front();
  call_waiting();
}

void Events::close() {
  is_closed_ = true;
  call_waiting();
}

void Events::call_waiting() {
  for (const auto& call : std::exchange(waiting_, {})) call();
}

std::vector<const Event*> Events::after(std::uint64_t number) const {
  std::vector<const Event*> later;
  for (const Event& event : events_)
    if (event.number > number) later.push_back(&event);
  return later;
}

}  // namespace muproc::broker
