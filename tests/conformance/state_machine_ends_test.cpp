// The state machine: how calls are answered, and how it ends.

#include "support/telling_machine.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

// ---- answers and ends ------------------------------------------------------------------------------------------------

namespace {

struct Oops : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Ending : public Telling {
 public:
  explicit Ending(Self& self, bool terminate_throws = false) : Telling(self), terminate_throws_(terminate_throws) {}
  void terminate(const Reason& reason) {
    Telling::terminate(reason);
    if (terminate_throws_) throw Oops("no end");
  }
  Table table() {
    using enum S;
    return {a,
            {in(a, on(number) >> [this](ReplyTo<int> caller, int n) {
                     callers_.push_back(std::move(caller));
                     if (n == 0) throw Oops("zero");
                   },
                   on(finish) >> stop("finished")),
             in(b, on(number) >> [](From from, int n) {
                     return n > 0 ? reply(n, to(a)) : reply(from ? -1 : 0, stop("with an answer"));
                   }),
             always(on(event) >> [this](const std::string& word) {
                      if (word == "throw") throw Oops("word");
                      if (word == "timeout") return keep_state().start(timeout("nowhere"), 0s);
                      if (word == "insert") return keep_state().insert(inner, "nowhere");
                      if (word == "stop") return stop();
                      if (word == "exit") self_.exit("left");
                      for (auto& caller : callers_) caller(static_cast<int>(word.size()));
                      return keep_state();
                    }),
             common()}};
  }

 private:
  bool terminate_throws_;
  std::vector<ReplyTo<int>> callers_;
};

struct Simple : StateMachine<S> {
  Table table() { return {S::a, {always(on(number) >> [](int n) { return n; })}}; }
};

/// What `terminate` was told; and it was told only once.
Reason terminated_with(Self& self) {
  const Reason reason = next<Reason, "terminate">(self);
  self.receive(on<"terminate">() >> [] { FAIL("terminate ran again"); }, after(0s) >> [] {});
  return reason;
}

/// How it ends on that word; and `terminate` hears the same.
Reason end_of(Self& self, const std::string& word) {
  const Ref ref = self.monitor(start_state_machine<Ending>(self, "m"));
  event(self, "m", word);
  const Reason reason = reason_of(self, ref);
  CHECK(terminated_with(self) == reason);
  return reason;
}

}  // namespace

TEST_CASE("a call can be answered later, from another event", "[machine][otp][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Ending>(self, "m");
  std::vector<Ref> clients;
  for (int i = 0; i < 3; ++i)
    clients.push_back(self.spawn_monitor(
                              "client-" + std::to_string(i), +[](Self& self) {
                                self.send(self.parent(), "calling", true);
                                MUST(number.within(k_patience)(self, "m", 7) == 4);
                              }).second);
  for (const Ref client : clients) {
    next<bool, "calling">(self);
    bool ended = false;
    wait_until("the client to be answered", [&] {
      event(self, "m", "four");
      self.receive(on<"terminated", "reason", "ref">(anything, anything, is(static_cast<std::int64_t>(client.bits))) >>
                       [&](Value, Reason reason) {
                         CHECK(reason == Reason::normal());
                         ended = true;
                       },
                   after(1ms) >> [] {});
      return ended;
    });
  }
}

TEST_CASE("an answer can come with a change of state, or with the end", "[machine][stop_and_reply]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_state_machine<Ending>(self, "m"));
  go(self, "m", "b");
  CHECK(number(self, "m", 5) == 5);
  go(self, "m", "b");
  CHECK(number(self, "m", 0) == -1);
  CHECK(reason_of(self, ref) == "with an answer");
  CHECK(terminated_with(self) == "with an answer");

  const Ref second = self.monitor(start_state_machine<Ending>(self, "m"));
  finish(self, "m");
  CHECK(reason_of(self, second) == "finished");
}

TEST_CASE("a call's handler that throws gives its caller the error, and the machine ends with it",
          "[machine][otp][crash]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_state_machine<Ending>(self, "m"));
  const CallError error = call_error([&] { number(self, "m", 0); });
  CHECK(error.kind == CallError::Kind::error);
  CHECK_THAT(error.reason.name(), Contains("Oops"));
  CHECK(error.reason.what() == "zero");
  CHECK(reason_of(self, ref) == error.reason);
  CHECK(terminated_with(self) == error.reason);
}

TEST_CASE("a machine ends as it says, and terminate runs once", "[machine][end]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(end_of(self, "stop") == Reason::normal());
  CHECK(end_of(self, "exit") == "left");
  CHECK(end_of(self, "throw").what() == "word");
  CHECK_THAT(end_of(self, "timeout").what(), Contains("no row for timeout \"nowhere\" in state a"));
  CHECK_THAT(end_of(self, "insert").what(), Contains("no row for \"inner\""));
}

TEST_CASE("stop ends a machine in order, waits for terminate, and rethrows what it threw", "[machine][otp][stop]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_state_machine<Ending>(self, "m"));
  muproc::stop(self, "m");
  CHECK_FALSE(self.find("m"));
  CHECK(reason_of(self, ref) == Reason::normal());
  CHECK(terminated_with(self) == Reason::normal());

  start_state_machine<Ending>(self, "m", true);
  CHECK(call_error([&] { muproc::stop(self, "m"); }).reason.what() == "no end");
  CHECK(call_error([&] { muproc::stop(self, "m"); }).kind == CallError::Kind::noproc);
}

