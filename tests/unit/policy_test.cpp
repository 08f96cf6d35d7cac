// The supervisor's rules, one by one, as a play: what happens to the supervisor on the left, what it does on the right.
#include "broker/policy.hpp"

#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/policy_text.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;

namespace {

using State = SupervisorPolicy::ChildState;
using Outcome = SupervisorPolicy::Outcome;
using Phase = SupervisorPolicy::Phase;

// A supervisor on a stage where time passes only when told to.
class Stage {
 public:
  Stage(Strategy strategy, Limit limit, std::vector<ChildRules> children, AutoShutdown auto_shutdown = never)
      : policy(SupervisorRules{strategy, limit, auto_shutdown}, children) {}

  std::string start() { return text(policy.start(at)); }
  std::string ready(ChildKey child) { return text(policy.child_started(child, at)); }
  std::string fails_to_start(ChildKey child) { return text(policy.child_start_failed(child, at)); }
  std::string ignores(ChildKey child) { return text(policy.child_ignored(child, at)); }
  std::string ends(ChildKey child, ExitClass how) { return text(policy.child_exited(child, how, at)); }
  std::string crashes(ChildKey child) { return ends(child, ExitClass::abnormal); }
  std::string gone(ChildKey child) { return ends(child, ExitClass::shutdown); }
  std::string timer(ChildKey child) { return text(policy.timer_fired(child, at)); }
  std::string stop() { return text(policy.stop_requested(at)); }
  std::string kill() { return text(policy.kill_requested(at)); }

  std::string start_child(ChildKey child) { return request(policy.start_child(child, at)); }
  std::string terminate_child(ChildKey child) { return request(policy.terminate_child(child, at)); }
  std::string restart_child(ChildKey child) { return request(policy.restart_child(child, at)); }
  std::string delete_child(ChildKey child) { return request(policy.delete_child(child)); }

  // Starts the supervisor and all its children.
  Stage& up() {
    start();
    for (ChildKey child : policy.children()) ready(child);
    REQUIRE(policy.phase() == Phase::up);
    return *this;
  }
  Stage& after(std::chrono::nanoseconds passed) {
    at.now += passed;
    return *this;
  }

  SupervisorPolicy policy;
  Moment at{.now = 1h};

 private:
  std::string request(SupervisorPolicy::Reply reply) {
    if (reply.outcome == Outcome::done) return text(reply.actions);
    REQUIRE(reply.actions.empty());
    return std::string(to_string(reply.outcome));
  }
};

const ChildRules a_permanent{.restart = permanent};
const ChildRules a_transient{.restart = transient};
const ChildRules a_temporary{.restart = temporary};
ChildRules significant(Restart restart) { return {.restart = restart, .significant = true}; }
ChildRules backing_off(Backoff backoff) { return {.backoff = backoff}; }

const Limit generous{1000, 1s};
const std::string nothing;

}  // namespace

// Start and stop -------------------------------------------------------------------------------------------------------

TEST_CASE("children start in order, each when the one before it is ready, and stop in reverse",
          "[policy][otp][order_of_children]") {
  Stage s(one_for_one, generous, {a_permanent, a_permanent, a_permanent});
  CHECK(s.start() == "start 0");
  CHECK(s.ready(0) == "start 1");
  CHECK(s.ready(1) == "start 2");
  CHECK(s.ready(2) == "started");

  CHECK(s.stop() == "stop 2");
  CHECK(s.gone(2) == "stop 1");
  CHECK(s.gone(1) == "stop 0");
  CHECK(s.gone(0) == "ended requested");
}

TEST_CASE("a supervisor without children starts and stops", "[policy]") {
  Stage s(one_for_one, generous, {});
  CHECK(s.start() == "started");
  CHECK(s.stop() == "ended requested");
}

TEST_CASE("a child that fails to start stops those already started, in reverse, and fails the supervisor's start",
          "[policy][otp][start_fail]") {
  Stage s(one_for_one, generous, {a_permanent, a_permanent, a_permanent});
  s.start(), s.ready(0), s.ready(1);
  CHECK(s.fails_to_start(2) == "stop 1");
  CHECK(s.gone(1) == "stop 0");
  CHECK(s.gone(0) == "start failed 2");
}

