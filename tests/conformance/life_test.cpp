// A muproc's beginning and what it is given, whose Self is whose, and outsiders who join.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  self.receive(on<"cmd">(is("return")) >> [] {});
}

std::string contents_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

// ---- spawn -----------------------------------------------------------------------------------------------------------

TEST_CASE("a muproc knows its name, its pid, its parent, its arguments and its bindings", "[spawn]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor(
      "a",
      Code(+[](Self& self) {
        MUST(self.name() == "a");
        MUST(self.find("a") == self.pid());
        MUST(self.parent() == self.find("tester"));
        MUST(self.args() == Mumsg{{"n", 7}, {"list", List{1, "two"}}});
        MUST(self.args()["n"].as<int>() == 7);
        MUST(self.binding<std::string>("symbol") == "VOD.L");
        MUST(self.traps_exits());
        try {
          self.binding<int>("nothing");
          MUST(!"there");
        } catch (const ValueError& error) {
          MUST(std::string(error.what()).find("nothing") != std::string::npos);
        }
        self.send(self.parent(), "pid", self.pid());
      }),
      {.args = {{"n", 7}, {"list", List{1, "two"}}}, .bindings = {{"symbol", Symbol("VOD.L")}}, .trap_exits = true});
  CHECK(reason_of(self, ref) == Reason::normal());
  CHECK(next<Pid, "pid">(self) == pid);
}

TEST_CASE("arguments and bindings are each muproc's own copy", "[spawn]") {
  static int counter = 0;
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 3; ++i)
    CHECK(play(self, "a", +[](Self&) { MUST(++counter == 1); }) == Reason::normal());
  CHECK(counter == 0);
}

TEST_CASE("a muproc can be sent to as soon as spawn has returned", "[spawn][otp][sync_start]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 50; ++i) {
    const auto [pid, ref] = self.spawn_monitor("a", Code(waits));
    self.send("a", "cmd", "return");
    CHECK(reason_of(self, ref) == Reason::normal());
  }
}

TEST_CASE("a muproc's environment and folder are what its spawner said", "[spawn]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self&) {
          MUST(std::getenv("MUPROC_TEST_VARIABLE") == std::string("a value"));
          char folder[256];
          MUST(::getcwd(folder, sizeof folder) == std::string("/usr"));
        }, {.env = {{"MUPROC_TEST_VARIABLE", "a value"}}, .cwd = "/usr"}) == Reason::normal());
}

