// The test cases of cl-muproc, the Common Lisp library that muproc takes its ideas from, each under its own name. Where
// muproc's rule is another one, a comment says so.
#include <algorithm>
#include <random>
#include <vector>

#include "support/messages.capnp.h"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

void increment_server(Self& self) {
  for (;;)
    self.receive(on<"n">() >> [&](From from, int n) { self.send(from, "result", n + 1); });
}

bool even(int n) { return n % 2 == 0; }

void times_ten_server(Self& self) {
  for (;;)
    self.receive(on<"n">(even) >> [&](From from, int n) { self.send(from, "result", 10 * n); },
                 on<"n">() >> [&](From from, int n) { self.send(from, "result", -10 * n); });
}

void even_only_server(Self& self) {
  for (;;)
    self.receive(on<"n">(even) >> [&](From from, int n) { self.send(from, "result", 10 * n); },
                 on<"cmd">(is("unmatched")) >> [&](From from) { self.send(from, "unmatched", self.unmatched_count()); });
}

int ask(Self& self, Address server, int n) {
  self.send(server, "n", n);
  return next<int, "result">(self);
}

}  // namespace

TEST_CASE("an increment server answers requests one at a time, in order", "[cl-muproc][SIMPLE-1]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("server", increment_server);
  for (int n = 1; n <= 10; ++n) CHECK(ask(self, "server", n) == n + 1);
}

TEST_CASE("messages with other fields are skipped over", "[cl-muproc][SIMPLE-2]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("server", increment_server);
  for (int i = 0; i < 5; ++i) self.send("server", "unrelated", i);
  for (int n = 1; n <= 10; ++n) CHECK(ask(self, "server", n) == n + 1);
}

TEST_CASE("the guard chooses between clauses on the same field", "[cl-muproc][SIMPLE-3]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("server", times_ten_server);
  for (int n = 1; n <= 10; ++n) CHECK(ask(self, "server", n) == (even(n) ? 10 * n : -10 * n));
}

TEST_CASE("what no guard lets pass stays in the mailbox", "[cl-muproc][SIMPLE-4]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("server", even_only_server);
  for (int n = 1; n <= 10; ++n) self.send("server", "n", n);
  for (int n = 2; n <= 10; n += 2) CHECK(next<int, "result">(self) == 10 * n);
  self.send("server", "cmd", "unmatched");
  CHECK(next<int, "unmatched">(self) == 5);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a hundred unmatched messages do not hide the one that matches", "[cl-muproc][SIMPLE-5]") {
  // The original asserts an answer within 2 s; we only wait for it.
  LiveSystem system;
  Self& self = system.self();
  self.spawn("server", even_only_server);
  for (int i = 0; i < 100; ++i) self.send("server", "unrelated", i);
  CHECK(ask(self, "server", 42) == 420);
}

// ---- exits and links -------------------------------------------------------------------------------------------------

TEST_CASE("a trapping parent hears with which reason its linked child exits", "[cl-muproc][MUPROC-EXIT-LINK-1]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid child = self.spawn("child", +[](Self& self) { self.exit("rcv-1-exit"); }, {.link = true});
  CHECK(reason_of(self, child) == "rcv-1-exit");
}

TEST_CASE("a trapping parent hears that its linked child has returned", "[cl-muproc][NORMAL-EXIT-LINK-2]") {
  // The original's reason is :normal-exit, ours `normal`.
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid child = self.spawn("child", +[](Self&) {}, {.link = true});
  CHECK(reason_of(self, child) == Reason::normal());
}

namespace {

/// Spawns the next link of a chain, `depth` long in all, and waits; the last one returns when it is told to.
void link_of_chain(Self& self) {
  const int number = self.args()["number"].as<int>();
  if (number < self.args()["length"].as<int>()) {
    Mumsg args = self.args();
    args.set("number", number + 1);
    self.spawn("chain-" + std::to_string(number + 1), link_of_chain, {.args = args, .link = true});
  }
  self.receive(on<"cmd">(is("return")) >> [] {});
}

Pid start_chain(Self& self, int length, bool link) {
  const Pid first =
      self.spawn("chain-1", link_of_chain, {.args = {{"number", 1}, {"length", length}}, .link = link});
  wait_for_name(self, "chain-" + std::to_string(length));
  return first;
}

/// What the one before chain-`number` ends with, when the last of a chain of `length` has returned.
void check_chain(const Reason& reason, int number, int length) {
  if (number > length) {
    CHECK(reason == Reason::normal());
    return;
  }
  REQUIRE(reason.is(Reason::Kind::linked));
  CHECK(reason.name() == "chain-" + std::to_string(number));
  REQUIRE(reason.cause());
  check_chain(*reason.cause(), number + 1, length);
}

}  // namespace

