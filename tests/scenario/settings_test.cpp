// What the config says of a process, seen by the process itself: limits, user, folder, environment.
#include <grp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/sanitizer.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

constexpr unsigned k_nobody = 65534;
constexpr Bytes k_memory = k_memory_is_ours ? Bytes::mib(700) : Bytes::gib(1 << 20);

std::int64_t limit_of(__rlimit_resource_t resource) {
  rlimit limit{};
  ::getrlimit(resource, &limit);
  return limit.rlim_cur == RLIM_INFINITY ? -1 : static_cast<std::int64_t>(limit.rlim_cur);
}

/// A muproc that tells the test what it is.
void tells(Self& self) {
  const mode_t mask = ::umask(0);
  int oom = -1;
  std::ifstream("/proc/self/oom_score_adj") >> oom;
  List groups(static_cast<std::size_t>(0), Value());
  gid_t all[64];
  for (int i = 0, count = ::getgroups(64, all); i < count; ++i) groups.push_back(static_cast<std::int64_t>(all[i]));
  cpu_set_t cpus;
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  self.send("tester", "files", limit_of(RLIMIT_NOFILE), "core", limit_of(RLIMIT_CORE), "memory", limit_of(RLIMIT_DATA),
            "processes", limit_of(RLIMIT_NPROC), "stack", limit_of(RLIMIT_STACK), "locked", limit_of(RLIMIT_MEMLOCK),
            "file_size", limit_of(RLIMIT_FSIZE), "cpu_time", limit_of(RLIMIT_CPU), "nice", ::getpriority(PRIO_PROCESS, 0),
            "umask", static_cast<int>(mask), "oom", oom, "cpus", CPU_COUNT(&cpus), "first_cpu", CPU_ISSET(0, &cpus) != 0,
            "uid", static_cast<std::int64_t>(::geteuid()), "gid", static_cast<std::int64_t>(::getegid()), "groups", groups,
            "cwd", std::filesystem::current_path().string(), "real_uid", static_cast<std::int64_t>(::getuid()));
  self.receive(on<"end">() >> [] {});
}

Mumsg told(Self& self) {
  Mumsg all;
  self.receive(on<"files">() >> [&] { all = self.message()->mumsg().value(); }, or_fail("what the muproc tells of itself"));
  return all;
}

ChildOptions limited() {
  ChildOptions options;
  options.limits.files = 300;
  options.limits.core = Bytes{0};
  options.limits.memory = k_memory;
  options.limits.processes = 5000;
  options.limits.stack = Bytes::mib(4);
  options.limits.locked_memory = Bytes::kib(32);
  options.limits.file_size = Bytes::gib(3);
  options.limits.cpu_time = 1000s;
  options.limits.nice = 5;
  options.limits.oom_score_adj = 700;
  options.limits.cpus = {0};
  options.umask = 027;
  options.cwd = "/usr";
  options.restart = temporary;
  return options;
}

/// The error that a supervisor with this one child cannot be started for.
std::string refusal(Self& self, const Code& code, const ChildOptions& options) {
  try {
    self.start_supervisor("refused", supervisor(one_for_one, {0, 5s}, {{"x", code, options}}));
  } catch (const Error& failure) {
    return failure.what();
  }
  return "it was started";
}

}  // namespace

TEST_CASE("a cloned child has its limits, priority, processors, mask and folder before it runs", "[settings]") {
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", tells, limited()}}));
  const Mumsg x = told(self);
  CHECK(x["files"] == Value(300));
  CHECK(x["core"] == Value(0));
  CHECK(x["memory"] == Value(k_memory.count));
  CHECK(x["processes"] == Value(5000));
  CHECK(x["stack"] == Value(4 << 20));
  CHECK(x["locked"] == Value(32 << 10));
  CHECK(x["file_size"] == Value(std::int64_t{3} << 30));
  CHECK(x["cpu_time"] == Value(1000));
  CHECK(x["nice"] == Value(5));
  CHECK(x["umask"] == Value(027));
  CHECK(x["oom"] == Value(700));
  CHECK(x["cpus"] == Value(1));
  CHECK(x["first_cpu"] == Value(true));
  CHECK(x["cwd"] == Value("/usr"));
}

