// The latest births, deaths and decisions, for `muctl events`.
//
// A ring of so many; who asks for those after a number sees by a gap that some have been forgotten. Who wants to wait is
// answered with the next event. Beside the log, which has the same in words for people, these have fields.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include <muproc/pid.hpp>

namespace muproc::broker {

struct Event {
  std::uint64_t number = 0;
  std::int64_t wall_ns = 0;
  std::string kind;  // "birth", "death", "start_failed", "restart", "back_off", "gave_up", "stop", "up", "end"
  std::string name;  // empty: the system's own
  Pid pid;
  int os_pid = 0;
  std::string text;    // for people
  std::string reason;  // of a death, and of a start that failed
};

class Events {
 public:
  static constexpr std::size_t k_kept = 1000;

  void add(Event event);
  /// The number of the latest; 0: none.
  std::uint64_t last() const { return last_; }
  /// Those after that number, oldest first.
  std::vector<const Event*> after(std::uint64_t number) const;
  /// Called once, when there is another event.
  void when_next(std::function<void()> call) { waiting_.push_back(std::move(call)); }
  /// All who wait are called: there will be no more.
  void close();
  bool is_closed() const { return is_closed_; }

 private:
  std::deque<Event> events_;
  std::uint64_t last_ = 0;
  std::vector<std::function<void()>> waiting_;
  bool is_closed_ = false;

  void call_waiting();
};

}  // namespace muproc::broker
