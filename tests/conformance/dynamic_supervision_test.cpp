// Children that come and go while their supervisor lives, as OTP's own tests describe them, on real processes.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <string>
#include <vector>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

/// Tells the test of its birth, and what its arguments are; ends as it is told to.
void child(Self& self) {
  self.send("tester", "born", self.name(), "args", self.args());
  self.receive(on<"end">(is("normal")) >> [] {}, on<"end">() >> [&](Value reason) { self.exit(reason); });
}

/// Traps exits and never ends: only a kill helps.
void deaf(Self& self) {
  self.trap_exits(true);
  self.send("tester", "born", self.name(), "args", self.args());
  for (;;) self.receive(on<"never">() >> [] {});
}

void dies_at_once(Self& self) { self.exit("born tired"); }

std::string born(Self& self) { return next<std::string, "born">(self); }
void nobody_was_born(Self& self) {
  self.receive(on<"born">() >> [](std::string name) { FAIL(name << " was born"); }, after(0s) >> [] {});
}

Supervisor supervisor_of(std::vector<Child> children, Limit limit = {5, 5s}) {
  return supervisor(one_for_one, limit, std::move(children));
}

/// A system with an empty supervisor "sup", for children that are added.
struct Stage {
  LiveSystem system;
  Self& self = system.self();
  Pid sup;

  explicit Stage(Supervisor supervisor = supervisor_of({})) : sup(self.start_supervisor("sup", supervisor)) {}

  Pid start(const char* name, ChildOptions options = {}) {
    const Pid pid = start_child(self, "sup", {name, child, std::move(options)});
    CHECK(born(self) == name);
    return pid;
  }
  std::vector<std::string> names() {
    std::vector<std::string> names;
    for (const auto& info : which_children(self, "sup")) names.push_back(info.name);
    return names;
  }
  ChildInfo info(std::string_view name) {
    for (auto& info : which_children(self, "sup"))
      if (info.name == name) return info;
    FAIL("no child " << name);
    return {};
  }
};

Supervisor a_template(ChildOptions options = {}, Function function = child, Limit limit = {5, 5s}) {
  return supervisor(simple_one_for_one, limit, {{"conn", function, std::move(options)}});
}

template <class Call>
ChildError::Kind child_error(Call&& call) {
  try {
    call();
  } catch (const ChildError& error) {
    return error.kind;
  }
  FAIL("no ChildError");
  return {};
}

using Names = std::vector<std::string>;
using State = ChildInfo::State;

}  // namespace

// ---- children of their own -------------------------------------------------------------------------------------------

TEST_CASE("a child can be added to a supervisor that runs, and is restarted and stopped as any other",
          "[supervisor][otp][child_adm]") {
  Stage s;
  const Pid a = s.start("a");
  CHECK(s.self.find("a") == a);
  test::signal(s.self, a, SIGKILL);
  CHECK(born(s.self) == "a");
  CHECK(s.self.find("a") != a);
  const Ref ref = s.self.monitor("a");
  s.self.exit("sup", Reason::shutdown());
  CHECK(reason_of(s.self, ref) == Reason::shutdown());
}

TEST_CASE("a supervisor can be added as a child, with children of its own", "[supervisor][otp][child_adm]") {
  Stage s;
  const Pid inner = start_child(s.self, s.sup, {"inner", supervisor(one_for_one, {1, 5s}, {{"b", child}})});
  CHECK(born(s.self) == "b");
  CHECK(s.self.find("inner") == inner);
  CHECK(s.info("inner").is_supervisor);
  terminate_child(s.self, s.sup, "inner");
  CHECK_FALSE(s.self.find("b"));
  delete_child(s.self, s.sup, "inner");
  CHECK(s.names().empty());
  CHECK_NOTHROW(s.self.spawn("b", child));  // its name is free
}

TEST_CASE("start_child refuses a child that is there, and says whether it runs", "[supervisor][otp][child_adm]") {
  Stage s;
  const Pid a = s.start("a");
  try {
    start_child(s.self, "sup", {"a", child});
    FAIL("started twice");
  } catch (const ChildError& error) {
    CHECK(error.kind == ChildError::Kind::already_started);
    CHECK(error.pid == a);
    CHECK_THAT(error.what(), Contains("\"a\""));
  }
  terminate_child(s.self, "sup", "a");
  CHECK(child_error([&] { start_child(s.self, "sup", {"a", child}); }) == ChildError::Kind::already_present);
  CHECK(s.info("a").state == State::down);
}