TEST_CASE("a program has them too", "[settings][exec]") {
  LiveSystem system;
  Self& self = system.self();
  const auto file = (runtime_dir() / "settings.txt").string();
  ChildOptions options = limited();
  options.env = {{"OUT", file}, {"COLOUR", "green and blue"}};
  options.restart = transient;
  const auto script = R"((ulimit -n; ulimit -c; ulimit -t; nice; umask; cat /proc/self/oom_score_adj; pwd; echo $COLOUR) > $OUT.new
mv $OUT.new $OUT; exec sleep 1000)";
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", exec_plain({"sh", "-c", script}), options}}));
  wait_until("the program to write what it is", [&] { return std::filesystem::exists(file); });
  CHECK(contents(file) == "300\n0\n1000\n5\n0027\n700\n/usr\ngreen and blue\n");
}

TEST_CASE("what cannot be applied is named with the system's words, and nothing runs", "[settings]") {
  LiveSystem system;
  Self& self = system.self();
  ChildOptions options;
  const Code codes[] = {Code(tells), exec_plain({"sleep", "1000"})};
  for (const Code& code : codes) {
    options = {};
    options.cwd = "/no/such/place";
    CHECK_THAT(refusal(self, code, options), Contains("x could not be started: chdir /no/such/place: No such file or directory"));
    options = {};
    options.limits.cpus = {1000};
    CHECK_THAT(refusal(self, code, options), Contains("sched_setaffinity: Invalid argument"));
    options = {};
    options.limits.files = std::uint64_t{1} << 40;  // more than the kernel gives anybody
    CHECK_THAT(refusal(self, code, options), Contains("setrlimit RLIMIT_NOFILE: "));
    options = {};
    options.user = "nobody-of-that-name";
    CHECK_THAT(refusal(self, code, options), Contains("there is no user named \"nobody-of-that-name\""));
    options = {};
    options.group = "no-such-group";
    CHECK_THAT(refusal(self, code, options), Contains("there is no group named \"no-such-group\""));
  }
  CHECK(self.find("x") == nil_pid);
}

TEST_CASE("root's children can run as another user, clone and program alike, and end with the broker", "[settings][user]") {
  if (::geteuid() != 0) {
    WARN("only root can show this");
    return;
  }
  ChildOptions options;
  options.user = "nobody";
  options.restart = transient;
  const auto file = runtime_dir() / "user.txt";
  std::ofstream{file};
  REQUIRE(::chown(file.c_str(), k_nobody, k_nobody) == 0);
  REQUIRE(::chmod(runtime_dir().c_str(), 0711) == 0);
  options.env = {{"OUT", file.string()}};
  const auto script = "echo $(id -u):$(id -g):$(id -G) > $OUT; exec sleep 1000";
  LiveSystem system(supervisor(one_for_one, {}, {{"p", exec_plain({"sh", "-c", script}), options}}));
  wait_until("the program to write who it is", [&] { return !contents(file).empty(); });
  CHECK(contents(file) == "65534:65534:65534\n");
  Self& self = system.self();
  SECTION("with the groups that it is in") {
    self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", tells, options}}));
    const Mumsg x = told(self);
    CHECK(x["uid"] == Value(k_nobody));
    CHECK(x["real_uid"] == Value(k_nobody));
    CHECK(x["gid"] == Value(k_nobody));
    CHECK(x["groups"] == Value(List{Value(k_nobody)}));
  }
  SECTION("or with those that are asked for") {
    options.user = "12345";  // nobody's number
    options.group = "23456";
    options.groups = {"0", "34567"};
    self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", tells, options}}));
    const Mumsg x = told(self);
    CHECK(x["uid"] == Value(12345));
    CHECK(x["gid"] == Value(23456));
    CHECK(x["groups"] == Value(List{Value(0), Value(34567)}));
    options.group.clear();
    CHECK_THAT(refusal(self, Code(tells), options), Contains("user 12345 has no entry that names a group"));
  }
  SECTION("and they receive, send and die like any other") {
    self.start_supervisor("sup", supervisor(one_for_one, {2, 5s}, {{"x", tells, options}}));
    told(self);
    const Pid x = self.find("x");
    signal(self, x, SIGKILL);
    told(self);
    const Ref watching = self.monitor("x");
    self.send("x", "end", true);
    CHECK(reason_of(self, watching) == Reason::normal());
  }
  SECTION("and when the broker is killed, they end") {
    self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", tells, options}}));
    told(self);
    system.kill_broker();
    nobody_is_left();
  }
}