TEST_CASE("what no row wants is answered with an error or dropped, and the machine lives", "[machine][unknown]") {
  struct Other {
    int number(const std::string&);
    void what();
  };
  constexpr Call<&Other::number> other_number{"number"};
  constexpr Call<&Other::what> what{"what"};
  constexpr Cast<&Other::what> what_cast{"what"};
  LiveSystem system;
  Self& self = system.self();
  const Pid machine = start_state_machine<Ending>(self, "m");
  go(self, "m", "b");

  const CallError no_row = call_error([&] { finish(self, "m"); });
  CHECK(no_row.kind == CallError::Kind::error);
  CHECK_THAT(no_row.what(), Contains("finish") && Contains("in state b"));
  CHECK_THAT(call_error([&] { what(self, "m"); }).what(), Contains("what"));
  CHECK_THAT(call_error([&] { other_number(self, "m", "x"); }).what(), Contains("versions"));
  what_cast(self, "m");
  self.send("m", "what", "ever");
  CHECK(number(self, "m", 1) == 1);
  CHECK(self.find("m") == machine);
  CHECK_THAT(system.broker().output(), Contains("no row for") && Contains("ever") && Contains("in state b"));
}

TEST_CASE("a machine can be asked by a port of its own", "[machine]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Simple>(self, "m", ServerOptions{.port = "desk"});
  CHECK(number(self, "desk", 3) == 3);
}

TEST_CASE("a call to a machine that is not there says so", "[machine][otp][call_noproc]") {
  LiveSystem system;
  CHECK(call_error([&] { number(system.self(), "nobody", 1); }).kind == CallError::Kind::noproc);
}

// ---- exits -----------------------------------------------------------------------------------------------------------

namespace {

class Trapping : public Telling {
 public:
  using Telling::Telling;
  Table table() {
    using enum S;
    return {a,
            {in(a, on<"terminated", "reason">() >> [this](Value, const Reason& reason) {
                     saw("heard " + to_string(reason));
                     return to(b);
                   }),
             common()}};
  }
};

Pid peer_of(Self& self) {
  return self.spawn("peer", +[](Self& self) {
    self.link("m");
    self.exit("gone");
  });
}

}  // namespace

TEST_CASE("a linked one's end is an event for a machine that traps exits, where a row wants it; else it ends with it",
          "[machine][trap_exit]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_state_machine<Trapping>(self, "m", ServerOptions{.trap_exits = true}));
  peer_of(self);
  CHECK(words(self, 1) == Trace{"heard exit: \"gone\""});
  const Pid second = peer_of(self);
  CHECK(reason_of(self, ref) == Reason::linked("peer", second, Reason::exit("gone")));
}

TEST_CASE("a machine that does not trap exits ends with a linked one", "[machine][link]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_state_machine<Trapping>(self, "m"));
  const Pid peer = peer_of(self);
  CHECK(reason_of(self, ref) == Reason::linked("peer", peer, Reason::exit("gone")));
  CHECK(terminated_with(self) == Reason::linked("peer", peer, Reason::exit("gone")));
}

TEST_CASE("its supervisor's shutdown ends a machine that traps exits, whatever its rows", "[machine][shutdown]") {
  struct Farewell : StateMachine<S> {
    explicit Farewell(Self& self) : self_(self) { self.trap_exits(true); }
    Table table() { return {S::a, {always(otherwise >> [] {}, on(number) >> [](int n) { return n; })}}; }
    void terminate(const Reason& reason) { self_.log().info("terminated with {}", to_string(reason)); }
    Self& self_;
  };
  LiveSystem system(supervisor(one_for_one, {2, 5s}, {state_machine_child<Farewell>("m", {.stop = 30s})}));
  wait_for_name(system.self(), "m");
  CHECK(number(system.self(), "m", 3) == 3);
  CHECK(system.stop() == 0);
  CHECK_THAT(system.broker().output(), Contains("terminated with shutdown"));
}

TEST_CASE("a supervised machine that dies comes back in its initial state", "[machine][supervisor]") {
  struct Counting : StateMachine<S> {
    explicit Counting(int start) : count_(start) {}
    Table table() { return {S::a, {always(on(number) >> [this](int n) { return count_ += n; })}}; }
    int count_;
  };
  LiveSystem system(supervisor(one_for_one, {2, 5s}, {state_machine_child<Counting>("m", {}, 10)}));
  Self& self = system.self();
  const Pid first = wait_for_name(self, "m");
  CHECK(number(self, "m", 5) == 15);
  self.kill(first);
  wait_for_replacement(self, "m", first);
  CHECK(number(self, "m", 5) == 15);
}

TEST_CASE("a supervised machine is ready when its first state has been entered", "[machine][supervisor]") {
  struct Slow : StateMachine<S> {
    explicit Slow(Self& self) : self_(self) {}
    Table table() {
      return {S::a, {always(entry >> [this] {
                       self_.sleep(20ms);
                       self_.log().info("entered");
                     })}};
    }
    Self& self_;
  };
  LiveSystem system(supervisor(one_for_one, {2, 5s},
                               {state_machine_child<Slow>("slow", {}), {"next", +[](Self& self) {
                                                                          self.log().info("next");
                                                                          self.receive(on<"never">() >> [] {});
                                                                        }}}));
  wait_for_name(system.self(), "next");
  system.broker().wait_for_output("] next");
  const std::string output = system.broker().output();
  CHECK(output.find("entered") < output.find("] next"));
  CHECK(output.find("entered") != std::string::npos);
}
