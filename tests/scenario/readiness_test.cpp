// When a start is done, and what becomes of one that never is.
#include <filesystem>
#include <fstream>

#include "support/catch.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

/// Tells the test that it runs, and is ready when it is told so.
void hesitates(Self& self) {
  self.send("tester", "begun", self.name());
  self.receive(on<"be_ready">() >> [&] { self.ready(); }, on<"die">() >> [&] { self.exit("faint-hearted"); });
  waits(self);
}

constexpr ReadyOn k_call = ReadyOn::call;

/// A plain program that says each argument on its notify socket, when a file of that number is there.
Code says(const std::vector<std::string>& words, const std::filesystem::path& gate) {
  std::vector<std::string> argv{"perl", "-MSocket", "-e",
                                "socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; ($to = $ENV{NOTIFY_SOCKET}) =~ s/^@/\\0/;"
                                "for $word (@ARGV[1 .. $#ARGV]) { $n++; until (-e \"$ARGV[0]$n\") { select(undef, undef, undef, 0.001) }"
                                "  send(S, $word, 0, pack_sockaddr_un($to)) or die $! } sleep 1000",
                                gate.string()};
  argv.insert(argv.end(), words.begin(), words.end());
  return exec_plain(argv);
}

std::filesystem::path fresh_gate() {
  static int count = 0;
  return std::filesystem::path(std::getenv("MUPROC_RUNTIME_DIR")) / ("gate" + std::to_string(++count) + "-");
}
void open_gate(const std::filesystem::path& gate, int number) { std::ofstream(gate.string() + std::to_string(number)); }

}  // namespace

TEST_CASE("where readiness is a call, spawn returns when the child has called ready()", "[ready]") {
  LiveSystem system;
  Self& self = system.self();
  const auto ready_at_last = +[](Self& self) {
    self.send("tester", "made", 1);
    self.ready();
    self.ready();  // once is enough, and twice does no harm
    waits(self);
  };
  const Pid pid = self.spawn("x", ready_at_last, {.ready_on = k_call});
  bool made = false;
  self.receive(on<"made">() >> [&] { made = true; }, or_fail("what was sent before ready()"));
  CHECK(made);
  CHECK(self.find("x") == pid);
  self.send(pid, "end", true);
}

TEST_CASE("a supervisor starts the next child when the one before has called ready()", "[ready][supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("starter", +[](Self& self) {
    self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", hesitates, {.ready_on = k_call}}, {"b", hesitates}}));
    self.send("tester", "started", true);
    waits(self);
  });
  CHECK(next<std::string, "begun">(self) == "a");
  const Pid a = wait_for_name(self, "a");  // it can be sent to while it gets ready
  CHECK(self.find("b") == nil_pid);
  self.send(a, "be_ready", true);
  CHECK(next<std::string, "begun">(self) == "b");
  next<bool, "started">(self);
}

TEST_CASE("one that ends before it is ready was never born: its spawner hears why, and its name is free", "[ready]") {
  LiveSystem system;
  Self& self = system.self();
  const auto faints = +[](Self& self) { self.exit("faint-hearted"); };
  for (const bool link : {false, true}) {  // a link asked for brings no notice on top
    try {
      self.spawn("x", faints, {.link = link, .ready_on = k_call});
      FAIL("it was born");
    } catch (const StartFailed& failure) {
      CHECK_THAT(failure.what(), Contains("x ended before it said that it was ready: exit: \"faint-hearted\""));
      CHECK(failure.reason.root_cause() == "faint-hearted");
    }
  }
  CHECK(self.find("x") == nil_pid);
  CHECK_NOTHROW(self.spawn("x", waits));
}

TEST_CASE("one that is not ready in time is killed, though it runs", "[ready]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_WITH(self.spawn("x", waits, {.ready_timeout = 50ms, .ready_on = k_call}),
                    Contains("x could not be started: it was not ready within 50ms"));
  CHECK_NOTHROW(self.spawn("x", waits));
}

TEST_CASE("a failing restart is tried again, and counts, when readiness never comes", "[ready][supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const auto sick_later = +[](Self& self) {
    if (self.find("first")) self.exit("no more");  // from the second life on
    self.spawn("first", waits);
    self.ready();
    waits(self);
  };
  const Pid pid = self.start_supervisor("sup", supervisor(one_for_one, {3, 60s}, {{"x", sick_later, {.ready_on = k_call}}}), {.link = true});
  self.kill(self.find("x"));
  CHECK(reason_of(self, pid) == Reason::shutdown());
}

TEST_CASE("a child that is getting ready can be stopped, and the start of its supervisor fails", "[ready][supervisor]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("starter", +[](Self& self) {
    std::string outcome = "started";
    try {
      self.start_supervisor("sup", supervisor(one_for_one, {5, 5s}, {{"x", hesitates, {.ready_on = k_call}}}));
    } catch (const StartFailed& failure) {
      outcome = failure.what();
    }
    self.send("tester", "outcome", outcome);
    waits(self);
  });
  next<std::string, "begun">(self);
  self.exit(wait_for_name(self, "sup"), "enough");
  CHECK_THAT((next<std::string, "outcome">(self)), Contains("sup ended before it was up"));
  CHECK_NOTHROW(self.spawn("x", waits));
}

TEST_CASE("a plain program is ready when it says READY=1 on its notify socket", "[ready][notify]") {
  LiveSystem system;
  Self& self = system.self();
  const auto gate = fresh_gate();
  SpawnOptions with_gate;
  with_gate.args = {{"gate", gate.string()}};
  self.spawn("starter", +[](Self& self) {
    ChildOptions options;
    options.ready_on = ReadyOn::notify;
    const auto p = says({"STATUS=warming up", "READY=1"}, self.args()["gate"].as<std::string>());
    self.start_supervisor("sup", supervisor(one_for_one, {}, {{"p", p, options}, {"after", hesitates}}));
    waits(self);
  }, with_gate);
  open_gate(gate, 1);
  wait_for_name(self, "p");
  CHECK(self.find("after") == nil_pid);
  open_gate(gate, 2);
  CHECK(next<std::string, "begun">(self) == "after");
}

TEST_CASE("a plain program that does not say READY=1 in time is killed", "[ready][notify]") {
  LiveSystem system;
  Self& self = system.self();
  ChildOptions options;
  options.ready_on = ReadyOn::notify;
  options.ready_timeout = 100ms;
  CHECK_THROWS_WITH(self.start_supervisor("sup", supervisor(one_for_one, {}, {{"p", exec_plain({"sleep", "1000"}), options}})),
                    Contains("p could not be started: it was not ready within 100ms"));
  nobody_is_left({system.broker().os_pid()});
}

TEST_CASE("what the broker's own supervisor told it is not handed on to programs", "[notify][exec]") {
  ::setenv("NOTIFY_SOCKET", "/nowhere", 1);
  ::setenv("WATCHDOG_USEC", "1", 1);
  const auto file = fresh_gate().string() + "env";
  LiveSystem system(supervisor(one_for_one, {}, {{"p", exec_plain({"sh", "-c", "env > $OUT.new; mv $OUT.new $OUT; exec sleep 1000"}),
                                                  {.env = {{"OUT", file}}}}}));
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("WATCHDOG_USEC");
  wait_until("its environment", [&] { return std::filesystem::exists(file); });
  std::ifstream stream(file);
  const std::string env((std::istreambuf_iterator<char>(stream)), {});
  CHECK_THAT(env, Contains("OUT=") && !Contains("NOTIFY_SOCKET") && !Contains("WATCHDOG_USEC"));
}
