// Crash reports: real deaths of every kind, and what is told of them.
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/paths.hpp"
#include "support/sanitizer.hpp"
#include "support/system_fixture.hpp"
#include "wire/log_line.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

// With these, handlers are left to them: docs/crash-reports.md.
constexpr bool k_takes_notes = k_crashes_are_ours;

// ---- ways to die, with names that a report must know -----------------------------------------------------------------

extern "C" {

__attribute__((noinline)) void writes_where_nothing_is() {
  *reinterpret_cast<volatile int*>(0x10) = 1;
}

__attribute__((noinline)) int overflows_its_stack(int depth) {
  volatile char room[1000];
  room[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : overflows_its_stack(depth + 1) + room[0];
}

__attribute__((noinline)) void ruins_its_heap() {
  char* volatile memory = static_cast<char*>(std::malloc(2000));
  volatile char* const bytes = memory;  // a plain store right before free would be left out
  for (int i = -8; i < 1000; ++i) bytes[i] = 0x41;  // over what malloc keeps there
  std::free(memory);                                // where the C library notices
}

__attribute__((noinline)) void gives_up_by_abort() {
  std::fprintf(stderr, "giving up\n");
  std::abort();
}

__attribute__((noinline)) void throws_what_nobody_catches() { throw std::range_error("out of all bounds"); }

std::atomic<bool> waits{false};

__attribute__((noinline)) void waits_in_another_thread() {
  ::pthread_setname_np(::pthread_self(), "bystander");
  waits.store(true);
  waits.notify_one();
  for (;;) ::pause();
}

__attribute__((noinline)) void sleeps_for_ever() {
  for (;;) ::pause();
}

__attribute__((noinline)) void calls_what_is_no_function() {
  auto* volatile function = reinterpret_cast<void (*)()>(0x1234);
  function();
}
}

namespace {

std::vector<fs::path> reports_in(const fs::path& folder, const std::string& ending) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ending) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

/// Waits for the report of that process.
std::string report_of(const LiveSystem& system, const std::string& name, const std::string& ending = ".txt") {
  const auto path = wait_until("the crash report of " + name, [&]() -> std::optional<fs::path> {
    for (const auto& report : reports_in(system.folder() / "crashes", ending))
      if (wire::parse_crash_file(report.filename().native())->stem == name) return report;
    return std::nullopt;
  });
  return contents(*path);
}

struct Death {
  Reason reason;
  std::string report;
};

Death die(LiveSystem& system, const char* name, Function function) {
  const Reason reason = play(system.self(), name, function);
  return {reason, report_of(system, name)};
}

const SystemOptions k_captured{.capture_output = true};
Supervisor nobody() {
  return supervisor(one_for_one, {1, 5s}, {{"idle", +[](Self& self) { self.receive(on<"end">() >> [] {}); }}});
}

}  // namespace

TEST_CASE("a fault is reported with its signal, address, source line and last words", "[crash]") {
  if (!k_takes_notes) return;  // a sanitizer takes a fault for itself
  LiveSystem system(nobody(), k_captured);
  const auto [reason, report] = die(system, "wild", +[](Self& self) {
    for (int i = 0; i < 60; ++i) self.log().info("line {}", i);
    std::fputs("my last word", stderr);  // where the log goes too: two pipes have no order between them
    writes_where_nothing_is();
  });
  CHECK(reason == Reason::signal(SIGSEGV, reason.core()));  // the kernel's word stands
  CHECK_THAT(report, Contains("muproc      wild <0.") && Contains("reason      signal SIGSEGV") && Contains("my last word") &&
                         Contains("info  line 59") && !Contains("info  line 5\n"));
  CHECK_THAT(report, Contains("SEGV_MAPERR: nothing is mapped there; at 0x10") && Contains("which crashed") &&
                         Contains("writes_where_nothing_is at ") && Contains("crash_report_test.cpp:") && Contains("build id "));
  CHECK_THAT(report, !Contains("the stack has overflown"));
}

TEST_CASE("a stack that overflows is reported, from a stack of the handler's own", "[crash]") {
  if (!k_takes_notes) return;  // a sanitizer takes a fault for itself
  LiveSystem system(nobody(), k_captured);
  const auto [reason, report] = die(system, "deep", +[](Self&) { overflows_its_stack(0); });
  CHECK(reason == Reason::signal(SIGSEGV, reason.core()));
  CHECK_THAT(report, Contains("the stack has overflown") && Contains("overflows_its_stack at "));
}

TEST_CASE("a ruined heap does not keep a crash from being reported", "[crash]") {
  if (!k_takes_notes) return;
  LiveSystem system(nobody(), k_captured);
  const auto [reason, report] = die(system, "ruined", +[](Self&) { ruins_its_heap(); });
  CHECK(reason.is(Reason::Kind::signal));
  CHECK_THAT(report, Contains("ruins_its_heap at "));
}

