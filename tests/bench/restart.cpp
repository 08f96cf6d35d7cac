// From a child's death to the first message that its replacement receives: restart/zygote.
#include <csignal>

#include "bench/live.hpp"

namespace muproc::bench {
namespace {

constexpr int k_restarts = 20;  // a round

/// Tells when it received its first message, and waits for its end.
void victim(Self& self) {
  for (;;)
    self.receive(on<"hello">() >> [&](From from) { self.send(from, "heard", now_ns()); });
}

class Restart : public Row {
 public:
  explicit Restart(Live& live) : live_(live) {}
  std::string name() const override { return "restart/zygote"; }
  std::string unit() const override { return "ms"; }
  std::optional<Bar> bar() const override { return Bar{Bar::On::value, Bar::Side::at_most, 1.0}; }
  std::optional<double> in_ns(double ms) const override { return ms * 1e6; }
  int most_rounds() const override { return 10; }

  Round round() override {
    Self& self = live_.self();
    if (!victim_) {
      self.start_supervisor("restarts", supervisor(one_for_one, {1'000'000, std::chrono::seconds(1)}, {{"victim", victim}}));
      victim_ = self.find("victim");
      hello();
    }
    std::vector<double> times;
    for (int i = 0; i < k_restarts; ++i) times.push_back(restart());
    return {median(times), quantile(times, 0.9), quantile(times, 0.99)};
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

  double restart() {
    const Pid before = victim_;
    const int os_pid = live_.os_pid(before);
    const double killed = now_ns();
    ::kill(os_pid, SIGKILL);
    // Its name is found in the directory, without the broker; one that spins here leaves the other core to those who work.
    while (!victim_ || victim_ == before) victim_ = live_.self().find("victim");
    return (hello() - killed) / 1e6;
  }

  Live& live_;
  Pid victim_;
};

}  // namespace

RowPtr make_restart_zygote(Live& live) { return std::make_unique<Restart>(live); }

}  // namespace muproc::bench
