// Killed at every instruction: whatever a muproc is in the middle of, its death leaves nothing half done.
//
// Of each act the first victim is recorded. The next ones are killed right before and right after each instruction that
// changes shared memory or is a system call, and at others drawn by lot. In a soak: of sends, receives, sleeps and wakes
// at every instruction; of the rest, at so many more by lot.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <optional>

#include "crash/plays.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/soak.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t k_every = ~std::size_t{0};

/// Where to kill, in order: all edges, and so many other places.
std::vector<std::size_t> chosen(const Recording& recording, std::size_t others, Random& random) {
  std::vector<std::size_t> places = recording.edges();
  const std::size_t all = recording.places.size();
  for (std::size_t i = 0; i < std::min(others, all); ++i) places.push_back(others == k_every ? i : random.below(all));
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  return places;
}

/// What was seen of those who were killed earlier and earlier.
struct Progress {
  std::optional<std::size_t> seen;
  int aftermath = 0;
  std::vector<std::size_t> sent_at;  // the first places at which more had been sent
  std::size_t astray = 0;

  void add(std::size_t at, const Stage::End& end, const Stage::End& whole) {
    // What was committed has arrived, whole and in order, and nothing else; and what one instruction has sent, a later one
    // does not take back.
    REQUIRE(end.seen.size() <= whole.seen.size());
    CHECK(std::equal(end.seen.begin(), end.seen.end(), whole.seen.begin()));
    CHECK(end.seen.size() >= seen.value_or(0));
    CHECK(end.aftermath >= aftermath);
    if (seen && end.seen.size() > *seen) sent_at.push_back(at);
    seen = end.seen.size();
    aftermath = end.aftermath;
  }
};

void kill_everywhere(Stage& stage, const Play& play, std::size_t others) {
  Random random;
  INFO(play.title << ", " << random.how_to_repeat());
  Stage::End whole;
  const Recording recording = record(stage, play, &whole);
  REQUIRE(recording.places.size() > 100);
  Progress progress;
  const auto places = chosen(recording, others, random);
  for (const std::size_t at : places) {
    INFO("killed at instruction " << at << " of " << recording.places.size());
    const auto end = stage.play(play, [&](Stepper& stepper, pid_t) {
      if (!stepper.run_to(recording.places[at])) ++progress.astray;
      stepper.kill();
    });
    CHECK(end.reason == Reason::signal(SIGKILL));
    progress.add(at, end, whole);
    stage.check_house();
  }
  CHECK(10 * progress.astray <= places.size());  // some depend on the time of day
  if (play.sends && progress.astray == 0) {
    // It was one store that sent it: the instruction right before the first place at which it was sent.
    REQUIRE(progress.sent_at.size() == 1);
    const std::size_t store = progress.sent_at.front() - 1;
    CHECK(std::find(recording.changes.begin(), recording.changes.end(), store) != recording.changes.end());
  }
  if (is_soak())
    std::printf("%s: %zu instructions, %zu of them change shared memory, %zu system calls, %zu deaths, %zu went astray\n", play.title,
                recording.places.size(), recording.changes.size(), recording.system_calls.size(), places.size(), progress.astray);
}

void kill_everywhere(const std::vector<Play>& plays, std::size_t others) {
  if (!k_can_step) {
    WARN("nobody is stepped here: that takes an x86-64, and no sanitizer");
    return;
  }
  Stage stage;
  for (const Play& play : plays) kill_everywhere(stage, play, others);
}

}  // namespace

TEST_CASE("a sender that is killed at any instruction has sent its message or has not", "[crash][shm]") {
  kill_everywhere(sending(), is_soak() ? k_every : 5);
}

TEST_CASE("a receiver that is killed at any instruction leaves nobody waiting and nothing in flight", "[crash][shm]") {
  kill_everywhere(receiving(), is_soak() ? k_every : 5);
}

TEST_CASE("who is killed while it asks the broker for something leaves no name, no child and no link", "[crash][broker]") {
  kill_everywhere(asking(), is_soak() ? 300 : 2);
}
