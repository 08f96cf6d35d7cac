// Changes of a supervisor while it lives: order, rules, children that change hands.
#include "broker/policy.hpp"

#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;

namespace {

Moment at(std::chrono::nanoseconds now) { return {now, 0.5}; }

/// All of its children are up.
SupervisorPolicy up(SupervisorRules rules, std::size_t count) {
  SupervisorPolicy policy(rules, std::vector<ChildRules>(count));
  policy.start(at(0s));
  for (ChildKey key = 0; key < count; ++key) policy.child_started(key, at(0s));
  REQUIRE(policy.phase() == SupervisorPolicy::Phase::up);
  return policy;
}

Actions killed(SupervisorPolicy& policy, ChildKey key, std::chrono::nanoseconds now = 1s) {
  return policy.child_exited(key, ExitClass::abnormal, at(now));
}

}  // namespace

TEST_CASE("children stop in the reverse of the order that they were arranged in", "[policy][reload]") {
  SupervisorPolicy policy = up({}, 3);
  policy.arrange({2, 0, 1});
  CHECK(policy.children() == std::vector<ChildKey>{2, 0, 1});
  CHECK(policy.stop_requested(at(1s)) == Actions{StopChild{1}});
  CHECK(policy.child_exited(1, ExitClass::shutdown, at(1s)) == Actions{StopChild{0}});
  CHECK(policy.child_exited(0, ExitClass::shutdown, at(1s)) == Actions{StopChild{2}});
}

TEST_CASE("rest_for_one goes by the arranged order, and one_for_all begins with its first", "[policy][reload]") {
  SupervisorPolicy rest = up({rest_for_one, {9, 5s}}, 3);
  rest.arrange({2, 0, 1});
  CHECK(killed(rest, 0) == Actions{StopChild{1}});
  SupervisorPolicy all = up({one_for_all, {9, 5s}}, 3);
  all.arrange({2, 0, 1});
  CHECK(killed(all, 0) == Actions{StopChild{1}});
  CHECK(all.child_exited(1, ExitClass::shutdown, at(1s)) == Actions{StopChild{2}});
  CHECK(all.child_exited(2, ExitClass::shutdown, at(1s)) == Actions{StartChild{2}});
  CHECK(all.child_started(2, at(1s)) == Actions{StartChild{0}});
  CHECK(all.child_started(0, at(1s)) == Actions{StartChild{1}});
}

TEST_CASE("children that are not named in an arrangement come last, and new ones after them", "[policy][reload]") {
  SupervisorPolicy policy = up({}, 4);
  policy.arrange({3});
  CHECK(policy.children() == std::vector<ChildKey>{3, 0, 1, 2});
  CHECK(policy.add_child({}) == 4);
  CHECK(policy.children() == std::vector<ChildKey>{3, 0, 1, 2, 4});
  SupervisorPolicy copy = policy;
  copy.arrange({4, 3, 2, 1, 0});
  CHECK(policy.children() == std::vector<ChildKey>{3, 0, 1, 2, 4});
}

TEST_CASE("a group that is being restarted goes on when its order changes", "[policy][reload]") {
  SupervisorPolicy policy = up({rest_for_one, {9, 5s}}, 3);
  CHECK(killed(policy, 1) == Actions{StopChild{2}});
  policy.arrange({0, 2, 1});
  CHECK(policy.child_exited(2, ExitClass::shutdown, at(1s)) == Actions{StartChild{2}, StartChild{1}});  // 2 is not behind 1 any more
}

TEST_CASE("a changed limit counts at once, with the restarts that were", "[policy][reload]") {
  SupervisorPolicy policy = up({one_for_one, {2, 60s}}, 1);
  CHECK(killed(policy, 0, 1s) == Actions{StartChild{0}});
  policy.child_started(0, at(1s));
  policy.change_rules({one_for_one, {1, 60s}});
  CHECK(killed(policy, 0, 2s) == Actions{Ended{EndReason::limit_reached}});
}

TEST_CASE("a changed restart type counts at the next end", "[policy][reload]") {
  SupervisorPolicy policy = up({}, 2);
  policy.change_rules(0, {.restart = transient});
  CHECK(policy.child_exited(0, ExitClass::normal, at(1s)).empty());
  CHECK(policy.state_of(0) == SupervisorPolicy::ChildState::down);
}

TEST_CASE("a child that is up changes hands with its back-off, and is restarted by its new supervisor", "[policy][reload]") {
  const Backoff backoff{.initial = 1s, .jitter = 0};
  SupervisorPolicy from({one_for_one, {9, 60s}}, {{.backoff = backoff}, {}});
  from.start(at(0s));
  from.child_started(0, at(0s));
  from.child_started(1, at(0s));
  CHECK(killed(from, 0) == Actions{ArmTimer{0, 1s}});
  CHECK_FALSE(from.release_child(0));  // it waits: whose timer is it?
  from.timer_fired(0, at(2s));
  from.child_started(0, at(2s));
  SupervisorPolicy to = up({one_for_one, {9, 60s}}, 1);
  const auto handover = from.release_child(0);
  REQUIRE(handover);
  CHECK(from.children() == std::vector<ChildKey>{1});
  const ChildKey key = to.adopt_child({.backoff = backoff}, *handover);
  CHECK(key == 1);
  CHECK(to.state_of(key) == SupervisorPolicy::ChildState::up);
  CHECK(killed(to, key, 3s) == Actions{ArmTimer{key, 2s}});  // the second failure
}

TEST_CASE("a child of a group that is being restarted does not change hands", "[policy][reload]") {
  SupervisorPolicy policy = up({one_for_all, {9, 60s}}, 2);
  killed(policy, 0);
  CHECK_FALSE(policy.release_child(1));
  CHECK_FALSE(policy.release_child(7));
}
