// The state machine: in which order events come, when states are entered, and what postponing does.

#include "support/telling_machine.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

// ---- order -----------------------------------------------------------------------------------------------------------

namespace {

class Ordering : public Telling {
 public:
  using Telling::Telling;
  Table table() {
    using enum S;
    return {a,
            {in(a, on(event) >> postpone(),
                   on(go)    >> [] { return to(b).insert(inner, "i1").insert(inner, "i2").insert(event, "cast"); }),
             in(b, on(event) >> &Ordering::saw,
                   on(inner) >> [this](const std::string& word) {
                     saw(word);
                     return word == "i1" ? keep_state().insert(inner, "i1.1").insert(inner, "i1.2") : keep_state();
                   }),
             common()}};
  }
};

class Zero : public Telling {
 public:
  using Telling::Telling;
  Table table() {
    using enum S;
    return {a,
            {always(on(event) >> &Zero::saw,
                    on(inner) >> &Zero::saw,
                    state_timeout >> telling("state"),
                    event_timeout >> telling("event"),
                    timeout("n") >> telling("n")),
             in(a, on(go) >> [this](const std::string& what) { return zero(what); }),
             common()}};
  }

 private:
  Next zero(const std::string& what) {
    // Sent before the timeouts start; but not received yet.
    self_.send(self_.pid(), "kind", "outside");
    if (what == "both")
      return keep_state().start(timeout("n"), 0s).start(state_timeout, 0s).insert(inner, "i1").insert(inner, "i2");
    if (what == "changed") return to(S::b).start(state_timeout, 0s).start(timeout("n"), 0s).insert(inner, "i");
    if (what == "silence") return keep_state().start(event_timeout, 0s);
    if (what == "no silence") return keep_state().start(event_timeout, 0s).insert(inner, "i");
    if (what == "anew") return keep_state().start(timeout("n"), 0s).start(state_timeout, 0s).start(timeout("n"), 0s);
    return keep_state();
  }
};

}  // namespace

TEST_CASE("inserted events come first, then the postponed ones, then those that wait outside",
          "[machine][otp][event_order]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Ordering>(self, "m");
  event(self, "m", "p1");
  event(self, "m", "p2");
  go(self, "m", "b");
  event(self, "m", "q1");
  event(self, "m", "q2");
  CHECK(trace(self, "m") == Trace{"i1", "i1.1", "i1.2", "i2", "cast", "p1", "p2", "q1", "q2"});
}

TEST_CASE("timeouts of zero come after what waits inside, and before what waits outside, in the order of their start",
          "[machine][otp][event_order][timeout_zero]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Zero>(self, "m");
  go(self, "m", "both");
  event(self, "m", "q");
  CHECK(trace(self, "m") == Trace{"i1", "i2", "n", "state", "q"});
  go(self, "m", "silence");
  CHECK(trace(self, "m").back() == "event");
  go(self, "m", "anew");
  const Trace all = trace(self, "m");
  CHECK(Trace(all.end() - 2, all.end()) == Trace{"state", "n"});
}

TEST_CASE("a timeout of silence of zero is cancelled by an event that waits inside", "[machine][otp][timeout_zero]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Zero>(self, "m");
  go(self, "m", "no silence");
  event(self, "m", "q");
  CHECK(trace(self, "m") == Trace{"i", "q"});
}

TEST_CASE("a state's timeout that starts with the change of state belongs to the new state",
          "[machine][otp][state_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Zero>(self, "m");
  go(self, "m", "changed");
  CHECK(trace(self, "m") == Trace{"i", "state", "n"});
}

// ---- entering --------------------------------------------------------------------------------------------------------

namespace {

class Entering : public Telling {
 public:
  using Telling::Telling;
  Table table() {
    using enum S;
    return {to(a).insert(inner, "first"),
            {in(c, entry >> [] { return stop("no way"); }),
             always(entry     >> [this](S previous) {
                                   saw(std::string("entry ") + letter(state()) + " from " + letter(previous));
                                   return keep_state().start(timeout("t"), 0s);
                                 },
                    on(inner)    >> &Entering::saw,
                    timeout("t") >> telling("t"),
                    on(event)    >> [](const std::string& word) { return word == "repeat" ? repeat_state() : keep_state(); }),
             common()}};
  }

