// Stopped at any instruction, then continued: nobody takes anything from one who lives, however slow it is.
#include <algorithm>
#include <csignal>

#include "crash/plays.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/soak.hpp"
#include "tools/common/broker_memory.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

/// What goes on while it stands still: others send to it, send to each other, are born and die.
void the_world_goes_on(Stage& stage) {
  Self& self = stage.self();
  const Pid victim = stage.victim();
  for (int i = 0; i < 3; ++i) CHECK(self.try_send(victim, "later", i));
  stage.resident_is_up_to_date();
  const auto [other, ref] = self.spawn_monitor("other", +[](Self& self) { self.send("resident", "n", -1, "text", small_text()); });
  CHECK(reason_of(self, ref) == Reason::normal());
  self.receive(on<"n", "text">(is(-1), anything) >> [](int, std::string) {}, or_fail("what another muproc has sent"));
  CHECK(tools::BrokerMemory(stage.system().folder()).segments({victim}).size() == 1);
  CHECK(self.alive(victim));
  CHECK(self.find("victim") == victim);
}

void stop_everywhere(Stage& stage, const Play& play, const SoakShare& time) {
  Random random;
  INFO(play.title << ", " << random.how_to_repeat());
  Stage::End whole;
  const Recording recording = record(stage, play, &whole);
  // Not in the mark itself, which is none any more for who is let go.
  constexpr std::size_t k_mark = 8;
  const auto edges = recording.edges();
  constexpr std::size_t k_others = 2;
  for (std::size_t n = 0; n < edges.size() + k_others || time.is_left(); ++n) {
    const std::size_t at = std::min(n < edges.size() ? edges[n] : random.below(recording.places.size()), recording.places.size() - k_mark);
    INFO("stopped at instruction " << at << " of " << recording.places.size());
    const auto end = stage.play(play, [&](Stepper& stepper, pid_t os_pid) {
      if (!stepper.run_to(recording.places[at])) return;
      stepper.stop();
      the_world_goes_on(stage);
      ::kill(os_pid, SIGCONT);
      stage.stand_by(play, os_pid);
    });
    CHECK(end.reason == whole.reason);
    CHECK(end.seen == whole.seen);
    CHECK(end.aftermath == whole.aftermath);
    stage.check_house();
  }
}

void stop_everywhere(const std::vector<Play>& plays) {
  if (!k_can_step) {
    WARN("nobody is stepped here: that takes an x86-64, and no sanitizer");
    return;
  }
  Stage stage;
  for (const Play& play : plays) stop_everywhere(stage, play, SoakShare(k_crash_tests * plays.size()));
}

}  // namespace

TEST_CASE("a sender that is stopped at any instruction, and continued, goes on as if nothing had been", "[crash][stop]") {
  stop_everywhere(sending());
}

TEST_CASE("a receiver that is stopped at any instruction, and continued, has its message", "[crash][stop]") {
  stop_everywhere(receiving());
}

TEST_CASE("who is stopped while it asks the broker for something, and continued, gets it", "[crash][stop]") {
  stop_everywhere(asking());
}