TEST_CASE("an abort is reported with who called it", "[crash]") {
  LiveSystem system(nobody(), k_captured);
  const auto [reason, report] = die(system, "aborter", +[](Self&) { gives_up_by_abort(); });
  CHECK(reason == Reason::signal(SIGABRT, reason.core()));
  CHECK_THAT(report, Contains("err   giving up"));
  if (k_takes_notes) CHECK_THAT(report, Contains("as abort() and raise() do") && Contains("gives_up_by_abort at "));
}

TEST_CASE("an exception that ends a muproc is reported with its type, its text and where it was thrown", "[crash]") {
  LiveSystem system(nobody(), k_captured);
  const auto [reason, report] = die(system, "thrower", +[](Self&) { throws_what_nobody_catches(); });
  CHECK(reason == Reason::exception("std::range_error", "out of all bounds"));
  CHECK_THAT(report, Contains("std::range_error") && Contains("out of all bounds"));
  if (k_takes_notes) CHECK_THAT(report, Contains("throws_what_nobody_catches at "));
}

TEST_CASE("exceptions that are caught, and exits in order, leave no report", "[crash]") {
  LiveSystem system(nobody(), k_captured);
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self&) {
          try {
            throws_what_nobody_catches();
          } catch (const std::exception&) {
          }
        }) == Reason::normal());
  CHECK(play(self, "a", +[](Self& self) { self.exit("done"); }) == "done");
  CHECK(play(self, "a", +[](Self&) { ::_exit(3); }) == Reason::code(3));
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self&) { sleeps_for_ever(); });
  self.kill(pid);
  CHECK(reason_of(self, ref) == Reason::killed());
  CHECK(play(self, "last", +[](Self&) { ::raise(SIGKILL); }) == Reason::signal(SIGKILL));
  CHECK_THAT(report_of(system, "last"), Contains("It has left no stack"));
  CHECK(reports_in(system.folder() / "crashes", ".txt").size() == 1);
}

TEST_CASE("an exception in another thread is reported with its type and text", "[crash]") {
  LiveSystem system(nobody(), k_captured);
  const auto [reason, report] = die(system, "threads", +[](Self&) {
    std::thread bystander(waits_in_another_thread);
    waits.wait(false);
    std::thread thrower([] {
      throws_what_nobody_catches();
    });
    thrower.join();
  });
  CHECK(reason == Reason::signal(SIGABRT, reason.core()));
  if (!k_takes_notes) return;
  CHECK_THAT(report, Contains("exception   std::range_error: out of all bounds") && Contains("throws_what_nobody_catches at "));
  CHECK_THAT(report, Contains("waits_in_another_thread at "));  // of all threads
}

TEST_CASE("one who is sent SIGABRT, as by a watchdog, is reported where it stood", "[crash]") {
  LiveSystem system(nobody(), k_captured);
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("stuck", +[](Self& self) {
    self.send(self.parent(), "here", true);
    sleeps_for_ever();
  });
  next<bool, "here">(self);
  wait_until("it to sleep", [file = "/proc/" + std::to_string(os_pid_of(self, pid)) + "/syscall"] {
    long number = -1;
    std::ifstream(file) >> number;
    return number == SYS_pause;
  });
  signal(self, pid, SIGABRT);
  CHECK(reason_of(self, ref).number() == SIGABRT);
  const std::string report = report_of(system, "stuck");
  if (k_takes_notes) CHECK_THAT(report, Contains("sent by process ") && Contains("sleeps_for_ever at "));
}

TEST_CASE("a call of what is no function is reported with its caller", "[crash]") {
  if (!k_takes_notes) return;
  LiveSystem system(nobody(), k_captured);
  const auto [reason, report] = die(system, "caller", +[](Self&) { calls_what_is_no_function(); });
  CHECK(reason == Reason::signal(SIGSEGV, reason.core()));
  CHECK_THAT(report, Contains("0x0000000000001234") && Contains("calls_what_is_no_function at "));
}

TEST_CASE("a muproc's own handler is respected", "[crash]") {
  LiveSystem system(nobody(), k_captured);
  CHECK(play(system.self(), "own", +[](Self&) {
          ::signal(SIGSEGV, [](int) { ::_exit(7); });
          writes_where_nothing_is();
        }) == Reason::code(7));
}

TEST_CASE("a report says what the muproc had in hand, from whom, and what its supervisor did", "[crash]") {
  LiveSystem system(supervisor(one_for_one, {3, 60s}, {{"victim", +[](Self& self) {
                                                           for (;;) self.receive(on<"die">() >> [] { ::raise(SIGILL); });
                                                         }}}),
                    k_captured);
  Self& self = system.self();
  const Pid pid = self.find("victim");
  self.send("victim", "die", true);
  wait_for_replacement(self, "victim", pid);
  const std::string report = report_of(system, "victim");
  CHECK_THAT(report, Contains("in hand     a mumsg from tester " + to_string(self.pid())) && Contains("restarts    0 before this end") &&
                         Contains("supervisor  victim: root starts it again"));
}

