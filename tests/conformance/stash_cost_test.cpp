// What waits in a mailbox does not slow down a call.
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

/// Both on one core: on two, a call takes a tenth of the time whenever the machine happens to let both spin.
void share_one_core() {
  cpu_set_t cores;
  MUST(::sched_getaffinity(0, sizeof cores, &cores) == 0);
  int first = 0;
  while (!CPU_ISSET(first, &cores)) ++first;
  CPU_ZERO(&cores);
  CPU_SET(first, &cores);
  MUST(::sched_setaffinity(0, sizeof cores, &cores) == 0);
}

struct Echo {
  Echo() { share_one_core(); }
  std::int64_t echo(std::int64_t n) { return n; }
};
constexpr Call<&Echo::echo> echo{"echo"};

/// What a call takes when nothing else disturbs it: the least of many.
double least_ns(Self& self) {
  double least = 1e18;
  for (int n = 0; n < 3000; ++n) {
    const auto before = std::chrono::steady_clock::now();
    MUST(echo.within(k_patience)(self, "echo", n) == n);
    least = std::min(least, std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - before).count());
  }
  return least;
}

}  // namespace

TEST_CASE("with 500,000 messages waiting, a call and its reply cost no more than ten times what they cost on an empty mailbox",
          "[server][call][stash]") {
  // Both are measured in the same run and compared with each other. A look at each message that waits would make it
  // hundreds of times.
  LiveSystem system;
  Self& self = system.self();
  start_server<Echo>(self, "echo", {echo});
  self.spawn_monitor("client", Code(+[](Self& self) {
    share_one_core();
    const double empty = least_ns(self);
    for (int n = 0; n < 500'000; ++n) self.send(self.pid(), "n", n);
    self.receive(on<"never">() >> [] {}, after(0s) >> [] {});
    MUST(self.unmatched_count() == 500'000);
    const double full = least_ns(self);
    MUST(self.unmatched_count() == 500'000);
    self.send("tester", "empty", empty, "full", full);
    self.receive(on<"never">() >> [] {});
  }), {.stop = muproc::kill, .mailbox = {.stash = Bytes::gib(2)}});
  self.receive(on<"empty", "full">() >> [](double empty, double full) {
    INFO("empty " << empty << " ns, full " << full << " ns");
    CHECK(full <= 10 * empty);
  }, on<"terminated", "reason">() >> [](Value, Reason reason) { FAIL(to_string(reason)); }, or_fail("what was measured"));
}
