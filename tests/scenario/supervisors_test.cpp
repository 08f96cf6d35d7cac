// Supervisors at work on real processes. What they decide is the policy's, and tested there.
#include <csignal>

#include "support/catch.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  self.receive(on<"end">() >> [&](std::string how) { self.exit(how); });
}

void dies_at_once(Self& self) { self.exit("born tired"); }

}  // namespace

TEST_CASE("a child that is killed comes back under its name, with another pid", "[broker][supervisor]") {
  LiveSystem system(supervisor(one_for_one, {1, 5s}, {{"a", waits}, {"b", waits}}));
  Self& self = system.self();
  const Pid a = self.find("a"), b = self.find("b");
  signal(self, a, SIGSEGV);
  const Pid again = wait_for_replacement(self, "a", a);
  CHECK(again.slot() == a.slot());
  CHECK(again != a);
  CHECK(self.find("b") == b);
}

TEST_CASE("one_for_all brings back everybody, and rest_for_one those who came after", "[broker][supervisor]") {
  const auto strategy = GENERATE(one_for_all, rest_for_one);
  LiveSystem system(supervisor(strategy, {1, 5s}, {{"a", waits}, {"b", waits}, {"c", waits}}));
  Self& self = system.self();
  const Pid a = self.find("a"), b = self.find("b"), c = self.find("c");
  signal(self, b, SIGKILL);
  wait_for_replacement(self, "b", b);
  wait_for_replacement(self, "c", c);
  if (strategy == one_for_all) wait_for_replacement(self, "a", a);
  if (strategy == rest_for_one) CHECK(self.find("a") == a);
}

TEST_CASE("a nested supervisor that gives up is restarted by its own", "[broker][supervisor]") {
  LiveSystem system(supervisor(one_for_one, {1, 5s}, {{"inner", supervisor(one_for_one, {0, 5s}, {{"a", waits}})}}));
  Self& self = system.self();
  const Pid inner = self.find("inner"), a = self.find("a");
  const Ref watching = self.monitor(inner);
  self.kill(a);
  CHECK(reason_of(self, watching) == Reason::shutdown());
  wait_for_replacement(self, "inner", inner);
  wait_for_replacement(self, "a", a);
}

TEST_CASE("a muproc can start a supervisor, and children are ready when it returns", "[broker][supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid pid = self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", waits}, {"b", waits}}));
  CHECK(self.find("sup") == pid);
  CHECK(self.find("a"));
  CHECK(self.find("b"));
  SECTION("told to exit, it ends in order") {
    const Ref watching = self.monitor(pid), child = self.monitor("a");
    self.exit(pid, "enough");
    CHECK(reason_of(self, child) == Reason::shutdown());
    CHECK(reason_of(self, watching) == Reason::shutdown());
  }
  SECTION("killed, it takes its children along") {
    const Ref watching = self.monitor(pid), child = self.monitor("a");
    self.kill(pid);
    CHECK(reason_of(self, child) == Reason::killed());
    CHECK(reason_of(self, watching) == Reason::killed());
  }
  SECTION("when it ends all its names are free") {
    const Ref watching = self.monitor(pid);
    self.kill(pid);
    reason_of(self, watching);
    CHECK_NOTHROW(self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", waits}})));
  }
}

TEST_CASE("a supervisor that cannot start says why, and leaves nobody", "[broker][supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  SECTION("a child's code is not there") {
    CHECK_THROWS_WITH(self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", waits}, {"b", module("libnowhere.so", "x")}})),
                      Contains("libnowhere.so"));
  }
  SECTION("a child's name is taken") {
    CHECK_THROWS_AS(self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", waits}, {"tester", waits}})), NameTaken);
  }
  SECTION("two children have one name") {
    CHECK_THROWS_AS(self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", waits}, {"a", waits}})), NameTaken);
  }
  CHECK(self.find("a") == nil_pid);
  CHECK(self.find("sup") == nil_pid);
  CHECK_NOTHROW(self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", waits}})));
}

TEST_CASE("a linked supervisor ends with the muproc that started it", "[broker][supervisor][link]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [owner, owner_ref] = self.spawn_monitor("owner", +[](Self& self) {
    self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", waits}}), {.link = true});
    self.send(self.parent(), "started", true);
    waits(self);
  });
  next<bool, "started">(self);
  const Ref watching = self.monitor("sup"), child = self.monitor("a");
  self.kill(owner);
  CHECK(reason_of(self, child) == Reason::shutdown());
  CHECK(reason_of(self, watching) == Reason::shutdown());
}

TEST_CASE("a supervisor's end reaches those who are linked to it", "[broker][supervisor][link]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid pid = self.start_supervisor("sup", supervisor(one_for_one, {0, 5s}, {{"a", waits}}), {.link = true});
  self.kill(self.find("a"));
  CHECK(reason_of(self, pid) == Reason::shutdown());
}

TEST_CASE("a supervisor gives up on a child that always dies", "[broker][supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid pid = self.start_supervisor("sup", supervisor(one_for_one, {3, 60s}, {{"a", dies_at_once}}), {.link = true});
  CHECK(reason_of(self, pid) == Reason::shutdown());
}

TEST_CASE("a temporary child is forgotten with its name", "[broker][supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", waits, {.restart = temporary}}}));
  const Ref watching = self.monitor("a");
  self.kill(self.find("a"));
  reason_of(self, watching);
  CHECK_NOTHROW(wait_until("the name to be free", [&] {
    try {
      self.spawn("a", waits);
      return true;
    } catch (const NameTaken&) {
      return false;
    }
  }));
}

TEST_CASE("a supervised name is nobody else's while its muproc waits to come back", "[broker][supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  const ChildOptions slow{.backoff = {.initial = 60s, .max = 60s}};
  self.start_supervisor("sup", supervisor(one_for_one, {1, 5s}, {{"a", waits, slow}}));
  const Ref watching = self.monitor("a");
  self.kill(self.find("a"));
  reason_of(self, watching);
  CHECK(self.find("a") == nil_pid);
  CHECK_THROWS_AS(self.spawn("a", waits), NameTaken);
  CHECK_THROWS_AS(self.register_port("a"), NameTaken);
}

TEST_CASE("children that die all the time leave nothing behind", "[broker][supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {1000, 1s}, {{"a", waits}}));
  for (int round = 0; round < 100; ++round) {
    const Pid a = wait_for_name(self, "a");
    signal(self, a, SIGKILL);
    wait_for_replacement(self, "a", a);
  }
}
