// Muproc `chaos`: while the day is open it kills one of the others, or itself, at random, `kills_per_second` times.
#include <muproc/groups.hpp>
#include <muproc/muproc.hpp>

#include "day.hpp"
#include "settings.hpp"

namespace trading {

using namespace muproc;

static void chaos(Self& self) {
  const auto victims = words(self, "victims");
  const auto rate = number(self, "kills_per_second");
  auto random = randomness(self);
  bool open = false;
  const auto pause = [&]() -> std::chrono::nanoseconds {
    if (!open || rate <= 0) return std::chrono::nanoseconds::max();
    return std::chrono::nanoseconds(std::uniform_int_distribution<std::int64_t>(0, 2'000'000'000 / rate)(random));
  };
  join(self, k_day);
  const auto kill_one = [&] {
    if (const Pid victim = self.find(victims[random() % victims.size()])) self.kill(victim);
  };
  for (;;) self.receive(hears_phase(self, open), after(pause()) >> kill_one);
}
MUPROC_ENTRY(chaos)

}  // namespace trading
