// The timeouts of a state machine: which run, when they are due, with what content. Pure: the time is passed in.
//
// A timeout of zero is never due at a time: it waits for the moment when nothing waits inside the machine.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include <muproc/detail/machine.hpp>

namespace muproc::detail {

class MachineTimers {
 public:
  using Time = std::chrono::nanoseconds;
  struct Expired {
    TimerName timer;
    Value content;
  };

  /// Anew if it runs. A time that cannot be told from never cancels it.
  void start(TimerName timer, Time after, Value content, Time now);
  /// Another content, at the same time; one that does not run is started with zero.
  void update(TimerName timer, Value content, Time now);
  void cancel(const TimerName& timer);

  /// The one of zero that was started first.
  std::optional<Expired> take_zero();
  /// When the next one is due.
  std::optional<Time> next() const;
  /// The earliest that is due; of those due at one moment the one that was started first.
  std::optional<Expired> take_due(Time now);

 private:
  struct Running {
    TimerName timer;
    std::optional<Time> due;  // none: zero
    Value content;
  };
  std::vector<Running>::iterator find(const TimerName& timer);
  Expired take(std::vector<Running>::iterator at);

  std::vector<Running> running_;  // in the order in which they were started
};

}  // namespace muproc::detail
