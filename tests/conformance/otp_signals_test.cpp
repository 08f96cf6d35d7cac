// What OTP's own suites ask of exits, links and monitors, beyond exits_test.cpp: the cases of process_SUITE, erl_link,
// monitor_SUITE and signal_SUITE that a user who comes from Erlang would try first.
#include <algorithm>
#include <csignal>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/random.hpp"
#include "support/shared_words.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

void waits(Self& self) {
  self.receive(on<"cmd">(is("return")) >> [] {}, on<"cmd">(is("exit")) >> [&] { self.exit("told to"); });
}

/// When it returns, whatever the broker had to tell to this one has arrived.
void round_trip(Self& self) {
  self.monitor(Pid(0, 4000, 1));
  CHECK(self.receive(on<"reason", "terminated">(anything, is(Pid(0, 4000, 1))) >> [](Reason why) { return why; },
                     or_fail("the answer of the broker")) == Reason::noproc());
}

/// Links and monitors as the test asks, and says what it hears, until it is told to return.
void node(Self& self) {
  self.trap_exits(true);
  bool done = false;
  while (!done)
    self.receive(on<"link">() >> [&](From from, Pid peer) { self.link(peer); self.send(from, "done", true); },
                 on<"unlink">() >> [&](From from, Pid peer) { self.unlink(peer); self.send(from, "done", true); },
                 on<"monitor">() >> [&](From from, Pid peer) { self.monitor(peer); self.send(from, "done", true); },
                 on<"report">() >>
                     [&](From from) {
                       // What the broker has sent is here after a round trip, and stays in order.
                       List heard;
                       self.monitor(Pid(0, 4000, 1));
                       for (bool last = false; !last;)
                         self.receive(on<"terminated", "reason">() >> [&](Pid who, Reason) {
                           last = who == Pid(0, 4000, 1);
                           if (!last) heard.push_back(Mumsg{{"who", who}, {"ref", self.message()->mumsg().has("ref")}});
                         });
                       self.send(from, "heard", heard);
                     },
                 on<"cmd">(is("return")) >> [&] { done = true; });
}

void ask(Self& self, Pid of, const char* what, Pid peer) {
  self.send(of, what, peer);
  next<bool, "done">(self);
}

}  // namespace

// ---- exits -----------------------------------------------------------------------------------------------------------

TEST_CASE("an exit that arrives while a receive is past its time wins over its after", "[exit][otp][exit_and_timeout]") {
  make_shared_words();
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    self.receive(on<"go">() >> [] {});
    self.receive(on<"n">([](int) {  // it is here, so this is called, and the time runs
                   shared->stage = 1;
                   shared->await(2);  // until it has been told to exit, and its time is up
                   return false;
                 }) >> [] {},
                 after(10ms) >> [&] { self.exit("timeout"); });
  });
  self.send(pid, "n", 1);
  self.send(pid, "go", true);
  shared->await(1);
  self.exit(pid, "because");
  self.sleep(11ms);
  shared->stage = 2;
  CHECK(reason_of(self, ref) == "because");
}

TEST_CASE("a muproc that says it is through, with `normal`, has ended normally", "[exit][otp][normal_suicide_exit]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid a = self.spawn("a", +[](Self& self) { self.exit(Reason::normal()); }, {.link = true});
  CHECK(reason_of(self, a).is_normal());
  // The word alone is a value like any other; it prints and compares as the word, and is no normal end.
  const Pid b = self.spawn("b", +[](Self& self) { self.exit("normal"); }, {.link = true});
  const Reason reason = reason_of(self, b);
  CHECK(reason == "normal");
  CHECK_FALSE(reason.is_normal());
}

