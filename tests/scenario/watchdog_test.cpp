// Muprocs that do not come back to the runtime, and those that only seem so.
#include <csignal>

#include "support/catch.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

const Reason k_watchdog(Reason::Kind::watchdog);
constexpr auto k_interval = 100ms;
constexpr auto k_long_interval = 1s;  // for who has to show himself, which a busy machine may keep him from for a while

void spins() {
  for (volatile bool for_ever = true; for_ever;) {
  }
}

void waits(Self& self) {
  self.receive(on<"end">() >> [] {}, on<"spin">() >> [] { spins(); });
}

/// Whatever it does, it is looked at many times meanwhile. That nobody is ended wrongly can only be waited for.
void let_it_be_looked_at(Self& self, std::chrono::nanoseconds how_long = 10 * k_interval) {
  self.receive(on<"never">() >> [] {}, after(how_long) >> [] {});
}

std::string notify_every(const char* how_often) {
  return std::string("socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; ($to = $ENV{NOTIFY_SOCKET}) =~ s/^@/\\0/;"
                     "$SIG{USR1} = sub { $quiet = 1 };"
                     "$ENV{WATCHDOG_USEC} == 1000000 or exit 3;"
                     "while (1) { $quiet or send(S, 'WATCHDOG=1', 0, pack_sockaddr_un($to)); select(undef, undef, undef, ") +
         how_often + ") }";
}

}  // namespace

TEST_CASE("one that makes no runtime call for its interval is ended, and its end is put down to the watchdog", "[watchdog]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("x", Code(+[](Self&) { spins(); }), {.watchdog = k_interval});
  CHECK(reason_of(self, ref) == k_watchdog);
}

TEST_CASE("it comes back as after any other abnormal end", "[watchdog][supervisor]") {
  LiveSystem system(supervisor(one_for_one, {2, 60s}, {{"x", waits, {.restart = transient, .watchdog = k_interval}}}));
  Self& self = system.self();
  const Pid x = self.find("x");
  const Ref watching = self.monitor(x);
  self.send(x, "spin", true);
  CHECK(reason_of(self, watching) == k_watchdog);
  wait_for_replacement(self, "x", x);
}

TEST_CASE("who waits in a runtime call, or makes one now and then, is not stuck", "[watchdog]") {
  LiveSystem system;
  Self& self = system.self();
  const SpawnOptions watched{.watchdog = k_interval};
  const Pid receiving = self.spawn("receiving", waits, watched);
  const Pid sleeping = self.spawn("sleeping", +[](Self& self) { self.sleep(1h); }, watched);
  const Pid busy = self.spawn("busy", +[](Self& self) {
    for (;;) self.receive(on<"end">() >> [] {}, after(0s) >> [] {});
  }, {.watchdog = k_long_interval});
  const Pid asking = self.spawn("asking", +[](Self& self) {
    self.spawn("slow", +[](Self& self) { self.sleep(1h); }, {.ready_timeout = 1h, .ready_on = ReadyOn::call});
  }, watched);
  let_it_be_looked_at(self, 2 * k_long_interval);
  for (const Pid pid : {receiving, sleeping, busy, asking}) CHECK(self.alive(pid));
}

TEST_CASE("who is blocked in a send is not stuck", "[watchdog]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("deaf", +[](Self&) { ::pause(); });
  const Pid sending = self.spawn("sending", +[](Self& self) {
    for (;;) self.send("deaf", "text", std::string(10000, 'x'));
  }, {.watchdog = k_interval});
  let_it_be_looked_at(self);
  CHECK(self.alive(sending));
}

TEST_CASE("a process that is stopped is not stuck", "[watchdog]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid x = self.spawn("x", +[](Self& self) {
    for (;;) self.receive(on<"end">() >> [&] { self.exit("told"); }, after(0s) >> [] {});
  }, {.watchdog = k_long_interval});
  const Ref watching = self.monitor(x);
  signal(self, x, SIGSTOP);
  wait_until_stopped(os_pid_of(self, x));
  let_it_be_looked_at(self, 2 * k_long_interval);
  signal(self, x, SIGCONT);
  self.send(x, "end", true);
  CHECK(reason_of(self, watching) == "told");
}

TEST_CASE("who is told to end has its stop period, not its watchdog's interval", "[watchdog][stop]") {
  LiveSystem system(supervisor(one_for_one, {}, {{"x", +[](Self& self) {
    struct SlowEnd {
      ~SlowEnd() {
        const auto until = std::chrono::steady_clock::now() + 5 * k_interval;
        while (std::chrono::steady_clock::now() < until) {
        }
      }
    } slow_end;
    waits(self);
  }, {.stop = 60s, .watchdog = k_interval}}}));
  Self& self = system.self();
  const Ref watching = self.monitor("x");
  self.exit("x", Reason::shutdown());
  CHECK(reason_of(self, watching) == Reason::shutdown());
}

TEST_CASE("one that ignores SIGABRT is killed, and it was the watchdog all the same", "[watchdog]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("x", Code(+[](Self&) {
    ::signal(SIGABRT, SIG_IGN);
    spins();
  }), {.watchdog = k_interval});
  CHECK(reason_of(self, ref) == k_watchdog);
}

TEST_CASE("a plain program shows itself by WATCHDOG=1, and is ended when it does not", "[watchdog][notify]") {
  ChildOptions options{.restart = temporary};
  options.watchdog = k_long_interval;
  LiveSystem system(supervisor(one_for_one, {}, {{"p", exec_plain({"perl", "-MSocket", "-e", notify_every("0.01")}), options},
                                                 {"b", waits}}));
  Self& self = system.self();
  const Ref watching = self.monitor("p");
  let_it_be_looked_at(self, 2 * k_long_interval);
  signal(self, self.find("p"), SIGUSR1);
  CHECK(reason_of(self, watching) == k_watchdog);
}
