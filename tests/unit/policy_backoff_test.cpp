// Which while is a healthy one.
#include "broker/policy.hpp"
#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;

namespace {

Moment at(std::chrono::nanoseconds now) { return {now, 0.5}; }

}  // namespace

TEST_CASE("the time before a child is ready is no healthy while, however long it is", "[policy][backoff][ready]") {
  const Backoff backoff{.initial = 1s, .max = 60s, .factor = 2, .jitter = 0, .reset_after = 10s};
  SupervisorPolicy policy({one_for_one, {99, 1h}}, {{.backoff = backoff}});
  policy.start(at(0s));
  policy.child_started(0, at(0s));
  CHECK(policy.child_exited(0, ExitClass::abnormal, at(1s)) == Actions{ArmTimer{0, 1s}});
  policy.timer_fired(0, at(2s));
  CHECK(policy.child_start_failed(0, at(100s)) == Actions{ArmTimer{0, 2s}});  // it has been starting all the while
  policy.timer_fired(0, at(102s));
  policy.child_started(0, at(200s));
  CHECK(policy.child_exited(0, ExitClass::abnormal, at(209s)) == Actions{ArmTimer{0, 4s}});  // ready for 9 s only
  policy.timer_fired(0, at(213s));
  policy.child_started(0, at(213s));
  CHECK(policy.child_exited(0, ExitClass::abnormal, at(223s)) == Actions{ArmTimer{0, 1s}});
}
