// Stopped means that nothing is left running: whom a muproc has forked, and whom those have forked, however they hide.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/catch.hpp"
#include "support/notes.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

void waits(Self& self) {
  self.receive(on<"end">() >> [&](std::string how) { self.exit(how); });
}

/// In a process of its own, whose parent is gone: forked twice. Returns its OS pid.
template <class Body>
pid_t daemonise(Body body) {
  int ends[2];
  MUST(::pipe(ends) == 0);
  const pid_t between = ::fork();
  if (between == 0) {
    ::setsid();
    const pid_t daemon = ::fork();
    if (daemon == 0) {
      body();
      ::_exit(0);
    }
    [[maybe_unused]] const auto told = ::write(ends[1], &daemon, sizeof daemon);
    ::_exit(0);
  }
  ::waitpid(between, nullptr, 0);
  pid_t daemon = 0;
  MUST(::read(ends[0], &daemon, sizeof daemon) == sizeof daemon);
  ::close(ends[0]), ::close(ends[1]);
  return daemon;
}

void sleeps_for_ever() {
  for (;;) ::pause();
}

void becomes_sleep() { ::execlp("sleep", "sleep", "1000", nullptr); }

/// Has a daemon, tells the test of it, and waits. (In a system that begins with it, it may be there before the test is.)
void has_daemon(Self& self) {
  const pid_t daemon = daemonise(sleeps_for_ever);
  while (!self.find("tester")) self.sleep(1ms);
  self.send("tester", "daemon", static_cast<std::int64_t>(daemon));
  waits(self);
}

pid_t daemon_of(Self& self) { return static_cast<pid_t>(next<std::int64_t, "daemon">(self)); }

void wait_until_gone(pid_t os_pid) {
  wait_until("process " + std::to_string(os_pid) + " to go", [&] { return !process_lives(os_pid); });
}

bool any_lives(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids)
    if (process_lives(pid)) return true;
  return false;
}

Code shell(const std::string& script, const fs::path& notes) { return exec_plain({"sh", "-c", script, notes.string()}); }

}  // namespace

TEST_CASE("a restart begins when the daemon that its predecessor has left is gone", "[broker][descendants]") {
  LiveSystem system(supervisor(one_for_one, {5, 5s}, {{"a", has_daemon}}));
  Self& self = system.self();
  for (int round = 0; round < 3; ++round) {
    const pid_t daemon = daemon_of(self);
    CHECK(process_lives(daemon));
    const Pid a = self.find("a");
    signal(self, a, SIGKILL);
    wait_for_replacement(self, "a", a);
    CHECK_FALSE(process_lives(daemon));
  }
  daemon_of(self);
}

TEST_CASE("a daemon that runs another program is found all the same", "[broker][descendants]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    const pid_t daemon = daemonise(becomes_sleep);
    self.send("tester", "daemon", static_cast<std::int64_t>(daemon));
    waits(self);
  });
  const pid_t daemon = daemon_of(self);
  self.send(pid, "end", "enough");
  CHECK(reason_of(self, ref) == "enough");
  wait_until_gone(daemon);
}

TEST_CASE("the daemon of one that lives is its own affair, whoever else ends", "[broker][descendants]") {
  LiveSystem system(supervisor(one_for_one, {50, 5s}, {{"a", has_daemon}, {"b", waits}}));
  Self& self = system.self();
  const pid_t daemon = daemon_of(self);
  for (int round = 0; round < 5; ++round) {
    const Pid b = self.find("b");
    signal(self, b, SIGKILL);
    wait_for_replacement(self, "b", b);
  }
  CHECK(process_lives(daemon));
  self.exit("a", Reason::shutdown());
  wait_until_gone(daemon);
}

TEST_CASE("a shell's pipeline, its background jobs and those in sessions of their own end with it", "[broker][descendants][plain]") {
  const fs::path file = notes();
  const std::string script = GENERATE("(echo $$ >>$0; exec sleep 1000) | cat | cat",
                                      "sleep 1000 & echo $! >>$0; wait",
                                      "setsid sh -c 'echo $$ >>$0; exec sleep 1000' $0 & wait",
                                      "set -m; sleep 1000 & echo $! >>$0; (setsid sh -c 'echo $$ >>$0; sleep 1000 & echo $! >>$0; wait' $0 &); wait",
                                      "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ >>$0; sleep 1000' $0 & while :; do sleep 1000; done");
  INFO(script);
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", shell(script, file), {.stop = 100ms}}}));
  const auto pids = noted(file, script.find("set -m") == 0 ? 3 : 1);
  CHECK(any_lives(pids));
  terminate_child(self, "sup", "a");
  CHECK_FALSE(any_lives(pids));
}

TEST_CASE("one that forks on and on is caught", "[broker][descendants]") {
  LiveSystem system(supervisor(one_for_one, {5, 5s}, {{"a", waits}}));
  Self& self = system.self();
  const bool in_new_sessions = GENERATE(false, true);
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"runner", +[](Self& self) {
                          const bool in_new_sessions = self.args()["in_new_sessions"].as<bool>();
                          const auto until = std::chrono::steady_clock::now() + 60s;
                          const pid_t daemon = daemonise([&] {
                            // A new process all the time, whose parent ends. It outlives no test that is given up.
                            while (std::chrono::steady_clock::now() < until) {
                              if (::fork() != 0) ::_exit(0);
                              if (in_new_sessions) ::setsid();
                              ::usleep(300);
                            }
                          });
                          self.send("tester", "daemon", static_cast<std::int64_t>(daemon));
                          waits(self);
                        },
                        {.args = {{"in_new_sessions", in_new_sessions}}}}}));
  daemon_of(self);
  terminate_child(self, "sup", "runner");
  // At the end of the system the fixture sees that nobody is left.
}