TEST_CASE("told to exit with `normal` by another, one that does not trap ends", "[exit][otp][exit_2_other_normal]") {
  // Erlang ignores such a signal.
  LiveSystem system;
  Self& self = system.self();
  const auto [a, ref] = self.spawn_monitor("a", waits);
  self.exit(a, Reason::normal());
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("telling oneself to exit acts at once, and is a message when exits are trapped", "[exit][otp][self_exit]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          self.exit(self.pid(), "by myself");
          self.exit("lived on");
        }) == "by myself");
  CHECK(play(self, "b", +[](Self& self) {
          self.trap_exits(true);
          self.exit(self.pid(), "by myself");
          self.receive(on<"terminated", "reason">() >> [&](Value who, Reason why) {
            MUST(who.is_nil());
            MUST(why == "by myself");
          });
        }) == Reason::normal());
  CHECK(play(self, "c", +[](Self& self) {
          self.trap_exits(true);
          self.kill(self.pid());
          self.receive(on<"never">() >> [] {});
        }) == Reason::killed());
}

TEST_CASE("what one sends to oneself stays in order with the exits that one tells oneself", "[exit][order][otp][sig_order]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          self.trap_exits(true);
          for (int i = 0; i < 100; ++i) {
            if (i % 3 == 1) {
              self.exit(self.pid(), i);
            } else {
              self.send(self.pid(), "n", i);
            }
          }
          for (int i = 0; i < 100; ++i)
            self.receive(on<"n">() >> [&](int n) { MUST(n == i); },
                         on<"reason">() >> [&](Reason why) { MUST(why.value().as<int>() == i); });
        }) == Reason::normal());
}

TEST_CASE("one that is told to exit ends even while it waits for room to send", "[exit][otp][exit_while_blocked]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("deaf", +[](Self& self) {
    self.send("tester", "ready", true);
    for (;;) self.sleep(1h);
  });
  next<bool, "ready">(self);
  const auto [pid, ref] = self.spawn_monitor("talker", +[](Self& self) {
    while (self.try_send("deaf", "text", std::string(4000, 'x'))) {
    }
    self.send("tester", "full", true);
    for (;;) self.send("deaf", "text", std::string(4000, 'x'));
  });
  next<bool, "full">(self);
  self.exit(pid, "because");
  CHECK(reason_of(self, ref) == "because");
}

TEST_CASE("what only the kernel can know is never taken from a muproc's own word", "[exit][reason]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  // Handing on a reason that was heard is an exit with that reason as its value.
  for (const Reason& kernels : {Reason::signal(SIGSEGV), Reason::code(3), Reason(Reason::Kind::out_of_memory),
                                Reason(Reason::Kind::watchdog)}) {
    INFO(to_string(kernels));
    const Reason said = play(self, "a", +[](Self& self) { self.exit(self.args()["why"].as<Reason>()); },
                             {.args = {{"why", kernels}}});
    CHECK(said.is(Reason::Kind::exit));
    CHECK(said.value().as<Reason>() == kernels);

    const auto [b, ref] = self.spawn_monitor("b", waits);
    self.exit(b, kernels);
    CHECK(reason_of(self, ref) == said);

    self.exit(self.pid(), kernels);
    CHECK(next<Reason, "reason">(self) == said);
  }
}

TEST_CASE("a reason of many megabytes arrives through links, monitors and exit signals", "[exit][otp][large_reason]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const auto [inner, inner_ref] = self.spawn_monitor("inner", +[](Self& self) {
    const Pid outer = self.spawn("outer", waits, {.link = true});
    self.send("tester", "outer", outer);
    self.receive(on<"go">() >> [] {});
    self.exit(std::string(5'000'000, 'r'));
  });
  const Ref outer_ref = self.monitor(next<Pid, "outer">(self));
  self.send(inner, "go", true);
  const Reason reason = reason_of(self, inner_ref);
  CHECK(reason.value() == Value(std::string(5'000'000, 'r')));
  CHECK(reason_of(self, outer_ref).root_cause() == reason);
  const auto [b, b_ref] = self.spawn_monitor("b", waits);
  self.exit(b, reason);
  CHECK(reason_of(self, b_ref) == reason);
}

