// A process under ptrace, led instruction by instruction to where it is to be killed or stopped.
//
// What is stepped lies between two marks: `mark()` in the tested function. A first run is recorded: each instruction between
// the marks, and which of them changed a shared byte or was a system call. A place in the recording is an instruction's
// address and how often it had been reached by then, so another process cloned from the same image is led there by a
// breakpoint, at the cost of a few steps for each visit rather than of one for each instruction; its way may differ
// elsewhere.
//
// A breakpoint is an int3 in the process's own copy of its text, for as long as it runs. It is gone before anybody else
// can meet it: whenever the process stands where it was led, while it makes a clone of itself, and when it is let go.
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
#include <sys/user.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
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
  /// Steps to the next mark, or to its end; through the kernel's own code in the process (its vdso) as one step.
  /// `before_each` is called before each instruction, with its place's number.
  Recording record(WatchedMemory* watched = nullptr, const std::function<void(std::size_t)>& before_each = nullptr);
  /// Lets it run until it is about to execute the instruction at that place, counted from where it stands. False when it
  /// came to a mark instead: it went another way than the one that was recorded. Throws Failed when it has more than one
  /// thread.
  bool run_to(const Place& place);
  /// Lets it run to its next entry into a system call or return from one. False when it has come to a mark or to its end.
  bool run_to_system_call();
  /// True after an entry, false after a return.
  bool is_in_system_call() const;
  /// Where it stands, and with what.
  user_regs_struct registers() const;

  /// Ends it here. It executes nothing more, and its death is its parent's to see.
  void kill();
  /// Leaves it stopped, as by SIGSTOP, and lets go of it.
  void stop();
  /// Lets go of it, wherever it is; it runs on.
  void let_go();

 private:
  enum class Stop { mark, step, breakpoint, system_call, other, ended };
  struct Breakpoint {
    std::uint64_t address;
    std::uint8_t code;  // that belongs there
  };
  Stop resume(int how);
  Stop wait();
  Stop step(bool& came_a_signal);
  void detach(int signal);
  std::uint64_t address() const;
  bool is_system_call_at(std::uint64_t address) const;
  bool is_about_to_trap() const;
  bool catches(int signal) const;
  bool pass_vdso();
  static bool may_go_on(Stop stop);
  bool run_to_breakpoint(std::uint64_t address);
  void set_breakpoint(std::uint64_t address);
  void lift_breakpoint();
  std::uint8_t replace_code(std::uint64_t address, std::uint8_t code);

  pid_t os_pid_;
  bool is_traced_ = false, is_stopped_ = false;
  int signal_ = 0;  // that is still to be delivered
  std::optional<Breakpoint> breakpoint_;  // that is in its text now
  sigset_t former_signals_{};
  WhenBlocked when_blocked_;
};

}  // namespace muproc::test
