// Exits, links and monitors: who hears of an end, what, and in which order.
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "support/shared_words.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

void waits(Self& self) {
  self.receive(on<"cmd">(is("return")) >> [] {}, on<"cmd">(is("exit")) >> [&] { self.exit("told to"); });
}

/// Tells its spawner of each notice that it gets, until it is told to return.
void trapper(Self& self) {
  self.trap_exits(true);
  for (bool done = false; !done;)
    self.receive(on<"terminated", "reason">() >>
                     [&](Value who, Reason reason) { self.send(self.parent(), "heard", reason, "of", who); },
                 on<"link">() >> [&](Pid peer) { self.link(peer); }, on<"cmd">(is("return")) >> [&] { done = true; });
}

void no_more_messages(Self& self) {
  // A round trip over every channel that matters: through the broker, and to itself.
  self.monitor(Pid(0, 4000, 1));
  CHECK(self.receive(on<"reason">() >> [](Reason reason) { return reason; }) == Reason::noproc());
  self.receive(otherwise >> [](const Message& m) { FAIL("a message: " << to_string(m.mumsg().value())); },
               after(0s) >> [] {});
}

}  // namespace

// ---- the table of links and monitors ---------------------------------------------------------------------------------

TEST_CASE("a linked one that does not trap ends with its peer, whatever the peer's reason", "[exit][link][otp][links]") {
  LiveSystem system;
  Self& self = system.self();
  for (const char* how : {"return", "exit", "kill", "signal"}) {
    INFO(how);
    const auto [victim, victim_ref] = self.spawn_monitor("victim", waits);
    const auto [peer, peer_ref] = self.spawn_monitor(
        "peer", +[](Self& self) {
          self.link("victim");
          self.send(self.parent(), "linked", true);
          waits(self);
        });
    next<bool, "linked">(self);
    Reason reason;
    if (how == std::string("return")) reason = Reason::normal(), self.send(peer, "cmd", "return");
    if (how == std::string("exit")) reason = Reason::exit("told to"), self.send(peer, "cmd", "exit");
    if (how == std::string("kill")) reason = Reason::killed(), self.kill(peer);
    if (how == std::string("signal")) reason = Reason::signal(SIGKILL), test::signal(self, peer, SIGKILL);
    CHECK(reason_of(self, peer_ref) == reason);
    CHECK(reason_of(self, victim_ref) == Reason::linked("peer", peer, reason));
  }
}

TEST_CASE("a linked one that traps gets a message, and lives",
          "[exit][link][otp][links][normal_suicide_exit][abnormal_suicide_exit]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  CHECK(reason_of(self, self.spawn("a", +[](Self&) {}, {.link = true})) == Reason::normal());
  CHECK(reason_of(self, self.spawn("a", +[](Self& self) { self.exit("r"); }, {.link = true})) == "r");
  CHECK(reason_of(self, self.spawn("a", +[](Self&) { throw std::runtime_error("oh"); }, {.link = true})) ==
        Reason::exception("std::runtime_error", "oh"));
}

TEST_CASE("the notice of a link names the one that ended; its sender is nil", "[exit][link]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid a = self.spawn("a", +[](Self&) {}, {.link = true});
  self.receive(on<"terminated", "reason", "name">() >>
                   [&](From from, Pid who, Reason, std::string_view name) {
                     CHECK_FALSE(from);
                     CHECK(who == a);
                     CHECK(name == "a");
                     CHECK_FALSE(self.message()->mumsg().has("ref"));
                   },
               or_fail("the notice"));
}

TEST_CASE("a monitor only tells", "[exit][monitor]") {
  // In cl-muproc a watcher that does not trap exits ends with the one that it watches; here it does not.
  LiveSystem system;
  Self& self = system.self();
  CHECK_FALSE(self.traps_exits());
  CHECK(play(self, "a", +[](Self&) {}) == Reason::normal());
  CHECK(play(self, "a", +[](Self& self) { self.exit("r"); }) == "r");
}