TEST_CASE("a child is stopped, started again, and deleted when it is down", "[supervisor][otp][child_adm]") {
  Stage s;
  const Pid a = s.start("a");
  CHECK(child_error([&] { restart_child(s.self, "sup", "a"); }) == ChildError::Kind::running);
  CHECK(child_error([&] { delete_child(s.self, "sup", "a"); }) == ChildError::Kind::running);
  terminate_child(s.self, "sup", "a");
  CHECK_FALSE(s.self.alive(a));
  CHECK_NOTHROW(terminate_child(s.self, "sup", "a"));  // again is ok
  const Pid again = restart_child(s.self, "sup", "a");
  CHECK(born(s.self) == "a");
  CHECK(s.self.find("a") == again);
  terminate_child(s.self, "sup", again);  // by its pid
  delete_child(s.self, "sup", "a");
  CHECK_THROWS_AS(delete_child(s.self, "sup", "a"), NoSuchName);
  CHECK_THROWS_AS(restart_child(s.self, "sup", "a"), NoSuchName);
  CHECK_THROWS_AS(terminate_child(s.self, "sup", "a"), NoSuchName);
  nobody_was_born(s.self);
}

TEST_CASE("an old pid names no child, and a child of another supervisor is not found", "[supervisor][otp][child_adm]") {
  Stage s;
  const Pid a = s.start("a");
  s.self.start_supervisor("other", supervisor(one_for_one, {}, {{"b", child}}));
  born(s.self);
  CHECK_THROWS_AS(terminate_child(s.self, "other", "a"), NoSuchName);
  test::signal(s.self, a, SIGKILL);
  born(s.self);
  CHECK_THROWS_AS(terminate_child(s.self, "sup", a), NoSuchName);
  CHECK(s.self.find("a"));
}

TEST_CASE("which_children and count_children tell of all, in start order", "[supervisor][otp][child_adm]") {
  Stage s(supervisor_of({{"z", child, {.restart = transient}}}));
  born(s.self);
  const Pid a = s.start("a", {.restart = temporary});
  start_child(s.self, "sup", {"inner", supervisor(one_for_one, {}, {{"b", child}})});
  born(s.self);
  CHECK(s.names() == Names{"z", "a", "inner"});
  CHECK(s.info("a").pid == a);
  CHECK(s.info("a").state == State::running);
  CHECK(s.info("a").restart == temporary);
  CHECK(s.info("z").restart == transient);
  terminate_child(s.self, "sup", "z");
  const ChildCounts counts = count_children(s.self, s.sup);
  CHECK(counts.specs == 3);
  CHECK(counts.active == 2);
  CHECK(counts.supervisors == 1);
  CHECK(counts.workers == 2);
}

TEST_CASE("who is no supervisor has no children, and who is not there neither", "[supervisor][otp][child_adm]") {
  Stage s;
  s.start("a");
  CHECK_THROWS_AS(which_children(s.self, "nobody"), NoSuchName);
  CHECK_THROWS_WITH(which_children(s.self, "a"), Contains("is no supervisor"));
  CHECK_THROWS_WITH(start_child(s.self, "tester", {"b", child}), Contains("is no supervisor"));
  s.self.kill("sup");
  wait_until("the supervisor to end", [&] { return !s.self.alive(s.sup); });
  CHECK_THROWS_AS(start_child(s.self, s.sup, {"b", child}), NoSuchName);
}