 private:
  static char letter(S state) { return state == S::a ? 'a' : state == S::b ? 'b' : 'c'; }
};

struct BadEntry : Telling {
  BadEntry(Self& self, const std::string& bad_what) : Telling(self), what(bad_what) {
    if (what == "constructor") throw std::runtime_error("no constructor");
    if (what == "exit") self.exit("no wish");
  }
  Table table() {
    if (what == "table") throw std::runtime_error("no table");
    if (what == "start") return {keep_state(), {}};
    if (what == "signatures") {
      struct Other {
        void event(int);
      };
      static constexpr Cast<&Other::event> other{"event"};
      return {S::a, {always(on(event) >> keep_state(), on(other) >> keep_state())}};
    }
    return {S::a, {always(entry >> [this] { return decide(); })}};
  }
  Next decide() {
    if (what == "throw") throw std::runtime_error("no entry");
    if (what == "change") return to(S::b);
    if (what == "repeat") return repeat_state();
    if (what == "postpone") return postpone();
    if (what == "insert") return keep_state().insert(inner, "x");
    if (what == "stop") return stop("at once");
    return keep_state();
  }
  std::string what;
};

Reason start_failure(Self& self, const std::string& what) {
  try {
    start_state_machine<BadEntry>(self, "bad", what);
  } catch (const StartFailed& failed) {
    CHECK_FALSE(self.find("bad"));
    return failed.reason;
  }
  FAIL("it started");
  throw 0;
}

}  // namespace

TEST_CASE("a state is entered at the start, at a change, and at repeat_state, and not when it is kept",
          "[machine][otp][state_enter]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Entering>(self, "m");
  CHECK(trace(self, "m") == Trace{"entry a from a", "first", "t"});
  event(self, "m", "keep");
  go(self, "m", "a");  // the same state: no change
  CHECK(trace(self, "m").size() == 3);
  event(self, "m", "repeat");
  go(self, "m", "b");
  event(self, "m", "repeat");
  const Trace all = trace(self, "m");
  CHECK(Trace(all.begin() + 3, all.end()) ==
        Trace{"entry a from a", "t", "entry b from a", "t", "entry b from a", "t"});
}

TEST_CASE("an entry can end the machine", "[machine][otp][state_enter]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_state_machine<Entering>(self, "m"));
  go(self, "m", "c");
  CHECK(reason_of(self, ref) == "no way");
  CHECK(next<Reason, "terminate">(self) == "no way");
}

TEST_CASE("a machine that cannot begin fails its start, with the reason, and its name is free",
          "[machine][otp][start]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(start_failure(self, "constructor").what() == "no constructor");
  CHECK(start_failure(self, "exit") == "no wish");
  CHECK(start_failure(self, "table").what() == "no table");
  CHECK(start_failure(self, "throw").what() == "no entry");
  CHECK(start_failure(self, "stop") == "at once");
  CHECK_THAT(start_failure(self, "start").what(), Contains("begins in a state"));
  CHECK_THAT(start_failure(self, "signatures").what(), Contains("two signatures"));
  for (const char* what : {"change", "repeat", "postpone", "insert"})
    CHECK_THAT(start_failure(self, what).what(), Contains("entry") && Contains("in state a"));
}

// ---- postponing ------------------------------------------------------------------------------------------------------

