// A server that squares numbers and keeps their sum, and a client that asks it for some random squares.
// The first example of the talk on cl-muproc.
#include <muproc/muproc.hpp>

#include <cstdio>
#include <random>

using namespace muproc;

namespace {

void areaserver(Self& self) {
  auto port = self.register_port("areaserver");  // released at scope end
  double total = 0;
  for (;;) {
    self.receive(
        on<"cmd", "x">(is("square"), anything) >> [&](From from, Symbol, double x) {
          total += x * x;
          self.send(from, "answer", x * x);
        },
        on<"cmd">(is("sum")) >> [&](From from) { self.send(from, "answer", total); },
        on<"cmd">(is("quit")) >> [&] {
          self.log().info("Terminating.");
          self.exit("received-quit-cmd");
        });
  }
}

void areaclient(Self& self) {
  std::mt19937 generator{std::random_device{}()};
  std::uniform_int_distribution<int> random(0, 99);
  for (int left = self.args()["count"].as<int>(); left > 0; --left) {
    const int number = random(generator);
    self.send("areaserver", "cmd", Symbol("square"), "x", number);
    self.receive(on<"answer">() >> [&](double answer) { std::printf("The square of %d is %g.\n", number, answer); });
  }
}

}  // namespace

MUPROC_ENTRY(areaserver)
MUPROC_ENTRY(areaclient)