TEST_CASE("a temporary child that fails to start fails its supervisor's start as well", "[policy]") {
  Stage s(one_for_one, generous, {a_temporary});
  s.start();
  CHECK(s.fails_to_start(0) == "start failed 0");
}

TEST_CASE("a child that declines to run counts as started, and its specification is kept",
          "[policy][otp][start_ignore_child]") {
  Stage s(one_for_one, generous, {a_permanent, a_temporary, a_permanent});
  s.start();
  CHECK(s.ignores(0) == "start 1");
  CHECK(s.ignores(1) == "forget 1, start 2");
  CHECK(s.ready(2) == "started");
  CHECK(s.policy.state_of(0) == State::down);
  CHECK(s.start_child(0) == "start 0");
}

TEST_CASE("a supervisor can be stopped while it starts", "[policy]") {
  Stage s(one_for_one, generous, {a_permanent, a_permanent, a_permanent});
  s.start(), s.ready(0);
  CHECK(s.stop() == "stop 1");
  SECTION("the child under way ends before it is ready") { CHECK(s.fails_to_start(1) == "stop 0"); }
  SECTION("the child under way gets ready first") {
    CHECK(s.ready(1) == nothing);
    CHECK(s.gone(1) == "stop 0");
  }
  CHECK(s.gone(0) == "ended requested");
}

TEST_CASE("children that end during a stop do not disturb it", "[policy][otp][stop_race]") {
  Stage s(one_for_all, generous, {a_permanent, a_permanent, a_permanent});
  s.up();
  CHECK(s.stop() == "stop 2");
  CHECK(s.crashes(1) == nothing);
  CHECK(s.gone(2) == "stop 0");
  CHECK(s.crashes(0) == "ended requested");
}

TEST_CASE("a supervisor that is killed kills all its children at once", "[policy]") {
  Stage s(one_for_one, generous, {a_permanent, a_permanent});
  s.up();
  SECTION("out of the blue") { CHECK(s.kill() == "kill 1, kill 0"); }
  SECTION("while it stops in order") {
    CHECK(s.stop() == "stop 1");
    CHECK(s.kill() == "kill 1, kill 0");
  }
  CHECK(s.crashes(0) == nothing);
  CHECK(s.crashes(1) == "ended killed");
}

TEST_CASE("nothing happens to a supervisor that has ended", "[policy]") {
  Stage s(one_for_one, generous, {a_permanent});
  s.up().stop();
  CHECK(s.gone(0) == "ended requested");
  CHECK(s.stop() == nothing);
  CHECK(s.kill() == nothing);
  CHECK(s.start() == nothing);
  CHECK(s.crashes(0) == nothing);
  CHECK(s.start_child(0) == "not running");
}

// Restart types --------------------------------------------------------------------------------------------------------

TEST_CASE("permanent is always restarted, transient only after an abnormal end, temporary never, and it is forgotten",
          "[policy][otp][permanent_abnormal][transient_normal][transient_abnormal][temporary_abnormal]") {
  struct Case {
    ChildRules rules;
    ExitClass how;
    std::string outcome;
  };
  const auto c = GENERATE(values<Case>({{a_permanent, ExitClass::normal, "start 0"},
                                        {a_permanent, ExitClass::shutdown, "start 0"},
                                        {a_permanent, ExitClass::abnormal, "start 0"},
                                        {a_transient, ExitClass::normal, ""},
                                        {a_transient, ExitClass::shutdown, ""},
                                        {a_transient, ExitClass::abnormal, "start 0"},
                                        {a_temporary, ExitClass::normal, "forget 0"},
                                        {a_temporary, ExitClass::shutdown, "forget 0"},
                                        {a_temporary, ExitClass::abnormal, "forget 0"}}));
  Stage s(one_for_one, generous, {c.rules});
  CHECK(s.up().ends(0, c.how) == c.outcome);
}