TEST_CASE("a function of a module that no zygote has loaded gets a zygote of that module", "[spawn]") {
  LiveSystem system;
  Self& self = system.self();
  // Loaded here after the system's seed was forked.
  void* handle = ::dlopen((module_dir() + "/libloaded_late.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(handle);
  const auto function = reinterpret_cast<Function>(::dlsym(handle, "loaded_late"));
  REQUIRE(function);
  const auto [pid, ref] = self.spawn_monitor("a", Code(function));
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("a function of a module that is gone from the disk is an error that names the module", "[spawn][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  const std::string gone = std::string(std::getenv("MUPROC_RUNTIME_DIR")) + "/libgone.so";
  std::filesystem::copy_file(module_dir() + "/libloaded_late.so", gone);
  void* handle = ::dlopen(gone.c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(handle);
  std::filesystem::remove(gone);
  const auto function = reinterpret_cast<Function>(::dlsym(handle, "loaded_late"));
  REQUIRE(function);
  CHECK_THROWS_WITH(self.spawn("a", function), Contains("libgone.so"));
  CHECK_FALSE(self.find("a"));
}

TEST_CASE("an entry that is not in its module is an error that names both", "[spawn][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_WITH(self.spawn("a", module(module_dir() + "/libarea.so", "areaservr")),
                    Contains("areaservr") && Contains("libarea.so"));
  CHECK_FALSE(self.find("a"));
  CHECK_NOTHROW(self.spawn("a", module(module_dir() + "/libarea.so", "areaserver")));
}

TEST_CASE("one that does not want to wait for a module to load spoils the start of nobody who does", "[spawn][start]") {
  LiveSystem system;
  Self& self = system.self();
  const auto passer = [] { return module(module_dir() + "/libslow_to_load.so", "passes_the_gate"); };
  self.spawn("patient", Code(+[](Self& self) {
    self.send("tester", "asks", true);
    self.spawn("a", module(module_dir() + "/libslow_to_load.so", "passes_the_gate"), {.ready_timeout = k_patience});
    self.send("tester", "passed", true);
    self.receive(on<"never">() >> [] {});
  }));
  self.receive(on<"asks">() >> [] {}, or_fail("that it asks"));
  CHECK_THROWS_WITH(self.spawn("b", passer(), {.ready_timeout = 20ms}), Contains("not ready within"));
  CHECK_THROWS_WITH(self.spawn("c", passer(), {.ready_timeout = 20ms}), Contains("not ready within"));
  std::ofstream(std::string(std::getenv("MUPROC_RUNTIME_DIR")) + "/gate") << "open";
  self.receive(on<"passed">() >> [] {}, or_fail("that it passed"));
  CHECK_NOTHROW(self.spawn("d", passer(), {.ready_timeout = k_patience}));
}

TEST_CASE("names that cannot be are refused", "[spawn][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_AS(self.spawn("", waits), Error);
  CHECK_THROWS_AS(self.spawn(std::string(64, 'x'), waits), Error);
  const Pid longest = self.spawn(std::string(63, 'x'), waits);
  CHECK(self.find(std::string(63, 'x')) == longest);
}

TEST_CASE("its error stream is its spawner's, unless it is given another", "[spawn][log]") {
  LiveSystem system;
  Self& self = system.self();
  const std::string path = std::string(std::getenv("MUPROC_RUNTIME_DIR")) + "/stream";
  CHECK(play(self, "a", +[](Self& self) {
          self.log().info("from a");
          self.spawn_monitor("b", Code(+[](Self& self) { self.log().info("from {}", self.name()); }));
          self.receive(on<"terminated">() >> [] {});
        }, {.error_stream = path}) == Reason::normal());
  CHECK_THAT(contents_of(path), Contains("[a] from a") && Contains("[b] from b"));
  CHECK(play(self, "c", +[](Self& self) { self.log().info("from c"); }) == Reason::normal());
  system.broker().wait_for_output("[c] from c");
  CHECK_THAT(contents_of(path), !Contains("from c"));
}

TEST_CASE("many are spawned and end, and nothing is left of them", "[spawn]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 300; ++i) REQUIRE(play(self, "a", +[](Self&) {}) == Reason::normal());
  std::vector<Ref> refs;
  for (int i = 0; i < 100; ++i)
    refs.push_back(self.spawn_monitor("a" + std::to_string(i), Code(waits)).second);
  CHECK(self.list("^a").size() == 100);
  for (int i = 0; i < 100; ++i) self.send("a" + std::to_string(i), "cmd", "return");
  for (const Ref ref : refs) CHECK(reason_of(self, ref) == Reason::normal());
  CHECK(self.list("^a").empty());
}

// ---- whose Self ------------------------------------------------------------------------------------------------------

TEST_CASE("a Self that is used in another thread is an error that says so", "[self][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          std::string error;
          std::thread([&] {
            try {
              self.send("tester", "n", 1);
            } catch (const std::logic_error& wrong) {
              error = wrong.what();
            }
          }).join();
          MUST(error.find("thread") != std::string::npos);
        }) == Reason::normal());
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a process that a muproc forks cannot use its runtime, and its end is nobody's", "[self][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          const pid_t child = ::fork();
          if (child == 0) {
            try {
              self.send("tester", "n", 1);
            } catch (const std::logic_error& error) {
              if (std::string(error.what()).find("forked") != std::string::npos) ::_exit(7);
            }
            ::_exit(1);
          }
          int status = 0;
          MUST(::waitpid(child, &status, 0) == child);
          MUST(WIFEXITED(status) && WEXITSTATUS(status) == 7);
          // And one that returns from its function.
          const pid_t other = ::fork();
          if (other == 0) return;
          MUST(::waitpid(other, &status, 0) == other);
          MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
          self.send("tester", "still", "here");
        }) == Reason::normal());
  CHECK(next<std::string, "still">(self) == "here");
}

TEST_CASE("a process that an outsider forks does not take its membership along", "[self][attach]") {
  LiveSystem system;
  Self& self = system.self();
  auto child = Process::forked([&] {
    try {
      self.send(self.pid(), "n", 1);
    } catch (const std::logic_error&) {
      Attachment own = attach(system.name(), {.name = "forked"});
      own->send("tester", "n", 2);
      own->receive(on<"cmd">(is("return")) >> [] {});
      return 7;
    }
    return 1;
  });
  CHECK(next<int, "n">(self) == 2);
  self.send("forked", "cmd", "return");
  CHECK(child.wait() == 7);
  CHECK_NOTHROW(self.send("tester", "n", 3));
  CHECK(next<int, "n">(self) == 3);
}

// ---- outsiders -------------------------------------------------------------------------------------------------------

TEST_CASE("an outsider joins under a name, and leaves with `normal`", "[attach]") {
  LiveSystem system;
  Self& self = system.self();
  auto outsider = Process::forked([&] {
    Attachment me = attach(system.name(), {.name = "outsider"});
    me->send("tester", "pid", me->pid());
    me->receive(on<"cmd">(is("return")) >> [] {});
    return 0;
  });
  const Pid pid = next<Pid, "pid">(self);
  CHECK(self.find("outsider") == pid);
  const Ref ref = self.monitor(pid);
  self.send(pid, "cmd", "return");
  CHECK(reason_of(self, ref) == Reason::normal());
  CHECK_FALSE(self.find("outsider"));
  CHECK(outsider.wait() == 0);
}

