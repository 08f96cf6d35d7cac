// A broker that was stopped for a while and goes on: what it was away for is not taken from the time of others. And a zygote
// that was.
#include <chrono>
#include <csignal>
#include <thread>

#include <muproc/supervisor.hpp>

#include "chaos/shortage.hpp"
#include "support/catch.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

/// Is stopped until `others` have done what they do meanwhile, and for twice that time.
template <class Others>
void is_away(Process& broker, std::chrono::milliseconds time, Others others) {
  broker.signal(SIGSTOP);
  wait_until_stopped(broker.os_pid());
  others();
  std::this_thread::sleep_for(2 * time);  // the limit passes: that is what is tried
  broker.signal(SIGCONT);
}

}  // namespace

TEST_CASE("who gets ready while the broker is stopped is in time, however long that is", "[broker][pause][ready]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn(
      "spawner", +[](Self& self) {
        const Pid slow = self.spawn("slow",
                                    +[](Self& self) {
                                      self.send("tester", "begun", self.pid());
                                      self.receive(on<"be_ready">() >> [&] { self.ready(); });
                                      self.send("tester", "said", true);
                                      waits(self);
                                    },
                                    {.ready_timeout = 3s, .ready_on = ReadyOn::call});
        self.send("tester", "spawned", slow);
        waits(self);
      });
  const Pid slow = next<Pid, "begun">(self);
  self.send(slow, "warm", true);  // while the broker is there to open the channel
  is_away(system.broker(), 3s, [&] {
    self.send(slow, "be_ready", true);
    next<bool, "said">(self);
  });
  CHECK(next<Pid, "spawned">(self) == slow);
}

TEST_CASE("a supervisor's own stop period does not run while the broker is stopped", "[broker][pause][supervisor]") {
  const auto says_goodbye = +[](Self& self) {
    self.trap_exits(true);
    self.receive(on<"terminated">() >> [] {});
    self.send("tester", "goodbye", self.name());
    self.receive(
        on<"go">() >> [] {}, after(300ms) >> [] {});
  };
  LiveSystem system(supervisor(one_for_one, {1, 5s},
                               {{"inner",
                                 supervisor(one_for_one, {1, 5s}, {{"a", says_goodbye}, {"b", says_goodbye}}),
                                 {.restart = temporary, .stop = 2s}}}));
  Self& self = system.self();
  system.wait_for("a");
  system.wait_for("b");
  self.send("a", "warm", true);
  self.send("b", "warm", true);
  self.spawn(
      "stopper", +[](Self& self) {
        terminate_child(self, "root", "inner");
        waits(self);
      });
  CHECK(next<std::string, "goodbye">(self) == "b");
  is_away(system.broker(), 2s, [] {});
  CHECK(next<std::string, "goodbye">(self) == "a");  // it was told, not killed
}

TEST_CASE("who spawns while the zygote is stopped hears so when time is up, and no child comes of it later",
          "[broker][pause][zygote]") {
  LiveSystem system;
  Self& self = system.self();
  const auto ends = [&](Pid pid) {
    const Ref ref = self.monitor(pid);
    self.kill(pid);
    reason_of(self, ref);
  };
  ends(self.spawn("first", waits));
  const pid_t broker = system.broker().os_pid();
  // A muproc that ends has the zygote's name until it is reaped.
  wait_until("one zygote", [&] { return children_of(broker, "muproc-zygote").size() == 1; });
  const auto zygotes = children_of(broker, "muproc-zygote");
  const std::size_t children = children_of(broker).size();
  ::kill(zygotes.front(), SIGSTOP);
  wait_until_stopped(zygotes.front());
  CHECK_THROWS_WITH(self.spawn("x", waits, {.ready_timeout = 300ms}), Catch::Matchers::Contains("was not ready within"));
  CHECK(self.find("x") == nil_pid);
  ::kill(zygotes.front(), SIGCONT);
  ends(self.spawn("x", waits));
  wait_until("no child but those that were there", [&] { return children_of(broker).size() == children; });
  CHECK(children_of(broker, "muproc-zygote") == zygotes);
}
