// A system of real processes for a test, and the words in which such a test is written.
//
//     LiveSystem system;                       // a broker in a process of its own
//     Self& self = system.self();              // the test itself, attached to it as "tester"
//     const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) { self.exit("done"); });
//     CHECK(reason_of(self, ref) == "done");
//
// The broker's seed is forked from the test's process, so functions of the test can be spawned, lambdas without captures
// too (with a + before them). They run in processes of their own, where Catch's macros would tell nobody: use MUST,
// which ends the muproc with an exception that quotes the condition, and look at its reason; or send what was seen to
// `self.parent()`, which is the test for those that it spawns.
//
// At the end the test leaves, the broker is asked to stop in order, and checked are its exit code and that no process
// is left.
#pragma once

#include <muproc/muproc.hpp>
#include <muproc/system.hpp>

#include <filesystem>
#include <optional>
#include <string>

#include "support/printing.hpp"
#include "support/process.hpp"
#include "support/waiting.hpp"

namespace muproc::test {

/// In a muproc of a test: ends it with an exception that quotes the condition and its place.
#define MUST(...)                                                                              \
  do {                                                                                         \
    if (!(__VA_ARGS__)) ::muproc::test::must_have_been(__FILE__, __LINE__, #__VA_ARGS__);      \
  } while (false)

[[noreturn]] void must_have_been(const char* file, int line, const char* condition);

class LiveSystem {
 public:
  /// Nobody lives there but the test.
  LiveSystem();
  explicit LiveSystem(Supervisor root);
  explicit LiveSystem(const std::filesystem::path& config);
  ~LiveSystem() noexcept(false);
  LiveSystem(const LiveSystem&) = delete;
  LiveSystem& operator=(const LiveSystem&) = delete;

  Self& self() { return **attachment_; }
  const std::string& name() const { return name_; }
  Process& broker() { return broker_; }

  /// The test leaves the system.
  void leave() { attachment_.reset(); }
  /// Asks the broker to stop in order and waits for it; its exit code. The end of the test does it otherwise.
  int stop();
  /// Waits until the system ends by itself; its exit code.
  int wait();
  /// SIGKILL; waits for its death.
  void kill_broker();

 private:
  explicit LiveSystem(std::string name, std::function<int(const std::string& name)> run);
  void come_up();

  std::string name_;
  Process broker_;
  std::optional<Attachment> attachment_;
  int exceptions_ = std::uncaught_exceptions();
};

/// For a receive in the test: `self.receive(on<"n">() >> …, or_fail("the answer"))`.
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

/// Spawns it and waits for its end.
Reason play(Self& self, const char* name, Function function, SpawnOptions options = {});

/// Waits until somebody has that name.
Pid wait_for_name(Self& self, std::string_view name);
/// Waits until somebody else than `before` has that name: its replacement.
Pid wait_for_replacement(Self& self, std::string_view name, Pid before);

/// The OS pid of a living muproc.
pid_t os_pid_of(Self& self, Pid pid);
/// Ends the process behind the runtime's back.
void signal(Self& self, Pid pid, int number);
/// Waits until the kernel says that a process is stopped, as by SIGSTOP.
void wait_until_stopped(pid_t os_pid);

}  // namespace muproc::test