TEST_CASE("many that tell one to exit at the same time end it once, with the reason of one of them",
          "[exit][otp][contended_signals]") {
  LiveSystem system;
  Self& self = system.self();
  for (int round = 0; round < 5; ++round) {
    const auto [victim, ref] = self.spawn_monitor("victim", Code(waits));
    std::vector<Ref> killers;
    for (int i = 0; i < 8; ++i)
      killers.push_back(self.spawn_monitor("killer-" + std::to_string(i), Code(+[](Self& self) {
                                             self.exit(self.args()["victim"].as<Pid>(), self.args()["n"].as<int>());
                                           }),
                                           {.args = {{"victim", victim}, {"n", i}}})
                            .second);
    const Reason reason = reason_of(self, ref);
    REQUIRE(reason.is(Reason::Kind::exit));
    CHECK(reason.value().as<int>() < 8);
    for (const Ref killer : killers) CHECK(reason_of(self, killer) == Reason::normal());
  }
  round_trip(self);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a timer may end another, by an exit or a kill", "[exit][timer][otp][exit_after][kill_after]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [a, a_ref] = self.spawn_monitor("a", waits);
  const auto [b, b_ref] = self.spawn_monitor("b", waits, {.trap_exits = true});
  self.schedule(1ms, [&, pid = a] { self.exit(pid, "time is up"); });
  self.schedule(2ms, [&, pid = b] { self.kill(pid); });
  CHECK(reason_of(self, a_ref) == "time is up");
  CHECK(reason_of(self, b_ref) == Reason::killed());
  // Or its owner.
  CHECK(play(self, "c", +[](Self& self) {
          self.schedule(1ms, [&] { self.exit("time is up"); });
          self.receive(on<"never">() >> [] {});
        }) == "time is up");
}

TEST_CASE("those who live are listed while others are born and die, and the dead are not",
          "[names][otp][processes]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid constant = self.spawn("constant", waits);
  const auto [churn, ref] = self.spawn_monitor("churn", +[](Self& self) {
    for (int i = 0; i < 60; ++i) {
      const auto [pid, ref] = self.spawn_monitor("brief-" + std::to_string(i), Code(+[](Self&) {}));
      self.receive(on<"ref">(is(static_cast<std::int64_t>(ref.bits))) >> [] {});
      for (const MuprocInfo& info : self.list()) MUST(info.pid != pid);
      MUST(!self.alive(pid));
      MUST(!self.find("brief-" + std::to_string(i)));
    }
  });
  for (bool over = false; !over;) {
    const auto living = self.list();
    REQUIRE(std::count_if(living.begin(), living.end(), [&](const MuprocInfo& info) { return info.pid == constant; }) == 1);
    std::set<Pid> different;
    for (const MuprocInfo& info : living) different.insert(info.pid);
    REQUIRE(different.size() == living.size());
    self.receive(on<"terminated", "reason">(is(churn), anything) >>
                     [&](Pid, Reason reason) {
                       CHECK(reason == Reason::normal());
                       over = true;
                     },
                 after(100us) >> [] {});
  }
}

// ---- names -----------------------------------------------------------------------------------------------------------

TEST_CASE("another muproc's name, or a supervisor's, cannot be registered as a port",
          "[names][otp][bad_register][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("a", waits);
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"child", waits}}));
  for (const char* name : {"a", "sup", "child"}) {
    INFO(name);
    const Pid owner = self.find(name);
    CHECK_THROWS_AS(self.register_port(name), NameTaken);
    CHECK(self.find(name) == owner);
  }
  // One's own is harmless, and stays when the port is given up.
  self.register_port("tester").release();
  CHECK(self.find("tester") == self.pid());
}

TEST_CASE("the ports of one that died are free when its end is heard of", "[names][otp][bad_register]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 20; ++i) {
    const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
      auto port = self.register_port("the port");
      self.send(self.parent(), "registered", true);
      waits(self);
    });
    next<bool, "registered">(self);
    CHECK(self.find("the port") == pid);
    self.kill(pid);
    reason_of(self, ref);
    CHECK_FALSE(self.find("the port"));
    CHECK_NOTHROW(self.register_port("the port").release());
  }
}