TEST_CASE("one that does not trap dies with its linked peer, and its own peer hears why", "[cl-muproc][LINKED-EXITS-3]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid b = start_chain(self, 2, true);
  self.send("chain-2", "cmd", "return");
  check_chain(reason_of(self, b), 2, 2);
}

TEST_CASE("an end ripples through a chain of six and arrives with all its causes",
          "[cl-muproc][RIPPLING-LINKED-EXITS-4]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid first = start_chain(self, 6, true);
  self.send("chain-6", "cmd", "return");
  const Reason reason = reason_of(self, first);
  check_chain(reason, 2, 6);
  CHECK(reason.root_cause() == Reason::normal());
}

TEST_CASE("one that is not linked to the chain hears nothing and goes on", "[cl-muproc][RIPPLING-LINKED-EXITS-4A]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid first = start_chain(self, 6, false);
  self.send("chain-6", "cmd", "return");
  wait_until("the end of the chain", [&] { return !self.alive(first); });
  const std::string outcome = self.with_timeout(
      50ms, [&] { return to_string(self.receive_any().mumsg().value()); }, [] { return std::string("timeout"); });
  CHECK(outcome == "timeout");
}

// ---- names and ports -------------------------------------------------------------------------------------------------

TEST_CASE("a registered port is found by another muproc, and the answer comes back to it", "[cl-muproc][REGISTER-1]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn(
      "server", +[](Self& self) {
        auto port = self.register_port("two");
        times_ten_server(self);
      });
  const Pid server = wait_for_name(self, "two");
  CHECK(server == self.find("server"));
  const Reason end = play(
      self, "client", +[](Self& self) {
        const Pid server = self.find("two");
        self.send(server, "n", 42);
        self.receive(on<"result">() >> [&](From from, int result) { MUST(from == server && result == 420); });
      });
  CHECK(end == Reason::normal());
}

namespace {

/// Adds itself to the trail, and hands the packet to the next on its route.
void route_worker(Self& self) {
  const int tag = self.args()["tag"].as<int>();
  auto port = self.register_port(self.args()["port"].as<std::string>());
  self.send(self.parent(), "registered", port.name());
  for (;;)
    self.receive(on<"route", "trail">() >> [&](List route, List trail) {
      trail.push_back(List{Value(port.name()), Value(tag)});
      if (route.empty()) {
        self.send("home", "trail", trail);
      } else {
        const std::string to = route.front().as<std::string>();
        route.erase(route.begin());
        self.send(to, "route", route, "trail", trail);
      }
    });
}

}  // namespace

TEST_CASE("a packet that is handed on along a random route comes home with the right trail",
          "[cl-muproc][COMPUTATION-1]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  auto home = self.register_port("home");
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const std::array<std::string, 3> ports{"work-1", "work-2", "work-3"};
  std::array<int, 3> tags;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    tags[i] = static_cast<int>(random() % 1'000'000);
    self.spawn("worker-" + std::to_string(i), route_worker,
               {.args = {{"tag", tags[i]}, {"port", ports[i]}}, .link = true});
    next<std::string, "registered">(self);
  }
  List route, expected;
  for (int step = 0; step < 10; ++step) {
    const std::size_t worker = random() % ports.size();
    route.push_back(ports[worker]);
    expected.push_back(List{Value(ports[worker]), Value(tags[worker])});
  }
  const std::string first = route.front().as<std::string>();
  route.erase(route.begin());
  self.send(first, "route", route, "trail", List());
  CHECK(next<List, "trail">(self) == expected);
}

TEST_CASE("a name can be used again as soon as its end was heard of", "[cl-muproc][UNIQUE-MUPROC-NAMES-1]") {
  // In the original each of the five reports that it is done and the next one is spawned then; here a message is no
  // promise of an end, its notice is.
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 5; ++i)
    CHECK(play(self, "same", +[](Self& self) { self.send(self.parent(), "done", true); }) == Reason::normal());
  for (int i = 0; i < 5; ++i) CHECK(next<bool, "done">(self));
}

TEST_CASE("a second one of the same name is an error", "[cl-muproc][UNIQUE-MUPROC-NAMES-2]") {
  LiveSystem system;
  Self& self = system.self();
  const auto wait = +[](Self& self) { self.receive(on<"cmd">(is("return")) >> [] {}); };
  const Pid first = self.spawn("same", wait);
  for (int i = 0; i < 4; ++i) CHECK_THROWS_AS(self.spawn("same", wait), NameTaken);
  CHECK(self.find("same") == first);
}