TEST_CASE("a specification that makes no sense is refused, and leaves nothing", "[supervisor][otp][child_specs]") {
  Stage s;
  CHECK_THROWS_AS(start_child(s.self, "sup", {"", child}), Error);
  CHECK_THROWS_AS(start_child(s.self, "sup", {std::string(100, 'x'), child}), Error);
  CHECK_THROWS_WITH(start_child(s.self, "sup", {"a", child, {.restart = transient, .significant = true}}), Contains("significant"));
  CHECK_THROWS_AS(start_child(s.self, "sup", {"a", child, {.mailbox = {.ring = Bytes{12345}}}}), Error);
  CHECK_THROWS_AS(start_child(s.self, "sup", {"a", exec({})}), Error);
  CHECK_THROWS_AS(start_child(s.self, "sup", {"tester", child}), NameTaken);
  CHECK_THROWS_AS(start_child(s.self, "sup", {"i", supervisor(one_for_one, {}, {{"x", child}, {"x", child}})}), NameTaken);
  CHECK_THROWS_AS(start_child(s.self, "sup", {"i", supervisor(simple_one_for_one, {}, {})}), Error);
  CHECK(s.names().empty());
  CHECK_NOTHROW(s.start("x"));
  CHECK_NOTHROW(s.start("i"));
}

TEST_CASE("an added child that fails to start is not kept, and the supervisor goes on", "[supervisor][otp][start_fail]") {
  Stage s(supervisor_of({{"a", child}}, {0, 5s}));
  born(s.self);
  const Pid a = s.self.find("a");
  CHECK_THROWS_AS(start_child(s.self, "sup", {"b", exec({"/no/such/program"})}), StartFailed);
  CHECK(s.names() == Names{"a"});
  CHECK(s.self.find("a") == a);
  CHECK_NOTHROW(s.self.spawn("b", child));
}

TEST_CASE("a temporary child that is stopped is forgotten", "[supervisor][otp][child_adm]") {
  Stage s;
  s.start("a", {.restart = temporary});
  terminate_child(s.self, "sup", "a");
  CHECK(s.names().empty());
  CHECK_NOTHROW(s.start("a"));
}

TEST_CASE("what is asked for by hand never counts as a restart", "[supervisor][otp][child_adm]") {
  Stage s(supervisor_of({{"a", child}}, {0, 5s}));
  born(s.self);
  for (int turn = 0; turn < 5; ++turn) {
    terminate_child(s.self, "sup", "a");
    restart_child(s.self, "sup", "a");
    CHECK(born(s.self) == "a");
  }
  CHECK(s.self.alive(s.sup));
}

TEST_CASE("a supervisor that is restarted begins with the children of its description", "[supervisor][otp][child_adm]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("top", supervisor(one_for_one, {5, 5s},
                                          {{"sup", supervisor(one_for_one, {0, 5s}, {{"a", child}, {"t", child, {.restart = temporary}}, {"z", child}})}}));
  for (int i = 0; i < 3; ++i) born(self);
  const auto names = [&] {
    Names names;
    for (const auto& info : which_children(self, "sup")) names.push_back(info.name);
    return names;
  };
  start_child(self, "sup", {"added", child});
  born(self);
  terminate_child(self, "sup", "t");
  terminate_child(self, "sup", "a");
  delete_child(self, "sup", "a");
  CHECK(names() == Names{"z", "added"});
  const Pid sup = self.find("sup");
  self.send("z", "end", "abnormal");  // one too many: the supervisor gives up, and its own brings it back
  wait_for_replacement(self, "sup", sup);
  for (int i = 0; i < 3; ++i) born(self);
  CHECK(names() == Names{"a", "t", "z"});
  CHECK_NOTHROW(self.spawn("added", child));  // its name is free
  SECTION("if a name has been taken meanwhile, that start fails like any other") {
    terminate_child(self, "sup", "t");
    self.spawn("t", child);
    born(self), born(self);
    const Ref top = self.monitor("top");
    self.send("z", "end", "abnormal");
    CHECK(reason_of(self, top) == Reason::shutdown());
  }
}

