// How a system ends: in order, by force, and when its broker is killed.
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "support/catch.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

void waits(Self& self) {
  self.receive(on<"never">() >> [] {});
}

void is_deaf(Self&) {
  for (;;) ::pause();
}

fs::path folder_of(const LiveSystem& system) { return fs::path(std::getenv("MUPROC_RUNTIME_DIR")) / system.name(); }

std::string log_of(const LiveSystem& system) {
  std::ifstream file(folder_of(system) / "logs" / "broker.log");
  return {std::istreambuf_iterator<char>(file), {}};
}

/// True when these texts stand in the log in this order.
bool says_in_order(const std::string& log, const std::vector<std::string>& texts) {
  std::size_t at = 0;
  for (const auto& text : texts) {
    at = log.find(text, at);
    if (at == log.npos) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a system that is told to end stops its tree in reverse order, then those who were spawned", "[broker][stop]") {
  LiveSystem system(supervisor(one_for_one, {}, {{"a", waits}, {"inner", supervisor(one_for_one, {}, {{"b", waits}, {"c", waits}})}, {"d", waits}}));
  system.self().spawn("spawned", waits);
  CHECK(system.stop() == 0);
  CHECK(says_in_order(log_of(system), {"is stopped by SIGTERM", "d <", "c <", "b <", "inner <", "a <", "root <", "spawned <", "exit code 0"}));
  CHECK_FALSE(fs::exists(folder_of(system) / "control.sock"));
  CHECK(fs::file_size(folder_of(system) / "lock") == 0);
}

TEST_CASE("a second interrupt kills whoever keeps the system from ending", "[broker][stop]") {
  LiveSystem system(supervisor(one_for_one, {}, {{"a", waits}, {"deaf", is_deaf, {.stop = forever}}}));
  system.leave();
  system.broker().signal(SIGINT);
  wait_until("the stop to begin", [&] { return log_of(system).find("is stopped by SIGINT") != std::string::npos; });
  system.broker().signal(SIGINT);
  CHECK(system.broker().wait() == 0);
  nobody_is_left();
}

TEST_CASE("an interrupt from the terminal reaches the broker alone", "[broker][stop]") {
  LiveSystem system(supervisor(one_for_one, {}, {{"a", waits}}));
  Self& self = system.self();
  CHECK(::getpgid(os_pid_of(self, self.find("a"))) != ::getpgid(system.broker().os_pid()));
  CHECK(::getsid(os_pid_of(self, self.find("a"))) != ::getsid(system.broker().os_pid()));
}

TEST_CASE("nobody outlives a broker that was killed", "[broker][crash]") {
  LiveSystem system(supervisor(one_for_one, {}, {{"a", waits}, {"deaf", is_deaf, {.stop = forever}}}));
  Self& self = system.self();
  self.spawn("spawned", waits);
  self.spawn("plain", exec_plain({"sh", "-c", "trap '' TERM; sleep 1000 & wait; sleep 1000"}));
  const pid_t deaf = os_pid_of(self, self.find("deaf"));
  system.kill_broker();
  CHECK(process_lives(deaf));  // within its grace
  nobody_is_left();
}

TEST_CASE("a fresh broker waits for a clean house", "[broker][crash]") {
  LiveSystem system(supervisor(one_for_one, {}, {{"deaf", is_deaf, {.stop = forever}}}));
  const pid_t deaf = os_pid_of(system.self(), system.self().find("deaf"));
  system.kill_broker();
  system.leave();
  auto fresh = Process::forked([&] { return System(system.name()).run(); });
  fresh.wait_for_output("is launched by process");
  CHECK_FALSE(process_lives(deaf));
  wait_until("the fresh broker to let us in", [&] {
    try {
      return static_cast<bool>(attach(system.name())->pid());
    } catch (const Error&) {
      return false;
    }
  });
  fresh.signal(SIGTERM);
  CHECK(fresh.wait() == 0);
}

TEST_CASE("a system ends with 1 when its root gives up, and with 0 when it ends in order", "[broker][stop]") {
  SECTION("gives up") {
    LiveSystem system(supervisor(one_for_one, {0, 5s}, {{"a", waits}}));
    Self& self = system.self();
    self.kill(self.find("a"));
    CHECK(system.wait() == 1);
  }
  SECTION("auto_shutdown") {
    LiveSystem system(supervisor(one_for_one, {0, 5s},
                                 {{"a", waits}, {"b", +[](Self& self) { self.receive(on<"end">() >> [] {}); },
                                                 {.restart = transient, .significant = true}}},
                                 any_significant));
    Self& self = system.self();
    self.send("b", "end", true);
    CHECK(system.wait() == 0);
  }
  SECTION("its root is killed") {
    LiveSystem system(supervisor(one_for_one, {0, 5s}, {{"a", waits}}));
    Self& self = system.self();
    self.kill(self.find("root"));
    CHECK(system.wait() == 0);
  }
}

TEST_CASE("a system whose root cannot start ends with 1, and says why", "[broker][stop]") {
  auto broker = Process::forked([] {
    return System("fails", supervisor(one_for_one, {}, {{"a", waits}, {"b", exec({"/no/such/program"})}})).run();
  });
  CHECK(broker.wait() == 1);
  CHECK(broker.output().find("system fails could not be started: b could not be started: exec /no/such/program") != std::string::npos);
  nobody_is_left();
}

TEST_CASE("an embedded system can be stopped from any thread, also before it runs", "[broker][stop]") {
  auto broker = Process::forked([] {
    System system("embedded");
    system.stop();
    return system.run();
  });
  CHECK(broker.wait() == 0);
}

TEST_CASE("what cannot be a system is refused, by name", "[broker]") {
  CHECK_THROWS_AS(System("a/b"), std::invalid_argument);
  CHECK_THROWS_AS(System("area.toml"), std::invalid_argument);
  CHECK_THROWS_AS(System(fs::path("/no/such/config.toml")), std::runtime_error);
}