TEST_CASE("monitors stack, each with its one notice, and a link has its own", "[exit][monitor][link]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid a = self.spawn("a", waits, {.link = true});
  const std::vector<Ref> refs{self.monitor(a), self.monitor("a"), self.monitor(a)};
  self.send(a, "cmd", "exit");
  for (const Ref ref : refs) CHECK(reason_of(self, ref) == "told to");
  self.receive(on<"terminated">() >> [&](Pid who) {
    CHECK(who == a);
    CHECK_FALSE(self.message()->mumsg().has("ref"));
  }, or_fail("the notice of the link"));
  no_more_messages(self);
}

TEST_CASE("links are idempotent, symmetric, and may be to oneself", "[exit][link][otp][links]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  self.link(self.pid());
  const Pid a = self.spawn("a", waits, {.link = true});
  self.link(a);
  self.link("a");
  self.send(a, "cmd", "return");
  CHECK(reason_of(self, a) == Reason::normal());
  no_more_messages(self);
  CHECK(play(self, "b", +[](Self& self) {
          self.link(self.pid());
          self.unlink(self.pid());
          self.link(self.name());
        }) == Reason::normal());
}

TEST_CASE("an unlinked end is heard by nobody", "[exit][link][otp][links][kill_then_unlink]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid a = self.spawn("a", waits, {.link = true});
  self.unlink(a);
  self.unlink(a);
  const Ref ref = self.monitor(a);
  self.kill(a);
  CHECK(reason_of(self, ref) == Reason::killed());
  for (int i = 0; i < 50; ++i) {
    const Pid b = self.spawn("b" + std::to_string(i), waits, {.link = true});
    self.kill(b);
    self.unlink(b);
  }
  no_more_messages(self);
}

TEST_CASE("after demonitor no notice arrives", "[exit][monitor][otp][kill_then_demonitor]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 50; ++i) {
    const auto [pid, ref] = self.spawn_monitor("a" + std::to_string(i), Code(waits));
    self.kill(pid);
    self.demonitor(ref);
  }
  no_more_messages(self);
}

TEST_CASE("flush removes a notice that has arrived unread, and no other", "[exit][monitor][otp][demonitor_flush]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, first] = self.spawn_monitor("a", Code(waits));
  const Ref second = self.monitor(pid);
  const Ref third = self.monitor(pid);
  self.send(pid, "cmd", "return");
  CHECK(reason_of(self, third) == Reason::normal());
  // A scan of everything: now both others lie unmatched.
  wait_until("both notices in the stash", [&] {
    self.receive(on<"nothing">() >> [] {}, after(0s) >> [] {});
    return self.unmatched_count() == 2;
  });
  self.demonitor(first, true);
  CHECK(self.unmatched_count() == 1);
  CHECK(reason_of(self, second) == Reason::normal());
  no_more_messages(self);
}

TEST_CASE("an unknown reference is no error, and only its owner can demonitor",
          "[exit][monitor][otp][demon_unknown][process_monitors]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_NOTHROW(self.demonitor(self.make_ref()));
  const auto [pid, ref] = self.spawn_monitor("a", Code(waits));
  CHECK(play(self, "thief", +[](Self& self) {
          self.demonitor(Ref{static_cast<std::uint64_t>(self.args()["ref"].as<std::int64_t>())}, true);
        }, {.args = {{"ref", static_cast<std::int64_t>(ref.bits)}}}) == Reason::normal());
  self.send(pid, "cmd", "return");
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("monitoring oneself is inert", "[exit][monitor][otp][process_monitors]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          self.monitor(self.pid());
          self.monitor(self.name());
        }) == Reason::normal());
}

TEST_CASE("a monitor by name hears normal ends, others, and that nobody has that name",
          "[exit][monitor][otp][mon_by_name]") {
  LiveSystem system;
  Self& self = system.self();
  for (const char* word : {"return", "exit"}) {
    self.spawn("a", waits);
    const Ref ref = self.monitor("a");
    self.send("a", "cmd", word);
    CHECK(reason_of(self, ref) == (word == std::string("exit") ? Reason::exit("told to") : Reason::normal()));
  }
  CHECK(reason_of(self, self.monitor("a")) == Reason::noproc());
  CHECK(reason_of(self, self.monitor("never was")) == Reason::noproc());
}