TEST_CASE("a child may decline to run before it is ready: its specification is kept, without a process",
          "[supervisor][otp][start_ignore_child]") {
  const ChildOptions explicitly{.ready_on = ReadyOn::call};
  const auto declines_once = +[](Self& self) {
    if (self.args()["declines"].as<bool>()) ignore(self);
    self.ready();
    child(self);
  };
  const auto with = [&](bool declines) {
    ChildOptions options = explicitly;
    options.args.set("declines", declines);
    return options;
  };
  Stage s(supervisor_of({{"first", declines_once, with(true)}, {"second", declines_once, with(false)}}));
  CHECK(born(s.self) == "second");  // the start goes on
  CHECK(s.info("first").state == State::down);
  CHECK(s.info("first").pid == nil_pid);
  CHECK(restart_child(s.self, "sup", "first") == nil_pid);  // it declines again

  CHECK(start_child(s.self, "sup", {"third", declines_once, with(true)}) == nil_pid);
  CHECK(child_error([&] { start_child(s.self, "sup", {"third", declines_once, with(true)}); }) == ChildError::Kind::already_present);
  ChildOptions passing = with(true);
  passing.restart = temporary;
  CHECK(start_child(s.self, "sup", {"passing", declines_once, passing}) == nil_pid);
  CHECK(s.names() == Names{"first", "second", "third"});
  CHECK_THROWS_AS(s.self.spawn("alone", declines_once, {.args = {{"declines", true}}, .ready_on = ReadyOn::call}), StartFailed);
}

// ---- the answers do not wait -----------------------------------------------------------------------------------------

TEST_CASE("a supervisor answers while a child takes its time to stop", "[supervisor][otp][child_adm]") {
  Stage s;
  start_child(s.self, "sup", {"deaf", deaf, {.stop = forever}});
  born(s.self);
  const Pid stopper = s.self.spawn("stopper", +[](Self& self) { terminate_child(self, "sup", "deaf"); });
  wait_until("the stop to begin", [&] { return s.info("deaf").state == State::stopping; });
  s.start("a");
  terminate_child(s.self, "sup", "a");
  CHECK(s.info("deaf").state == State::stopping);
  CHECK(s.self.alive(stopper));  // it still waits
  const Ref ref = s.self.monitor(stopper);
  s.self.kill("deaf");
  CHECK(reason_of(s.self, ref) == Reason::normal());
}

TEST_CASE("a supervisor answers during a back-off, and the child can be stopped, started and deleted",
          "[supervisor][otp][child_adm]") {
  const ChildOptions patient{.backoff = {.initial = 1000s, .max = 1000s}};
  Stage s;
  s.start("a", patient);
  const auto crash = [&] {
    s.self.send("a", "end", "abnormal");
    wait_until("the back-off", [&] { return s.info("a").state == State::restarting; });
  };
  crash();
  CHECK(s.info("a").pid == nil_pid);
  CHECK(child_error([&] { delete_child(s.self, "sup", "a"); }) == ChildError::Kind::restarting);
  CHECK(child_error([&] { start_child(s.self, "sup", {"a", child}); }) == ChildError::Kind::already_started);
  const Pid again = restart_child(s.self, "sup", "a");
  CHECK(again == s.self.find("a"));
  born(s.self);
  crash();
  terminate_child(s.self, "sup", "a");
  CHECK(s.info("a").state == State::down);
  delete_child(s.self, "sup", "a");
  CHECK(s.names().empty());
}

TEST_CASE("a supervisor answers during a restart loop", "[supervisor][otp][child_adm]") {
  Stage s(supervisor_of({{"loop", dies_at_once}}, {1'000'000, 1s}));
  for (int turn = 0; turn < 20; ++turn) {
    CHECK(which_children(s.self, "sup").size() == 1);
    s.start("a");
    terminate_child(s.self, "sup", "a");
    delete_child(s.self, "sup", "a");
  }
  terminate_child(s.self, "sup", "loop");
  CHECK(s.info("loop").state == State::down);
}

// ---- templates -------------------------------------------------------------------------------------------------------

TEST_CASE("a template supervisor makes children from one specification, each with a name and arguments of its own",
          "[supervisor][otp][simple_one_for_one]") {
  Stage s(a_template({.args = {{"port", 80}, {"host", "here"}}}));
  nobody_was_born(s.self);
  CHECK(s.names().empty());
  const Pid one = start_instance(s.self, "sup", {{"port", 81}});
  CHECK(s.self.name_of(one) == "conn-1");
  s.self.receive(on<"born", "args">() >> [](std::string name, Mumsg args) {
    CHECK(name == "conn-1");
    CHECK(args["port"].as<int>() == 81);
    CHECK(args["host"].as<std::string>() == "here");
  });
  const Pid two = start_instance(s.self, "sup", {});
  CHECK(born(s.self) == "conn-2");
  CHECK(s.self.find("conn-2") == two);
  start_instance(s.self, "sup", {}, "special");
  CHECK(born(s.self) == "special");
  CHECK(s.names() == Names{"conn-1", "conn-2", "special"});
  const ChildCounts counts = count_children(s.self, "sup");
  CHECK(counts.specs == 1);
  CHECK(counts.active == 3);
  CHECK(counts.workers == 3);
}

