// Supervisors from the API, as OTP's own tests describe them, on real processes.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

/// Its name, and a complaint when one that had to be started before it (argument `after`) is not there.
std::string name_in_turn(Self& self) {
  if (const Value* elder = self.args().find("after"); elder && !self.find(elder->as<std::string>()))
    return self.name() + " before its turn";
  return self.name();
}

/// Tells the test of its birth; ends as it is told to: by returning, by `shutdown`, or with another reason.
void child(Self& self) {
  self.send("tester", "born", name_in_turn(self));
  self.receive(on<"end">(is("normal")) >> [] {},
               on<"end">(is("shutdown")) >> [&] { self.exit(Reason::shutdown()); },
               on<"end">() >> [&](Value reason) { self.exit(reason); });
}

/// Says when it is stopped.
void mourned(Self& self) {
  struct Farewell {
    Self& self;
    ~Farewell() { self.send("tester", "stopped", self.name()); }
  } farewell{self};
  child(self);
}

std::vector<Child> three_in_order() {
  return {{"a", mourned}, {"b", mourned, {.args = {{"after", "a"}}}}, {"c", mourned, {.args = {{"after", "b"}}}}};
}

void never_stops(Self& self) {
  self.send("tester", "born", self.name());
  for (;;) {
    try {
      self.receive(on<"never">() >> [] {});
    } catch (const ExitSignal&) {
    }
  }
}

/// Traps exits, and takes its time.
void slow_to_stop(Self& self) {
  self.trap_exits(true);
  self.send("tester", "born", self.name());
  self.receive(on<"reason">() >> [](Reason) {});
  self.sleep(30ms);
  self.send("tester", "stopped", self.name());
}

std::string born(Self& self) { return next<std::string, "born">(self); }
/// Waits until so many are born. They speak when they are ready and others start, so in no particular order.
std::multiset<std::string> born(Self& self, int count) {
  std::multiset<std::string> names;
  while (count-- > 0) names.insert(born(self));
  return names;
}
using Names = std::multiset<std::string>;
void nobody_was_born(Self& self) {
  self.receive(on<"born">() >> [](std::string name) { FAIL(name << " was born"); }, after(0s) >> [] {});
}

struct Pids {
  Pid a, b, c;
};
Pids three(Self& self) { return {self.find("a"), self.find("b"), self.find("c")}; }

}  // namespace

// ---- restart types ---------------------------------------------------------------------------------------------------

TEST_CASE("permanent children are always restarted, transient ones after abnormal ends, temporary ones never",
          "[supervisor][otp][permanent_normal][permanent_shutdown][permanent_abnormal][transient_normal]"
          "[transient_shutdown][transient_abnormal][temporary_normal][temporary_shutdown][temporary_abnormal]") {
  const auto [type, permanent_too] = GENERATE(table<Restart, bool>({{permanent, true}, {transient, false}, {temporary, false}}));
  for (const char* how : {"normal", "shutdown", "abnormal"}) {
    INFO(how << ", restart type " << static_cast<int>(type));
    const bool comes_back = permanent_too || (type == transient && how == std::string("abnormal"));
    LiveSystem system;
    Self& self = system.self();
    const Pid supervisor_pid =
        self.start_supervisor("sup", supervisor(one_for_one, {5, 5s}, {{"a", child, {.restart = type}}}));
    born(self);
    const Pid a = self.find("a");
    const Ref ref = self.monitor(a);
    self.send(a, "end", how);
    reason_of(self, ref);
    if (comes_back) {
      CHECK(born(self) == "a");
      CHECK(self.find("a") != a);
    } else {
      // The supervisor lives, and answers what is asked after the end: then it has decided.
      CHECK(self.alive(supervisor_pid));
      const Ref again = self.monitor("sup");
      self.demonitor(again);
      CHECK_FALSE(self.find("a"));
      nobody_was_born(self);
    }
  }
}

TEST_CASE("a temporary child that was stopped with its group is not brought back",
          "[supervisor][otp][temporary_bystander]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_all, {5, 5s}, {{"a", child, {.restart = temporary}}, {"b", child}}));
  born(self), born(self);
  const Ref a = self.monitor("a");
  self.send("b", "end", "abnormal");
  CHECK(reason_of(self, a) == Reason::shutdown());
  CHECK(born(self) == "b");
  CHECK_FALSE(self.find("a"));
  nobody_was_born(self);
}

// ---- strategies ------------------------------------------------------------------------------------------------------

