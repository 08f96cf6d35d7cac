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

/// All edges, and some other places by lot, in order.
std::vector<std::size_t> chosen(const Recording& recording, Random& random) {
  constexpr std::size_t k_others = 5;
  std::vector<std::size_t> places = recording.edges();
  for (std::size_t i = 0; i < k_others; ++i) places.push_back(random.below(recording.places.size()));
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  return places;
}

constexpr std::size_t k_stride = 64;

/// Each 64th place, from the first on.
std::vector<std::size_t> spread(const Recording& recording, std::size_t first) {
  std::vector<std::size_t> places;
  for (std::size_t at = first; at < recording.places.size(); at += k_stride) places.push_back(at);
  return places;
}

/// What was seen of those who were killed earlier and earlier.
struct Progress {
  std::optional<std::size_t> seen;
  int aftermath = 0;
  std::vector<std::size_t> sent_at;  // the first places at which more had been sent
  std::size_t astray = 0;

  void add(std::size_t at, const Play& play, const Stage::End& end, const Stage::End& whole) {
    // What was committed has arrived, whole and in order, and nothing else; and what one instruction has sent, a later one
    // does not take back.
    REQUIRE(end.seen.size() <= whole.seen.size());
    CHECK(std::equal(end.seen.begin(), end.seen.end(), whole.seen.begin()));
    if (play.waits) return;
    CHECK(end.seen.size() >= seen.value_or(0));
    CHECK(end.aftermath >= aftermath);
    if (seen && end.seen.size() > *seen) sent_at.push_back(at);
    seen = end.seen.size();
    aftermath = end.aftermath;
  }
};

/// Kills one victim at each of these places, which come in order.
Progress kill_at(Stage& stage, const Play& play, const Recording& recording, const Stage::End& whole, const std::vector<std::size_t>& places) {
  Progress progress;
  for (const std::size_t at : places) {
    INFO("killed at instruction " << at << " of " << recording.places.size());
    const auto end = stage.play(play, [&](Stepper& stepper, pid_t) {
      if (!stepper.run_to(recording.places[at])) ++progress.astray;
      stepper.kill();
    });
    CHECK(end.reason == Reason::signal(SIGKILL));
    progress.add(at, play, end, whole);
    stage.check_house();
  }
  CHECK(10 * progress.astray <= places.size());  // some depend on the time of day
  return progress;
}

void kill_everywhere(Stage& stage, const Play& play, const SoakShare& time) {
  Random random;
  INFO(play.title << ", " << random.how_to_repeat());
  Stage::End whole;
  const Recording recording = record(stage, play, &whole);
  REQUIRE(recording.places.size() > 100);
  const auto places = chosen(recording, random);
  const Progress progress = kill_at(stage, play, recording, whole, places);
  if (play.sends && !play.waits && progress.astray == 0) {
    // It was one store that sent it: the instruction right before the first place at which it was sent.
    REQUIRE(progress.sent_at.size() == 1);
    const std::size_t store = progress.sent_at.front() - 1;
    CHECK(std::find(recording.changes.begin(), recording.changes.end(), store) != recording.changes.end());
  }
  std::size_t rounds = 0;
  for (std::size_t first = random.below(k_stride); rounds < k_stride && time.is_left(); ++rounds, first = (first + 1) % k_stride)
    kill_at(stage, play, recording, whole, spread(recording, first));
  if (is_soak())
    std::printf("%s: %zu instructions, %zu of them change shared memory, %zu system calls; killed at %zu edges and %zu/64 of the others\n",
                play.title, recording.places.size(), recording.changes.size(), recording.system_calls.size(), places.size(), rounds);
}

void kill_everywhere(const std::vector<Play>& plays) {
  if (!k_can_step) {
    WARN("nobody is stepped here: that takes an x86-64, and no sanitizer");
    return;
  }
  Stage stage;
  for (const Play& play : plays) kill_everywhere(stage, play, SoakShare(k_crash_tests * plays.size()));
}

}  // namespace

TEST_CASE("a sender that is killed at any instruction has sent its message or has not", "[crash][shm]") {
  kill_everywhere(sending());
}

TEST_CASE("a receiver that is killed at any instruction leaves nobody waiting and nothing in flight", "[crash][shm]") {
  kill_everywhere(receiving());
}

TEST_CASE("who is killed while it asks the broker for something leaves no name, no child and no link", "[crash][broker]") {
  kill_everywhere(asking());
}

TEST_CASE("who is killed in its sleep, in a receive or before a full channel, leaves nobody waiting", "[crash][shm]") {
  if (!k_can_step) {
    WARN("nobody is stepped here: that takes an x86-64, and no sanitizer");
    return;
  }
  Stage stage;
  for (std::vector<Play> plays = {sending().at(k_into_a_full_channel), receiving().at(k_asleep)}; Play& play : plays) {
    INFO(play.title);
    play.when_blocked = [](Stage&) {};
    const auto end = stage.play(play, [](Stepper& stepper, pid_t os_pid) {
      stepper.let_go();
      wait_until("the victim to fall asleep", [&] { return process_state(os_pid) == 'S'; });
      ::kill(os_pid, SIGKILL);
    });
    CHECK(end.reason == Reason::signal(SIGKILL));
    // What it had sent before is there, and what it wanted to send is not.
    for (std::size_t i = 0; i < end.seen.size(); ++i) CHECK(end.seen[i] == static_cast<int>(i));
    stage.check_house();
  }
}