TEST_CASE("what one that never came up has forked is gone before anybody hears of it", "[broker][descendants]") {
  LiveSystem system;
  Self& self = system.self();
  const fs::path file = notes();
  CHECK_THROWS_AS(self.spawn("a", exec({"sh", "-c", "setsid sleep 1000 & echo $! >>" + file.string() + "; exit 3"})), StartFailed);
  CHECK_FALSE(any_lives(noted(file, 1)));
}

TEST_CASE("nobody outlives a broker that was killed, nor do daemons", "[broker][crash][descendants]") {
  LiveSystem system(supervisor(one_for_one, {5, 5s}, {{"a", has_daemon}}));
  Self& self = system.self();
  const fs::path file = notes();
  self.spawn("plain", shell("setsid sh -c 'echo $$ >>$0; exec sleep 1000' $0 & wait", file));
  const pid_t daemon = daemon_of(self);
  const auto pids = noted(file, 1);
  system.kill_broker();
  wait_until_gone(daemon);
  wait_until("the session to go", [&] { return !any_lives(pids); });
}

TEST_CASE("the children of the program that the broker runs in are its own", "[broker][descendants][embedded]") {
  // Its children: one that ends meanwhile, one that lives on, and a daemon that came to it.
  auto program = Process::forked([] {
    const pid_t ends = ::fork();
    if (ends == 0) ::_exit(7);
    const pid_t lives = ::fork();
    if (lives == 0) {
      ::setsid();
      for (;;) ::pause();
    }
    const pid_t daemon = daemonise(sleeps_for_ever);
    System system("embedded", supervisor(one_for_one, {3, 60s}, {{"a", +[](Self& self) {
                                daemonise(sleeps_for_ever);
                                self.exit("again");
                              }}}));
    MUST(system.run() == 1);
    int status = 0;
    MUST(::waitpid(ends, &status, WNOHANG) == ends && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    MUST(::waitpid(lives, &status, WNOHANG) == 0);
    MUST(::kill(daemon, 0) == 0);
    ::kill(daemon, SIGKILL);
    ::kill(lives, SIGKILL);
    MUST(::waitpid(lives, &status, 0) == lives);
    MUST(::waitpid(-1, &status, __WALL | WNOHANG) <= 0);  // none of ours is left to it
    return 0;
  });
  CHECK(program.wait() == 0);
}

// ---- where the process is the broker's own ---------------------------------------------------------------------------

namespace {

/// mubroker with one config.
class Mubroker {
 public:
  explicit Mubroker(const std::string& config)
      : process_(Process::program({bin_dir() + "/mubroker", "run", written(config)})) {
    process_.wait_for_output("is up");
  }
  Process& process() { return process_; }

 private:
  static std::string written(const std::string& config) {
    const fs::path file = notes().replace_extension(".toml");
    std::ofstream(file) << config;
    return file.string();
  }
  Process process_;
};

std::size_t zombies_below(pid_t parent) {
  std::size_t count = 0;
  std::ifstream children("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children");
  for (pid_t pid; children >> pid;) count += process_lives(pid) ? 0 : 1;
  return count;
}

}  // namespace

TEST_CASE("mubroker reaps whatever is orphaned below it", "[broker][descendants]") {
  const fs::path file = notes();
  Mubroker broker("[system]\nname = \"orphans\"\n[supervisor.root]\nchildren = [\"a\"]\n[muproc.a]\nplain = true\nexec = [\"sh\", \"-c\", '''"
                  "for i in 1 2 3 4 5; do (setsid sh -c 'echo $$$$ >>$0' $0 &); done; exec sleep 1000''', '" + file.string() + "']\n");
  noted(file, 5);
  wait_until("no zombies", [&] { return zombies_below(broker.process().os_pid()) == 0; });
  broker.process().signal(SIGTERM);
  CHECK(broker.process().wait() == 0);
  nobody_is_left();
}

TEST_CASE("who hides its origin ends when nobody lives whom it could descend from", "[broker][descendants]") {
  const fs::path file = notes();
  Mubroker broker("[system]\nname = \"hidden\"\n[supervisor.root]\nlimit = { restarts = 9, within = \"60s\" }\nchildren = [\"a\"]\n[muproc.a]\nplain = true\nstop = \"kill\"\nexec = [\"sh\", \"-c\", '''"
                  "(setsid env -i sh -c 'echo $$$$ >>$0; exec sleep 1000' $0 &); exec sleep 1000''', '" + file.string() + "']\n");
  const auto first = noted(file, 1);
  CHECK(any_lives(first));
  auto muctl = Process::program({bin_dir() + "/muctl", "-s", "hidden", "restart", "a"});
  CHECK(muctl.wait() == 0);
  CHECK_FALSE(any_lives(first));
  const auto second = noted(file, 2);
  broker.process().signal(SIGTERM);
  CHECK(broker.process().wait() == 0);
  CHECK_FALSE(any_lives(second));
}
