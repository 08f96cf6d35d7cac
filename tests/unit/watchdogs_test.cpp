// When a muproc counts as stuck.
#include "broker/watchdogs.hpp"

#include "support/catch.hpp"

using muproc::broker::WatchdogCount;

namespace {

constexpr bool k_excused = true, k_judged = false;

/// So many looks at an unmoved count; whether one of them found it stuck.
bool stuck_after(WatchdogCount& watchdog, int looks, std::uint64_t count, bool excused = k_judged) {
  bool stuck = false;
  for (int i = 0; i < looks; ++i) stuck |= watchdog.look(count, excused);
  return stuck;
}

}  // namespace

TEST_CASE("one that has not moved for a whole interval is stuck, and not a look earlier", "[watchdog]") {
  WatchdogCount watchdog;
  CHECK_FALSE(stuck_after(watchdog, WatchdogCount::k_looks, 7));  // the first look only learns where it is
  CHECK(watchdog.look(7, k_judged));
}

TEST_CASE("every movement begins the interval anew", "[watchdog]") {
  WatchdogCount watchdog;
  for (std::uint64_t count = 0; count < 100; ++count) CHECK_FALSE(stuck_after(watchdog, WatchdogCount::k_looks, count));
  CHECK_FALSE(watchdog.look(0xffffffff, k_judged));
  CHECK_FALSE(watchdog.look(0, k_judged));  // it wraps
}

TEST_CASE("one that waits, or is stopped, is not judged, and has a whole interval afterwards", "[watchdog]") {
  WatchdogCount watchdog;
  CHECK_FALSE(stuck_after(watchdog, 100, 7, k_excused));
  CHECK_FALSE(stuck_after(watchdog, WatchdogCount::k_looks - 1, 7));
  CHECK(watchdog.look(7, k_judged));
}