TEST_CASE("an outsider may come and go, without a name too", "[attach]") {
  LiveSystem system;
  const std::string system_name = system.name();
  system.leave();
  std::string last;
  for (int i = 0; i < 20; ++i) {
    Attachment me = attach(system_name);
    CHECK_FALSE(me->name().empty());
    CHECK(me->find(me->name()) == me->pid());
    me->send(me->pid(), "n", i);
    CHECK(me->receive(on<"n">() >> [](int n) { return n; }) == i);
  }
  Attachment a = attach(system_name, {.name = "moved"});
  Attachment b = std::move(a);
  CHECK(b->find("moved") == b->pid());
  CHECK_THROWS_AS(attach(system_name), Error);  // one at a time in a thread
}

TEST_CASE("an outsider whose name is taken is told so", "[attach][bad-input]") {
  LiveSystem system;
  auto outsider = Process::forked([&] {
    try {
      attach(system.name(), {.name = "tester"});
    } catch (const Error& taken) {
      return std::string(taken.what()).find("tester") != std::string::npos ? 7 : 2;
    }
    return 1;
  });
  CHECK(outsider.wait() == 7);
}

TEST_CASE("attaching to a system that does not run is an error that names it", "[attach][bad-input]") {
  CHECK_THROWS_AS(attach("nowhere"), NoSuchName);
  CHECK_THROWS_WITH(attach("nowhere"), Contains("nowhere"));
}

TEST_CASE("an outsider needs no name for the only system there is", "[attach]") {
  LiveSystem system;
  auto outsider = Process::forked([] {
    Attachment me = attach();
    me->send("tester", "here", true);
    return 0;
  });
  CHECK(next<bool, "here">(system.self()));
  CHECK(outsider.wait() == 0);
}

TEST_CASE("an outsider links, monitors and spawns as others do", "[attach][link]") {
  LiveSystem system;
  Self& self = system.self();
  auto outsider = Process::forked([&] {
    Attachment me = attach(system.name(), {.name = "outsider"});
    me->spawn("child", waits, {.link = true});
    me->send("tester", "ready", true);
    try {
      me->receive(on<"never">() >> [] {});
    } catch (const ExitSignal& signal) {
      return signal.reason.is(Reason::Kind::linked) && signal.reason.root_cause() == Reason::killed() ? 7 : 2;
    }
    return 1;
  });
  next<bool, "ready">(self);
  self.kill("child");
  CHECK(outsider.wait() == 7);
}

TEST_CASE("a linked muproc ends with the outsider that goes away", "[attach][link]") {
  LiveSystem system;
  Self& self = system.self();
  auto outsider = Process::forked([&] {
    Attachment me = attach(system.name(), {.name = "outsider"});
    me->spawn("child", waits, {.link = true});
    me->send("tester", "ready", true);
    me->receive(on<"never">() >> [] {});
    return 0;
  });
  next<bool, "ready">(self);
  const Ref ref = self.monitor("child");
  outsider.signal(SIGKILL);
  const Reason reason = reason_of(self, ref);
  CHECK(reason.is(Reason::Kind::linked));
  CHECK(reason.name() == "outsider");
  outsider.wait();
}

// ---- the broker's end ------------------------------------------------------------------------------------------------

TEST_CASE("muprocs end with `broker_lost` when the broker is killed, and none is left", "[broker-lost]") {
  LiveSystem system;
  Self& self = system.self();
  const std::string path = std::string(std::getenv("MUPROC_RUNTIME_DIR")) + "/last-words";
  for (int i = 0; i < 5; ++i)
    self.spawn("waits-" + std::to_string(i), +[](Self& self) {
      try {
        self.receive(on<"never">() >> [] {});
      } catch (const ExitSignal& signal) {
        self.log().info("ended by {}", to_string(signal.reason));
        throw;
      }
    }, {.error_stream = path});
  system.kill_broker();
  CHECK_THROWS_AS(self.receive(on<"never">() >> [] {}, or_fail("the broker's end")), ExitSignal);
  nobody_is_left();
  const std::string words = contents_of(path);
  std::size_t count = 0;
  for (auto at = words.find("ended by broker_lost"); at != words.npos; at = words.find("ended by broker_lost", at + 1))
    ++count;
  CHECK(count == 5);
}

TEST_CASE("open channels work while the broker is stopped", "[promise][send]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("echo", +[](Self& self) {
    for (;;) self.receive(on<"n">() >> [&](From from, int n) { self.send(from, "back", n); });
  });
  self.send("echo", "n", 0);
  CHECK(next<int, "back">(self) == 0);
  system.broker().signal(SIGSTOP);
  for (int n = 1; n <= 1000; ++n) {
    self.send("echo", "n", n);
    REQUIRE(next<int, "back">(self) == n);
  }
  system.broker().signal(SIGCONT);
}