TEST_CASE("linking or monitoring the dead gives the notice at once", "[exit][link][monitor][otp][process_monitors]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const auto [pid, ref] = self.spawn_monitor("a", Code(waits));
  self.kill(pid);
  reason_of(self, ref);
  self.link(pid);
  CHECK(reason_of(self, pid) == Reason::noproc());
  CHECK(reason_of(self, self.monitor(pid)) == Reason::noproc());
  CHECK_THROWS_AS(self.link("a"), NoSuchName);
  // Who does not trap ends with it.
  const Reason reason = play(self, "b", +[](Self& self) {
    self.link(self.args()["dead"].as<Pid>());
    self.receive(on<"never">() >> [] {});
  }, {.args = {{"dead", pid}}});
  CHECK(reason.is(Reason::Kind::linked));
  CHECK(reason.pid() == pid);
  CHECK(reason.root_cause() == Reason::noproc());
}

TEST_CASE("one that is monitored may end its monitor", "[exit][monitor][otp][monitored_kills_monitor]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 20; ++i) {
    const auto [watcher, ref] = self.spawn_monitor("watcher", +[](Self& self) {
      self.spawn_monitor("watched", Code(+[](Self& self) { self.kill(self.parent()); }));
      self.receive(on<"never">() >> [] {});
    });
    CHECK(reason_of(self, ref) == Reason::killed());
    wait_until("the watched one's end", [&] { return !self.find("watched"); });
  }
}

TEST_CASE("trap_exits is looked at when the notice is delivered", "[exit][link]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          MUST(!self.trap_exits(true));
          MUST(self.trap_exits(true));
          const Pid b = self.spawn("b", waits, {.link = true});
          const Ref ref = self.monitor(b);
          self.kill(b);
          // The monitor's notice is here; so is the link's, but nobody has taken it.
          self.receive(on<"terminated", "ref">(anything, is(static_cast<std::int64_t>(ref.bits))) >> [](Value) {});
          self.receive(on<"terminated">() >> [](Value) {});
          MUST(self.trap_exits(false));
          MUST(!self.traps_exits());
        }) == Reason::normal());
}

// ---- exit signals ----------------------------------------------------------------------------------------------------

TEST_CASE("an exit signal ends one that does not trap, and is a message to one that does", "[exit]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [a, a_ref] = self.spawn_monitor("a", waits);
  self.exit(a, "because");
  CHECK(reason_of(self, a_ref) == "because");

  const auto [b, b_ref] = self.spawn_monitor("b", trapper, {.trap_exits = true});
  self.exit("b", "because");
  self.receive(on<"heard", "of">() >> [&](Reason reason, Value who) {
    CHECK(reason == "because");
    CHECK(who.is_nil());
  }, or_fail("what it heard"));
  CHECK(self.alive(b));
  self.send(b, "cmd", "return");
  CHECK(reason_of(self, b_ref) == Reason::normal());
}

TEST_CASE("kill ends one that traps too, and can itself be trapped through a link", "[exit][link]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [b, ref] = self.spawn_monitor("b", trapper, {.trap_exits = true});
  const Pid watcher = self.spawn("watcher", trapper, {.trap_exits = true});
  self.send(watcher, "link", b);
  const Pid middle = self.spawn("middle", +[](Self& self) {
    self.link("b");
    self.link("watcher");
    self.send(self.parent(), "linked", true);
    waits(self);
  });
  next<bool, "linked">(self);
  self.kill(b);
  CHECK(reason_of(self, ref) == Reason::killed());
  std::vector<Reason> heard;
  for (int i = 0; i < 2; ++i) heard.push_back(next<Reason, "heard">(self));
  CHECK(std::count(heard.begin(), heard.end(), Reason::killed()) == 1);
  CHECK(std::count(heard.begin(), heard.end(), Reason::linked("b", b, Reason::killed())) == 1);
  CHECK_FALSE(self.alive(middle));
}

// Its word that it traps is on its way to the broker while the kill is on its way to it.
TEST_CASE("one that is killed while it begins to trap was killed", "[exit]") {
  LiveSystem system;
  Self& self = system.self();
  for (int round = 0; round < 100; ++round) {
    const auto [pid, ref] = self.spawn_monitor(gensym("stubborn-"), +[](Self& self) {
      self.trap_exits(true);
      waits(self);
    });
    self.kill(pid);
    REQUIRE(reason_of(self, ref) == Reason::killed());
  }
}

