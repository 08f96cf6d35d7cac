// A test kit: a small system of real processes inside a test case of Catch2, GoogleTest or any other framework.
//
//     TEST_CASE("the counter comes back after a crash") {
//       TestSystem system{supervisor(one_for_one, {2, 5s}, {{"counter", counter}})};   // a broker in a process of its own
//       Self& self = system.self();                                                    // the test, a muproc like others
//       self.send("counter", "add", 3);
//       const Pid before = system.wait_for("counter");
//       system.kill("counter");
//       system.wait_for_restart("counter", before);
//     }                                                         // stopped in order; then no process of it is left
//
// Link muproc::testing. Nothing here knows a framework: what fails throws `Failed`, whose text says what was waited for, and
// every framework reports an exception that leaves a test. Muprocs run in other processes, where the framework's
// assertions would tell nobody: let them send what they saw to the test, or use MUPROC_MUST, which ends the muproc with an
// exception that quotes the condition, and look at its reason.
//
// The broker's process is forked from the test's, and its children from that, so functions of the test program can be
// spawned, lambdas without captures too (with a + before them). Fork-safety asks that the test has no other threads when
// it makes a TestSystem. Everything dies with the test's process, however that ends.
//
// Waits have a limit, `k_patience`, that nobody should need: a test waits for a condition, never for a while.
//
// With `virtual_time` the system's clock stands still until `advance`: timers, sleeps, `after`, time limits and time-outs of
// calls in its muprocs, and back-off and restart windows of its supervisors. Real are: the test's own waiting, stop periods
// and the time in which a child has to become ready, `send_after` and the like of outsiders (the test is one), and what
// programs read from the system's clocks themselves.
#pragma once

#include <muproc/muproc.hpp>
#include <muproc/system.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muproc::test {

// ---- waiting ---------------------------------------------------------------------------------------------------------

/// What was waited for did not come, or could not be had. Its text says what it was.
struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Longer than anything takes on a busy machine under a sanitizer.
inline constexpr std::chrono::seconds k_patience{40};

/// Throws Failed: "waited 40 s for …".
[[noreturn]] void waited_in_vain(std::string_view what);

namespace detail {
class Looking {
 public:
  /// Lets others run for a moment; false when patience is at its end.
  bool go_on();

 private:
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  unsigned rounds_ = 0;
};
}  // namespace detail

/// Looks again and again until the predicate holds. What it returned then is returned: a pid that was found, a text. Throws
/// Failed, with `what`, when patience is at its end.
template <class Predicate>
auto wait_until(std::string_view what, Predicate&& predicate) {
  for (detail::Looking looking;;) {
    if (auto result = predicate()) return result;
    if (!looking.go_on()) waited_in_vain(what);
  }
}

/// A clause for a receive in the test: `self.receive(on<"n">() >> …, or_fail("the answer"))`.
inline auto or_fail(std::string what) {
  return after(k_patience) >> [what = std::move(what)] { waited_in_vain(what); };
}

/// Waits for a message that has this field, and takes it. (Fields that are not asked for do not matter.)
template <class T, muproc::detail::FixedString name>
T next(Self& self) {
  std::optional<T> value;
  self.receive(on<name>() >> [&](T got) { value.emplace(std::move(got)); },
               or_fail("a message with the field \"" + std::string(name.view()) + '"'));
  return *std::move(value);
}
template <muproc::detail::FixedString name>
Value next(Self& self) {
  return next<Value, name>(self);
}
/// Waits for the notice of that monitor, and takes it.
Reason reason_of(Self& self, Ref monitor);
/// Waits for the notice of that link, or of an unspecified monitor: from this pid, and takes it.
Reason reason_of(Self& self, Pid ended);
/// Spawns it, monitored, and waits for its end.
Reason play(Self& self, const char* name, Function function, SpawnOptions options = {});

