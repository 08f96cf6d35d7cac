#include "behaviours/machine_timers.hpp"

#include <algorithm>

namespace muproc::detail {

void MachineTimers::start(TimerName timer, Time after, Value content, Time now) {
  cancel(timer);
  if (after >= Time::max() - now) return;
  running_.push_back(
      {std::move(timer), after.count() > 0 ? std::optional(now + after) : std::nullopt, std::move(content)});
}

void MachineTimers::update(TimerName timer, Value content, Time now) {
  if (const auto at = find(timer); at != running_.end()) {
    at->content = std::move(content);
  } else {
    start(std::move(timer), Time(0), std::move(content), now);
  }
}

void MachineTimers::cancel(const TimerName& timer) {
  if (const auto at = find(timer); at != running_.end()) running_.erase(at);
}

std::optional<MachineTimers::Expired> MachineTimers::take_zero() {
  const auto at = std::find_if(running_.begin(), running_.end(), [](const Running& running) { return !running.due; });
  return at == running_.end() ? std::nullopt : std::optional(take(at));
}

std::optional<MachineTimers::Time> MachineTimers::next() const {
  std::optional<Time> next;
  for (const Running& running : running_)
    if (running.due && (!next || *running.due < *next)) next = running.due;
  return next;
}

std::optional<MachineTimers::Expired> MachineTimers::take_due(Time now) {
  auto earliest = running_.end();
  for (auto at = running_.begin(); at != running_.end(); ++at)
    if (at->due && *at->due <= now && (earliest == running_.end() || *at->due < *earliest->due)) earliest = at;
  return earliest == running_.end() ? std::nullopt : std::optional(take(earliest));
}

std::vector<MachineTimers::Running>::iterator MachineTimers::find(const TimerName& timer) {
  return std::find_if(running_.begin(), running_.end(), [&](const Running& running) { return running.timer == timer; });
}

MachineTimers::Expired MachineTimers::take(std::vector<Running>::iterator at) {
  Expired expired{std::move(at->timer), std::move(at->content)};
  running_.erase(at);
  return expired;
}

}  // namespace muproc::detail
