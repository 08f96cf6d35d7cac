// Spares: children that were cloned before anybody has ended.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"
#include "sys/proc.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

void waits(Self& self) {
  for (;;)
    self.receive(on<"ask">() >> [&](From from) { self.send(from, "args", self.args()["n"].as<std::int64_t>()); },
                 on<"end">() >> [&](std::string how) { self.exit(how); });
}

/// Zygotes and what was cloned from them and is nobody yet, oldest first.
std::vector<pid_t> unnamed(pid_t broker, Self& self) {
  std::vector<pid_t> found;
  const auto all = self.list();
  std::ifstream children("/proc/" + std::to_string(broker) + "/task/" + std::to_string(broker) + "/children");
  for (pid_t child; children >> child;) {
    std::string comm;
    std::ifstream file("/proc/" + std::to_string(child) + "/comm");
    std::getline(file, comm);
    const bool is_muproc = std::any_of(all.begin(), all.end(), [&](const MuprocInfo& info) { return info.os_pid == child; });
    if (comm == "muproc-zygote" && !is_muproc && process_lives(child)) found.push_back(child);
  }
  return found;
}

/// What muctl says of a muproc.
std::string shown(const std::string& name) {
  auto muctl = Process::program({bin_dir() + "/muctl", "show", name});
  return muctl.wait() == 0 ? muctl.output() : "";
}

void wait_for_spares(const std::string& name, int ready, int wanted) {
  const std::string text = std::to_string(ready) + " of " + std::to_string(wanted) + " ready";
  wait_until("spares of " + name + ": " + text, [&] { return shown(name).find(text) != std::string::npos; });
}

/// The spares, once there are so many: all but the one zygote.
std::vector<pid_t> spares_of(LiveSystem& system, std::size_t count) {
  std::vector<pid_t> found;
  wait_until("spares", [&] {
    found = unnamed(system.broker().os_pid(), system.self());
    return found.size() == count + 1;
  });
  found.erase(found.begin());
  return found;
}

Supervisor one_with(std::uint32_t spares) {
  return supervisor(one_for_one, {1000, 1s}, {{"a", waits, {.args = {{"n", 7}}, .stop = kill, .spares = spares}}});
}

fs::path config() { return fs::path(std::getenv("MUPROC_RUNTIME_DIR")) / "spares.toml"; }
void write(const std::string& text) { std::ofstream(config()) << "[system]\nname = \"spares\"\n" << text; }
int muctl(const std::string& verb) { return Process::program({bin_dir() + "/muctl", verb}).wait(); }

}  // namespace

TEST_CASE("a restart takes a spare, and another one is made", "[broker][spares]") {
  LiveSystem system(one_with(1));
  Self& self = system.self();
  for (int round = 0; round < 10; ++round) {
    wait_for_spares("a", 1, 1);
    const auto spares = spares_of(system, 1);
    const Pid before = self.find("a");
    signal(self, before, SIGKILL);
    const Pid now = wait_for_replacement(self, "a", before);
    CHECK(os_pid_of(self, now) == spares.front());
    self.send(now, "ask", true);
    CHECK(next<std::int64_t, "args">(self) == 7);
  }
}

TEST_CASE("a spare sleeps, and is nobody", "[broker][spares]") {
  LiveSystem system(one_with(2));
  Self& self = system.self();
  wait_for_spares("a", 2, 2);
  for (const pid_t spare : spares_of(system, 2))
    wait_until("it to sleep", [&] { return sys::process_stat(spare)->state == 'S'; });
  CHECK(self.list().size() == 3);  // the root, a, and the test
}

TEST_CASE("several ends in a row are met by several spares, and then by clones", "[broker][spares]") {
  LiveSystem system(one_with(3));
  Self& self = system.self();
  wait_for_spares("a", 3, 3);
  const auto spares = spares_of(system, 3);
  for (int round = 0; round < 8; ++round) {
    const Pid before = self.find("a");
    signal(self, before, SIGKILL);
    const Pid now = wait_for_replacement(self, "a", before);
    if (round < 3) CHECK(std::find(spares.begin(), spares.end(), os_pid_of(self, now)) != spares.end());
  }
  wait_for_spares("a", 3, 3);
}

TEST_CASE("a spare that was killed is not missed, whenever that happens", "[broker][spares][crash]") {
  LiveSystem system(one_with(1));
  Self& self = system.self();
  wait_for_spares("a", 1, 1);
  const pid_t spare = spares_of(system, 1).front();
  const Pid before = self.find("a");
  const pid_t os_pid = os_pid_of(self, before);
  const bool spare_first = GENERATE(true, false);
  ::kill(spare_first ? spare : os_pid, SIGKILL);
  ::kill(spare_first ? os_pid : spare, SIGKILL);
  // Whether it was still a spare when it was killed, or a muproc already: it is a third process that goes on.
  wait_until("a third process", [&] {
    const auto all = self.list();
    return std::any_of(all.begin(), all.end(), [&](const MuprocInfo& info) {
      return info.name == "a" && info.pid && info.os_pid != spare && info.os_pid != os_pid;
    });
  });
  wait_for_spares("a", 1, 1);
}