TEST_CASE("an ordinary user can name himself, and nobody else", "[settings][user]") {
  if (::geteuid() != 0) {
    WARN("only root can become an ordinary user");
    return;
  }
  const auto home = runtime_dir() / "ordinary";
  std::filesystem::create_directory(home);
  REQUIRE(::chmod(runtime_dir().c_str(), 0711) == 0);
  REQUIRE(::chown(home.c_str(), k_nobody, k_nobody) == 0);
  const auto run = [&](ChildOptions options, const Code& code) {
    return Process::forked([=] {
      if (::setgroups(0, nullptr) != 0 || ::setresgid(k_nobody, k_nobody, k_nobody) != 0 ||
          ::setresuid(k_nobody, k_nobody, k_nobody) != 0)
        return 71;
      return System("ordinary", supervisor(one_for_one, {0, 5s}, {{"x", code, options}}), {.runtime_dir = home}).run();
    });
  };
  const auto ends = +[](Self&) { MUST(::geteuid() == k_nobody); };
  const Code codes[] = {Code(ends), exec_plain({"true"})};
  for (const Code& code : codes) {
    Process himself = run({.restart = transient, .user = "nobody", .groups = std::vector<std::string>{}}, code);
    himself.wait_for_output("x <0.1.1> has ended: normal");
    himself.signal(SIGTERM);
    CHECK(himself.wait() == 0);

    Process root = run({.user = "root", .group = "65534", .groups = std::vector<std::string>{}}, code);
    CHECK(root.wait() == 1);
    CHECK_THAT(root.output(), Contains("x could not be started: setuid: Operation not permitted"));
    Process group = run({.group = "root", .groups = std::vector<std::string>{}}, code);
    CHECK(group.wait() == 1);
    CHECK_THAT(group.output(), Contains("x could not be started: setgid: Operation not permitted"));
    Process groups = run({.groups = std::vector<std::string>{"root"}}, code);
    CHECK(groups.wait() == 1);
    CHECK_THAT(groups.output(), Contains("x could not be started: setgroups: Operation not permitted"));
    Process nice = run({.limits = {.nice = -20}}, code);
    CHECK(nice.wait() == 1);
    CHECK_THAT(nice.output(), Contains("x could not be started: setpriority: Permission denied"));
  }
  nobody_is_left();
}

TEST_CASE("who runs as another user spawns only as that user, and has no code loaded that is not there yet",
          "[settings][user][rights]") {
  if (::geteuid() != 0) {
    WARN("only root can show this");
    return;
  }
  LiveSystem system;
  Self& self = system.self();
  ChildOptions options;
  options.user = "nobody";
  options.restart = temporary;
  const auto spawner = +[](Self& self) {
    self.spawn("child", tells);
    std::string refused = "loaded", other = "started";
    try {
      self.spawn("module", module("/tmp/somebodys.so", "x"));
    } catch (const Error& failure) {
      refused = failure.what();
    }
    try {
      self.start_supervisor("s", supervisor(one_for_one, {}, {{"y", tells, {.user = "root"}}}));
    } catch (const Error& failure) {
      other = failure.what();
    }
    self.send("tester", "refused", refused, "other", other);
    self.receive(on<"end">() >> [] {});
  };
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"spawner", spawner, options}}));
  CHECK(told(self)["uid"] == Value(k_nobody));
  self.receive(on<"refused", "other">() >>
                   [&](std::string refused, std::string other) {
                     CHECK_THAT(refused, Contains("spawner runs as another user, so it cannot have"));
                     CHECK_THAT(other, Contains("y cannot have a user of its own: spawner has one already"));
                   },
               or_fail("what was refused"));
}

TEST_CASE("too much memory is bad_alloc under RLIMIT_DATA, which the tools name", "[settings][memory]") {
  if (!k_memory_is_ours) return;
  LiveSystem system;
  Self& self = system.self();
  ChildOptions options;
  options.limits.memory = Bytes::mib(64);
  options.restart = temporary;
  const auto eats = +[](Self& self) {
    self.receive(on<"eat">() >> [] { std::vector<char> food(std::size_t{256} << 20, 'x'); });
  };
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", eats, options}}));
  const Ref watching = self.monitor("x");
  self.send("x", "eat", true);
  const Reason reason = reason_of(self, watching);
  CHECK(reason.is(Reason::Kind::exception));
  CHECK(reason.name() == "std::bad_alloc");
}