TEST_CASE("one_for_one restarts the one that ended, and nobody else", "[supervisor][otp][one_for_one]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {5, 5s}, {{"a", child}, {"b", child}, {"c", child}}));
  CHECK(born(self, 3) == Names{"a", "b", "c"});
  const Pids before = three(self);
  test::signal(self, before.b, SIGKILL);
  CHECK(born(self) == "b");
  const Pids after = three(self);
  CHECK(after.a == before.a);
  CHECK(after.b != before.b);
  CHECK(after.c == before.c);
}

TEST_CASE("one_for_all stops all in reverse order and starts all in order", "[supervisor][otp][order_of_children]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_all, {5, 5s}, three_in_order()));
  CHECK(born(self, 3) == Names{"a", "b", "c"});
  const Pids before = three(self);
  self.kill(before.b);
  for (const char* name : {"c", "a"}) CHECK(next<std::string, "stopped">(self) == name);
  CHECK(born(self, 3) == Names{"a", "b", "c"});
  const Pids after = three(self);
  CHECK(after.a != before.a);
  CHECK(after.b != before.b);
  CHECK(after.c != before.c);
}

TEST_CASE("rest_for_one restarts those that were started after the one that ended", "[supervisor][otp][rest_for_one]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(rest_for_one, {5, 5s}, three_in_order()));
  CHECK(born(self, 3) == Names{"a", "b", "c"});
  const Pids before = three(self);
  self.kill(before.b);
  CHECK(next<std::string, "stopped">(self) == "c");
  CHECK(born(self, 2) == Names{"b", "c"});
  const Pids after = three(self);
  CHECK(after.a == before.a);
  CHECK(after.b != before.b);
  CHECK(after.c != before.c);
}

// ---- limits ----------------------------------------------------------------------------------------------------------

TEST_CASE("so many restarts are allowed and the next ends the supervisor, after its children",
          "[supervisor][otp][one_for_one][multiple_restarts]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {2, 600s}, {{"a", child}, {"b", mourned}}));
  born(self), born(self);
  const Ref sup = self.monitor("sup");
  const Pid b = self.find("b");
  for (int i = 0; i < 2; ++i) {
    self.send("a", "end", "abnormal");
    CHECK(born(self) == "a");
  }
  CHECK(self.find("b") == b);
  self.send("a", "end", "abnormal");
  CHECK(reason_of(self, sup) == Reason::shutdown());
  CHECK(next<std::string, "stopped">(self) == "b");
  for (const char* name : {"sup", "a", "b"}) CHECK_FALSE(self.find(name));
}

TEST_CASE("a limit of zero allows no restart", "[supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {0, 5s}, {{"a", child}}));
  born(self);
  const Ref sup = self.monitor("sup");
  self.kill("a");
  CHECK(reason_of(self, sup) == Reason::shutdown());
  nobody_was_born(self);
}

TEST_CASE("restarts that lie further apart than the window do not add up", "[supervisor][otp][multiple_restarts]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {1, 10ms}, {{"a", child}}));
  born(self);
  for (int i = 0; i < 5; ++i) {
    self.sleep(11ms);
    self.send("a", "end", "abnormal");
    CHECK(born(self) == "a");
  }
}

TEST_CASE("when the root gives up the system ends with 1", "[supervisor]") {
  LiveSystem system(supervisor(one_for_one, {0, 5s}, {{"a", +[](Self& self) { self.receive(on<"never">() >> [] {}); }}}));
  system.self().kill("a");
  CHECK(system.wait() == 1);
}

TEST_CASE("a supervisor that gives up counts as one end at its own", "[supervisor][otp][one_for_one_escalation]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor(
      "outer", supervisor(one_for_one, {1, 600s}, {{"sibling", child},
                                                   {"inner", supervisor(one_for_one, {1, 600s}, {{"a", child}})}}));
  born(self), born(self);
  const Ref outer = self.monitor("outer");
  const Pid sibling = self.find("sibling");
  // Twice within the inner one's window: it gives up, and the outer one brings it back with a new count.
  for (int i = 0; i < 3; ++i) {
    self.send("a", "end", "abnormal");
    CHECK(born(self) == "a");
  }
  CHECK(self.find("sibling") == sibling);
  self.send("a", "end", "abnormal");  // the second time that the inner one gives up
  CHECK(reason_of(self, outer) == Reason::shutdown());
  for (const char* name : {"outer", "inner", "a", "sibling"}) CHECK_FALSE(self.find(name));
}

