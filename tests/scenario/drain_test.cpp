// muctl drain: no new messages, all the old ones, and then the end.
#include <muproc/server.hpp>
#include <muproc/state_machine.hpp>

#include <csignal>
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

/// Handles what it is sent when it has been told to go, and tells its parent how many that were.
void consumer(Self& self) {
  self.trap_exits(self.args().find("trap") != nullptr);
  int handled = 0;
  self.receive(on<"go">() >> [] {});
  for (;;) {
    self.receive(on<"n">() >> [&](int) {
                   ++handled;
                   self.send("tester", "handled", handled);
                 },
                 on<"reason">([](const Reason& reason) { return reason == Reason::shutdown(); }) >>
                     [&](const Reason&) { self.exit(Reason::shutdown()); });
  }
}

/// Has a place for "go" only: what else comes stays.
void picky(Self& self) {
  for (;;) self.receive(on<"go">() >> [] {});
}

Supervisor a_tree() {
  return supervisor(one_for_one, {9, 60s}, {{"consumer", consumer}, {"picky", picky}, {"other", picky}});
}

/// Holds a call until it hears "go", which must have been sent before.
struct Holder {
  explicit Holder(Self& self) : self_(self) {}
  int hold(int n) {
    self_.send("tester", "holding", n);
    self_.receive(on<"go">() >> [] {});
    return n;
  }
  Self& self_;
};
constexpr Call<&Holder::hold> hold{"hold", "holder"};

struct Doubler {
  int twice(int n) { return 2 * n; }
};
constexpr Call<&Doubler::twice> twice{"twice", "doubler"};

std::filesystem::path key_of_the_door() { return runtime_dir() / "door-key"; }

/// Who wants to pass waits until it opens by itself, when the key is there.
enum class DoorState { shut, open };
struct Door {
  void pass(int n);
};
constexpr Cast<&Door::pass> pass{"pass"};

class DoorMachine : public StateMachine<DoorState> {
 public:
  explicit DoorMachine(Self& self) : self_(self) {}
  Table table() {
    using enum DoorState;
    return {shut,
            {in(shut, entry >> keep_state().start(state_timeout, 10ms),
                      on(pass) >> postpone(),
                      state_timeout >> [this] { return look(); }),
             in(open, on(pass) >> [this](int n) { self_.send("tester", "passed", n); })}};
  }

 private:
  Next look() { return std::filesystem::exists(key_of_the_door()) ? to(DoorState::open) : repeat_state(); }
  Self& self_;
};

/// muctl drain, while the test goes on.
Process draining(const std::string& name, std::vector<std::string> more = {}) {
  std::vector<std::string> argv = {bin_dir() + "/muctl", "drain", name};
  argv.insert(argv.end(), more.begin(), more.end());
  return Process::program(argv);
}

std::string state_of(const std::string& name) { return json_of({"show", name})["state"].text(); }

void wait_until_draining(const std::string& name) {
  wait_until(name + " to be drained", [&] { return state_of(name) == "draining"; });
}

double dropped(const char* why) { return json_of({"dead-letters"})["counts"][why].number(); }

}  // namespace

TEST_CASE("one that is drained handles all that was sent before, and is stopped then", "[drain]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  const Pid pid = self.find("consumer");
  const Ref watching = self.monitor(pid);
  for (int n = 0; n < 500; ++n) self.send(pid, "n", n);
  self.send(pid, "go", true);

  Process drain = draining("consumer");
  CHECK(reason_of(self, watching) == Reason::shutdown());
  CHECK(drain.wait() == 0);
  CHECK_THAT(drain.output(), Contains("drained and stopped consumer"));
  for (int n = 1; n <= 500; ++n) CHECK(next<int, "handled">(self) == n);
  CHECK(state_of("consumer") == "stopped");
  CHECK(json_of({"show", "consumer"})["restarts"].number() == 0);
  CHECK(dropped("unread") == 0);

  said({"start", "consumer"});  // and it is like any other
  const Pid again = self.find("consumer");
  self.send(again, "go", true);
  self.send(again, "n", 1);
  CHECK(next<int, "handled">(self) == 1);
}