TEST_CASE("one_for_one leaves the siblings alone", "[policy][otp][one_for_one]") {
  Stage s(one_for_one, generous, {a_permanent, a_permanent, a_permanent});
  CHECK(s.up().crashes(1) == "start 1");
  CHECK(s.crashes(0) == "start 0");
  CHECK(s.ready(1) == nothing);
  CHECK(s.ready(0) == nothing);
}

TEST_CASE("one_for_all stops all the others in reverse, then starts all in order", "[policy][otp][one_for_all]") {
  Stage s(one_for_all, generous, {a_permanent, a_permanent, a_permanent});
  CHECK(s.up().crashes(1) == "stop 2");
  CHECK(s.gone(2) == "stop 0");
  CHECK(s.gone(0) == "start 0");
  CHECK(s.ready(0) == "start 1");
  CHECK(s.ready(1) == "start 2");
  CHECK(s.ready(2) == nothing);
}

TEST_CASE("rest_for_one stops and starts the child and those after it", "[policy][otp][rest_for_one]") {
  Stage s(rest_for_one, generous, {a_permanent, a_permanent, a_permanent, a_permanent});
  CHECK(s.up().crashes(1) == "stop 3");
  CHECK(s.gone(3) == "stop 2");
  CHECK(s.gone(2) == "start 1");
  CHECK(s.ready(1) == "start 2");
  CHECK(s.ready(2) == "start 3");
  CHECK(s.ready(3) == nothing);
}

TEST_CASE("a temporary bystander of a group restart is stopped and not brought back",
          "[policy][otp][temporary_bystander]") {
  Stage s(one_for_all, generous, {a_permanent, a_temporary});
  CHECK(s.up().crashes(0) == "stop 1");
  CHECK(s.gone(1) == "forget 1, start 0");
  CHECK(s.ready(0) == nothing);
  CHECK(s.policy.children() == std::vector<ChildKey>{0});
}

TEST_CASE("a transient child that had ended is started again with its group", "[policy]") {
  Stage s(one_for_all, generous, {a_permanent, a_transient});
  CHECK(s.up().ends(1, ExitClass::normal) == nothing);
  CHECK(s.crashes(0) == "start 0");
  CHECK(s.ready(0) == "start 1");
}

// Deaths in the middle of something ------------------------------------------------------------------------------------

TEST_CASE("a child that crashes while its group is being stopped is simply stopped", "[policy]") {
  Stage s(one_for_all, {1, 5s}, {a_permanent, a_permanent, a_permanent});
  CHECK(s.up().crashes(1) == "stop 2");
  CHECK(s.crashes(0) == nothing);
  CHECK(s.crashes(2) == "start 0");
}

TEST_CASE("a child that crashes while its group is being started makes another group restart", "[policy]") {
  Stage s(one_for_all, {2, 5s}, {a_permanent, a_permanent, a_permanent});
  s.up().crashes(1), s.gone(2), s.gone(0);
  CHECK(s.ready(0) == "start 1");
  CHECK(s.crashes(0) == "stop 1");
  SECTION("the child under way ends before it is ready") { CHECK(s.fails_to_start(1) == "start 0"); }
  SECTION("the child under way gets ready and is stopped all the same") {
    CHECK(s.ready(1) == nothing);
    CHECK(s.gone(1) == "start 0");
  }
  CHECK(s.ready(0) == "start 1");
  CHECK(s.crashes(0) == "stop 1");  // the third within 5 s
  CHECK(s.gone(1) == "ended limit_reached");
}

TEST_CASE("a child before the group that crashes meanwhile widens the group", "[policy]") {
  Stage s(rest_for_one, {2, 5s}, {a_permanent, a_permanent, a_permanent});
  CHECK(s.up().crashes(1) == "stop 2");
  CHECK(s.crashes(0) == nothing);
  CHECK(s.gone(2) == "start 0");
  CHECK(s.ready(0) == "start 1");
}

