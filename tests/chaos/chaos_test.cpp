// Random worlds in random weather, held to the model all the time.
//
// A seed gives the world, the duels and the storms; the machine gives the moments at which they strike, so the same seed is
// the same plan, not the same run. A failure prints the seed and what has befallen the world.
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "chaos/house.hpp"
#include "chaos/weather.hpp"
#include "chaos/witness.hpp"
#include "chaos/world.hpp"
#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/soak.hpp"

using namespace muproc::test;
using namespace muproc::test::chaos;

namespace {

constexpr std::size_t k_chaos_tests = 1;  // that share the time of a soak
constexpr int k_worlds = 2, k_rounds = 1;
constexpr std::size_t k_duels = 4, k_events = 25;

/// What has been done, shown when the test fails.
class Diary {
 public:
  explicit Diary(std::uint64_t seed) : seed_(seed) {}
  ~Diary() {
    if (!Process::test_has_failed()) return;
    std::fprintf(
        stderr, "again: MUPROC_TEST_SEED=%llu build/dev/bin/chaos_tests '[chaos]'\n%s\nduels: %s\nweather: %s\n",
        static_cast<unsigned long long>(seed_), config.c_str(), duels.c_str(), weather ? weather->diary().c_str() : "");
  }
  std::string config, duels;
  const Weather* weather = nullptr;

 private:
  std::uint64_t seed_;
};

void live_in(std::uint64_t seed) {
  constexpr std::array k_ways = {"return", "throw", "eat", "kill", "segv"};
  Random dice(seed);
  const World world(dice);
  House house(world);
  Witness witness(house, world);
  Weather weather(dice, house, world, witness);
  Diary diary(seed);
  diary.config = world.config();
  diary.weather = &weather;
  witness.look_at_the_calm();
  for (int round = 0; round < k_rounds; ++round) {
    for (std::size_t i = 0; i < k_duels; ++i) {
      const std::size_t node = world.muprocs()[dice.below(world.muprocs().size())];
      const std::string way = k_ways[dice.below(k_ways.size())];
      diary.duels += world.nodes()[node].name + ' ' + way + "; ";
      witness.duel(node, way);
    }
    weather.storm(k_events);
    witness.look_at_the_calm();
  }
  witness.leave();
  house.broker().signal(SIGTERM);
  CHECK(house.broker().wait() == 0);
  nobody_is_left();
}

}  // namespace

TEST_CASE("a random world in random weather is what the model of supervision says, and no message is lost", "[chaos]") {
  const char* given = std::getenv("MUPROC_TEST_SEED");
  std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  const SoakShare share(k_chaos_tests);
  for (int i = 0; i < k_worlds || share.is_left(); ++i) {
    if (is_soak()) std::printf("chaos: seed %llu\n", static_cast<unsigned long long>(seed)), std::fflush(stdout);
    INFO("MUPROC_TEST_SEED=" << seed);
    live_in(seed++);
  }
}