TEST_CASE("a child that cannot be restarted is tried again, and each try counts",
          "[supervisor][otp][one_for_one_escalation]") {
  LiveSystem system;
  Self& self = system.self();
  static const std::string once = std::string(std::getenv("MUPROC_RUNTIME_DIR")) + "/only-once.sh";
  FILE* script = std::fopen(once.c_str(), "w");
  std::fputs("#!/bin/sh\nsleep 1000\n", script);
  std::fclose(script);
  REQUIRE(::chmod(once.c_str(), 0700) == 0);
  self.start_supervisor("sup", supervisor(one_for_one, {3, 600s}, {{"sibling", child}, {"a", exec_plain({once})}}));
  born(self);
  const Ref sup = self.monitor("sup"), sibling = self.monitor("sibling");
  REQUIRE(::unlink(once.c_str()) == 0);
  self.kill("a");
  CHECK(reason_of(self, sup) == Reason::shutdown());
  CHECK(reason_of(self, sibling) == Reason::shutdown());
}

// ---- stopping --------------------------------------------------------------------------------------------------------

TEST_CASE("a child is stopped by kill, by a period, or for ever", "[supervisor][otp][stop_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid sup = self.start_supervisor(
      "sup", supervisor(one_for_one, {}, {{"killed", mourned, {.stop = kill}},
                                          {"in time", mourned, {.stop = 30s}},
                                          {"late", never_stops, {.stop = 20ms}},
                                          {"slow", slow_to_stop, {.stop = forever}}}));
  for (int i = 0; i < 4; ++i) born(self);
  const Ref killed = self.monitor("killed"), in_time = self.monitor("in time"), late = self.monitor("late"),
            slow = self.monitor("slow"), all = self.monitor(sup);
  self.exit(sup, "enough");
  CHECK(next<std::string, "stopped">(self) == "slow");
  CHECK(next<std::string, "stopped">(self) == "in time");
  CHECK(reason_of(self, slow) == Reason::normal());  // it trapped, and returned
  // The reason for which it was ended, not how; see the semantics' rule on exit signals.
  CHECK(reason_of(self, late) == Reason::shutdown());
  CHECK(reason_of(self, in_time) == Reason::shutdown());
  CHECK(reason_of(self, killed) == Reason::killed());
  CHECK(reason_of(self, all) == Reason::shutdown());
  self.receive(on<"stopped">() >> [](std::string name) { FAIL(name << " stopped in order"); }, after(0s) >> [] {});
}

TEST_CASE("children that end by themselves during the stop do not hinder it", "[supervisor][otp][stop_race]") {
  LiveSystem system;
  Self& self = system.self();
  for (int round = 0; round < 20; ++round) {
    std::vector<Child> children;
    for (int i = 0; i < 5; ++i) children.emplace_back("a" + std::to_string(i), child);
    const Pid sup = self.start_supervisor("sup", supervisor(one_for_one, {100, 5s}, children));
    for (int i = 0; i < 5; ++i) born(self);
    const Ref ref = self.monitor(sup);
    for (int i = 0; i < 5; ++i) self.send("a" + std::to_string(i), "end", i % 2 ? "normal" : "abnormal");
    self.exit(sup, "enough");
    CHECK(reason_of(self, ref) == Reason::shutdown());
    CHECK(self.list("^a").empty());
    self.discard_all();
  }
}

TEST_CASE("a child that links and unlinks as it pleases does not hang the stop", "[supervisor][otp][child_unlink]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid sup = self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", +[](Self& self) {
    self.unlink(self.parent());
    child(self);
  }}}));
  born(self);
  const Ref ref = self.monitor(sup);
  self.exit(sup, "enough");
  CHECK(reason_of(self, ref) == Reason::shutdown());
}

TEST_CASE("what a child has forked is gone when it is stopped", "[supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid sup = self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", +[](Self& self) {
    const pid_t grandchild = ::fork();
    if (grandchild == 0)
      for (;;) ::pause();
    self.send("tester", "grandchild", grandchild);
    child(self);
  }}}));
  const pid_t grandchild = next<int, "grandchild">(self);
  const Ref ref = self.monitor(sup);
  self.exit(sup, "enough");
  reason_of(self, ref);
  wait_until("the grandchild's end", [&] { return !process_lives(grandchild); });
}

TEST_CASE("all names are free when a supervisor's end is heard of", "[supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  for (int round = 0; round < 20; ++round) {
    const Pid sup = self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", child}, {"b", child, {.stop = kill}}}));
    const Ref ref = self.monitor(sup);
    if (round % 2) {
      self.kill(sup);
    } else {
      self.exit(sup, "enough");
    }
    reason_of(self, ref);
    for (const char* name : {"sup", "a", "b"}) CHECK_FALSE(self.find(name));
  }
}

// ---- starting --------------------------------------------------------------------------------------------------------

TEST_CASE("a child that fails to start takes those before it along, and says why", "[supervisor][otp][start_fail]") {
  LiveSystem system;
  Self& self = system.self();
  try {
    self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", mourned}, {"b", mourned}, {"c", exec({"/no/such/program"})}}));
    FAIL("it started");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Contains("/no/such/program"));
  }
  CHECK(next<std::string, "stopped">(self) == "b");
  CHECK(next<std::string, "stopped">(self) == "a");
  for (const char* name : {"sup", "a", "b", "c"}) CHECK_FALSE(self.find(name));
}

