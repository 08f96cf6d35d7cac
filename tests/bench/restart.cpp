// From a child's death to the first message that its replacement receives: restart/zygote, where the replacement is cloned
// then, and restart/exec, where it is a program of its own, one restart right after the other; restart/rested, as the first with
// a pause before each; and restart/spare, where it was cloned in that pause. Beside restart/zygote, what the kernel needs by
// itself for an end and a clone.
#include <csignal>
#include <ctime>
#include <fstream>

#include "bench/clones.hpp"
#include "bench/live.hpp"

namespace muproc::bench {
namespace {

constexpr int k_restarts = 20;  // a round

class Restart {
 public:
  Restart(Live& live, std::string name, Code code, bool pauses, std::uint32_t spares)
      : live_(live), name_(std::move(name)), code_(std::move(code)), pauses_(pauses), spares_(spares) {}

  Round round() {
    Self& self = live_.self();
    if (!victim_) {
      self.start_supervisor(name_ + "s", supervisor(one_for_one, {1'000'000, std::chrono::seconds(1)}, {{name_, code_, {.spares = spares_}}}));
      victim_ = self.find(name_);
      hello();
      const timespec settled{0, 200'000'000};
      ::nanosleep(&settled, nullptr);
      all_ = processes();
    }
    Histogram times;
    for (int i = 0; i < k_restarts; ++i) times.record(static_cast<std::uint64_t>(restart()));
    return round_of(std::move(times), 1e6);
  }

 private:
  double hello() {
    double heard = 0;
    live_.self().send(victim_, "hello", true);
    live_.self().receive(on<"heard">() >> [&](From from, double when) {
      if (from == victim_) heard = when;
    });
    return heard;
  }

  std::size_t processes() const {
    const std::string broker = std::to_string(live_.broker_os_pid());
    std::ifstream children("/proc/" + broker + "/task/" + broker + "/children");
    std::size_t count = 0;
    for (int child; children >> child;) ++count;
    return count;
  }

  /// Long enough for spares to be there, and asleep.
  void pause() const {
    if (!pauses_) return;
    const timespec moment{0, 10'000'000};
    do ::nanosleep(&moment, nullptr);
    while (processes() < all_);
  }

  double restart() {
    pause();
    const Pid before = victim_;
    const int os_pid = live_.os_pid(before);
    const double killed = now_ns();
    ::kill(os_pid, SIGKILL);
    // Its name is found in the directory, without the broker; one that spins here leaves the other core to those who work.
    while (!victim_ || victim_ == before) victim_ = live_.self().find(name_);
    return hello() - killed;
  }

  Live& live_;
  std::string name_;
  Code code_;
  bool pauses_;
  std::uint32_t spares_;
  std::size_t all_ = 0;  // the broker's children, when its spares are there
  Pid victim_;
};

void bare_restarts(Self& self) { tell(self, round_of(measure_bare_restarts(k_restarts), 1e6)); }

Row restart(Live& live, std::string name, Code code, bool pauses, std::uint32_t spares, std::vector<Bar> bars = {}) {
  auto restart = std::make_shared<Restart>(live, name, std::move(code), pauses, spares);
  return {.name = "restart/" + name, .unit = "ms", .round = [restart] { return restart->round(); }, .bars = std::move(bars), .most_rounds = 10};
}

}  // namespace

void add_restarts(Rows& rows, Live& live) {
  Row zygote = restart(live, "zygote", victim, false, 0, {at_most(0.5)});
  zygote.beside = "an end and a clone";
  zygote.round = [&live, round = std::move(zygote.round)] {
    Round both = round();
    both.beside = live.measured_by(bare_restarts).value;
    return both;
  };
  rows.push_back(std::move(zygote));
  rows.push_back(restart(live, "exec", exec({victim_program()}), false, 0));
  rows.push_back(restart(live, "rested", victim, true, 0));
  rows.push_back(restart(live, "spare", victim, true, 1));
}

}  // namespace muproc::bench
