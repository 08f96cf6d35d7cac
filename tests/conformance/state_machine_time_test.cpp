// The state machine and time: timeouts of the state, of silence, with names.
#include <chrono>
#include <optional>

#include "support/telling_machine.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

// ---- time ------------------------------------------------------------------------------------------------------------

namespace {

/// Starts what it is told to; "end" is a timeout of its own that comes after all others.
class Timing : public Telling {
 public:
  using Telling::Telling;
  Table table() {
    using enum S;
    return {a,
            {always(state_timeout  >> [this](std::optional<std::string> content) { saw("state" + content.value_or("")); },
                    event_timeout  >> telling("event"),
                    timeout("t1")  >> [this](std::optional<std::string> content) { saw("t1" + content.value_or("")); },
                    timeout("t2")  >> telling("t2"),
                    timeout("end") >> telling("end"),
                    on(inner)      >> [](const std::string& where) { return to(named(where)); },
                    on(event)      >> [this](const std::string& what) { return start(what); }),
             common()}};
  }

 private:
  Next start(const std::string& what) {
    auto next = keep_state().start(timeout("end"), 60ms);
    if (what == "state") return std::move(next).start(state_timeout, 20ms);
    if (what == "state, then changed") return std::move(next).start(state_timeout, 20ms).insert(inner, "b");
    if (what == "state, then the same") return std::move(next).start(state_timeout, 20ms).insert(inner, "a");
    if (what == "state, then cancelled") return std::move(next).start(state_timeout, 20ms).cancel(state_timeout);
    if (what == "state for ever") return std::move(next).start(state_timeout, std::chrono::nanoseconds::max());
    if (what == "event") return std::move(next).start(event_timeout, 20ms);
    if (what == "event, then a timeout") return std::move(next).start(event_timeout, 30ms).start(timeout("t1"), 10ms);
    if (what == "event, then an event") return std::move(next).start(event_timeout, 20ms).insert(inner, "a");
    if (what == "named") return std::move(next).start(timeout("t2"), 30ms).start(timeout("t1"), 20ms).insert(inner, "c");
    if (what == "cancel")
      return std::move(next).start(timeout("t1"), 20ms).start(timeout("t2"), 30ms).cancel(timeout("t1")).cancel(
          timeout("never started"));
    if (what == "anew") return std::move(next).start(timeout("t1"), 10ms).start(timeout("t2"), 20ms).start(timeout("t1"), 30ms);
    if (what == "update")
      return std::move(next).start(timeout("t1"), 20ms, " first").start(timeout("t2"), 30ms).update(timeout("t1"), " second");
    if (what == "update none") return std::move(next).start(timeout("t2"), 20ms).update(timeout("t1"), " at once");
    if (what == "update state")
      return std::move(next).start(state_timeout, 20ms, 1).start(timeout("t2"), 30ms).update(state_timeout, std::string(" two"));
    next.start(timeout("t1"), -1ns);
    return next;
  }
};

}  // namespace

TEST_CASE("a state's timeout comes when the state has lasted so long, and is cancelled by its end",
          "[machine][otp][state_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Timing>(self, "m");
  event(self, "m", "state");
  CHECK(words(self, 2) == Trace{"state", "end"});
  event(self, "m", "state, then the same");
  CHECK(words(self, 2) == Trace{"state", "end"});
  event(self, "m", "state, then cancelled");
  CHECK(words(self, 1) == Trace{"end"});
  event(self, "m", "state for ever");
  CHECK(words(self, 1) == Trace{"end"});
  event(self, "m", "state, then changed");
  CHECK(words(self, 1) == Trace{"end"});
}

TEST_CASE("a timeout of silence comes when no event has, and any event cancels it", "[machine][otp][event_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Timing>(self, "m");
  event(self, "m", "event");
  CHECK(words(self, 2) == Trace{"event", "end"});
  event(self, "m", "event, then a timeout");
  CHECK(words(self, 2) == Trace{"t1", "end"});
  event(self, "m", "event, then an event");
  CHECK(words(self, 1) == Trace{"end"});
}

