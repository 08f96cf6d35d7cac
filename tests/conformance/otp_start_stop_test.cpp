// What OTP's proc_lib_SUITE asks of starting and stopping: who waits for whom, what an error says, and what is reported.
#include <unistd.h>

#include <string>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  self.receive(on<"cmd">(is("return")) >> [] {});
}

/// A server that takes its time to begin and to end, as its argument says.
struct Slow {
  Slow(Self& self, std::string how) : self_(self), how_(std::move(how)) {
    self_.send("tester", "constructing", true);
    if (how_ == "throws") throw std::runtime_error("no wish to live");
    if (how_ == "exits") self_.exit("another reason");
    if (how_ == "dies") ::raise(SIGKILL);
    if (how_ == "hangs") self_.sleep(1h);
    self_.sleep(3ms);
    self_.send("tester", "constructed", true);
  }
  void terminate(const Reason&) {
    if (how_ == "clings") self_.receive(on<"let go">() >> [] {});
    self_.send("tester", "terminated", true);
  }
  void hello() {}

 private:
  Self& self_;
  std::string how_;
};
constexpr Call<&Slow::hello> hello{"hello"};

Pid start_slow(Self& self, const std::string& how, const ServerOptions& options = {}) {
  return start_server<Slow>(self, "slow", {hello}, options, how);
}

Reason start_error(Self& self, const std::string& how, const ServerOptions& options = {}) {
  try {
    start_slow(self, how, options);
  } catch (const StartFailed& error) {
    return error.reason;
  }
  FAIL("it started");
  return {};
}

/// All that is left of the server's own words is taken; what else there is, is a stray.
void no_strays(Self& self) {
  self.monitor(Pid(0, 4000, 1));
  self.receive(on<"reason", "terminated">(anything, is(Pid(0, 4000, 1))) >> [](Reason) {}, or_fail("the broker"));
  while (self.receive(on<"constructing">() >> [] { return true; }, after(0s) >> [] { return false; })) {
  }
  if (const auto stray = self.receive_any(0s)) FAIL("a stray: " << to_string(stray->mumsg().value()));
}

}  // namespace

// ---- starting --------------------------------------------------------------------------------------------------------

TEST_CASE("who starts a server waits until it is ready", "[server][start][otp][sync_start]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 10; ++i) {
    const Pid server = start_slow(self, "");
    // What it said in its constructor is here already.
    CHECK(self.receive(on<"constructed">() >> [] { return true; }, after(0s) >> [] { return false; }));
    muproc::stop(self, server);
  }
}

TEST_CASE("a start that takes too long is an error, its server is killed, and nothing strays",
          "[server][start][otp][sync_start_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  // Killed while it was constructing, or before it had even joined.
  const Reason why = start_error(self, "hangs", {.ready_timeout = 20ms});
  CHECK((why == Reason::killed() || why.is(Reason::Kind::start_failed)));
  CHECK_FALSE(self.find("slow"));
  no_strays(self);
  CHECK_NOTHROW(start_slow(self, ""));
}

TEST_CASE("a crash before a server is ready is the error of its start", "[server][start][otp][init_crash]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(start_error(self, "throws") == Reason::exception("std::runtime_error", "no wish to live"));
  CHECK(start_error(self, "exits") == "another reason");
  CHECK(start_error(self, "dies") == Reason::signal(SIGKILL));
  CHECK_FALSE(self.find("slow"));
  no_strays(self);
}

TEST_CASE("one that traps hears of a linked server that does not start once, through the link",
          "[server][start][otp][init_crash]") {
  // As gen_server:start_link does it.
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  const Reason why = start_error(self, "throws", {.link = true});
  self.receive(on<"terminated", "reason", "name">() >> [&](Pid, Reason reason, std::string name) {
    CHECK(name == "slow");
    CHECK(reason == why);
  }, or_fail("the notice of the link"));
  no_strays(self);
}