TEST_CASE("a chain of links shows the kill inside", "[exit][link][otp][kill_to_killed]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [a, ref] = self.spawn_monitor("a", +[](Self& self) {
    self.spawn("b", +[](Self& self) {
      self.send("tester", "last", self.spawn("c", waits, {.link = true}));
      waits(self);
    }, {.link = true});
    waits(self);
  });
  const Pid c = next<Pid, "last">(self);
  self.kill(c);
  self.kill(c);
  const Reason reason = reason_of(self, ref);
  CHECK(reason.is(Reason::Kind::linked));
  CHECK(reason.root_cause() == Reason::killed());
}

TEST_CASE("one that was just spawned can be killed and told to exit", "[exit]") {
  // In cl-muproc a kill right after the spawn was lost.
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 50; ++i) {
    const auto [pid, ref] = self.spawn_monitor("a", Code(waits));
    if (i % 2) {
      self.kill(pid);
    } else {
      self.exit(pid, "because");
    }
    CHECK(reason_of(self, ref) == (i % 2 ? Reason::killed() : Reason::exit("because")));
  }
}

TEST_CASE("told to exit twice, it ends with the first reason", "[exit][otp][exit_twice]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 20; ++i) {
    const auto [pid, ref] = self.spawn_monitor("a", Code(waits));
    self.exit(pid, "first");
    self.exit(pid, "second");
    CHECK(reason_of(self, ref) == "first");
  }
  const auto [dead, ref] = self.spawn_monitor("a", Code(+[](Self&) {}));
  reason_of(self, ref);
  CHECK_NOTHROW(self.exit(dead, "too late"));
  CHECK_NOTHROW(self.kill(dead));
}

TEST_CASE("catch (...) does not save one that was told to exit", "[exit][otp][exit_catch]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("stubborn", +[](Self& self) {
    int swallowed = 0;
    self.send(self.parent(), "ready", true);
    while (swallowed < 5) {
      try {
        self.receive(on<"never">() >> [] {});
      } catch (...) {
        ++swallowed;
      }
    }
    // And then it returns as if nothing had been.
  });
  next<bool, "ready">(self);
  self.exit(pid, "because");
  CHECK(reason_of(self, ref) == "because");
}

TEST_CASE("catching std::exception lets an exit by", "[exit]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          try {
            self.exit("r");
          } catch (const std::exception&) {
            MUST(!"caught");
          }
        }) == "r");
}

TEST_CASE("an exit unwinds destructors, which may use the runtime", "[exit]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    struct Guard {
      Self& self;
      ~Guard() {
        self.send(self.parent(), "guard", "was here");
        self.log().info("and may log");
        self.sleep(1ms);
      }
    } guard{self};
    self.send(self.parent(), "ready", true);
    self.receive(on<"never">() >> [] {});
  });
  next<bool, "ready">(self);
  self.exit(pid, "because");
  CHECK(next<std::string, "guard">(self) == "was here");
  CHECK(reason_of(self, ref) == "because");
}

TEST_CASE("an exit signal interrupts a blocked system call", "[exit]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    self.send(self.parent(), "ready", true);
    while (::usleep(1'000'000) == 0) {
    }
    self.sleep(0s);  // the next runtime call
  }, {.stop = k_patience});
  next<bool, "ready">(self);
  self.exit(pid, "because");
  CHECK(reason_of(self, ref) == "because");
}

TEST_CASE("an exit wins over a timed receive", "[exit][otp][exit_and_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    self.send(self.parent(), "ready", true);
    self.receive(on<"never">() >> [] {}, after(1h) >> [&] { self.exit("timeout"); });
  });
  next<bool, "ready">(self);
  self.exit(pid, "because");
  CHECK(reason_of(self, ref) == "because");
}

TEST_CASE("a large reason arrives intact", "[exit][otp][large_reason]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const std::string large = [] {
    std::string text;
    for (int i = 0; text.size() < 128 * 1024; ++i) text += std::to_string(i) + ' ';
    return text;
  }();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    self.receive(on<"reason">() >> [&](std::string reason) { self.exit(reason); });
  }, {.link = true});
  self.send(pid, "reason", large);
  CHECK(reason_of(self, ref) == Reason::exit(large));
  CHECK(reason_of(self, pid) == Reason::exit(large));
  const auto [other, other_ref] = self.spawn_monitor("b", waits);
  self.exit(other, large);
  CHECK(reason_of(self, other_ref) == Reason::exit(large));
}