TEST_CASE("nothing that a producer has sent is lost: it was handled, or is a dead letter", "[drain]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  // Several that send as fast as they can, before, while and after their consumer is drained.
  constexpr int k_each = 3000, k_producers = 3;
  self.send("consumer", "go", true);
  for (int i = 0; i < k_producers; ++i)
    self.spawn("producer-" + std::to_string(i), +[](Self& self) {
      const Pid to = self.args()["to"].as<Pid>();
      for (int n = 0; n < k_each; ++n) {
        self.send(to, "n", n);
        if (n % 100 == 0) self.sleep(1ms);
      }
      self.send("tester", "done", true);
      self.receive(on<"never">() >> [] {});
    }, {.args = Mumsg{{"to", self.find("consumer")}}});
  int handled = 0, done = 0;
  const auto hear = [&] {
    self.receive(on<"handled">() >> [&](int n) { handled = n; }, on<"done">() >> [&] { ++done; }, after(10ms) >> [] {});
  };
  while (handled < 100) hear();
  Process drain = draining("consumer");
  while (drain.running() || done < k_producers) hear();
  CHECK(drain.wait() == 0);
  for (bool more = true; more;) self.receive(on<"handled">() >> [&](int n) { handled = n; }, after(0s) >> [&] { more = false; });
  const Json counts = json_of({"dead-letters"})["counts"];
  INFO("handled " << handled << ", draining " << counts["draining"].number() << ", ended " << counts["ended"].number() << ", unread "
                  << counts["unread"].number() << ", late " << counts["late"].number());
  CHECK(handled + counts["draining"].number() + counts["ended"].number() + counts["unread"].number() + counts["late"].number() ==
        k_each * k_producers);
}

TEST_CASE("to who sends, one that is being drained is not there", "[drain]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  const Pid pid = self.find("consumer");
  self.send(pid, "n", 1);
  Process drain = draining("consumer");
  wait_until_draining("consumer");
  CHECK_FALSE(self.find("consumer"));
  CHECK_THROWS_AS(self.send("consumer", "n", 2), NoSuchName);
  self.send(pid, "n", 3);
  CHECK(dropped("draining") == 1);
  CHECK(self.alive(pid));
  CHECK_THAT(said({"tree"}), Contains("draining"));
  CHECK(drain.running());
  said({"stop", "consumer"});  // it waits for a "go" that cannot come any more
  CHECK(drain.wait() == 0);
}

TEST_CASE("a call to one that is being drained is refused at once", "[drain]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid pid = start_server<Holder>(self, "holder", {hold});
  const auto first = hold.send_request(self, pid, 1);
  next<int, "holding">(self);
  Process drain = draining("holder");
  wait_until_draining("holder");
  try {
    hold(self, pid, 2);
    FAIL("it was answered");
  } catch (const CallError& error) {
    CHECK(error.kind == CallError::Kind::noproc);
  }
  CHECK(dropped("draining") == 1);
  self.kill(pid);
  CHECK(drain.wait() == 0);
}

TEST_CASE("one that is being drained gets the answers to what it asks", "[drain]") {
  LiveSystem system(supervisor(one_for_one, {9, 60s}, {{"asker", +[](Self& self) {
    self.receive(on<"go">() >> [] {});
    for (;;) self.receive(on<"n">() >> [&](int n) { self.send("tester", "twice", twice(self, "doubler", n)); });
  }}}));
  Self& self = system.self();
  start_server<Doubler>(self, "doubler", {twice});
  const Pid asker = self.find("asker");
  for (int n = 0; n < 50; ++n) self.send(asker, "n", n);
  self.send(asker, "go", true);
  said({"drain", "asker"});
  for (int n = 0; n < 50; ++n) CHECK(next<int, "twice">(self) == 2 * n);
  CHECK(dropped("unread") == 0);
}

TEST_CASE("a server finishes its calls and casts before it is stopped", "[drain][server]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid doubler = start_server<Doubler>(self, "doubler", {twice});
  system.suspend("doubler");
  std::vector<Request<int>> requests;
  for (int n = 0; n < 20; ++n) requests.push_back(twice.send_request(self, doubler, n));
  Process drain = draining("doubler");
  wait_until_draining("doubler");
  system.resume(doubler);
  for (int n = 0; n < 20; ++n) CHECK(requests[static_cast<std::size_t>(n)].wait() == 2 * n);
  CHECK(drain.wait() == 0);
}

