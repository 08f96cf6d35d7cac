// What OTP's supervisor_SUITE asks of supervisors, beyond supervisor_test.cpp.
#include <algorithm>
#include <string>
#include <vector>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

/// Tells the test of its birth; ends as it is told to.
void child(Self& self) {
  self.send("tester", "born", self.name());
  self.receive(on<"end">(is("normal")) >> [] {},
               on<"end">(is("shutdown")) >> [&] { self.exit(Reason::shutdown()); },
               on<"end">() >> [&](Value reason) { self.exit(reason); });
}

std::string born(Self& self) { return next<std::string, "born">(self); }

}  // namespace

TEST_CASE("a supervisor, and a child, of which nothing is said are as OTP's: permanent, 5 s to stop, supervisors for ever",
          "[supervisor][otp][start_defaults]") {
  const Supervisor plain;
  CHECK(plain.strategy == one_for_one);
  CHECK(plain.limit == Limit{1, 5s});
  CHECK(plain.auto_shutdown == never);
  const ChildOptions muproc;
  CHECK(muproc.restart == permanent);
  CHECK(muproc.stop == Stop(5s));
  CHECK_FALSE(muproc.significant);
  const SupervisorOptions nested;
  CHECK(nested.restart == permanent);
  CHECK(nested.stop == forever);

  // And they work: one restart is made, the second end within 5 s is one too many. A child has 5 s, so it may clean up.
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", child}}));
  born(self);
  const Ref ref = self.monitor("sup");
  self.send("a", "end", "normal");
  born(self);
  self.send("a", "end", "normal");
  CHECK(reason_of(self, ref) == Reason::shutdown());
}

TEST_CASE("a supervisor lives through one crash a period, however many periods", "[supervisor][otp][multiple_restarts]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {1, 40ms}, {{"a", child}}));
  born(self);
  const Pid sup = self.find("sup");
  for (int i = 0; i < 4; ++i) {
    self.sleep(41ms);
    self.kill("a");
    CHECK(born(self) == "a");
    CHECK(self.find("sup") == sup);
  }
}

TEST_CASE("a child that keeps failing ends its supervisor with its siblings, whose own supervisor lives",
          "[supervisor][otp][one_for_one_escalation]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("outer", supervisor(one_for_one, {5, 600s},
                                            {{"inner", supervisor(one_for_one, {2, 600s}, {{"sibling", child}, {"bad", child}}),
                                              {.restart = temporary}},
                                             {"bystander", child}}));
  for (int i = 0; i < 3; ++i) born(self);
  const Pid outer = self.find("outer"), bystander = self.find("bystander");
  const Ref inner = self.monitor("inner"), sibling = self.monitor("sibling");
  for (int i = 0; i < 2; ++i) {
    self.send("bad", "end", "abnormal");
    CHECK(born(self) == "bad");
  }
  self.send("bad", "end", "abnormal");
  CHECK(reason_of(self, sibling) == Reason::shutdown());
  CHECK(reason_of(self, inner) == Reason::shutdown());
  CHECK(self.find("outer") == outer);
  CHECK(self.find("bystander") == bystander);
}

TEST_CASE("a stop in the middle of restarts completes, and leaves nobody", "[supervisor][otp][stop_race]") {
  LiveSystem system;
  Self& self = system.self();
  for (int round = 0; round < 10; ++round) {
    const Pid sup = self.start_supervisor(
        "sup", supervisor(one_for_all, {100'000, 1s}, {{"steady", child}, {"dies", +[](Self&) {}}}));
    const Ref ref = self.monitor(sup);
    born(self);
    self.exit(sup, Reason::shutdown());
    CHECK(reason_of(self, ref) == Reason::shutdown());
    for (const char* name : {"sup", "steady", "dies"}) CHECK_FALSE(self.find(name));
    self.discard_all();
  }
}

TEST_CASE("whoever asks a supervisor to exit, it stops its children and ends with `shutdown`",
          "[supervisor][exit][otp][stop]") {
  LiveSystem system;
  Self& self = system.self();
  for (const Reason& word : {Reason::normal(), Reason::exit("a reason of mine"), Reason::killed()}) {
    INFO(to_string(word));
    const Pid sup = self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", child}}));
    born(self);
    const Ref ref = self.monitor(sup), a = self.monitor("a");
    self.exit(sup, word);
    CHECK(reason_of(self, a) == Reason::shutdown());
    CHECK(reason_of(self, ref) == Reason::shutdown());
  }
}

TEST_CASE("a supervisor of a hundred children starts and stops all of them", "[supervisor][otp][scale_start_stop]") {
  LiveSystem system;
  Self& self = system.self();
  std::vector<Child> children;
  for (int i = 0; i < 100; ++i) children.emplace_back("a" + std::to_string(i), +[](Self& self) { self.receive(on<"end">() >> [] {}); });
  const Pid sup = self.start_supervisor("sup", supervisor(one_for_one, {}, children));
  CHECK(self.list("^a[0-9]+$").size() == 100);
  const Ref ref = self.monitor(sup);
  self.exit(sup, Reason::shutdown());
  CHECK(reason_of(self, ref) == Reason::shutdown());
  CHECK(self.list("^a[0-9]+$").empty());
}

TEST_CASE("a child may link to its sibling, and both come back when one dies", "[supervisor][link][otp][linked_siblings]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {5, 600s}, {{"a", child}, {"b", +[](Self& self) {
                                                                      self.link("a");
                                                                      child(self);
                                                                    }}}));
  born(self), born(self);
  const Pid a = self.find("a"), b = self.find("b");
  self.kill(a);
  born(self), born(self);
  CHECK(self.find("a") != a);
  CHECK(self.find("b") != b);
}