TEST_CASE("a reason is any value", "[exit]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    self.exit(Mumsg{{"code", 7}, {"who", self.pid()}, {"list", List{1, "two", nullptr}}});
  });
  CHECK(reason_of(self, ref) == Reason::exit(Mumsg{{"code", 7}, {"who", pid}, {"list", List{1, "two", nullptr}}}));
}

// ---- order -----------------------------------------------------------------------------------------------------------

TEST_CASE("what one sent before its end arrives before the notice", "[exit][order][otp][monitor_order]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 200; ++i) {
    self.spawn_monitor("a", Code(+[](Self& self) {
      self.send(self.parent(), "n", 1);
      self.send(self.parent(), "n", 2);
      self.exit("done");
    }));
    std::vector<std::string> seen;
    while (seen.size() < 3)
      self.receive(on<"n">() >> [&](int n) { seen.push_back(std::to_string(n)); },
                   on<"terminated", "reason">() >> [&](Value, Reason reason) { seen.push_back(to_string(reason)); },
                   or_fail("messages and notice"));
    REQUIRE(seen == std::vector<std::string>{"1", "2", to_string(Reason::exit("done"))});
  }
}

TEST_CASE("what was sent after an exit signal is never seen", "[exit][order][otp][sig_order]") {
  make_shared_words();
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    // The first message is looked at while the sender goes on; the receive then continues with what it has sent.
    self.receive(on<"n">([](int n) {
                   if (n == 1) {
                     shared->stage = 1;
                     shared->await(2);
                   }
                   return n == 2;
                 }) >> [&](int n) { self.send(self.parent(), "saw", n); });
    self.receive(on<"never">() >> [] {});
  });
  self.send(pid, "n", 1);
  shared->await(1);
  self.exit(pid, "because");
  self.send(pid, "n", 2);
  shared->stage = 2;
  CHECK(reason_of(self, ref) == "because");
  self.receive(on<"saw">() >> [](int n) { FAIL("saw " << n); }, after(0s) >> [] {});
}

TEST_CASE("an exit signal keeps its place among its sender's messages", "[exit][order][otp][sig_order]") {
  make_shared_words();
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    std::string seen;
    bool first = true;
    while (seen.size() < 3)
      self.receive(on<"n">([&](int) {
                     if (std::exchange(first, false)) {
                       shared->stage = 1;
                       shared->await(2);
                     }
                     return true;
                   }) >> [&](int n) { seen += std::to_string(n); },
                   on<"terminated">() >> [&](Value) { seen += 'x'; });
    self.exit(seen);
  }, {.trap_exits = true});
  self.send(pid, "n", 1);
  shared->await(1);
  self.exit(pid, "because");
  self.send(pid, "n", 2);
  shared->stage = 2;
  CHECK(reason_of(self, ref) == "1x2");
}

TEST_CASE("more signals than the system lane holds keep their place among messages", "[exit][order][otp][sig_order]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    int expected = 0;
    while (expected < 4000)
      self.receive(on<"n">() >> [&](int n) { MUST(n == expected++); },
                   on<"terminated", "reason">() >> [&](Value, Reason reason) {
                     MUST(reason.value().as<int>() == expected++);
                   });
  }, {.trap_exits = true});
  const pid_t os_pid = os_pid_of(self, pid);
  ::kill(os_pid, SIGSTOP);
  wait_until_stopped(os_pid);
  for (int i = 0; i < 4000; i += 2) {
    self.exit(pid, i);
    self.send(pid, "n", i + 1);
  }
  ::kill(os_pid, SIGCONT);
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("messages and exit signals of one sender arrive in order, many times", "[exit][order][otp][sig_order]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    int expected = 0;
    while (expected < 2000)
      self.receive(on<"n">() >> [&](int n) { MUST(n == expected++); },
                   on<"terminated", "reason">() >> [&](Value, Reason reason) {
                     MUST(reason.value().as<int>() == expected++);
                   });
  }, {.trap_exits = true});
  for (int i = 0; i < 2000; ++i) {
    if (i % 7 == 3) {
      self.exit(pid, i);
    } else {
      self.send(pid, "n", i);
    }
  }
  CHECK(reason_of(self, ref) == Reason::normal());
}
