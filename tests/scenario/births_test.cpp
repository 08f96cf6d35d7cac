// How muprocs come to be, and what is said when they do not.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "support/catch.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  self.receive(on<"never">() >> [] {});
}

/// The OS pids of the broker's zygotes and of its seed, by what they call themselves.
std::vector<pid_t> processes_called(pid_t parent, const std::string& name) {
  std::vector<pid_t> found;
  std::ifstream children("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children");
  for (pid_t child; children >> child;) {
    std::string comm;
    std::ifstream file("/proc/" + std::to_string(child) + "/comm");
    std::getline(file, comm);
    if (comm == name) found.push_back(child);
  }
  return found;
}

pid_t first_called(pid_t broker, const std::string& name) {
  return wait_until("a process called " + name, [&] {
    const auto found = processes_called(broker, name);
    return found.empty() ? 0 : found.front();
  });
}

/// A zygote's children are called as it is, until they call themselves otherwise: it is the one that came first.
pid_t zygote_of(pid_t broker) { return first_called(broker, "muproc-zygote"); }
pid_t seed_of(pid_t broker) { return first_called(broker, "muproc-seed"); }

}  // namespace

TEST_CASE("a spawned muproc is there when spawn returns", "[broker][spawn]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid pid = self.spawn("a", waits);
  CHECK(self.alive(pid));
  CHECK(self.find("a") == pid);
  CHECK(self.name_of(pid) == "a");
}

TEST_CASE("a name that is taken is refused, and named", "[broker][spawn]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("a", waits);
  CHECK_THROWS_AS(self.spawn("a", waits), NameTaken);
  CHECK_THROWS_WITH(self.spawn("a", waits), Contains("\"a\" is taken"));
  CHECK_THROWS_WITH(self.spawn("tester", waits), Contains("\"tester\" is taken"));
}

TEST_CASE("a failed spawn leaves its name free", "[broker][spawn]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_AS(self.spawn("a", exec({"/no/such/program"})), StartFailed);
  CHECK(self.find("a") == nil_pid);
  CHECK_NOTHROW(self.spawn("a", waits));
}

TEST_CASE("a program that cannot be started is named, with the system's own words", "[broker][spawn][exec]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_WITH(self.spawn("a", exec({"/no/such/decoder", "--fast"})),
                    Contains("exec /no/such/decoder: No such file or directory"));
  CHECK_THROWS_WITH(self.spawn("a", exec_plain({"/etc/passwd"})), Contains("exec /etc/passwd: Permission denied"));
  CHECK_THROWS_WITH(self.spawn("a", exec_plain({"sleep", "1"}), {.cwd = "/no/such/place"}),
                    Contains("chdir /no/such/place: No such file or directory"));
}

TEST_CASE("a module that is not there is named, with where it was looked for", "[broker][spawn][module]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_WITH(self.spawn("a", module("libnowhere.so", "x")), Contains("module libnowhere.so is not there; looked in "));
  CHECK_THROWS_WITH(self.spawn("a", module("./libnowhere.so", "x")),
                    Contains("module ./libnowhere.so: No such file or directory"));
  CHECK_THROWS_WITH(self.spawn("a", module("/etc/passwd", "x")), Contains("/etc/passwd: invalid ELF header") ||
                                                                     Contains("/etc/passwd: file too short"));
}

TEST_CASE("a program that ends before it has joined is no muproc", "[broker][spawn][exec]") {
  LiveSystem system;
  Self& self = system.self();
  try {
    self.spawn("a", exec({"sh", "-c", "exit 3"}));
    FAIL("it was spawned");
  } catch (const StartFailed& failure) {
    CHECK_THAT(failure.what(), Contains("a ended while it was starting: code 3"));
    CHECK(failure.reason.root_cause() == Reason::code(3));
  }
  nobody_is_left({system.broker().os_pid()});
}

TEST_CASE("one that is not ready in time is killed", "[broker][spawn][exec]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_WITH(self.spawn("a", exec({"sleep", "1000"}), {.ready_timeout = 10ms}),
                    Contains("it was not ready within 10ms"));
  CHECK(self.find("a") == nil_pid);
}

