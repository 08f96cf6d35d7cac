#include "runtime/timers.hpp"

#include <algorithm>

namespace muproc::detail {

std::uint64_t Timers::add(Time at, Time repeat, std::function<void()> function) {
  const std::uint64_t id = ++last_id_;
  queue_.emplace(std::pair{at, id}, Timer{repeat, std::move(function)});
  return id;
}

std::optional<Timers::Time> Timers::cancel(std::uint64_t id, Time now) {
  const auto at = std::find_if(queue_.begin(), queue_.end(), [&](const auto& entry) { return entry.first.second == id; });
  if (at == queue_.end()) return std::nullopt;
  const Time left = std::max(at->first.first - now, Time(0));
  queue_.erase(at);
  return left;
}

void Timers::fire(Time now) {
  const std::uint64_t newest = last_id_;
  for (auto at = queue_.begin(); at != queue_.end() && at->first.first <= now;) {
    const auto [when, id] = at->first;
    if (id > newest) {  // made by a timer in this very call: later
      ++at;
      continue;
    }
    Timer timer = std::move(at->second);
    queue_.erase(at);
    if (timer.repeat.count() > 0) {
      // The next moment of the rhythm that is still to come: what was missed is not made up for.
      Time next = timer.repeat < Time::max() - when ? when + timer.repeat : Time::max();
      if (next <= now) next += (now - next) / timer.repeat * timer.repeat + timer.repeat;
      const auto function = timer.function;
      queue_.emplace(std::pair{next, id}, std::move(timer));
      function();
    } else {
      timer.function();
    }
    at = queue_.upper_bound({when, id});  // it may have changed anything
  }
}

}  // namespace muproc::detail