TEST_CASE("a tree of three levels starts in order and stops in reverse", "[supervisor][otp][order_of_children]") {
  LiveSystem system;
  Self& self = system.self();
  const Supervisor tree = supervisor(
      one_for_one, {},
      {{"a", mourned},
       {"middle", supervisor(one_for_one, {}, {{"b", mourned, {.args = {{"after", "a"}}}},
                                               {"inner", supervisor(one_for_all, {}, {{"c", mourned, {.args = {{"after", "b"}}}}})},
                                               {"d", mourned, {.args = {{"after", "c"}}}}})},
       {"e", mourned, {.args = {{"after", "d"}}}}});
  const Pid outer = self.start_supervisor("outer", tree);
  CHECK(born(self, 5) == Names{"a", "b", "c", "d", "e"});
  const Ref ref = self.monitor(outer);
  self.exit(outer, "enough");
  CHECK(reason_of(self, ref) == Reason::shutdown());
  for (const char* name : {"e", "d", "c", "b", "a"}) CHECK(next<std::string, "stopped">(self) == name);
}

// ---- auto_shutdown ---------------------------------------------------------------------------------------------------

TEST_CASE("any_significant: the first significant child that ends for good ends its supervisor",
          "[supervisor][otp][significant]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {5, 5s},
                                          {{"a", child, {.restart = transient, .significant = true}},
                                           {"b", child, {.restart = transient, .significant = true}},
                                           {"c", child}},
                                          any_significant));
  for (int i = 0; i < 3; ++i) born(self);
  const Ref sup = self.monitor("sup");
  self.send("a", "end", "abnormal");  // restarted: not for good
  CHECK(born(self) == "a");
  self.send("c", "end", "normal");  // not significant, and permanent
  CHECK(born(self) == "c");
  self.send("b", "end", "normal");
  CHECK(reason_of(self, sup) == Reason::shutdown());
  for (const char* name : {"a", "b", "c"}) CHECK_FALSE(self.find(name));
}

TEST_CASE("a supervisor whose significant child ends while others still start has started, and then shuts down",
          "[supervisor][significant]") {
  LiveSystem system;
  Self& self = system.self();
  const auto brief = +[](Self&) {};
  const auto slow = +[](Self& self) {
    while (self.find("brief")) self.sleep(1ms);
    self.ready();
    self.receive(on<"never">() >> [] {});
  };
  const Pid sup = self.start_supervisor(
      "sup", supervisor(one_for_one, {5, 5s},
                        {{"brief", brief, {.restart = temporary, .significant = true}}, {"slow", slow, {.ready_on = ReadyOn::call}}},
                        any_significant));
  const Reason reason = reason_of(self, self.monitor(sup));
  CHECK((reason == Reason::shutdown() || reason == Reason::noproc()));
  CHECK_FALSE(self.find("slow"));
}

TEST_CASE("all_significant: the last significant child that ends for good ends its supervisor",
          "[supervisor][otp][significant]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {5, 5s},
                                          {{"a", child, {.restart = transient, .significant = true}},
                                           {"b", child, {.restart = temporary, .significant = true}},
                                           {"c", child}},
                                          all_significant));
  for (int i = 0; i < 3; ++i) born(self);
  const Ref sup = self.monitor("sup"), b = self.monitor("b");
  const Pid c = self.find("c");
  self.send("b", "end", "abnormal");
  reason_of(self, b);
  CHECK(self.find("c") == c);
  CHECK(self.find("sup"));
  self.send("a", "end", "normal");
  CHECK(reason_of(self, sup) == Reason::shutdown());
  CHECK_FALSE(self.find("c"));
}

TEST_CASE("a significant child's end means nothing to a supervisor that never shuts down by itself",
          "[supervisor][otp][significant][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_AS(
      self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", child, {.restart = transient, .significant = true}}})),
      Error);
  CHECK_THROWS_AS(self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", child, {.significant = true}}},
                                                          any_significant)),
                  Error);
  CHECK_FALSE(self.find("sup"));
}

TEST_CASE("a system ends in order when its significant child has done its work", "[supervisor]") {
  LiveSystem system(supervisor(one_for_one, {},
                               {{"worker", +[](Self& self) { self.receive(on<"end">() >> [] {}); },
                                 {.restart = transient, .significant = true}},
                                {"other", +[](Self& self) { self.receive(on<"never">() >> [] {}); }}},
                               any_significant));
  system.self().send("worker", "end", true);
  CHECK(system.wait() == 0);
}