TEST_CASE("a child that crashes while its supervisor starts is restarted", "[policy]") {
  SECTION("alone, by one_for_one") {
    Stage s(one_for_one, generous, {a_permanent, a_permanent});
    s.start(), s.ready(0);
    CHECK(s.crashes(0) == "start 0");
    CHECK(s.fails_to_start(0) == "start 0");  // it ran before: a failing restart, not a failing first start
    CHECK(s.ready(1) == "started");
  }
  SECTION("with the child under way, by one_for_all") {
    Stage s(one_for_all, generous, {a_permanent, a_permanent, a_permanent});
    s.start(), s.ready(0);
    CHECK(s.crashes(0) == "stop 1");
    CHECK(s.gone(1) == "start 0");
    CHECK(s.ready(0) == "start 1");
    CHECK(s.ready(1) == "start 2");
    CHECK(s.ready(2) == "started");
  }
}

TEST_CASE("a supervisor whose children die too often before it has started never says that it started", "[policy]") {
  Stage s(one_for_one, {0, 5s}, {a_permanent, a_permanent});
  s.start(), s.ready(0);
  CHECK(s.crashes(0) == "stop 1");
  CHECK(s.gone(1) == "ended limit_reached");
}

// The limit ------------------------------------------------------------------------------------------------------------

TEST_CASE("so many restarts within the period are allowed; the next ends the supervisor after its children",
          "[policy][otp][multiple_restarts]") {
  Stage s(one_for_one, {2, 5s}, {a_permanent, a_permanent});
  s.up();
  CHECK(s.crashes(0) == "start 0");
  s.ready(0);
  CHECK(s.crashes(1) == "start 1");
  s.ready(1);
  CHECK(s.crashes(0) == "stop 1");
  CHECK(s.gone(1) == "ended limit_reached");
}

TEST_CASE("a limit of zero restarts allows none", "[policy]") {
  Stage s(one_for_one, {0, 5s}, {a_permanent});
  CHECK(s.up().crashes(0) == "ended limit_reached");
}

TEST_CASE("restarts further apart than the period do not add up", "[policy]") {
  Stage s(one_for_one, {1, 1s}, {a_permanent});
  s.up();
  for (int crash = 0; crash < 100; ++crash) {
    CHECK(s.after(1s + 1ns).crashes(0) == "start 0");
    s.ready(0);
  }
  CHECK(s.after(1s).crashes(0) == "ended limit_reached");  // exactly a period apart is within it
}

TEST_CASE("a failing restart is tried again, and each try counts", "[policy][otp][one_for_one_escalation]") {
  Stage s(one_for_one, {2, 5s}, {a_permanent, a_permanent});
  CHECK(s.up().crashes(1) == "start 1");
  CHECK(s.fails_to_start(1) == "start 1");
  CHECK(s.fails_to_start(1) == "stop 0");
  CHECK(s.gone(0) == "ended limit_reached");
}

TEST_CASE("a group's failing restart begins again at the child that failed, as its strategy says", "[policy]") {
  SECTION("rest_for_one keeps those before it") {
    Stage s(rest_for_one, {2, 5s}, {a_permanent, a_permanent, a_permanent});
    s.up().crashes(0), s.gone(2), s.gone(1), s.ready(0);
    CHECK(s.fails_to_start(1) == "start 1");
    CHECK(s.ready(1) == "start 2");
  }
  SECTION("one_for_all stops those before it") {
    Stage s(one_for_all, {2, 5s}, {a_permanent, a_permanent, a_permanent});
    s.up().crashes(0), s.gone(2), s.gone(1), s.ready(0);
    CHECK(s.fails_to_start(1) == "stop 0");
    CHECK(s.gone(0) == "start 0");
  }
}

TEST_CASE("a group restart counts as one", "[policy]") {
  Stage s(one_for_all, {1, 5s}, {a_permanent, a_permanent, a_permanent});
  s.up().crashes(0), s.gone(2), s.gone(1), s.ready(0), s.ready(1);
  CHECK(s.ready(2) == nothing);
  CHECK(s.policy.phase() == Phase::up);
}

TEST_CASE("ends that lead to no restart do not count", "[policy]") {
  Stage s(one_for_one, {0, 5s}, {a_transient, a_temporary, a_permanent});
  s.up();
  CHECK(s.ends(0, ExitClass::normal) == nothing);
  CHECK(s.crashes(1) == "forget 1");
  CHECK(s.policy.phase() == Phase::up);
}