TEST_CASE("any program can be supervised, logged and ended without a mailbox", "[broker][spawn][plain]") {
  LiveSystem system;
  Self& self = system.self();
  SECTION("it ends by itself") {
    const auto [pid, ref] = self.spawn_monitor("p", exec_plain({"sh", "-c", "exit 7"}));
    CHECK(reason_of(self, ref) == Reason::code(7));
  }
  SECTION("it ends well") {
    const auto [pid, ref] = self.spawn_monitor("p", exec_plain({"true"}));
    CHECK(reason_of(self, ref) == Reason::normal());
  }
  SECTION("it is told to end, and does") {
    const auto [pid, ref] = self.spawn_monitor("p", exec_plain({"sleep", "1000"}));
    self.exit(pid, "enough");
    CHECK(reason_of(self, ref) == Reason::exit("enough"));
  }
  SECTION("it is killed") {
    const auto [pid, ref] = self.spawn_monitor("p", exec_plain({"sleep", "1000"}));
    self.kill(pid);
    CHECK(reason_of(self, ref) == Reason::killed());
  }
  SECTION("it knows which system it belongs to") {
    const std::string test = "test \"$MUPROC_SYSTEM\" = " + system.name() + " && test -z \"$MUPROC_CONTROL_FD\"";
    const auto [pid, ref] = self.spawn_monitor("p", exec_plain({"sh", "-c", test}));
    CHECK(reason_of(self, ref) == Reason::normal());
  }
  SECTION("it has the environment and the directory that it was given") {
    const auto [pid, ref] = self.spawn_monitor("p", exec_plain({"sh", "-c", "test $COLOUR = blue && test $PWD = /tmp"}),
                                               {.env = {{"COLOUR", "blue"}}, .cwd = "/tmp"});
    CHECK(reason_of(self, ref) == Reason::normal());
  }
}

TEST_CASE("a child inherits no descriptor but its own, and the limit that the broker was given", "[broker][spawn]") {
  LiveSystem system;
  Self& self = system.self();
  const std::string list = "ls -l /proc/self/fd | grep -v -e total -e '/proc/.*/fd' | wc -l";  // 0, 1, 2
  const auto [pid, ref] = self.spawn_monitor("p", exec_plain({"sh", "-c", "test $(" + list + ") = 3"}));
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("a zygote's death harms none of its children, and the next child gets a new one", "[broker][zygote]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [a, ref] = self.spawn_monitor("a", waits);
  const pid_t zygote = zygote_of(system.broker().os_pid());
  ::kill(zygote, SIGKILL);
  wait_until("the zygote to go", [&] { return !process_lives(zygote); });
  const Pid b = self.spawn("b", waits);
  CHECK(self.alive(a));
  CHECK(self.alive(b));
}

TEST_CASE("a birth whose zygote dies under way is tried again with another", "[broker][zygote]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("a", waits);
  const pid_t zygote = zygote_of(system.broker().os_pid());
  ::kill(zygote, SIGSTOP);
  const Pid helper = self.spawn("killer", exec_plain({"sh", "-c", "sleep 0.1; kill -9 " + std::to_string(zygote)}));
  const auto [b, ref] = self.spawn_monitor("b", waits);
  CHECK(self.alive(b));
  CHECK(helper);
}

TEST_CASE("the system outlives its seed", "[broker][zygote]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t seed = seed_of(system.broker().os_pid());
  ::kill(seed, SIGKILL);
  wait_until("the seed to go", [&] { return !process_lives(seed); });
  CHECK_NOTHROW(self.spawn("a", waits));
  const auto [pid, ref] = self.spawn_monitor("p", exec_plain({"true"}));
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("a child that dies at once is noticed by whoever spawned it with a link or a monitor", "[broker][spawn][link]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  for (int round = 0; round < 20; ++round) {
    const Pid linked = self.spawn("linked", +[](Self&) { ::raise(SIGKILL); }, {.link = true});
    CHECK(reason_of(self, linked) == Reason::signal(SIGKILL));
    const auto [watched, ref] = self.spawn_monitor("watched", +[](Self&) { ::raise(SIGKILL); });
    CHECK(reason_of(self, ref) == Reason::signal(SIGKILL));
  }
}
