// A system of real processes for a test: the kit's TestSystem, held to its orderly end by Catch.
//
//     LiveSystem system;                       // a broker in a process of its own
//     Self& self = system.self();              // the test itself, attached to it as "tester"
//     const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) { self.exit("done"); });
//     CHECK(reason_of(self, ref) == "done");
//
// The broker's seed is forked from the test's process, so functions of the test can be spawned, lambdas without captures
// too (with a + before them). They run in processes of their own, where Catch's macros would tell nobody: use MUST
// (MUPROC_MUST of the kit), and look at the reason; or send what was seen to `self.parent()`, which is the test for those
// that it spawns.
//
// At the end the test leaves, the broker is asked to stop in order, and checked are its exit code and that no process
// is left.
#pragma once

#include <muproc/testing.hpp>

#include <string>

#include "support/printing.hpp"
#include "support/process.hpp"

namespace muproc::test {

#define MUST(...) MUPROC_MUST(__VA_ARGS__)

class LiveSystem : public TestSystem {
 public:
  using TestSystem::TestSystem;
  LiveSystem() = default;
  LiveSystem(Supervisor root, SystemOptions options);
  ~LiveSystem() noexcept(false);

 private:
  int exceptions_ = std::uncaught_exceptions();
};

/// Waits until somebody has that name.
Pid wait_for_name(Self& self, std::string_view name);
/// Waits until somebody else than `before` has that name: its replacement.
Pid wait_for_replacement(Self& self, std::string_view name, Pid before);

/// The OS pid of a living muproc.
pid_t os_pid_of(Self& self, Pid pid);
/// Ends the process behind the runtime's back.
void signal(Self& self, Pid pid, int number);

}  // namespace muproc::test