namespace {

class Postponing : public Telling {
 public:
  using Telling::Telling;
  Table table() {
    using enum S;
    return {a,
            {in(a, on(number)   >> postpone(),
                   on(event)    >> [this](const std::string& word) {
                     saw("a " + word);
                     if (word == "repeat") return repeat_state();
                     if (word == "keep") return keep_state();
                     if (word == "timeout") return keep_state().start(timeout("t"), 0s).insert(inner, "x");
                     if (word == "now") return to(b).postpone();
                     return postpone();
                   },
                   timeout("t") >> postpone(),
                   on(inner)    >> postpone(),
                   on<"info">() >> postpone()),
             in(b, on(number)   >> [](int n) { return 2 * n; },
                   on(event)    >> [this](const std::string& word) {
                     saw("b " + word);
                     return word == "thrice" ? postpone() : keep_state();
                   },
                   timeout("t") >> telling("b t"),
                   on(inner)    >> telling("b inner"),
                   on<"info">() >> [this](const std::string& word) { saw("b info " + word); }),
             in(c, on(event)    >> [this](const std::string& word) { saw("c " + word); }),
             common()}};
  }
};

}  // namespace

TEST_CASE("what was postponed is tried again at a change of state and at nothing else, oldest first",
          "[machine][otp][postpone_until_change]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Postponing>(self, "m");
  event(self, "m", "1");
  event(self, "m", "thrice");
  event(self, "m", "keep");
  event(self, "m", "repeat");
  CHECK(trace(self, "m") == Trace{"a 1", "a thrice", "a keep", "a repeat"});
  go(self, "m", "a");
  CHECK(trace(self, "m").size() == 4);
  go(self, "m", "b");
  event(self, "m", "2");
  Trace all = trace(self, "m");
  CHECK(Trace(all.begin() + 4, all.end()) == Trace{"b 1", "b thrice", "b 2"});
  go(self, "m", "c");
  all = trace(self, "m");
  CHECK(Trace(all.begin() + 7, all.end()) == Trace{"c thrice"});
}

TEST_CASE("an event that is postponed while the state changes is tried in the new state at once",
          "[machine][otp][postpone_until_change]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Postponing>(self, "m");
  event(self, "m", "old");
  event(self, "m", "now");
  CHECK(trace(self, "m") == Trace{"a old", "a now", "b old", "b now"});
}

TEST_CASE("messages, timeouts and inserted events can be postponed too", "[machine][otp][postpone_until_change]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Postponing>(self, "m");
  self.send("m", "info", std::string(100'000, 'x'));
  self.send("m", "info", "small");
  event(self, "m", "timeout");
  CHECK(trace(self, "m") == Trace{"a timeout"});
  go(self, "m", "b");
  CHECK(trace(self, "m") ==
        Trace{"a timeout", "b info " + std::string(100'000, 'x'), "b info small", "b inner", "b t"});
}

TEST_CASE("a postponed call is answered when its turn comes", "[machine][otp][postpone_until_change]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Postponing>(self, "m");
  const Ref client = self.spawn_monitor(
                             "client", +[](Self& self) { MUST(number.within(k_patience)(self, "m", 21) == 42); }).second;
  CHECK(call_error([&] { number.within(10ms)(self, "m", 1); }).kind == CallError::Kind::timeout);
  go(self, "m", "b");
  CHECK(reason_of(self, client) == Reason::normal());
  // The answer to the call that was given up comes late, and never reaches the mailbox.
  trace(self, "m");
  self.receive(on<"terminated">() >> [] { FAIL("a notice"); }, on<"saw">() >> [] {}, after(0s) >> [] {});
  CHECK(self.unmatched_count() == 0);
}

TEST_CASE("a caller whose postponed call is never tried again hears of the machine's end", "[machine][call]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Postponing>(self, "m");
  self.schedule(1ms, [&] { self.exit("m", "no more"); });
  const CallError error = call_error([&] { number.within(k_patience)(self, "m", 1); });
  CHECK(error.kind == CallError::Kind::down);
  CHECK(error.reason == "no more");
}

TEST_CASE("a machine that postpones more than its stash may hold ends, and says so", "[machine]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid machine = start_state_machine<Postponing>(self, "m", ServerOptions{.mailbox = {.stash = Bytes::mib(1)}});
  const Ref ref = self.monitor(machine);
  for (int i = 0; i < 12; ++i) self.send(machine, "info", std::string(100'000, 'x'));  // its name ends with it
  const Reason reason = reason_of(self, ref);
  CHECK_THAT(reason.name(), Contains("StashFull"));
  CHECK_THAT(reason.what(), Contains("in state a"));
}
