// Timers under a clock that the test turns.
#include "runtime/timers.hpp"

#include <chrono>
#include <string>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using muproc::detail::Timers;

namespace {

struct Clock {
  Timers timers;
  Timers::Time now = 1000s;
  std::string fired;

  std::uint64_t after(Timers::Time delay, std::string word, Timers::Time repeat = 0ns) {
    return timers.add(now + delay, repeat, [this, word] { fired += word + ' '; });
  }
  /// What fires when so much time passes.
  std::string passes(Timers::Time time) {
    now += time;
    fired.clear();
    timers.fire(now);
    return fired;
  }
};

}  // namespace

TEST_CASE("a timer is never early, and fires once", "[timers]") {
  Clock clock;
  clock.after(10ms, "a");
  CHECK(clock.passes(9999999ns) == "");
  CHECK(clock.passes(1ns) == "a ");
  CHECK(clock.passes(1h) == "");
  CHECK(clock.timers.empty());
}

TEST_CASE("a timer of no delay fires at the next look", "[timers]") {
  Clock clock;
  clock.after(0ns, "a");
  CHECK(clock.passes(0ns) == "a ");
}

TEST_CASE("timers that are due fire in the order of their times, and those of one time in the order of their making", "[timers]") {
  Clock clock;
  clock.after(30ms, "late");
  clock.after(10ms, "first");
  clock.after(20ms, "one");
  clock.after(20ms, "two");
  CHECK(clock.timers.next() == clock.now + 10ms);
  CHECK(clock.passes(20ms) == "first one two ");
  CHECK(clock.timers.next() == clock.now + 10ms);
  CHECK(clock.passes(10ms) == "late ");
}

TEST_CASE("a repeating timer keeps its rhythm, and does not make up for what it missed", "[timers]") {
  Clock clock;
  clock.after(10ms, "tick", 10ms);
  CHECK(clock.passes(10ms) == "tick ");
  CHECK(clock.passes(9ms) == "");
  CHECK(clock.passes(1ms) == "tick ");
  CHECK(clock.passes(35ms) == "tick ");  // 55 ms after the beginning
  CHECK(clock.passes(4ms) == "");
  CHECK(clock.passes(1ms) == "tick ");  // 60 ms
  CHECK(clock.passes(20ms) == "tick ");
}

TEST_CASE("cancelling says how much was left, and nothing for what is not waiting", "[timers]") {
  Clock clock;
  const auto id = clock.after(10ms, "a");
  CHECK(id != 0);
  clock.now += 3ms;
  CHECK(clock.timers.cancel(id, clock.now) == 7ms);
  CHECK_FALSE(clock.timers.cancel(id, clock.now));
  CHECK_FALSE(clock.timers.cancel(4711, clock.now));
  CHECK(clock.passes(1h) == "");

  const auto fired = clock.after(1ms, "b");
  CHECK(clock.passes(1ms) == "b ");
  CHECK_FALSE(clock.timers.cancel(fired, clock.now));

  const auto overdue = clock.after(1ms, "c");
  clock.now += 1s;
  CHECK(clock.timers.cancel(overdue, clock.now) == 0ns);
}

TEST_CASE("a timer that was made by a timer fires later, however short it is", "[timers]") {
  Clock clock;
  clock.timers.add(clock.now, 0ns, [&] { clock.after(0ns, "child"); });
  CHECK(clock.passes(0ns) == "");
  CHECK(clock.passes(0ns) == "child ");
}

TEST_CASE("a timer that was made in the past by a timer holds no other back", "[timers]") {
  Clock clock;
  clock.timers.add(clock.now + 1ms, 0ns, [&] { clock.after(-1h, "child"); });
  clock.after(2ms, "other");
  CHECK(clock.passes(2ms) == "other ");
  CHECK(clock.passes(0ns) == "child ");
}

TEST_CASE("a timer may cancel itself, and others that are due with it", "[timers]") {
  Clock clock;
  std::uint64_t rhythm = 0, victim = 0;
  rhythm = clock.timers.add(clock.now, 1ms, [&] { CHECK(clock.timers.cancel(rhythm, clock.now) == 1ms); });
  clock.timers.add(clock.now, 0ns, [&] { CHECK(clock.timers.cancel(victim, clock.now) == 0ns); });
  victim = clock.after(0ns, "victim");
  CHECK(clock.passes(0ns) == "");
  CHECK(clock.timers.empty());
}

TEST_CASE("a timer that throws is over; those behind it fire at the next look", "[timers]") {
  Clock clock;
  clock.timers.add(clock.now, 0ns, [] { throw 1; });
  clock.after(0ns, "next");
  CHECK_THROWS_AS(clock.passes(0ns), int);
  CHECK(clock.passes(0ns) == "next ");
}

TEST_CASE("a repeating timer that throws goes on", "[timers]") {
  Clock clock;
  clock.timers.add(clock.now, 1ms, [] { throw 1; });
  CHECK_THROWS_AS(clock.passes(0ns), int);
  CHECK(clock.passes(0ns) == "");
  CHECK_THROWS_AS(clock.passes(1ms), int);
}

TEST_CASE("a timer far beyond any time does not disturb the others", "[timers]") {
  Clock clock;
  clock.timers.add(Timers::Time::max(), 0ns, [&] { clock.fired += "never "; });
  clock.after(1ms, "a");
  CHECK(clock.passes(1ms) == "a ");
  CHECK(clock.passes(1000h) == "");
}