TEST_CASE("a nested supervisor that gives up is restarted if it is permanent, and left down if it is transient",
          "[policy]") {
  Stage s(one_for_one, {1, 5s}, {a_permanent, a_transient});
  s.up();
  CHECK(s.ends(1, ExitClass::shutdown) == nothing);
  CHECK(s.ends(0, ExitClass::shutdown) == "start 0");
  s.ready(0);
  CHECK(s.ends(0, ExitClass::shutdown) == "ended limit_reached");
}

// Back-off -------------------------------------------------------------------------------------------------------------

TEST_CASE("back-off starts at the initial delay, grows by its factor up to its cap, and is spread by its jitter",
          "[policy][backoff]") {
  const Backoff plain{.initial = 100ms, .max = 1s, .factor = 2, .jitter = 0};
  CHECK(backoff_delay(plain, 0, 0.5) == 100ms);
  CHECK(backoff_delay(plain, 1, 0.5) == 200ms);
  CHECK(backoff_delay(plain, 3, 0.5) == 800ms);
  CHECK(backoff_delay(plain, 4, 0.5) == 1s);
  CHECK(backoff_delay(plain, 4'000'000'000, 0.5) == 1s);

  const Backoff spread{.initial = 100ms, .max = 1s, .factor = 2, .jitter = 0.25};
  CHECK(backoff_delay(spread, 0, 0.0) == 75ms);
  CHECK(backoff_delay(spread, 0, 0.5) == 100ms);
  CHECK(backoff_delay(spread, 9, 0.99) == 1s);  // never above the cap

  CHECK(backoff_delay(Backoff{}, 7, 0.9) == 0s);  // the default: no delay
}

TEST_CASE("a restart waits for its back-off, which is reset after a healthy while", "[policy][backoff]") {
  const Backoff backoff{.initial = 100ms, .max = 1s, .factor = 2, .jitter = 0, .reset_after = 60s};
  Stage s(one_for_one, generous, {backing_off(backoff), a_permanent});
  CHECK(s.up().crashes(0) == "timer 0 100ms");
  CHECK(s.policy.state_of(0) == State::waiting);
  CHECK(s.crashes(1) == "start 1");
  CHECK(s.after(100ms).timer(0) == "start 0");
  CHECK(s.fails_to_start(0) == "timer 0 200ms");
  CHECK(s.timer(0) == "start 0");
  s.ready(0);
  CHECK(s.after(59s).crashes(0) == "timer 0 400ms");
  s.timer(0), s.ready(0);
  CHECK(s.after(60s).crashes(0) == "timer 0 100ms");
}

TEST_CASE("a group waits for the back-off of the child that failed, counted from its death", "[policy][backoff]") {
  Stage s(one_for_all, generous, {a_permanent, backing_off({.initial = 100ms, .jitter = 0}), a_permanent});
  CHECK(s.up().crashes(1) == "stop 2");
  CHECK(s.after(30ms).gone(2) == "stop 0");
  SECTION("stopping was faster") {
    CHECK(s.after(30ms).gone(0) == "timer 1 40ms");
    CHECK(s.after(40ms).timer(1) == "start 0");
  }
  SECTION("stopping was slower") { CHECK(s.after(70ms).gone(0) == "start 0"); }
}

TEST_CASE("a stop during the back-off works at once", "[policy][backoff]") {
  const ChildRules patient = backing_off({.initial = 30s, .jitter = 0});
  SECTION("of the supervisor") {
    Stage s(one_for_one, generous, {patient, a_permanent});
    s.up().crashes(0);
    CHECK(s.stop() == "cancel 0, stop 1");
    CHECK(s.gone(1) == "ended requested");
  }
  SECTION("of the supervisor, whose group waits") {
    Stage s(one_for_all, generous, {patient});
    s.up().crashes(0);
    CHECK(s.stop() == "cancel 0, ended requested");
  }
  SECTION("of the child") {
    Stage s(one_for_one, generous, {patient});
    s.up().crashes(0);
    CHECK(s.terminate_child(0) == "cancel 0");
    CHECK(s.timer(0) == nothing);
  }
  SECTION("of the child for which its group waits") {
    Stage s(one_for_all, generous, {patient, a_permanent});
    s.up().crashes(0);
    s.gone(1);
    CHECK(s.terminate_child(0) == "cancel 0, start 1");
    CHECK(s.ready(1) == nothing);
    CHECK(s.policy.state_of(0) == State::down);
  }
}

TEST_CASE("a start by hand during the back-off works at once, and does not count", "[policy][backoff]") {
  const ChildRules patient = backing_off({.initial = 30s, .jitter = 0});
  SECTION("of a child") {
    Stage s(one_for_one, {1, 5s}, {patient});
    s.up().crashes(0);
    CHECK(s.start_child(0) == "cancel 0, start 0");
    CHECK(s.fails_to_start(0) == "timer 0 30s");  // it was owed a restart, and still is
    CHECK(s.timer(0) == "start 0");
    CHECK(s.fails_to_start(0) == "ended limit_reached");
  }
  SECTION("of a child of a group") {
    Stage s(one_for_all, generous, {a_permanent, patient});
    s.up().crashes(1), s.gone(0);
    CHECK(s.start_child(0) == "cancel 1, start 0");
    CHECK(s.ready(0) == "start 1");
  }
}

// Significant children -------------------------------------------------------------------------------------------------

TEST_CASE("auto_shutdown ends the supervisor when a significant child, or the last of them, ends for good",
          "[policy][otp][significant]") {
  struct Case {
    AutoShutdown auto_shutdown;
    std::string first, second;
  };
  const auto c =
      GENERATE(values<Case>({{never, "", ""}, {any_significant, "stop 2", ""}, {all_significant, "", "stop 2"}}));
  Stage s(one_for_one, generous, {significant(transient), significant(transient), a_permanent}, c.auto_shutdown);
  CHECK(s.up().ends(0, ExitClass::normal) == c.first);
  if (c.auto_shutdown != any_significant) CHECK(s.ends(1, ExitClass::shutdown) == c.second);
}

TEST_CASE("a significant temporary child shuts its supervisor down however it ends, a transient one not by a crash",
          "[policy][otp][significant]") {
  Stage temporary_one(one_for_one, generous, {significant(temporary)}, any_significant);
  CHECK(temporary_one.up().crashes(0) == "forget 0, ended auto_shutdown");
  Stage transient_one(one_for_one, generous, {significant(transient)}, any_significant);
  CHECK(transient_one.up().crashes(0) == "start 0");
}

TEST_CASE("a significant child that ends for good while its supervisor starts shuts it down as soon as all have started",
          "[policy][significant]") {
  Stage s(one_for_one, generous, {significant(transient), a_permanent, a_permanent}, any_significant);
  s.start(), s.ready(0);
  CHECK(s.ends(0, ExitClass::normal) == nothing);
  CHECK(s.ready(1) == "start 2");
  SECTION("all start") {
    CHECK(s.ready(2) == "started, stop 2");
    CHECK(s.gone(2) == "stop 1");
    CHECK(s.gone(1) == "ended auto_shutdown");
  }
  SECTION("one does not") {
    CHECK(s.fails_to_start(2) == "stop 1");
    CHECK(s.gone(1) == "start failed 2");
  }
}

TEST_CASE("a significant child that was told to end shuts nothing down", "[policy][otp][significant]") {
  Stage s(one_for_all, generous, {significant(transient), a_permanent}, any_significant);
  s.up();
  SECTION("by hand") {
    CHECK(s.terminate_child(0) == "stop 0");
    CHECK(s.ends(0, ExitClass::shutdown) == nothing);
  }
  SECTION("as a bystander") {
    CHECK(s.crashes(1) == "stop 0");
    CHECK(s.ends(0, ExitClass::normal) == "start 0");
  }
}

TEST_CASE("a significant child that waits for its restart is not gone", "[policy]") {
  ChildRules patient = significant(transient);
  patient.backoff.initial = 1s;
  Stage s(one_for_one, generous, {patient, significant(transient)}, all_significant);
  s.up().crashes(0);
  CHECK(s.ends(1, ExitClass::normal) == nothing);
}

// By hand --------------------------------------------------------------------------------------------------------------

TEST_CASE("a child can be stopped, started and restarted by hand, however often, without counting",
          "[policy][otp][child_adm]") {
  Stage s(one_for_one, {0, 5s}, {a_permanent, a_permanent});
  s.up();
  for (int turn = 0; turn < 3; ++turn) {
    CHECK(s.start_child(0) == "running");
    CHECK(s.terminate_child(0) == "stop 0");
    CHECK(s.gone(0) == nothing);
    CHECK(s.terminate_child(0) == nothing);
    CHECK(s.start_child(0) == "start 0");
    CHECK(s.ready(0) == nothing);
    CHECK(s.restart_child(0) == "stop 0");
    CHECK(s.crashes(0) == "start 0");
    CHECK(s.ready(0) == nothing);
  }
  CHECK(s.start_child(7) == "not found");
  CHECK(s.terminate_child(7) == "not found");
}

TEST_CASE("a start by hand that fails leaves the child down", "[policy]") {
  Stage s(one_for_one, {0, 5s}, {a_permanent});
  s.up().terminate_child(0);
  s.gone(0);
  CHECK(s.start_child(0) == "start 0");
  CHECK(s.fails_to_start(0) == nothing);
  CHECK(s.policy.state_of(0) == State::down);
}

TEST_CASE("a child can be added, and is the last in order; if it fails to start it is forgotten", "[policy]") {
  Stage s(rest_for_one, generous, {a_permanent});
  s.up();
  const ChildKey added = s.policy.add_child(a_permanent);
  CHECK(s.start_child(added) == "start 1");
  SECTION("it starts") {
    CHECK(s.ready(added) == nothing);
    CHECK(s.stop() == "stop 1");
  }
  SECTION("it fails") { CHECK(s.fails_to_start(added) == "forget 1"); }
}

TEST_CASE("only a child that is down can be deleted", "[policy][otp][child_adm]") {
  Stage s(one_for_one, generous, {a_permanent, backing_off({.initial = 1s})});
  s.up();
  CHECK(s.delete_child(0) == "running");
  s.crashes(1);
  CHECK(s.delete_child(1) == "restarting");
  s.terminate_child(1);
  CHECK(s.delete_child(1) == "forget 1");
  CHECK(s.delete_child(1) == "not found");
}

TEST_CASE("a child stopped by hand during a group restart stays down", "[policy]") {
  Stage s(one_for_all, generous, {a_permanent, a_permanent});
  s.up().crashes(0);
  CHECK(s.terminate_child(1) == nothing);
  CHECK(s.gone(1) == "start 0");
  CHECK(s.ready(0) == nothing);
  CHECK(s.policy.state_of(1) == State::down);
}

TEST_CASE("a temporary child that is stopped by hand is forgotten", "[policy]") {
  Stage s(one_for_one, generous, {a_temporary});
  CHECK(s.up().terminate_child(0) == "stop 0");
  CHECK(s.gone(0) == "forget 0");
}

// Templates ------------------------------------------------------------------------------------------------------------

namespace {

// A template supervisor with so many children of that kind up.
Stage template_with(int count, ChildRules rules, Limit limit = generous) {
  Stage s(simple_one_for_one, limit, {});
  CHECK(s.start() == "started");
  for (int i = 0; i < count; ++i) {
    const ChildKey added = s.policy.add_child(rules);
    CHECK(s.start_child(added) == "start " + std::to_string(added));
    CHECK(s.ready(added) == nothing);
  }
  return s;
}

}  // namespace

TEST_CASE("a template supervisor starts with nobody, and stops all its children at once",
          "[policy][otp][simple_one_for_one]") {
  Stage s = template_with(3, a_permanent);
  CHECK(s.stop() == "stop 2, stop 1, stop 0");
  CHECK(s.gone(1) == nothing);
  CHECK(s.gone(2) == nothing);
  CHECK(s.gone(0) == "ended requested");
}

TEST_CASE("a template's children are restarted alone, and that counts", "[policy][otp][simple_one_for_one]") {
  Stage s = template_with(2, a_permanent, {1, 5s});
  CHECK(s.crashes(0) == "start 0");
  CHECK(s.ready(0) == nothing);
  CHECK(s.crashes(1) == "stop 0");
  CHECK(s.gone(0) == "ended limit_reached");
}

TEST_CASE("a template's child that is down for good is forgotten", "[policy][otp][simple_one_for_one]") {
  SECTION("stopped by hand") {
    Stage s = template_with(1, a_permanent);
    CHECK(s.terminate_child(0) == "stop 0");
    CHECK(s.gone(0) == "forget 0");
  }
  SECTION("stopped by hand while it waits for its back-off") {
    Stage s = template_with(1, backing_off({.initial = 1s, .jitter = 0}));
    CHECK(s.crashes(0) == "timer 0 1s");
    CHECK(s.terminate_child(0) == "cancel 0, forget 0");
  }
  SECTION("ended normally") {
    Stage s = template_with(1, a_transient);
    CHECK(s.ends(0, ExitClass::normal) == "forget 0");
  }
  SECTION("failed to start") {
    Stage s = template_with(0, a_permanent);
    s.start_child(s.policy.add_child(a_permanent));
    CHECK(s.fails_to_start(0) == "forget 0");
  }
  SECTION("restarted by hand, in vain") {
    Stage s = template_with(1, a_permanent);
    CHECK(s.restart_child(0) == "stop 0");
    CHECK(s.gone(0) == "start 0");
    CHECK(s.fails_to_start(0) == "forget 0");
  }
  SECTION("declined to run") {
    Stage s = template_with(0, a_permanent);
    s.start_child(s.policy.add_child(a_permanent));
    CHECK(s.ignores(0) == "forget 0");
  }
}

TEST_CASE("a child that waits for its end and its next start, when its supervisor ends, is waited for once",
          "[policy][otp][simple_one_for_one]") {
  Stage s = template_with(2, a_permanent);
  CHECK(s.restart_child(0) == "stop 0");
  CHECK(s.stop() == "stop 1");
  CHECK(s.gone(1) == nothing);
  CHECK(s.gone(0) == "ended requested");
}

TEST_CASE("events that cannot be have no effect", "[policy]") {
  Stage s(one_for_one, {0, 5s}, {a_permanent});
  CHECK(s.ready(0) == nothing);
  CHECK(s.crashes(0) == nothing);
  s.up();
  CHECK(s.ready(0) == nothing);
  CHECK(s.fails_to_start(0) == nothing);
  CHECK(s.timer(0) == nothing);
  CHECK(s.crashes(9) == nothing);
  CHECK(s.policy.phase() == Phase::up);
}

TEST_CASE("before it hears of an end, a policy tells whether the child may come back, and afterwards whether it will", "[policy][keep]") {
  Stage s(one_for_all, {1, 5s}, {a_permanent, a_transient, a_temporary});
  s.up();
  CHECK(s.policy.may_bring_back(0, ExitClass::normal));
  CHECK(s.policy.may_bring_back(1, ExitClass::abnormal));
  CHECK_FALSE(s.policy.may_bring_back(1, ExitClass::normal));
  CHECK_FALSE(s.policy.may_bring_back(2, ExitClass::abnormal));
  CHECK_FALSE(s.policy.may_bring_back(7, ExitClass::abnormal));
  CHECK(s.crashes(0) == "stop 2");  // its group goes down with it
  CHECK(s.policy.is_to_run(0));
  CHECK(s.policy.may_bring_back(1, ExitClass::shutdown));
  CHECK_FALSE(s.policy.may_bring_back(2, ExitClass::shutdown));
  s.gone(2);
  s.gone(1);
  CHECK(s.policy.is_to_run(1));
  CHECK_FALSE(s.policy.is_to_run(2));
  s.ready(0);
  s.ready(1);
  s.terminate_child(1);
  CHECK_FALSE(s.policy.may_bring_back(1, ExitClass::shutdown));
  s.gone(1);
  CHECK_FALSE(s.policy.is_to_run(1));
  s.crashes(0);  // one too many
  CHECK_FALSE(s.policy.is_to_run(0));
}