TEST_CASE("by the time a monitor hears of an end the name can be used again", "[names][monitor][otp][named_down]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("a", waits);
  for (int i = 0; i < 30; ++i) {
    const Ref ref = self.monitor("a");
    self.kill("a");
    reason_of(self, ref);
    CHECK_FALSE(self.find("a"));
    CHECK_NOTHROW(self.spawn("a", waits));
  }
}

// ---- links and monitors ----------------------------------------------------------------------------------------------

TEST_CASE("after unlink has returned no notice of that link arrives, however close the end was",
          "[exit][link][otp][unlink_exit]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  for (int i = 0; i < 60; ++i) {
    const Pid pid = self.spawn("a" + std::to_string(i), +[](Self& self) { self.receive(on<"end">() >> [] {}); },
                               {.link = true});
    self.send(pid, "end", true);
    if (i % 3 == 1) wait_until("its end", [&] { return !self.alive(pid); });
    self.unlink(pid);
  }
  round_trip(self);
  // Those that were heard of before, none of them: nobody has looked at a message here.
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("two that link and unlink each other all the time neither hang nor leave a link behind",
          "[exit][link][otp][link_unlink_hammer]") {
  LiveSystem system;
  Self& self = system.self();
  const Function hammer = +[](Self& self) {
    const Pid other = self.receive(on<"other">() >> [](Pid pid) { return pid; });
    for (int i = 0; i < 300; ++i) {
      self.link(other);
      self.unlink(other);
    }
    self.send(self.parent(), "hammered", true);
    waits(self);
  };
  const auto [a, a_ref] = self.spawn_monitor("a", Code(hammer));
  const auto [b, b_ref] = self.spawn_monitor("b", Code(hammer));
  self.send(a, "other", b);
  self.send(b, "other", a);
  for (int i = 0; i < 2; ++i) next<bool, "hammered">(self);
  self.kill(a);
  CHECK(reason_of(self, a_ref) == Reason::killed());
  round_trip(self);
  CHECK(self.alive(b));
  self.send(b, "cmd", "return");
  CHECK(reason_of(self, b_ref) == Reason::normal());
}

TEST_CASE("a notice of somebody who was not there names what was asked for", "[exit][monitor][otp][mon_by_name]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref by_name = self.monitor("nobody");
  self.receive(on<"terminated", "reason", "name", "ref">() >>
                   [&](From from, Pid who, Reason reason, std::string name, std::int64_t ref) {
                     CHECK_FALSE(from);
                     CHECK_FALSE(who);
                     CHECK(reason == Reason::noproc());
                     CHECK(name == "nobody");
                     CHECK(static_cast<std::uint64_t>(ref) == by_name.bits);
                   },
               or_fail("the notice"));
  const auto [pid, ref] = self.spawn_monitor("a", Code(+[](Self&) {}));
  reason_of(self, ref);
  self.monitor(pid);
  self.receive(on<"terminated", "reason">() >> [&, pid = pid](Pid who, Reason reason) {
    CHECK(who == pid);
    CHECK(reason == Reason::noproc());
  }, or_fail("the notice"));
}