TEST_CASE("timeouts with names run beside each other, through changes of state; started anew, they begin again",
          "[machine][otp][named_timeouts]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Timing>(self, "m");
  event(self, "m", "named");
  CHECK(words(self, 3) == Trace{"t1", "t2", "end"});
  event(self, "m", "cancel");
  CHECK(words(self, 2) == Trace{"t2", "end"});
  event(self, "m", "anew");
  CHECK(words(self, 3) == Trace{"t2", "t1", "end"});
}

TEST_CASE("an update changes a timeout's content and not its time; one that does not run comes at once",
          "[machine][otp][timeout_update]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Timing>(self, "m");
  event(self, "m", "update");
  CHECK(words(self, 3) == Trace{"t1 second", "t2", "end"});
  event(self, "m", "update none");
  CHECK(words(self, 3) == Trace{"t1 at once", "t2", "end"});
  event(self, "m", "update state");
  CHECK(words(self, 3) == Trace{"state two", "t2", "end"});
}

TEST_CASE("a negative timeout ends the machine", "[machine][otp][named_timeouts]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_state_machine<Timing>(self, "m"));
  event(self, "m", "negative");
  CHECK_THAT(reason_of(self, ref).what(), Contains("negative"));
}

namespace {

/// Receives late: it is busy past its timeout while messages wait.
class Busy : public Telling {
 public:
  using Telling::Telling;
  Table table() {
    using enum S;
    return {a,
            {always(on(event) >> [this] {
                      due_ = std::chrono::steady_clock::now() + 100ms;
                      return keep_state().start(timeout("t"), 100ms).insert(inner, "work");
                    },
                    on(inner) >> [this] {
                      self_.send(self_.pid(), "early", std::chrono::steady_clock::now() + 20ms < due_);
                      while (std::chrono::steady_clock::now() < due_ + 20ms) self_.sleep(1ms);
                      self_.send(self_.pid(), "late", true);
                    },
                    on<"early">() >> [this](bool in_time) { saw(in_time ? "early" : "too late"); },
                    on<"late">() >> telling("late"),
                    timeout("t") >> telling("t"))}};
  }

 private:
  std::chrono::steady_clock::time_point due_;
};

/// Always has more to receive.
class Flooded : public Telling {
 public:
  using Telling::Telling;
  Table table() {
    return {S::a,
            {always(on(event) >> [this] {
                      self_.send(self_.pid(), "again", true);
                      return keep_state().start(timeout("t"), 5ms);
                    },
                    on<"again">() >> [this] { self_.send(self_.pid(), "again", true); },
                    timeout("t") >> telling("t"))}};
  }
};

/// Always has more inside.
class Spinning : public Telling {
 public:
  using Telling::Telling;
  Table table() {
    return {S::a,
            {always(on(event) >> [this] {
                      saw("spinning");
                      return keep_state().insert(inner, "again");
                    },
                    on(inner) >> [] { return keep_state().insert(inner, "again"); })}};
  }
};

}  // namespace

TEST_CASE("what was sent before a timeout was due comes before it, what was sent later comes after it",
          "[machine][timeout]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Busy>(self, "m");
  wait_until("the message to be sent in time", [&] {
    event(self, "m", "go");
    const Trace heard = words(self, 3);
    if (heard == Trace{"too late", "t", "late"} || heard == Trace{"t", "too late", "late"}) return false;
    CHECK(heard == Trace{"early", "t", "late"});
    return true;
  });
}

TEST_CASE("a machine that always has something to receive still has its timeouts", "[machine][timeout]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_state_machine<Flooded>(self, "m"));
  event(self, "m", "go");
  CHECK(words(self, 1) == Trace{"t"});
  self.exit("m", "enough");
  CHECK(reason_of(self, ref) == "enough");
}

TEST_CASE("a machine that always has an event inside can be told to exit", "[machine][end]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_state_machine<Spinning>(self, "m"));
  event(self, "m", "go");
  CHECK(words(self, 1) == Trace{"spinning"});
  self.exit("m", "enough");
  CHECK(reason_of(self, ref) == "enough");
}