/// In a muproc of a test: ends it with an exception that quotes the condition and its place.
#define MUPROC_MUST(...)                                                                         \
  do {                                                                                           \
    if (!(__VA_ARGS__)) ::muproc::test::must_have_been(__FILE__, __LINE__, #__VA_ARGS__);     \
  } while (false)
[[noreturn]] void must_have_been(const char* file, int line, const char* condition);

// ---- processes -------------------------------------------------------------------------------------------------------

/// A child process of the test, whose output (stdout and stderr together) goes to a file. It dies with the test.
class Process {
 public:
  /// Runs `body` in a forked child; its result is the exit code. An exception is printed and makes 70.
  static Process forked(std::function<int()> body);
  /// Runs a program, found as execvp does, with these variables added to the environment.
  static Process program(std::vector<std::string> argv, std::map<std::string, std::string> environment = {});

  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  /// Kills it if it still runs; shows its output on stderr when the test has failed.
  ~Process();
  /// How a Process knows: by an exception on its way, until somebody knows better, such as
  /// `Process::test_has_failed = ::testing::Test::HasFailure`.
  static inline bool (*test_has_failed)() = [] { return std::uncaught_exceptions() > 0; };

  int os_pid() const { return os_pid_; }
  bool running() const;
  void signal(int number) const;
  /// Waits for its end. Its exit code, or 128 + the signal that ended it, as shells have it. Throws Failed.
  int wait();
  /// All that it and its descendants have printed so far.
  std::string output() const;
  /// Waits until the output contains the text. Throws Failed.
  void wait_for_output(const std::string& text) const;
  /// On stderr, its end at least.
  void show_output() const;

 private:
  explicit Process(std::filesystem::path output) : output_(std::move(output)) {}
  static Process start(const std::function<void()>& in_child);

  int os_pid_ = 0;
  bool reaped_ = false;
  int exit_code_ = -1;
  std::filesystem::path output_;
};

/// The kernel's letter for what a process is doing: R, S, T, …; X when it is gone.
char process_state(int os_pid);
/// True while that process exists and is no zombie.
bool process_lives(int os_pid);
/// Waits until the kernel says that a process is stopped, as by SIGSTOP. Throws Failed.
void wait_until_stopped(int os_pid);

// ---- a system --------------------------------------------------------------------------------------------------------

struct TestOptions {
  bool virtual_time = false;
  bool capture_output = false;                   ///< what muprocs print goes to files below the system's folder
  std::filesystem::path module_dir = {};         ///< where modules named without a slash are looked for first
  LogLevel log = LogLevel::info;                 ///< the least that the broker's log tells
  std::string attach_as = "tester";              ///< the test's own name in the system
};

/// What a muproc is doing, as the broker reads it in that one's memory.
struct MuprocStatus {
  enum class Activity { starting, running, receiving, sending, exiting };
  Activity activity = Activity::starting;  ///< receiving: asleep until there is a message; sending: blocked by a full channel
  bool traps_exits = false;
  std::uint64_t sent = 0;
  std::uint64_t received = 0;   ///< messages taken out of its channels, ever
  std::uint64_t unmatched = 0;  ///< messages that wait in its mailbox: received, and wanted by no clause so far
  std::uint64_t wakes = 0;      ///< times that it was woken
  std::uint64_t restarts = 0;
};

/// A running system, and the test's membership in it. Its folder lies in $MUPROC_RUNTIME_DIR if that is set, else in a
/// temporary folder of its own.
class TestSystem {
 public:
  /// Nobody lives there but the test.
  explicit TestSystem(TestOptions options = {});
  explicit TestSystem(Supervisor root, TestOptions options = {});
  /// From a config; throws std::runtime_error with all that is wrong with it.
  explicit TestSystem(const std::filesystem::path& config, TestOptions options = {});
  /// Asks it to stop in order, and kills it when it does not. Not checked: its exit code; for that call `stop`.
  ~TestSystem();
  TestSystem(const TestSystem&) = delete;
  TestSystem& operator=(const TestSystem&) = delete;

  /// The test's own muproc.
  Self& self();
  const std::string& name() const { return name_; }
  std::filesystem::path folder() const;
  /// The broker's process: its output is the broker's log and all that muprocs print.
  Process& broker() { return *broker_; }

  /// The test leaves the system.
  void leave() { attachment_.reset(); }
  /// Asks the broker to stop in order and waits for it; its exit code.
  int stop();
  /// Waits until the system ends by itself; its exit code.
  int wait();
  /// SIGKILL; waits for its death.
  void kill_broker();

  // -- states. All throw Failed, with what they waited for, when patience is at its end.
  /// Until somebody has that name.
  Pid wait_for(std::string_view name);
  /// Until somebody else than `before` has that name: its replacement.
  Pid wait_for_restart(std::string_view name, Pid before);
  /// Until nobody has it, or that pid lives no more.
  void wait_until_gone(Address who);
  /// Until it sleeps in a receive and has looked at everything that was sent to it so far: what it had to do it has done.
  void wait_until_idle(Address who);
  /// Until at least so many messages wait unmatched in its mailbox.
  void wait_for_unmatched(Address who, std::uint64_t count);
  /// Throws NoSuchName when it does not live.
  MuprocStatus status(Address who);

  // -- violence
  int os_pid(Address who);
  /// A signal to its process, behind the runtime's back: SIGKILL, SIGSEGV, …
  void signal(Address who, int number);
  /// SIGKILL; returns when its death is known.
  void kill(Address who);
  /// SIGSTOP; returns when it is stopped.
  void suspend(Address who);
  /// SIGCONT.
  void resume(Address who);

  // -- virtual time
  /// The system's clock goes on by so much, at once; timers that are due go off in their owners' runtime calls. To be sure
  /// that somebody has set its timer before, `wait_until_idle`. Throws Error when the system's time is real.
  void advance(std::chrono::nanoseconds by);
  /// Advances by `step` again and again until the predicate holds; for what sets new timers as it goes. Throws Failed.
  template <class Predicate>
  auto advance_until(std::string_view what, Predicate&& predicate,
                     std::chrono::nanoseconds step = std::chrono::milliseconds(100)) {
    return wait_until(what, [&] {
      auto result = predicate();
      if (!result) advance(step);
      return result;
    });
  }

 private:
  struct Folder;
  struct Client;
  void launch(const std::function<std::unique_ptr<System>(SystemOptions)>& make, TestOptions options);
  Pid pid_of(Address who);
  Client& client();

  std::unique_ptr<Folder> folder_;
  std::string name_;
  std::optional<Process> broker_;
  std::optional<Attachment> attachment_;
  std::unique_ptr<Client> client_;
};

}  // namespace muproc::test