TEST_CASE("of any mixture of links and monitors each brings its one notice", "[exit][link][monitor][otp][mixer]") {
  LiveSystem system;
  Self& self = system.self();
  Random random(20);
  constexpr std::size_t k_count = 6;
  for (int round = 0; round < 4; ++round) {
    std::vector<Pid> nodes;
    for (std::size_t i = 0; i < k_count; ++i)
      nodes.push_back(self.spawn("node-" + std::to_string(i), node, {.trap_exits = true}));
    std::set<std::pair<Pid, Pid>> links;
    std::map<std::pair<Pid, Pid>, int> monitors;
    for (int i = 0; i < 40; ++i) {
      const Pid a = nodes[random.below(k_count)], b = nodes[random.below(k_count)];
      switch (random.below(4)) {
        case 0: ask(self, a, "monitor", b), ++monitors[{a, b}]; break;
        case 1:
          ask(self, a, "unlink", b);
          links.erase({a, b}), links.erase({b, a});
          break;
        default:
          ask(self, a, "link", b);
          if (a != b) links.insert({a, b}), links.insert({b, a});
      }
    }
    const Pid dead = nodes[random.below(k_count)];
    const Ref ref = self.monitor(dead);
    self.kill(dead);
    reason_of(self, ref);
    for (const Pid living : nodes) {
      if (living == dead) continue;
      self.send(living, "report", true);
      int by_link = 0, by_monitor = 0;
      for (const Value& notice : next<List, "heard">(self)) {
        CHECK(notice.as<Mumsg>()["who"].as<Pid>() == dead);
        ++(notice.as<Mumsg>()["ref"].as<bool>() ? by_monitor : by_link);
      }
      CHECK(by_link == static_cast<int>(links.count({living, dead})));
      CHECK(by_monitor == monitors[{living, dead}]);
    }
    for (const Pid living : nodes) {
      if (living == dead) continue;
      const Ref end = self.monitor(living);
      self.send(living, "cmd", "return");
      reason_of(self, end);
    }
  }
}

TEST_CASE("thousands of links and monitors that came and went leave nothing that speaks",
          "[exit][link][monitor][otp][list_cleanup]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const auto [a, ref] = self.spawn_monitor("a", waits);
  for (int i = 0; i < 1000; ++i) {
    self.demonitor(self.monitor(a));
    self.link(a);
    self.unlink(a);
  }
  // One that watches and ends takes its monitors along.
  CHECK(play(self, "b", +[](Self& self) {
          for (int i = 0; i < 1000; ++i) self.monitor("a");
        }) == Reason::normal());
  self.send(a, "cmd", "return");
  CHECK(reason_of(self, ref) == Reason::normal());
  round_trip(self);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("when one of a circle of linked ones dies all die, each once, and the root of it all is named",
          "[exit][link][otp][link_circle]") {
  LiveSystem system;
  Self& self = system.self();
  const Function member = +[](Self& self) {
    self.receive(on<"next">() >> [&](Pid next) { self.link(next); });
    self.send("tester", "linked", true);
    waits(self);
  };
  std::vector<std::pair<Pid, Ref>> circle;
  for (int i = 0; i < 8; ++i) circle.push_back(self.spawn_monitor("member-" + std::to_string(i), Code(member)));
  for (std::size_t i = 0; i < 8; ++i) {
    self.send(circle[i].first, "next", circle[(i + 1) % 8].first);
    next<bool, "linked">(self);
  }
  self.send(circle[3].first, "cmd", "exit");
  for (const auto& [pid, ref] : circle) CHECK(reason_of(self, ref).root_cause() == "told to");
  round_trip(self);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("of an end that came through more links than a reason can hold, the root cause is still known",
          "[exit][link][otp][long_chain]") {
  LiveSystem system;
  Self& self = system.self();
  const Function member = +[](Self& self) {
    self.receive(on<"next">() >> [&](Pid next) { self.link(next); });
    self.send("tester", "linked", true);
    waits(self);
  };
  Pid before = self.spawn("first", waits);
  const Pid first = before;
  Ref last;
  for (int i = 0; i < 60; ++i) {
    const auto [pid, ref] = self.spawn_monitor("member-" + std::to_string(i), Code(member));
    self.send(pid, "next", before);
    next<bool, "linked">(self);
    if (i < 59) self.demonitor(ref);
    before = pid;
    last = ref;
  }
  self.send(first, "cmd", "exit");
  const Reason reason = reason_of(self, last);
  CHECK(reason.is(Reason::Kind::linked));
  CHECK(reason.name() == "member-58");
  CHECK(reason.root_cause() == "told to");
}