TEST_CASE("a muproc that has died before it was ready is the error of its spawn, and leaves no notice",
          "[spawn][start][otp][init_crash]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  for (const bool link : {false, true}) {
    try {
      self.spawn("a", exec({"/bin/false"}), {.link = link});
      FAIL("it started");
    } catch (const StartFailed& error) {
      CHECK(error.reason.is(Reason::Kind::start_failed));
      CHECK(error.reason.root_cause() == Reason::code(1));
    }
    CHECK_THROWS_AS(self.spawn_monitor("a", exec({"/bin/false"}), {.link = link}), StartFailed);
    CHECK_FALSE(self.find("a"));
  }
  no_strays(self);
}

TEST_CASE("a program that does not join in time is killed, and leaves no notice", "[spawn][start][otp][sync_start_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  CHECK_THROWS_AS(self.spawn_monitor("a", exec({"/bin/sleep", "1000"}), {.link = true, .ready_timeout = 20ms}), StartFailed);
  CHECK_FALSE(self.find("a"));
  no_strays(self);
}

// ---- stopping --------------------------------------------------------------------------------------------------------

TEST_CASE("a server that is not stopped in time goes on ending, and ends", "[server][end][otp][stop]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_slow(self, "clings");
  const Ref ref = self.monitor(server);
  try {
    muproc::stop(self, server, Reason::exit("obsolete"), 10ms);
    FAIL("it stopped");
  } catch (const CallError& error) {
    CHECK(error.kind == CallError::Kind::timeout);
  }
  self.send(server, "let go", true);
  CHECK(reason_of(self, ref) == "obsolete");
  CHECK(next<bool, "terminated">(self));
}

TEST_CASE("to stop one that dies of something else says so", "[server][end][otp][stop]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_slow(self, "clings");
  self.schedule(5ms, [&, pid = server] { self.kill(pid); });
  try {
    muproc::stop(self, server, Reason::normal());
    FAIL("it stopped");
  } catch (const CallError& error) {
    CHECK(error.kind == CallError::Kind::down);
    CHECK(error.reason == Reason::killed());
  }
  try {
    muproc::stop(self, server);
    FAIL("it stopped twice");
  } catch (const CallError& error) {
    CHECK(error.kind == CallError::Kind::noproc);
  }
}

TEST_CASE("a muproc that is no server is stopped by an exit signal that is waited for", "[exit][otp][stop]") {
  // proc_lib:stop(Pid) stops any special process; here a monitor and an exit do.
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", waits);
  self.exit(pid, Reason::shutdown());
  CHECK(reason_of(self, ref) == Reason::shutdown());
}

// ---- what is reported ------------------------------------------------------------------------------------------------

TEST_CASE("an exception that ends a muproc is reported as an error; `normal` and `shutdown` are not",
          "[log][otp][crash_report]") {
  LiveSystem system;
  Self& self = system.self();
  play(self, "returns", +[](Self&) {});
  play(self, "throws", +[](Self&) { throw std::runtime_error("it burns"); });
  const auto [pid, ref] = self.spawn_monitor("is-stopped", waits);
  self.exit(pid, Reason::shutdown());
  CHECK(reason_of(self, ref) == Reason::shutdown());
  system.leave();
  CHECK(system.stop() == 0);
  const std::string output = system.broker().output();
  CHECK_THAT(output, Contains("it burns"));
  // Lines that complain: none of the two that ended in order, at least one of the third.
  bool of_the_crash = false;
  for (std::size_t begin = 0, end = 0; end != output.npos; begin = end + 1) {
    end = output.find('\n', begin);
    const std::string line = output.substr(begin, end - begin);
    const bool complains = line.find("error") != line.npos || line.find("warn") != line.npos;
    if (!complains) continue;
    CHECK(line.find("returns") == line.npos);
    CHECK(line.find("is-stopped") == line.npos);
    of_the_crash |= line.find("it burns") != line.npos;
  }
  CHECK(of_the_crash);
}
