// Round trips between two muprocs on two cores: rtt/typed, rtt/mumsg.
#include "bench/bench.capnp.h"
#include "bench/live.hpp"

namespace muproc::bench {
namespace {

constexpr int k_warm_up = 3'000;
constexpr int k_laps = 20'000;

void fill(Ball::Builder ball, std::uint64_t n) {
  ball.setNumber(n);
  ball.setA(static_cast<double>(n));
  ball.setB(0.5);
  ball.setC(n * 3);
  ball.setD(n ^ 0xff);
  ball.setE(-static_cast<std::int64_t>(n));
  ball.setF(7);
}

std::uint64_t sum(Ball::Reader ball) {
  return ball.getNumber() + static_cast<std::uint64_t>(ball.getA() + ball.getB()) + ball.getC() + ball.getD() +
         static_cast<std::uint64_t>(ball.getE() + ball.getF());
}

std::uint64_t expected(std::uint64_t n) { return n + n + n * 3 + (n ^ 0xff) - n + 7; }

void typed_echo(Self& self) {
  settle(self);
  for (;;)
    self.receive(on<Ball>() >> [&](From from, Ball::Reader got) {
      const std::uint64_t n = got.getNumber();
      if (sum(got) != expected(n)) self.exit("a ball came that was not the one that was sent");
      self.send<Ball>(from, [&](Ball::Builder ball) { fill(ball, n + 1); });
    });
}

void typed_player(Self& self) {
  settle(self);
  const Pid echo = self.args()["to"].as<Pid>();
  Laps laps(k_laps);
  for (std::uint64_t n = 0; n < k_warm_up + k_laps; ++n) {
    if (n == k_warm_up) laps.begin();
    self.send<Ball>(echo, [&](Ball::Builder ball) { fill(ball, n); });
    self.receive(on<Ball>() >> [&](Ball::Reader got) {
      if (sum(got) != expected(n + 1)) self.exit("a ball came back that was not the one that was sent");
    });
    if (n >= k_warm_up) laps.lap();
  }
  tell(self, laps.end());
}

void mumsg_echo(Self& self) {
  settle(self);
  for (;;)
    self.receive(on<"cmd", "x">(is("square"), anything) >> [&](From from, std::string_view, double x) {
      self.send(from, "answer", x * x, "x", x);
    });
}

void mumsg_player(Self& self) {
  settle(self);
  const Pid echo = self.args()["to"].as<Pid>();
  Laps laps(k_laps);
  for (int n = 0; n < k_warm_up + k_laps; ++n) {
    if (n == k_warm_up) laps.begin();
    const double x = n;
    self.send(echo, "cmd", "square", "x", x);
    self.receive(on<"answer", "x">() >> [&](double answer, double of) {
      if (answer != x * x || of != x) self.exit("a wrong answer");
    });
    if (n >= k_warm_up) laps.lap();
  }
  tell(self, laps.end());
}

class RoundTrip : public Row {
 public:
  RoundTrip(Live& live, std::string name, Function echo, Function player, double limit)
      : live_(live), name_(std::move(name)), echo_(echo), player_(player), limit_(limit) {}

  std::string name() const override { return name_; }
  std::string unit() const override { return "ns"; }
  std::optional<Bar> bar() const override { return Bar{Bar::On::ratio, Bar::Side::at_most, limit_}; }
  std::optional<double> in_ns(double value) const override { return value; }

  Round round() override {
    if (!partner_) partner_ = live_.spawn(live_.fresh_name("echo"), echo_, live_.cores().second);
    return live_.measured_by(player_, live_.cores().first, {{"to", partner_}});
  }

 private:
  Live& live_;
  std::string name_;
  Function echo_, player_;
  double limit_;
  Pid partner_;
};

// ---- stream/typed ----------------------------------------------------------------------------------------------------

constexpr std::uint64_t k_streamed = 1'000'000;

void stream_source(Self& self) {
  settle(self);
  const Pid to = self.args()["to"].as<Pid>();
  for (std::uint64_t n = 0; n < k_streamed; ++n) self.send<Ball>(to, [&](Ball::Builder ball) { fill(ball, n); });
  self.receive(on<"never">() >> [] {});
}

/// Messages a second, from the first tenth on.
void stream_sink(Self& self) {
  settle(self);
  self.spawn(gensym("source-"), stream_source, {.args = {{"core", self.args()["other"]}, {"to", self.pid()}}, .link = true, .stop = muproc::kill});
  double begin = 0;
  for (std::uint64_t n = 0; n < k_streamed; ++n) {
    if (n == k_streamed / 10) begin = now_ns();
    self.receive(on<Ball>() >> [&](Ball::Reader got) {
      if (got.getNumber() != n || sum(got) != expected(n)) self.exit("a ball is missing");
    });
  }
  const double seconds = (now_ns() - begin) / 1e9;
  tell(self, {static_cast<double>(k_streamed - k_streamed / 10) / seconds, {}, {}});
}

class Stream : public Row {
 public:
  explicit Stream(Live& live) : live_(live) {}
  std::string name() const override { return "stream/typed"; }
  std::string unit() const override { return "msg/s"; }
  std::optional<Bar> bar() const override { return Bar{Bar::On::value, Bar::Side::at_least, 8e6}; }
  std::optional<double> in_ns(double per_second) const override { return 1e9 / per_second; }
  Round round() override {
    Round round = live_.measured_by(stream_sink, live_.cores().first, {{"other", live_.cores().second}});
    round.p90 = round.p99 = std::nullopt;
    return round;
  }

 private:
  Live& live_;
};

}  // namespace

RowPtr make_rtt_typed(Live& live) {
  return std::make_unique<RoundTrip>(live, "rtt/typed", typed_echo, typed_player, 2.5);
}
RowPtr make_rtt_mumsg(Live& live) {
  return std::make_unique<RoundTrip>(live, "rtt/mumsg", mumsg_echo, mumsg_player, 4.0);
}
RowPtr make_stream_typed(Live& live) { return std::make_unique<Stream>(live); }

}  // namespace muproc::bench
