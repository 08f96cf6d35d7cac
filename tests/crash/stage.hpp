// A system on which muprocs are killed in the middle of something, one after the other, and what must hold after each.
//
// A *victim* does what it does between two marks (support/stepper.hpp). It is spawned by the test as "victim", traced, and
// told to begin; at a place between the marks it is killed. Then the test collects what of it still arrives, up to the
// notice of its death, and looks whether all the others go on, everything shared is in order, and nothing is left of it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "shm/segment.hpp"
#include "support/segment_invariants.hpp"
#include "support/stepper.hpp"
#include "support/system_fixture.hpp"

namespace muproc::test {

inline constexpr std::size_t k_crash_tests = 18;  // that share the time of a soak

class Stage;

struct Play {
  const char* title;
  Function victim;
  /// When the victim stands at its first mark.
  std::function<void(Stage&)> at_mark = [](Stage&) {};
  /// While it is blocked behind its mark; called again and again.
  std::function<void(Stage&)> when_blocked = [](Stage&) {};
  /// After its death: what else there is of it, to be cleared away. Grows, if at all, the later it died.
  std::function<int(Stage&)> aftermath = [](Stage&) { return 0; };
  /// It sends one message, which one store makes a message.
  bool sends = false;
  /// It waits: how often it looks meanwhile is a matter of time, and a place is not always later than one before it.
  bool waits = false;
};

// ---- what victims do -------------------------------------------------------------------------------------------------

/// What is in each numbered message, so that a torn one is seen.
const std::string& small_text();
constexpr unsigned k_large = 31'000;  // bytes: more than scratch memory holds

/// So often that it does not spin any more before it sleeps.
void settle_down(Self& self);
void await_go(Self& self);
void send_small(Self& self, Address to, int n);
void send_large(Self& self, Address to, int n);
void waits(Self& self);
/// Answers "ping" with "pong", and tells the test of each "n" that it gets.
void resident(Self& self);

// ---- the stage -------------------------------------------------------------------------------------------------------

class Stage {
 public:
  Stage();

  LiveSystem& system() { return system_; }
  Self& self() { return system_.self(); }
  Pid victim() const { return victim_; }
  /// The numbers of the messages that have come from the victim, or of it by the resident.
  std::vector<int>& seen() { return seen_; }
  /// Takes what has arrived of it so far.
  void collect_now();
  /// The resident has handled all that was sent to it before.
  void resident_is_up_to_date();
  /// Blocks of large messages that the test has in flight.
  std::uint64_t own_blocks();
  /// Nothing of the victim has been told to this time yet: for `when_blocked`.
  bool once() { return std::exchange(first_time_, false); }

  struct End {
    Reason reason = Reason::normal();
    std::vector<int> seen;
    int aftermath = 0;
  };
  /// Spawns a victim, brings it to its first mark, and hands it to `lead`, which may kill it. What then arrives.
  End play(const Play& play, const std::function<void(Stepper&, pid_t)>& lead);
  /// Until the victim has ended, does what it waits for; for one that is not led any more.
  void stand_by(const Play& play, pid_t os_pid);
  /// All that must hold between two victims.
  void check_house();

 private:
  void collect_until_death(Ref ref, End& end);
  void take_baseline();

  struct Marks {
    Marks() { make_marks(); }
  } marks_;  // before the system
  LiveSystem system_;
  Pid victim_;
  std::vector<int> seen_;
  bool first_time_ = true;
  std::unique_ptr<shm::PeerSegment> own_;
  Holdings broker_, test_;
};

/// The recording of a victim that is left to itself afterwards, and its end is looked at.
Recording record(Stage& stage, const Play& play, Stage::End* end = nullptr);

}  // namespace muproc::test