TEST_CASE("a spare whose broker is stopped while it dies is cloned once more", "[broker][spares][crash]") {
  LiveSystem system(one_with(1));
  Self& self = system.self();
  wait_for_spares("a", 1, 1);
  const pid_t spare = spares_of(system, 1).front();
  const Pid before = self.find("a");
  // A stopped spare takes its kit when it goes on: it never does.
  ::kill(spare, SIGSTOP);
  signal(self, before, SIGKILL);
  wait_until("the spare to be of use", [&] { return shown("a").find("OS pid    " + std::to_string(spare)) != std::string::npos || shown("a").find(std::to_string(spare)) != std::string::npos; });
  ::kill(spare, SIGKILL);
  const Pid now = wait_for_replacement(self, "a", before);
  CHECK(os_pid_of(self, now) != spare);
  CHECK_THAT(system.broker().output(), Contains("is cloned once more: its spare had ended"));
}

TEST_CASE("who is stopped has no spares, and has them again when it is started", "[broker][spares]") {
  LiveSystem system(one_with(2));
  wait_for_spares("a", 2, 2);
  CHECK(Process::program({bin_dir() + "/muctl", "stop", "a"}).wait() == 0);
  spares_of(system, 0);
  CHECK(Process::program({bin_dir() + "/muctl", "start", "a"}).wait() == 0);
  wait_for_spares("a", 2, 2);
  CHECK(Process::program({bin_dir() + "/muctl", "stop", "a"}).wait() == 0);
  CHECK(Process::program({bin_dir() + "/muctl", "delete", "a"}).wait() == 0);
  spares_of(system, 0);
}

TEST_CASE("one that is never started again has no spares", "[broker][spares]") {
  LiveSystem system(supervisor(one_for_one, {5, 5s}, {{"a", waits, {.restart = temporary, .spares = 1}}, {"b", waits, {.restart = transient, .spares = 1}}}));
  Self& self = system.self();
  wait_for_spares("b", 1, 1);
  CHECK_THAT(shown("a"), !Contains("ready"));
  self.exit("b", Reason::shutdown());
  spares_of(system, 0);
}

TEST_CASE("spares die with the broker", "[broker][spares][crash]") {
  LiveSystem system(one_with(3));
  wait_for_spares("a", 3, 3);
  const auto spares = spares_of(system, 3);
  system.kill_broker();
  for (const pid_t spare : spares) wait_until("a spare to go", [&] { return !process_lives(spare); });
}

TEST_CASE("spares of a zygote that has died go, and come from the next", "[broker][spares][crash]") {
  LiveSystem system(one_with(2));
  wait_for_spares("a", 2, 2);
  const auto spares = spares_of(system, 2);
  const pid_t zygote = unnamed(system.broker().os_pid(), system.self()).front();
  ::kill(zygote, SIGKILL);
  for (const pid_t spare : spares) wait_until("a spare to go", [&] { return !process_lives(spare); });
  wait_for_spares("a", 2, 2);
}

TEST_CASE("what one that was a spare prints is logged under its name", "[broker][spares][log]") {
  const fs::path runtime = std::getenv("MUPROC_RUNTIME_DIR");
  TestSystem system(supervisor(one_for_one, {5, 5s}, {{"loud", +[](Self& self) {
                                 std::printf("born as %s\n", to_string(self.pid()).c_str());
                                 waits(self);
                               }, {.spares = 1}}}),
                    TestOptions{.capture_output = true});
  wait_for_spares("loud", 1, 1);
  const Pid before = system.self().find("loud");
  signal(system.self(), before, SIGKILL);
  const Pid now = wait_for_replacement(system.self(), "loud", before);
  wait_until("its words", [&] {
    auto muctl = Process::program({bin_dir() + "/muctl", "log", "loud"});
    muctl.wait();
    return muctl.output().find("born as " + to_string(now)) != std::string::npos;
  });
  CHECK(system.stop() == 0);
}

TEST_CASE("a reload changes how many spares there are, and those of a module that has changed go", "[broker][spares][reload]") {
  const fs::path module = config().parent_path() / "libarea-spares.so";
  fs::copy_file(module_dir() + "/libarea.so", module, fs::copy_options::overwrite_existing);
  const auto text = [](int spares) {
    return "[supervisor.root]\nchildren = [\"s\"]\n[muproc.s]\nmodule = \"./libarea-spares.so\"\nentry = \"areaserver\"\nspares = " + std::to_string(spares) + "\n";
  };
  write(text(1));
  LiveSystem system(config());
  Self& self = system.self();
  const pid_t os_pid = os_pid_of(self, self.find("s"));
  wait_for_spares("s", 1, 1);
  write(text(3));
  CHECK(muctl("reload") == 0);
  wait_for_spares("s", 3, 3);
  write(text(2));
  CHECK(muctl("reload") == 0);
  wait_for_spares("s", 2, 2);
  CHECK(os_pid_of(self, self.find("s")) == os_pid);
  const auto old = spares_of(system, 2);
  fs::copy_file(module, config().parent_path() / "new.so", fs::copy_options::overwrite_existing);
  fs::rename(config().parent_path() / "new.so", module);
  CHECK(muctl("reload") == 0);
  for (const pid_t spare : old) wait_until("a spare of the old code to go", [&] { return !process_lives(spare); });
  wait_for_spares("s", 2, 2);
  write(text(0));
  CHECK(muctl("reload") == 0);
  spares_of(system, 0);
}

TEST_CASE("a program has no spares, and whoever wants some is told so", "[broker][spares]") {
  LiveSystem system;
  try {
    system.self().start_supervisor("sup", supervisor(one_for_one, {}, {{"p", exec_plain({"sleep", "1000"}), {.spares = 1}}}));
    FAIL("it has started");
  } catch (const std::exception& refused) {
    CHECK_THAT(refused.what(), Contains("\"p\" is a program, which begins with an exec: there is nothing to clone in advance"));
  }
}