TEST_CASE("plain programs are reported with what is known, and the oldest reports go", "[crash]") {
  const auto config = fs::path(std::getenv("MUPROC_RUNTIME_DIR")) / "crashing.toml";
  std::ofstream(config) << R"([system]
name = "crashing"
crash_reports = 3
[supervisor.root]
limit = { restarts = 5, within = "60s" }
children = ["plain"]
[muproc.plain]
exec = ["sh", "-c", "echo about to die; kill -SEGV $$$$"]
plain = true
)";
  Process broker = Process::program({bin_dir() + "/mubroker", "run", config.string()});
  CHECK(broker.wait() == 1);
  const auto reports = reports_in(fs::path(std::getenv("MUPROC_RUNTIME_DIR")) / "crashing" / "crashes", ".txt");
  CHECK(reports.size() <= 3);
  REQUIRE(!reports.empty());
  CHECK_THAT(contents(reports.back()), Contains("reason      signal SIGSEGV") && Contains("out   about to die") && Contains("It has left no stack"));
  CHECK_THAT(broker.output(), Contains("a crash report: "));
  nobody_is_left();
}

TEST_CASE("muctl crash lists reports and shows the latest of a muproc, as text and as JSON", "[crash][muctl]") {
  if (!k_takes_notes) return;  // a sanitizer takes a fault for itself
  LiveSystem system(nobody(), k_captured);
  const auto muctl = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {bin_dir() + "/muctl", "-s", system.name()});
    Process process = Process::program(std::move(words));
    const int code = process.wait();
    return std::pair(code, process.output());
  };
  CHECK(muctl({"crash"}).first == 0);
  CHECK(muctl({"crash", "wild"}).first == 1);
  die(system, "wild", +[](Self&) { writes_where_nothing_is(); });
  report_of(system, "wild", ".json");  // which comes last
  CHECK_THAT(muctl({"crash"}).second, Contains("wild <0.") && Contains("signal SIGSEGV"));
  CHECK_THAT(muctl({"crash", "wild"}).second, Contains("muproc      wild"));
  const std::string json = muctl({"--json", "crash", "wild"}).second;
  CHECK_THAT(json, Contains(R"("name": "wild")") && Contains(R"("signal": "SIGSEGV")"));
  CHECK_THAT(json, Contains(R"("function": "writes_where_nothing_is")") && Contains(R"("address": "0x10")"));
}

TEST_CASE("without captured output a crash is reported all the same", "[crash]") {
  if (!k_takes_notes) return;  // a sanitizer takes a fault for itself
  LiveSystem system;
  const auto [reason, report] = die(system, "wild", +[](Self&) { writes_where_nothing_is(); });
  CHECK_THAT(report, Contains("writes_where_nothing_is at "));
}

TEST_CASE("muctl events tells of births, deaths and decisions, and follows them", "[events][muctl]") {
  LiveSystem system(supervisor(one_for_one, {3, 60s}, {{"mortal", +[](Self& self) { self.receive(on<"end">() >> [&] { self.exit("asked-to"); }); }}}));
  Self& self = system.self();
  Process follower = Process::program({bin_dir() + "/muctl", "-s", system.name(), "events", "-f"});
  follower.wait_for_output("the system is up");
  const Pid pid = self.find("mortal");
  self.send("mortal", "end", true);
  wait_for_replacement(self, "mortal", pid);
  follower.wait_for_output("death        mortal " + to_string(pid) + ": it has ended: exit: \"asked-to\"");
  follower.wait_for_output("restart      mortal: root starts it again");
  follower.wait_for_output("birth        mortal " + to_string(wait_for_name(self, "mortal")));
  Process json = Process::program({bin_dir() + "/muctl", "-s", system.name(), "--json", "events"});
  CHECK(json.wait() == 0);
  CHECK_THAT(json.output(), Contains(R"({"number": 1, )") && Contains(R"("kind": "death", "name": "mortal", "pid": ")" + to_string(pid)));
  CHECK(system.stop() == 0);
  CHECK(follower.wait() == 0);
  CHECK_THAT(follower.output(), Contains("the system is stopped by SIGTERM"));
  CHECK_THAT(follower.output(), Contains("the system ends"));
}

TEST_CASE("who follows the events and is stopped keeps no system from its end", "[events][muctl]") {
  LiveSystem system;
  Process follower = Process::program({bin_dir() + "/muctl", "-s", system.name(), "events", "-f"});
  follower.wait_for_output("the system is up");
  ::kill(follower.os_pid(), SIGSTOP);
  wait_until_stopped(follower.os_pid());
  const auto [pid, ref] = system.self().spawn_monitor("mortal", +[](Self&) {});
  CHECK(reason_of(system.self(), ref) == Reason::normal());
  CHECK(system.stop() == 0);
  ::kill(follower.os_pid(), SIGCONT);
  CHECK(follower.wait() == 0);
}
