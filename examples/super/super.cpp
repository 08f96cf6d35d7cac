// The child of the talk's supervisor examples: says something again and again, until it is stopped.
#include "super.hpp"

#include <muproc/muproc.hpp>

#include <chrono>
#include <cstdlib>
#include <string>

using namespace muproc;

namespace {

/// "3s", "250ms": as the config writes durations.
std::chrono::milliseconds period_from(const std::string& text) {
  char* unit = nullptr;
  const double count = std::strtod(text.c_str(), &unit);
  return std::chrono::milliseconds(static_cast<long>(std::string(unit) == "ms" ? count : count * 1000));
}

}  // namespace

void super_child(Self& self) {
  const auto period = period_from(self.args()["period"].as<std::string>());
  const auto symbol = self.args()["symbol"].as<std::string>();
  self.log().info("Starting.");
  struct Farewell {
    Self& self;
    ~Farewell() { self.log().info("Terminating."); }
  } farewell{self};
  for (;;) {
    self.sleep(period);
    self.log().info("{}", symbol);
  }
}

MUPROC_ENTRY(super_child)