// ---- sending to those who have ended ---------------------------------------------------------------------------------

namespace {

/// Answers only when it is told to, and then to the one that asked first.
void late_server(Self& self) {
  const bool by_name = self.args()["by_name"].as<bool>();
  Pid asker;
  self.receive(on<"n">() >> [&](From from) { asker = from; });
  self.send(self.parent(), "asked", asker);
  for (;;)
    self.receive(on<"cmd">(is("answer")) >> [&] {
      try {
        if (by_name) {
          self.send("requester", "result", 1);
        } else {
          self.send(asker, "result", 1);
        }
        self.send(self.parent(), "outcome", "done");
      } catch (const NoSuchName&) {
        self.send(self.parent(), "outcome", "nobody");
      }
    });
}

void requester(Self& self) {
  self.send("server", "n", 1);
  self.receive(on<"result">() >> [] {});
}

}  // namespace

TEST_CASE("an answer to the pid of one that has ended is no error", "[cl-muproc][SEND-TO-TERMINATED-1]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("server", late_server, {.args = {{"by_name", false}}});
  const auto [pid, ref] = self.spawn_monitor("requester", requester);
  CHECK(next<Pid, "asked">(self) == pid);
  self.kill(pid);
  CHECK(reason_of(self, ref) == Reason::killed());
  self.send("server", "cmd", "answer");
  CHECK(next<std::string, "outcome">(self) == "done");
}

TEST_CASE("an answer to the name of one that has ended is an error, also when it was found before",
          "[cl-muproc][SEND-TO-TERMINATED-2]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("server", late_server, {.args = {{"by_name", true}}});
  const auto [pid, ref] = self.spawn_monitor("requester", requester);
  CHECK(next<Pid, "asked">(self) == pid);
  self.send("server", "cmd", "answer");
  CHECK(next<std::string, "outcome">(self) == "done");
  CHECK(reason_of(self, ref) == Reason::normal());
  self.send("server", "cmd", "answer");
  CHECK(next<std::string, "outcome">(self) == "nobody");
}

TEST_CASE("a message that is no mumsg arrives with its type, its sender and its age", "[cl-muproc][MUPROC-SEND-1]") {
  // The original sends a bare symbol of type :plain; here a message that is no mumsg is a Cap'n Proto struct.
  LiveSystem system;
  Self& self = system.self();
  const Pid sender = self.spawn("sender", +[](Self& self) {
    self.send<Plain>(self.parent(), [](Plain::Builder plain) { plain.setWord("a-symbol"); });
    self.send(self.parent(), "sent", true);
    self.receive(on<"cmd">(is("return")) >> [] {});
  });
  const auto message = self.receive_any(k_patience);
  REQUIRE(message);
  CHECK(message->is<Plain>());
  CHECK_FALSE(message->is_mumsg());
  CHECK(std::string_view(message->as<Plain>().getWord().cStr()) == "a-symbol");
  CHECK(message->from() == sender);
  CHECK(message->age() >= 0ns);
  CHECK(next<bool, "sent">(self));
}

// ---- monitors and timers ---------------------------------------------------------------------------------------------

TEST_CASE("a monitor hears the reason, and the one that is monitored ends undisturbed",
          "[cl-muproc][MUPROC-MONITOR-1]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Pid watched = self.spawn("watched", +[](Self& self) {
    self.receive(on<"cmd">(is("exit")) >> [] {});
    self.send(self.parent(), "last word", true);
    self.exit("two-exit");
  });
  const Ref ref = self.monitor(watched);
  self.send(watched, "cmd", "exit");
  CHECK(reason_of(self, ref) == "two-exit");
  CHECK(next<bool, "last word">(self));
}

TEST_CASE("a repeating timer calls its function in its owner's receives", "[cl-muproc][INTERRUPT-1]") {
  // The original's function interrupts its muproc anywhere; ours is called by the runtime calls of its owner.
  LiveSystem system;
  Self& self = system.self();
  int count = 10;
  const TimerRef timer = self.schedule(
      2ms,
      [&] {
        if (count > 0) {
          self.send(self.pid(), "count", count--);
        } else {
          self.send(self.pid(), "done", true);
        }
      },
      2ms);
  std::vector<int> collected;
  for (bool done = false; !done;)
    self.receive(on<"count">() >> [&](int n) { collected.push_back(n); }, on<"done">() >> [&] { done = true; },
                 or_fail("the timer"));
  CHECK(collected == std::vector<int>{10, 9, 8, 7, 6, 5, 4, 3, 2, 1});
  CHECK(self.cancel(timer));
}
