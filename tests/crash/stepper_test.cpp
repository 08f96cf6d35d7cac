// The stepper itself: by a breakpoint a process comes to the places to which it comes by steps.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <set>
#include <vector>

#include "crash/plays.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

using namespace muproc;
using namespace muproc::test;

namespace {

bool cannot_step() {
  if (!k_can_step) WARN("nobody is stepped here: that takes an x86-64, and no sanitizer");
  return !k_can_step;
}

volatile int handled = 0;
char room[2][10'000];

[[gnu::noinline]] int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  return ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
}

/// Recursion and loops, instructions that repeat themselves, libraries, the kernel's own code, system calls, a signal.
void walk() {
  MUST(ackermann(2, 3) == 9);
  std::size_t count = sizeof room[0] / 100;
  void* to = room[1];
  const void* from = room[0];
#if defined(__x86_64__)
  asm volatile("rep movsb" : "+c"(count), "+S"(from), "+D"(to)::"memory");
#endif
  std::memcpy(room[1], room[0], sizeof room[0]);
  std::snprintf(room[0], sizeof room[0], "%d and %g", 4711, 1.5);
  timespec resolution{};
  ::clock_getres(CLOCK_MONOTONIC, &resolution);
  ::clock_getres(CLOCK_REALTIME_COARSE, &resolution);
  ::raise(SIGUSR1);
  MUST(handled == 1);
  for (int i = 0; i < 5; ++i) ::getppid();
}

/// Its registers are the same whenever it is run, but for its own process id.
template <void (*function)()>
Process walker() {
  return Process::forked([] {
    ::signal(SIGUSR1, [](int) { handled = handled + 1; });
    while (marks->load() == 0) ::sched_yield();
    mark();
    function();
    mark();
    return 0;
  });
}

using Registers = std::array<std::uint64_t, 17>;

/// Without what the processor or the kernel leaves of a step, of a breakpoint, or (in r11) of the way back from a call.
Registers registers_of(const Stepper& stepper) {
#if defined(__x86_64__)
  constexpr std::uint64_t k_trap = 0x100, k_resume = 0x10000;
  const user_regs_struct now = stepper.registers();
  return {now.rip,
          now.rsp,
          now.rbp,
          now.rax,
          now.rbx,
          now.rcx,
          now.rdx,
          now.rsi,
          now.rdi,
          now.r8,
          now.r9,
          now.r10,
          now.r12,
          now.r13,
          now.r14,
          now.r15,
          now.eflags & ~(k_trap | k_resume)};
#else
  return {};
#endif
}

std::uint64_t address_of(const Stepper& stepper) { return registers_of(stepper)[0]; }

/// What two processes have in common: not their ids, nor what was there before the mark.
Registers in_common(Registers now, const Registers& at_mark, int os_pid) {
  for (std::size_t i = 0; i < now.size(); ++i)
    if (now[i] == at_mark[i] || now[i] == static_cast<std::uint64_t>(os_pid)) now[i] = 0;
  return now;
}

/// Clones itself; the clone does what it does itself.
void walks_twice() {
  const pid_t child = ::fork();
  const int result = ackermann(2, 3);
  if (child == 0) ::_exit(result);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {}
  MUST(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

/// Sleeps until somebody writes to it, and then does something.
int to_sleeper[2];
void sleeps() {
  char c;
  MUST(::read(to_sleeper[0], &c, 1) == 1);
  MUST(ackermann(2, 3) == 9);
}

}  // namespace

TEST_CASE("a breakpoint leads a process to each place that steps come to", "[crash][stepper]") {
  if (cannot_step()) return;
  Random random;
  INFO(random.how_to_repeat());
  make_marks();
  Recording recording;
  std::vector<Registers> stepped;
  {
    auto process = walker<walk>();
    Stepper stepper(process.os_pid());
    stepper.run_to_mark();
    const Registers at_mark = registers_of(stepper);
    recording = stepper.record(nullptr, [&](std::size_t at) {
      stepped.resize(at + 1);
      stepped[at] = in_common(registers_of(stepper), at_mark, process.os_pid());
    });
    stepper.let_go();
    CHECK(process.wait() == 0);
  }
  REQUIRE(recording.places.size() > 1000);
  REQUIRE(recording.system_calls.size() > 5);
  // The first and the last, which are the marks' own, all system calls, and some by lot.
  std::set<std::size_t> sample{0, 1, recording.places.size() - 2, recording.places.size() - 1};
  for (const std::size_t at : recording.edges()) sample.insert(at);
  for (int i = 0; i < 100; ++i) sample.insert(random.below(recording.places.size()));
  for (const std::size_t at : sample) {
    const Place& place = recording.places[at];
    INFO("instruction " << at << " of " << recording.places.size() << ", visit " << place.visit << ", repeats "
                        << place.repeats);
    auto process = walker<walk>();
    Stepper stepper(process.os_pid());
    stepper.run_to_mark();
    const Registers at_mark = registers_of(stepper);
    REQUIRE(stepper.run_to(place));
    CHECK(in_common(registers_of(stepper), at_mark, process.os_pid()) == stepped[at]);
    // And it goes on to its end as if nobody had ever been there.
    if (at + 1 < recording.places.size())
      stepper.run_to_mark();
    else
      stepper.record();
    stepper.let_go();
    CHECK(process.wait() == 0);
  }
}

TEST_CASE("a clone that a process makes of itself while it is led has no breakpoint", "[crash][stepper]") {
  if (cannot_step()) return;
  make_marks();
  Place place;
  {
    auto process = walker<walks_twice>();
    Stepper stepper(process.os_pid());
    stepper.run_to_mark();
    const Recording recording = stepper.record();
    const auto within = std::ranges::max_element(recording.places, {}, [](const Place& p) {
      return p.address == reinterpret_cast<std::uintptr_t>(ackermann) ? p.visit : 0;
    });
    place = *within;
    REQUIRE(place.address == reinterpret_cast<std::uintptr_t>(ackermann));
    REQUIRE(place.visit > 10);
    stepper.let_go();
    CHECK(process.wait() == 0);
  }
  auto process = walker<walks_twice>();
  Stepper stepper(process.os_pid());
  stepper.run_to_mark();
  REQUIRE(stepper.run_to(place));
  stepper.let_go();
  CHECK(process.wait() == 0);
}

TEST_CASE("who is let go on its way to a place has no breakpoint left", "[crash][stepper]") {
  if (cannot_step()) return;
  struct Enough {};
  make_marks();
  for (int i = 0; i < 20; ++i) {
    REQUIRE(::pipe(to_sleeper) == 0);
    auto process = walker<sleeps>();
    {
      Stepper stepper(process.os_pid());
      stepper.run_to_mark();
      stepper.when_blocked([] { throw Enough(); });
      CHECK_THROWS_AS(stepper.run_to({reinterpret_cast<std::uintptr_t>(ackermann), 3, 0}), Enough);
      // Every other one is on its way when it is let go, or has come to its breakpoint.
      if (i % 2) CHECK(::write(to_sleeper[1], "x", 1) == 1);
    }
    if (i % 2 == 0) CHECK(::write(to_sleeper[1], "x", 1) == 1);
    CHECK(process.wait() == 0);
    for (const int fd : to_sleeper) ::close(fd);
  }
}

TEST_CASE("a muproc that is led to a place goes on from there as the one that was recorded", "[crash][stepper]") {
  if (cannot_step()) return;
  constexpr std::size_t k_steps = 32;  // what comes much later may depend on the time of day, or on what memory is free
  struct Enough {};
  Random random;
  INFO(random.how_to_repeat());
  Stage stage;
  std::size_t led = 0, alike = 0;
  for (const std::vector<Play>& plays : {sending(), receiving()})
    for (const Play& play : plays) {
      if (play.waits) continue;  // how often it looks meanwhile is a matter of time
      INFO(play.title);
      const auto places = record(stage, play).places;
      for (int i = 0; i < 4; ++i, ++led) {
        const std::size_t at = random.below(places.size() - k_steps);
        const auto is_as_recorded = [&](Stepper& stepper) {
          if (!stepper.run_to(places[at])) return false;
          bool same = true;
          try {
            stepper.record(nullptr, [&](std::size_t step) {
              same = same && address_of(stepper) == places[at + step].address;
              if (!same || step + 1 == k_steps) throw Enough();
            });
          } catch (const Enough&) {
            // the rest is its own affair
          }
          return same;
        };
        stage.play(play, [&](Stepper& stepper, pid_t) { alike += is_as_recorded(stepper); });
        stage.check_house();
      }
    }
  CHECK(10 * alike >= 8 * led);
}
