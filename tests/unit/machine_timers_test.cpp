// The timeouts of a state machine, on a clock of the test's.
#include "behaviours/machine_timers.hpp"

#include "support/catch.hpp"

using namespace std::chrono_literals;
using muproc::Value;
using muproc::detail::MachineTimers;
using muproc::detail::TimerName;

namespace {

const TimerName k_state{TimerName::Kind::state};
TimerName named(const char* name) { return {TimerName::Kind::named, name}; }

std::string name_of(const std::optional<MachineTimers::Expired>& expired) {
  return expired ? to_string(expired->timer) : "none";
}

}  // namespace

TEST_CASE("a machine's timeout is due at its time and not before", "[machine]") {
  MachineTimers timers;
  CHECK_FALSE(timers.next());
  timers.start(k_state, 10ns, 7, 100ns);
  CHECK(timers.next() == std::chrono::nanoseconds(110));
  CHECK(name_of(timers.take_due(109ns)) == "none");
  CHECK(timers.take_due(110ns)->content == Value(7));
  CHECK_FALSE(timers.next());
}

TEST_CASE("a machine's timeouts are due in the order of their times, then of their starts", "[machine]") {
  MachineTimers timers;
  timers.start(named("late"), 20ns, {}, 0ns);
  timers.start(named("first"), 10ns, {}, 0ns);
  timers.start(named("second"), 5ns, {}, 5ns);
  CHECK(name_of(timers.take_due(50ns)) == "timeout \"first\"");
  CHECK(name_of(timers.take_due(50ns)) == "timeout \"second\"");
  CHECK(name_of(timers.take_due(50ns)) == "timeout \"late\"");
}

TEST_CASE("a machine's timeout that is started anew begins again", "[machine]") {
  MachineTimers timers;
  timers.start(k_state, 10ns, 1, 0ns);
  timers.start(k_state, 10ns, 2, 5ns);
  CHECK(name_of(timers.take_due(10ns)) == "none");
  CHECK(timers.take_due(15ns)->content == Value(2));
  CHECK(name_of(timers.take_due(99ns)) == "none");
}

TEST_CASE("a machine's timeout of zero waits for no time, and is no other's", "[machine]") {
  MachineTimers timers;
  timers.start(named("a"), 0ns, {}, 0ns);
  timers.start(k_state, 0ns, {}, 0ns);
  timers.start(named("a"), 0ns, {}, 0ns);
  CHECK_FALSE(timers.next());
  CHECK(name_of(timers.take_due(99ns)) == "none");
  CHECK(name_of(timers.take_zero()) == "state_timeout");
  CHECK(name_of(timers.take_zero()) == "timeout \"a\"");
  CHECK(name_of(timers.take_zero()) == "none");
}

TEST_CASE("a machine's timeout that is never due is cancelled", "[machine]") {
  MachineTimers timers;
  timers.start(k_state, 10ns, {}, 0ns);
  timers.start(k_state, std::chrono::nanoseconds::max(), {}, 1ns);
  CHECK_FALSE(timers.next());
  timers.start(k_state, std::chrono::nanoseconds::max() - 1ns, {}, 5ns);  // its time cannot be said
  CHECK_FALSE(timers.next());
}

TEST_CASE("an update changes what a machine's timeout says and not its time", "[machine]") {
  MachineTimers timers;
  timers.start(k_state, 10ns, 1, 0ns);
  timers.update(k_state, 2, 5ns);
  CHECK(timers.next() == std::chrono::nanoseconds(10));
  CHECK(timers.take_due(10ns)->content == Value(2));
  timers.update(k_state, 3, 10ns);
  CHECK(timers.take_zero()->content == Value(3));
  timers.cancel(k_state);
}