TEST_CASE("one with a message for which it has no clause is stopped when time is up, with exit code 5", "[drain]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  self.send("picky", "n", 1);
  system.wait_for_unmatched("picky", 1);
  const Ref watching = self.monitor("picky");
  check_fails({"drain", "picky", "--timeout", "100ms"}, 5, "picky was not drained within 100ms, and is stopped: 1 message");
  CHECK(reason_of(self, watching) == Reason::shutdown());
  CHECK(state_of("picky") == "stopped");
  CHECK(dropped("unread") == 1);
}

TEST_CASE("one that ends by itself while it is drained is not started again", "[drain]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  SECTION("killed") {
    const Pid pid = self.find("consumer");
    Process drain = draining("picky");
    CHECK(drain.wait() == 0);
    Process other = draining("consumer");
    self.send(pid, "n", 1);
    wait_until("the consumer to be drained or stopped", [&] { return state_of("consumer") != "running"; });
    if (self.alive(pid)) signal(self, pid, SIGKILL);
    CHECK(other.wait() == 0);
    CHECK(state_of("consumer") == "stopped");
    CHECK(json_of({"show", "consumer"})["restarts"].number() == 0);
  }
  SECTION("with something still in its mailbox") {
    const Pid pid = self.find("picky");
    self.send(pid, "n", 1);
    system.wait_for_unmatched(pid, 1);
    Process drain = draining("picky");
    wait_until_draining("picky");
    signal(self, pid, SIGKILL);
    CHECK(drain.wait() == 0);
    CHECK(state_of("picky") == "stopped");
    CHECK(json_of({"show", "picky"})["restarts"].number() == 0);
  }
}

TEST_CASE("one that traps exits is drained too, and has its stop period", "[drain]") {
  LiveSystem system(supervisor(one_for_one, {9, 60s}, {{"consumer", consumer, {.args = Mumsg{{"trap", true}}}}}));
  Self& self = system.self();
  self.send("consumer", "n", 1);
  self.send("consumer", "go", true);
  said({"drain", "consumer"});
  CHECK(next<int, "handled">(self) == 1);
  CHECK(state_of("consumer") == "stopped");
}

TEST_CASE("a state machine is not drained while it has postponed something", "[drain][statem]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid door = start_state_machine<DoorMachine>(self, "door");
  std::filesystem::remove(key_of_the_door());
  pass(self, door, 1);
  wait_until("the door to have read it", [&] { return json_of({"show", "door"})["status"]["messages_received"].number() >= 2; });
  Process drain = draining("door");
  wait_until_draining("door");
  self.sleep(50ms);  // it has every reason to be done, but one
  CHECK(drain.running());
  CHECK(state_of("door") == "draining");
  std::ofstream(key_of_the_door()) << "x";
  CHECK(next<int, "passed">(self) == 1);
  CHECK(drain.wait() == 0);
}

TEST_CASE("one without a supervisor is drained and ended, a plain program is stopped, a supervisor is not drained", "[drain]") {
  ChildOptions options;
  LiveSystem system(supervisor(one_for_one, {9, 60s}, {{"sleeper", exec_plain({"sleep", "1000"}), options}}));
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("alone", Code(consumer));
  self.send(pid, "n", 1);
  self.send(pid, "go", true);
  said({"drain", "alone"});
  CHECK(reason_of(self, ref) == Reason::shutdown());
  CHECK(next<int, "handled">(self) == 1);
  check_fails({"show", "alone"}, 1, "no muproc");

  CHECK(json_of({"drain", "sleeper"})["name"].text() == "sleeper");
  CHECK(state_of("sleeper") == "stopped");
  said({"drain", "sleeper"});  // it is
  check_fails({"drain", "root"}, 1, "is a supervisor");
  check_fails({"drain", "tester"}, 1, "from outside");
  check_fails({"drain", "nobody"}, 1, "no muproc or supervisor is named \"nobody\"");
}

TEST_CASE("one whose supervisor ends while it is drained ends with it", "[drain]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  self.send("picky", "n", 1);
  system.wait_for_unmatched("picky", 1);
  Process drain = draining("picky");
  wait_until_draining("picky");
  system.leave();
  Process shutdown = Process::program({bin_dir() + "/muctl", "shutdown"});
  CHECK(shutdown.wait() == 0);
  drain.wait();  // answered or cut off, but over
  CHECK(system.wait() == 0);
}
