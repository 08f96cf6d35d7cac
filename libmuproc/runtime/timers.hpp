// A muproc's timers: what is to be called when. Pure but for what it calls; the clock is passed in.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

namespace muproc::detail {

class Timers {
 public:
  using Time = std::chrono::nanoseconds;

  /// Returns its id, never 0. `repeat` zero: once.
  std::uint64_t add(Time at, Time repeat, std::function<void()> function);
  /// How long it still had to go; nothing when it is not waiting.
  std::optional<Time> cancel(std::uint64_t id, Time now);
  /// Calls everything that is due, earliest first; each timer at most once a call.
  void fire(Time now);

  bool empty() const { return queue_.empty(); }
  /// When the next one is due; only when not empty.
  Time next() const { return queue_.begin()->first.first; }

 private:
  struct Timer {
    Time repeat;
    std::function<void()> function;
  };
  std::map<std::pair<Time, std::uint64_t>, Timer> queue_;
  std::uint64_t last_id_ = 0;
};

}  // namespace muproc::detail
