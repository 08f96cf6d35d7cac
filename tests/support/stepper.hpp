// A process under ptrace, led instruction by instruction to where it is to be killed or stopped.
//
// What is stepped lies between two marks: `mark()` in the tested function. A first run is recorded: each instruction between
// the marks, and which of them changed a shared byte or was a system call. A place in the recording is an instruction's address and
// how often it had been reached by then, so another process cloned from the same image is led there by a breakpoint
// register of the processor, in some 20 µs rather than in as much for each step; its way may differ elsewhere.
//
//     make_marks();                                 // before the system: all its processes then share them
//     Stepper stepper(os_pid);                      // stopped now
//     self.send(pid, "go", true);
//     stepper.run_to_mark();
//     const Recording recording = stepper.record(watched);
//     …another process…
//     REQUIRE(stepper.run_to(recording.places[17]));
//     stepper.kill();                               // the instruction at that place is never executed
//
// While it is led it may block in a system call: `when_blocked` is called again and again then, and may do what it waits
// for. All calls come from the thread that made the Stepper. Whoever is still traced at the end is let go.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "support/sanitizer.hpp"
#include "sys/fd.hpp"
#include "sys/mapping.hpp"

namespace muproc::test {

#if defined(__x86_64__)
/// A sanitizer's checks are instructions too, a hundred for each of ours.
inline constexpr bool k_can_step = !k_under_sanitizer;
#else
inline constexpr bool k_can_step = false;
#endif

inline std::atomic<int>* marks = nullptr;

/// Marks that do nothing before somebody steps.
void make_marks();

/// Where stepping begins or ends. Nothing for who is not traced.
inline void mark() {
#if defined(__x86_64__)
  if (marks->load()) asm volatile("int3" ::: "memory");
#endif
}

/// A file of shared memory, of which the pages that exist are compared with what they were.
class WatchedMemory {
 public:
  explicit WatchedMemory(int memfd);
  /// True when anything is another than the last time.
  bool has_changed();

 private:
  sys::UniqueFd memfd_;
  sys::Mapping map_;
  std::map<std::size_t, std::string> seen_;  // by the offset of each run of pages
};

/// The instruction at `address`, when it is reached for the `visit`th time; when it is one that repeats itself, after so
/// many `repeats`.
struct Place {
  std::uint64_t address = 0;
  std::uint32_t visit = 1;
  std::uint32_t repeats = 0;
};

struct Recording {
  std::vector<Place> places;               // each instruction, in order
  std::vector<std::size_t> changes;        // places whose instruction changed shared memory
  std::vector<std::size_t> system_calls;   // places whose instruction is a system call

  /// Where dying may matter: right before and right after each of those, in order. Of what an instruction does again and
  /// again, as when it copies, the first and the last two times: its middle is like its beginning.
  std::vector<std::size_t> edges() const;
};

class Stepper {
 public:
  using WhenBlocked = std::function<void()>;

  /// Takes hold of a process and stops it. Throws Failed.
  explicit Stepper(pid_t os_pid);
  ~Stepper();
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  /// An exception of it ends the waiting; then the process can only be let go, or killed by a signal.
  void when_blocked(WhenBlocked then) { when_blocked_ = std::move(then); }

  /// Lets it run to its next mark. Throws Failed when it ends before.
  void run_to_mark();
  /// Steps to the next mark, or to its end.
  Recording record(WatchedMemory* watched = nullptr);
  /// Lets it run until it is about to execute the instruction at that place. False when it came to a mark instead: it went
  /// another way than the one that was recorded.
  bool run_to(const Place& place);
  /// Lets it run to its next entry into a system call or return from one. False when it has come to a mark or to its end.
  bool run_to_system_call();
  /// True after an entry, false after a return.
  bool is_in_system_call() const { return in_system_call_; }

  /// Ends it here. It executes nothing more, and its death is its parent's to see.
  void kill();
  /// Leaves it stopped, as by SIGSTOP, and lets go of it.
  void stop();
  /// Lets go of it, wherever it is; it runs on.
  void let_go();

 private:
  enum class Stop { mark, step, breakpoint, system_call, other, ended };
  Stop resume(int how);
  Stop wait();
  void detach(int signal);
  std::uint64_t address() const;
  bool is_system_call_at(std::uint64_t address) const;
  bool step_to(const Place& place);
  void set_breakpoint(std::uint64_t address);

  pid_t os_pid_;
  bool is_traced_ = false, is_stopped_ = false, in_system_call_ = false;
  int signal_ = 0;  // that is still to be delivered
  sigset_t former_signals_{};
  WhenBlocked when_blocked_;
};

}  // namespace muproc::test
