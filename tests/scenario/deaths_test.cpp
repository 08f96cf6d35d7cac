// How muprocs end, and what others see of it.
#include <unistd.h>

#include <csignal>

#include "support/catch.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

void waits(Self& self) {
  self.receive(on<"never">() >> [] {});
}

/// Never comes back to the runtime.
void is_deaf(Self&) {
  for (;;) ::pause();
}

}  // namespace

TEST_CASE("what the kernel reports and what a muproc says are told apart", "[broker][reason]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self&) {}) == Reason::normal());
  CHECK(play(self, "a", +[](Self& self) { self.exit("done"); }) == Reason::exit("done"));
  CHECK(play(self, "a", +[](Self&) { ::_exit(0); }) == Reason::code(0));
  CHECK(play(self, "a", +[](Self&) { ::_exit(3); }) == Reason::code(3));
  CHECK(play(self, "a", +[](Self&) { ::raise(SIGTERM); }) == Reason::signal(SIGTERM));
  CHECK(play(self, "a", +[](Self& self) { self.kill(self.pid()); waits(self); }) == Reason::killed());
}

TEST_CASE("by the time anyone hears of a death, the dead one's names are free", "[broker][death]") {
  LiveSystem system;
  Self& self = system.self();
  for (int round = 0; round < 20; ++round) {
    const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
      const auto port = self.register_port("the-port");
      self.send(self.parent(), "ready", true);
      waits(self);
    });
    next<bool, "ready">(self);
    CHECK(self.find("the-port") == pid);
    signal(self, pid, SIGKILL);
    reason_of(self, ref);
    CHECK_FALSE(self.alive(pid));
    CHECK(self.find("a") == nil_pid);
    CHECK(self.find("the-port") == nil_pid);
    const auto port = self.register_port("the-port");
  }
}

TEST_CASE("what a muproc has forked ends with it", "[broker][death]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    const pid_t child = ::fork();
    if (child == 0)
      for (;;) ::pause();
    self.send(self.parent(), "child", static_cast<std::int64_t>(child));
    waits(self);
  });
  const auto child = static_cast<pid_t>(next<std::int64_t, "child">(self));
  CHECK(process_lives(child));
  signal(self, pid, SIGKILL);
  CHECK(reason_of(self, ref) == Reason::signal(SIGKILL));
  wait_until("the grandchild to go", [&] { return !process_lives(child); });
}

TEST_CASE("who does not end in time is killed, and the original reason is what peers see", "[broker][exit]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("deaf", is_deaf, {.stop = 50ms});
  self.exit(pid, "enough");
  CHECK(reason_of(self, ref) == Reason::exit("enough"));
}

TEST_CASE("the first exit signal wins, and kill overrules it", "[broker][exit]") {
  LiveSystem system;
  Self& self = system.self();
  SECTION("two exit signals") {
    const auto [pid, ref] = self.spawn_monitor("deaf", is_deaf, {.stop = 100ms});
    self.exit(pid, "first");
    self.exit(pid, "second");
    CHECK(reason_of(self, ref) == Reason::exit("first"));
  }
  SECTION("an exit signal, then a kill") {
    const auto [pid, ref] = self.spawn_monitor("deaf", is_deaf, {.stop = forever});
    self.exit(pid, "first");
    self.kill(pid);
    CHECK(reason_of(self, ref) == Reason::killed());
  }
  SECTION("one who traps exits gets a message, and lives") {
    const auto [pid, ref] = self.spawn_monitor("trapper",
                                               +[](Self& self) {
                                                 self.receive(on<"reason">() >> [&](Reason reason) {
                                                   self.send(self.parent(), "heard", reason);
                                                 });
                                                 waits(self);
                                               },
                                               {.trap_exits = true, .stop = 1ms});
    self.exit(pid, "no thanks");
    CHECK(next<Reason, "heard">(self) == Reason::exit("no thanks"));
    self.kill(pid);
    CHECK(reason_of(self, ref) == Reason::killed());
  }
}

TEST_CASE("a death ripples through links, each hop named", "[broker][link]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [first, first_ref] = self.spawn_monitor("first", waits);
  const auto [second, second_ref] = self.spawn_monitor("second", +[](Self& self) {
    self.link("first");
    self.send(self.parent(), "linked", true);
    waits(self);
  });
  next<bool, "linked">(self);
  self.kill(first);
  CHECK(reason_of(self, first_ref) == Reason::killed());
  CHECK(reason_of(self, second_ref) == Reason::linked("first", first, Reason::killed()));
}

TEST_CASE("linking or monitoring the dead is answered at once", "[broker][link]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self&) {});
  reason_of(self, ref);
  self.link(pid);
  CHECK(reason_of(self, pid) == Reason::noproc());
  CHECK(reason_of(self, self.monitor(pid)) == Reason::noproc());
  CHECK(reason_of(self, self.monitor("nobody")) == Reason::noproc());
  self.link(self.pid());  // harmless
}

TEST_CASE("a link that ignores a normal end follows OTP", "[broker][link]") {
  LiveSystem system;
  Self& self = system.self();
  const auto body = +[](Self& self) {
    self.link("peer", {.on_normal = OnNormal::ignore});
    self.send(self.parent(), "linked", true);
    waits(self);
  };
  const auto [peer, peer_ref] = self.spawn_monitor("peer", +[](Self& self) {
    self.receive(on<"end">(is("normal")) >> [] {}, on<"end">() >> [&](std::string how) { self.exit(how); });
  });
  const auto [pid, ref] = self.spawn_monitor("a", body);
  next<bool, "linked">(self);
  SECTION("a normal end is ignored") {
    self.send(peer, "end", "normal");
    CHECK(reason_of(self, peer_ref) == Reason::normal());
    CHECK(self.alive(pid));
  }
  SECTION("any other end is not") {
    self.send(peer, "end", "badly");
    CHECK(reason_of(self, ref) == Reason::linked("peer", peer, Reason::exit("badly")));
  }
}

TEST_CASE("an outsider's process that dies is a death like any other", "[broker][attach]") {
  LiveSystem system;
  Self& self = system.self();
  auto outsider = Process::forked([&] {
    auto other = attach(system.name(), {.name = "outsider"});
    other->send("tester", "here", other->pid());
    other->receive(on<"leave">() >> [] {});
    return 0;
  });
  const Pid pid = next<Pid, "here">(self);
  const Ref ref = self.monitor(pid);
  SECTION("it leaves in order") {
    self.send(pid, "leave", true);
    CHECK(reason_of(self, ref) == Reason::normal());
    CHECK(outsider.wait() == 0);
  }
  SECTION("it is killed by somebody") {
    outsider.signal(SIGKILL);
    CHECK(reason_of(self, ref) == "disconnected");
  }
  SECTION("it is killed by a muproc") {
    self.kill(pid);
    CHECK(reason_of(self, ref) == Reason::killed());
    CHECK(outsider.wait() == 128 + SIGKILL);
  }
  CHECK(self.find("outsider") == nil_pid);
}