TEST_CASE("a template's child is restarted with its own arguments, and forgotten when it is stopped",
          "[supervisor][otp][simple_one_for_one]") {
  Stage s(a_template());
  const Pid one = start_instance(s.self, "sup", {{"port", 81}});
  born(s.self);
  test::signal(s.self, one, SIGKILL);
  s.self.receive(on<"born", "args">() >> [](std::string name, Mumsg args) {
    CHECK(name == "conn-1");
    CHECK(args["port"].as<int>() == 81);
  });
  CHECK_THROWS_WITH(delete_child(s.self, "sup", "conn-1"), Contains("template"));
  terminate_child(s.self, "sup", s.self.find("conn-1"));
  CHECK(s.names().empty());
  CHECK_THROWS_AS(terminate_child(s.self, "sup", one), NoSuchName);
}

TEST_CASE("a transient child of a template that ends normally is forgotten", "[supervisor][otp][simple_one_for_one]") {
  Stage s(a_template({.restart = transient}));
  start_instance(s.self, "sup", {});
  born(s.self);
  s.self.send("conn-1", "end", "normal");
  wait_until("it to be forgotten", [&] { return s.names().empty(); });
}

TEST_CASE("a template supervisor takes no specifications, and others take no instances",
          "[supervisor][otp][simple_one_for_one]") {
  Stage s(a_template());
  CHECK_THROWS_WITH(start_child(s.self, "sup", {"a", child}), Contains("template"));
  s.self.start_supervisor("plain", supervisor(one_for_one, {}, {{"a", child}}));
  CHECK_THROWS_WITH(start_instance(s.self, "plain", {}), Contains("no template"));
  CHECK_THROWS_WITH(s.self.start_supervisor("bad", supervisor(simple_one_for_one, {}, {{"a", child}, {"b", child}})), Contains("one child"));
  CHECK_THROWS_WITH(s.self.start_supervisor("bad", supervisor(simple_one_for_one, {}, {{"i", supervisor(one_for_one, {}, {{"b", child}})}})),
                    Contains("template"));
  CHECK_THROWS_AS(start_instance(s.self, "sup", {}, "tester"), NameTaken);
  CHECK_THROWS_AS(System("x", supervisor(simple_one_for_one, {}, {})), std::invalid_argument);
}

TEST_CASE("a template supervisor stops all its children at once", "[supervisor][otp][simple_one_for_one]") {
  // Each ends when it has seen that all others were told to end as well.
  Stage s(a_template({.stop = forever}, +[](Self& self) {
    self.trap_exits(true);
    self.send("tester", "born", self.name());
    self.receive(on<"terminated">() >> [&] { self.send("tester", "told", self.name()); });
    self.receive(on<"go">() >> [] {});
  }));
  std::vector<Pid> pids;
  for (int i = 0; i < 3; ++i) pids.push_back(start_instance(s.self, "sup", {})), born(s.self);
  s.self.exit("sup", Reason::shutdown());
  std::multiset<std::string> told;
  for (int i = 0; i < 3; ++i) told.insert(next<std::string, "told">(s.self));
  CHECK(told == std::multiset<std::string>{"conn-1", "conn-2", "conn-3"});
  const Ref ref = s.self.monitor("sup");
  for (const Pid pid : pids) s.self.send(pid, "go", true);
  CHECK(reason_of(s.self, ref) == Reason::shutdown());
}

TEST_CASE("many children of a template come and go, and leave nothing", "[supervisor][otp][simple_one_for_one]") {
  Stage s(a_template({.restart = temporary, .stop = muproc::kill}));
  for (int i = 0; i < 60; ++i) start_instance(s.self, "sup", {{"n", i}});
  CHECK(count_children(s.self, "sup").active == 60);
  for (const auto& info : which_children(s.self, "sup")) terminate_child(s.self, "sup", info.pid);
  CHECK(s.names().empty());
}
