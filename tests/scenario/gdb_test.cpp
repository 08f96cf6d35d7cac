// muctl gdb: the right process, the right words, and a watchdog that waits.
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/muctl_json.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  self.receive(on<"end">() >> [] {}, on<"spin">() >> [] {
    for (volatile bool for_ever = true; for_ever;) {
    }
  });
}

Supervisor a_tree() {
  return supervisor(one_for_one, {9, 60s}, {{"a", waits}, {"b", waits, {.watchdog = 100ms}}});
}

/// A debugger that says with what words it was called.
std::string fake_gdb() {
  const auto path = runtime_dir() / "fake-gdb";
  std::ofstream(path) << "#!/bin/sh\nprintf 'word %s\\n' \"$@\"\nexit 7\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path.string();
}

/// A debugger's hold on that process, without a debugger: it lets it run. Says "attached", or "refused".
Process tracer(int os_pid) {
  return Process::forked([os_pid] {
    const bool is_attached = ::ptrace(PTRACE_SEIZE, os_pid, nullptr, nullptr) == 0;
    std::printf(is_attached ? "attached\n" : "refused\n");
    std::fflush(stdout);
    if (!is_attached) return 1;
    for (;;) {  // signals stop who is traced: they are passed on
      int status = 0;
      if (::waitpid(os_pid, &status, __WALL) != os_pid || !WIFSTOPPED(status)) return 0;
      ::ptrace(PTRACE_CONT, os_pid, nullptr, WSTOPSIG(status));
    }
  });
}

bool may_trace(int os_pid) {
  Process probe = tracer(os_pid);
  wait_until("the kernel's word on tracing", [&] { return !probe.output().empty(); });
  const bool may = probe.output().find("attached") != std::string::npos;
  probe.signal(SIGKILL);
  probe.wait();
  return may;
}

bool has_gdb() { return Process::program({"/bin/sh", "-c", "command -v gdb >/dev/null"}).wait() == 0; }

}  // namespace

TEST_CASE("muctl gdb becomes the debugger, at the process of that incarnation", "[muctl][gdb]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  const std::string os_pid = std::to_string(os_pid_of(self, self.find("a")));
  const Outcome by_option = muctl({"gdb", "a", "--gdb", fake_gdb()});
  CHECK(by_option.code == 7);  // its own
  CHECK_THAT(by_option.out, Contains("word -p\nword " + os_pid + "\n") && Contains("handle SIGURG nostop noprint pass"));
  CHECK_THAT(by_option.out, !Contains("word -batch"));
  CHECK_THAT(by_option.err, Contains("stands still while you look"));

  const Outcome batch = muctl({"gdb", to_string(self.find("b")), "--batch", "--gdb", fake_gdb()});
  CHECK_THAT(batch.out, Contains("word -batch") && Contains("word thread apply all backtrace"));
  CHECK_THAT(batch.err, Contains("its watchdog (100ms) waits as long as a debugger is attached"));

  ::setenv("MUPROC_GDB", fake_gdb().c_str(), 1);
  const Outcome by_variable = muctl({"gdb", "a"});
  ::unsetenv("MUPROC_GDB");
  CHECK(by_variable.code == 7);

  const Json json = json_of({"gdb", "a", "--gdb", fake_gdb()});  // called it is not
  CHECK(json["verb"].text() == "gdb");
  CHECK(json["name"].text() == "a");
  CHECK(json["os_pid"].number() == os_pid_of(self, self.find("a")));
  CHECK(json["command"][0u].text() == fake_gdb());
  CHECK(json["command"][1u].text() == "-p");
}

TEST_CASE("muctl gdb says why there is nothing to attach to, or nothing to attach with", "[muctl][gdb]") {
  LiveSystem system(a_tree());
  check_fails({"gdb", "a", "--gdb", "/no/such/gdb"}, 1, "install gdb, or say where it is");
  check_fails({"gdb", "root", "--gdb", fake_gdb()}, 1, "is a supervisor and has no process");
  check_fails({"gdb", "nobody", "--gdb", fake_gdb()}, 1, "no muproc or supervisor is named");
  said({"stop", "a"});
  check_fails({"gdb", "a", "--gdb", fake_gdb()}, 1, "a is not running, it is stopped");
}

TEST_CASE("a process that a debugger is attached to is nobody else's to debug, and its watchdog waits", "[muctl][gdb][watchdog]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  const Pid b = self.find("b");
  const Ref watching = self.monitor(b);
  const int os_pid = os_pid_of(self, b);
  if (!may_trace(os_pid)) {
    WARN("the kernel lets nobody attach here: not tested");
    return;
  }
  // It runs on: only that there is a tracer says that it is held.
  Process debugger = tracer(os_pid);
  debugger.wait_for_output("attached");
  self.send(b, "spin", true);
  self.receive(on<"never">() >> [] {}, after(1s) >> [] {});  // ten of its intervals; that nothing happens can only be waited for
  CHECK(self.alive(b));
  check_fails({"gdb", "b", "--gdb", fake_gdb()}, 1, "is attached to b");
  debugger.signal(SIGKILL);
  debugger.wait();
  CHECK(reason_of(self, watching) == Reason(Reason::Kind::watchdog));  // from now on it counts again
}

TEST_CASE("muctl gdb --batch prints the stacks of all threads, and lets go", "[muctl][gdb]") {
  if (!has_gdb()) {
    WARN("gdb is not installed: not tested");
    return;
  }
  LiveSystem system(supervisor(one_for_one, {9, 60s}, {{"sleeper", exec_plain({"sleep", "1000"})}}));
  Self& self = system.self();
  const Pid sleeper = self.find("sleeper");
  if (!may_trace(os_pid_of(self, sleeper))) {
    WARN("the kernel lets nobody attach here: not tested");
    return;
  }
  const Outcome outcome = muctl({"gdb", "sleeper", "--batch"});
  INFO(outcome.out << outcome.err);
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, Contains("#0"));
  CHECK(self.alive(sleeper));
  CHECK(process_state(os_pid_of(self, sleeper)) == 'S');
}