TEST_CASE("significance counts for children that end for good by themselves, under each kind of auto_shutdown",
          "[supervisor][otp][significant]") {
  // The nine of OTP: {never, any, all} × {permanent, transient, temporary}; a permanent child cannot be significant,
  // and nobody can under `never`.
  const auto shutdown = GENERATE(never, any_significant, all_significant);
  const auto restart = GENERATE(permanent, transient, temporary);
  LiveSystem system;
  Self& self = system.self();
  const auto children = [&](bool significant) {
    return std::vector<Child>{{"first", child, {.restart = restart, .significant = significant}},
                              {"second", child, {.restart = restart, .significant = significant}},
                              {"other", child}};
  };
  if (shutdown == never || restart == permanent) {
    CHECK_THROWS_AS(self.start_supervisor("sup", supervisor(one_for_one, {}, children(true), shutdown)), Error);
    CHECK_FALSE(self.find("sup"));
    // Without significance a normal end shuts nothing down.
    self.start_supervisor("sup", supervisor(one_for_one, {5, 5s}, children(false), shutdown));
    for (int i = 0; i < 3; ++i) born(self);
    const Ref first = self.monitor("first");
    self.send("first", "end", "normal");
    reason_of(self, first);
    if (restart == permanent) CHECK(born(self) == "first");
    CHECK(self.find("sup"));
    CHECK(self.find("other"));
    return;
  }
  self.start_supervisor("sup", supervisor(one_for_one, {5, 5s}, children(true), shutdown));
  for (int i = 0; i < 3; ++i) born(self);
  const Ref sup = self.monitor("sup"), first = self.monitor("first");
  self.send("first", "end", "normal");
  CHECK(reason_of(self, first) == Reason::normal());
  if (shutdown == all_significant) {
    CHECK(self.find("sup"));
    CHECK(self.find("second"));
    self.send("second", "end", "normal");
  }
  CHECK(reason_of(self, sup) == Reason::shutdown());
  for (const char* name : {"first", "second", "other"}) CHECK_FALSE(self.find(name));
}

TEST_CASE("a supervisor hears of the end of one that has linked to it, and goes on; it ends with whoever started it linked",
          "[supervisor][link][otp][linked_to_supervisor]") {
  // OTP's supervisors trap exits, and so did cl-muproc's.
  LiveSystem system;
  Self& self = system.self();
  const auto [owner, owner_ref] = self.spawn_monitor("owner", +[](Self& self) {
    self.start_supervisor("sup", supervisor(one_for_one, {5, 600s}, {{"a", +[](Self& self) {
                                                                        self.link("sup");
                                                                        child(self);
                                                                      }}}),
                          {.link = true});
    self.send("tester", "started", true);
    self.receive(on<"never">() >> [] {});
  });
  next<bool, "started">(self);
  born(self);
  const Pid sup = self.find("sup");
  for (const char* how : {"normal", "abnormal"}) {
    CHECK(play(self, "stranger", +[](Self& self) {
            self.link("sup");
            if (self.args()["how"].as<std::string>() == "abnormal") self.exit("abnormal");
          }, {.args = {{"how", how}}}).is(how == std::string("normal") ? Reason::Kind::normal : Reason::Kind::exit));
    self.send("a", "end", how);
    CHECK(born(self) == "a");
    CHECK(self.find("sup") == sup);
  }
  const Ref ref = self.monitor(sup);
  self.kill(owner);
  CHECK(reason_of(self, ref) == Reason::shutdown());
}
