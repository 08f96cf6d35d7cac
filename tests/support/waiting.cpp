#include "support/waiting.hpp"

#include <sched.h>
#include <time.h>

#include "support/catch.hpp"

namespace muproc::test {

void waited_in_vain(std::string_view what) {
  FAIL("waited " << k_patience.count() << " s for " << what);
  throw 0;  // not reached: FAIL throws, but does not say so
}

bool detail::Watchdog::go_on() {
  if (std::chrono::steady_clock::now() - started_ > k_patience) return false;
  if (++rounds_ < 100) {
    ::sched_yield();
  } else {
    const timespec moment{0, 500'000};
    ::nanosleep(&moment, nullptr);
  }
  return true;
}

}  // namespace muproc::test
