// mutop as a person has it, in a terminal, and as a script has it.
#include <csignal>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/muctl_json.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"
#include "support/tmux.hpp"
#include "tools/common/system_view.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  auto port = self.register_port(std::string(self.name()) + "-port");
  for (;;)
    self.receive(
        on<"n">() >> [](int) {}, on<"ping">() >> [&](From from) { self.send(from, "pong", true); },
        on<"end">() >> [&](std::string how) { self.exit(how); });
}

/// Returns when it has read all that was sent to it so far.
void await_reading(Self& self, const std::string& name) {
  self.send(name, "ping", true);
  self.receive(on<"pong">() >> [] {});
}

/// root ── echo, inner ── book, ledger
Supervisor small_tree() {
  return supervisor(
      one_for_one, {100, 10s},
      {{"echo", waits}, {"inner", supervisor(one_for_all, {100, 7s}, {{"book", waits}, {"ledger", waits}})}});
}

std::string mutop(const TestSystem& system, const std::string& options = "") {
  return bin_dir() + "/mutop -d 0.1 -s " + system.folder().native() + ' ' + options;
}

/// In the terminal, until its first screen is there.
struct Watched {
  explicit Watched(const TestSystem& system, const std::string& options = "", int columns = 80, int rows = 24)
      : terminal(columns, rows, mutop(system, options)) {
    terminal.wait_for("echo");
  }
  /// The keys, and then the text on the screen.
  std::string then(const std::vector<std::string>& keys, std::string_view text) const {
    terminal.press(keys);
    return terminal.wait_for(text);
  }
  Tmux terminal;
};

std::string run_shell(const std::string& command) {
  Process shell = Process::program({"/bin/sh", "-c", command});
  shell.wait();
  return shell.output();
}

/// The names of all fields in a JSON text.
std::set<std::string> fields_of(const std::string& json) {
  std::set<std::string> names;
  const std::regex field(R"re("([a-z_]+)": )re");
  for (std::sregex_iterator at(json.begin(), json.end(), field), end; at != end; ++at) names.insert((*at)[1]);
  return names;
}

}  // namespace

TEST_CASE("mutop shows the tree, and each key does what its page of help says", "[mutop]") {
  LiveSystem system(small_tree());
  Watched mutop(system);
  const std::string screen = mutop.terminal.screen();
  CHECK_THAT(screen, Contains("├─ echo") && Contains("└─ -inner") && Contains("   ├─ book") &&
                         Contains("one_for_all, 0 of 100 in 7s"));
  CHECK_THAT(screen, Contains("broker " + std::to_string(system.broker().os_pid())));
  // Help, and back by each of its keys.
  mutop.then({"F1"}, "mutop's keys");
  mutop.then({"Escape"}, "OSPID");
  mutop.then({"?"}, "mutop's keys");
  mutop.then({"q"}, "OSPID");
  mutop.then({"h"}, "mutop's keys");
  mutop.then({"F10"}, "OSPID");
  // Tabs.
  mutop.then({"2"}, "[2 Mailboxes]");
  mutop.then({"3"}, "[3 Crashes]");
  mutop.then({"4"}, "the system is up");
  mutop.then({"Tab"}, "[1 Muprocs]");
  mutop.then({"BTab"}, "[4 Events]");
  mutop.then({"1"}, "[1 Muprocs]");
  // Sorting and the tree.
  mutop.then({"P"}, "CPU%v");
  mutop.then({"M"}, "RESv");
  mutop.then({"N"}, "OSPIDv");
  mutop.then({"I"}, "OSPID^");
  mutop.then({"F5"}, "├─ echo");
  mutop.then({"t"}, "F5Tree");
  mutop.then({"t"}, "F5List");
  mutop.then({"F6"}, "Sort by");
  mutop.then({"Escape"}, "OSPID");
  mutop.then({">", "Home", "Enter"}, "NAME^");
  mutop.then({"t"}, "├─ echo");
  // Columns to the right, and which are shown.
  mutop.then({"Right", "Right", "Right", "Right"}, "IN/s");
  mutop.then({"Left", "Left", "Left", "Left"}, "OSPID");
  mutop.then({"F2"}, "[x] OSPID");
  mutop.then({"Enter"}, "[ ] OSPID");
  mutop.terminal.press({"Escape"});
  mutop.terminal.wait_until_gone("OSPID");
  mutop.then({"F2", "Space"}, "[x] OSPID");
  mutop.terminal.press({"Escape"});
  // Search, filter, fold, tag, scope, follow, pause.
  mutop.then({"F3"}, "Search:");
  mutop.then({"ledger", "Enter", "Enter"}, "ledger <");
  mutop.then({"Escape"}, "OSPID");
  mutop.then({"/"}, "Search:");
  mutop.then({"boo", "Enter", "Enter"}, "book <");
  mutop.then({"Escape"}, "OSPID");
  mutop.then({"F4"}, "Filter:");
  mutop.then({"led", "Enter"}, "filter: led");
  mutop.terminal.wait_until_gone("book");
  mutop.then({"\\", "Escape"}, "book");
  mutop.then({"Home", "Down", "Down"}, "book");
  mutop.terminal.press({"-"});
  mutop.terminal.wait_until_gone("book");
  mutop.then({"+"}, "book");
  mutop.terminal.press({"*"});
  mutop.terminal.wait_until_gone("book");
  mutop.then({"*"}, "book");
  mutop.then({"Home", "Space", "Space"}, "2 tagged");
  mutop.terminal.press({"U"});
  mutop.terminal.wait_until_gone("tagged");
  mutop.then({"u"}, "below inner");
  mutop.then({"End", "Enter"}, "below: inner");
  mutop.then({"u", "Home", "Enter"}, "echo");
  mutop.then({"F"}, "following");
  mutop.then({"Z"}, "PAUSED");
  mutop.terminal.press({"Z"});
  mutop.terminal.wait_until_gone("PAUSED");
  // Actions are off.
  for (const char* key : {"r", "d", "g", "k", "F7", "F8", "F9"}) {
    mutop.then({key}, "start it with --allow-actions");
    mutop.terminal.press({"Down"});
    mutop.terminal.wait_until_gone("--allow-actions");
  }
  mutop.terminal.press({"q"});
  mutop.terminal.wait_for_end();
}

TEST_CASE("Enter opens a muproc: what waits, its ports, config and log, and a trace of its messages", "[mutop]") {
  LiveSystem system(small_tree());
  Self& self = system.self();
  self.send("book", "n", 1);
  await_reading(self, "book");
  system.suspend("book");
  for (int n = 10; n < 13; ++n) self.send("book", "n", n);
  Watched mutop(system, "", 120, 50);
  mutop.then({"/book", "Enter", "Enter"}, "n=12");
  const std::string page = mutop.terminal.wait_for("restart        permanent");
  CHECK_THAT(page, Contains("book-port") && Contains("message from tester: n=10") && Contains("supervisor     inner"));
  system.resume("book");
  mutop.terminal.wait_until_gone("n=12");
  mutop.then({"s"}, "Messages of book");
  self.send("book", "n", 77);
  mutop.terminal.wait_for("tester -> book  n=77");
  mutop.then({"Escape"}, "book <");
  mutop.then({"Escape"}, "OSPID");
}

TEST_CASE("with --allow-actions muprocs are killed, restarted, stopped and started from the screen", "[mutop]") {
  LiveSystem system(small_tree());
  Self& self = system.self();
  Watched mutop(system, "--allow-actions");
  const Pid before = self.find("echo");
  mutop.terminal.press({"/echo", "Enter"});
  mutop.then({"k"}, "kill echo " + to_string(before));
  mutop.then({"n"}, "nothing was done");
  CHECK(self.find("echo") == before);
  mutop.then({"k"}, "kill echo " + to_string(before));
  mutop.terminal.press({"y"});
  const Pid second = wait_for_replacement(self, "echo", before);
  mutop.terminal.wait_for("1!");
  mutop.then({"r"}, "restart echo " + to_string(second));
  mutop.terminal.press({"y"});
  const Pid third = wait_for_replacement(self, "echo", second);
  mutop.terminal.wait_for("done: restart echo");
  mutop.then({"d"}, "stop echo " + to_string(third));
  mutop.then({"y"}, "- stopped");
  mutop.then({"g"}, "start echo");
  mutop.terminal.press({"y"});
  wait_for_replacement(self, "echo", third);
}

TEST_CASE("at 200 by 50 there are all columns, and a change of the size is followed", "[mutop]") {
  LiveSystem system(small_tree());
  Watched mutop(system, "", 200, 50);
  CHECK_THAT(mutop.terminal.screen(),
             Contains("HANDLER") && Contains("OLDEST") && Contains("STASH") && Contains("LAST EXIT"));
  mutop.terminal.resize(80, 24);
  mutop.terminal.wait_until_gone("HANDLER");
  const std::string small = mutop.terminal.wait_for("F10Quit");
  CHECK(std::count(small.begin(), small.end(), '\n') == 24);
  mutop.terminal.resize(19, 5);
  mutop.terminal.wait_for("too small for mutop");
  mutop.terminal.resize(150, 40);
  mutop.terminal.wait_for("STASH");
  mutop.terminal.press({"q"});
  mutop.terminal.wait_for_end();
}

TEST_CASE("a click opens a tab, selects a row and presses a function key", "[mutop]") {
  LiveSystem system(small_tree());
  Watched mutop(system);
  mutop.terminal.click(3, 15);
  mutop.terminal.wait_for("[2 Mailboxes]");
  mutop.terminal.click(3, 2);
  mutop.terminal.wait_for("[1 Muprocs]");
  mutop.terminal.click(23, 1);
  mutop.terminal.wait_for("mutop's keys");
}

TEST_CASE("a broker that is stopped stops nothing on the screen", "[mutop]") {
  LiveSystem system(small_tree());
  Watched mutop(system, "--allow-actions");
  system.self().send("book", "n", 0);  // opens the channel, which takes the broker
  system.broker().signal(SIGSTOP);
  wait_until_stopped(system.broker().os_pid());
  mutop.terminal.wait_for("is STOPPED");
  // What is in shared memory goes on to be shown: the test is a muproc, too.
  for (int n = 1; n < 100; ++n) system.self().send("book", "n", n);
  mutop.then({"/book", "Enter", "Enter"}, "received       100 messages");
  mutop.then({"End"}, "does not answer");
  mutop.then({"Escape", "4"}, "[4 Events]");
  // One that is started now sees the same.
  Watched second(system);
  second.terminal.wait_for("is STOPPED");
  system.broker().signal(SIGCONT);
  mutop.terminal.wait_until_gone("STOPPED");
}

TEST_CASE("when the broker is killed, the last that was seen stays, and says so", "[mutop]") {
  LiveSystem system(small_tree());
  Watched mutop(system);
  system.kill_broker();
  CHECK_THAT(mutop.terminal.wait_for("the system has ENDED"), Contains("book"));
  mutop.then({"/book", "Enter", "Enter"}, "book <");
  mutop.then({"Escape", "2"}, "[2 Mailboxes]");
  mutop.terminal.press({"q"});
  mutop.terminal.wait_for_end();
}

TEST_CASE("a system that ends in order while it is watched has ended on the screen", "[mutop]") {
  LiveSystem system(small_tree());
  Watched mutop(system);
  system.leave();
  CHECK(system.stop() == 0);
  mutop.terminal.wait_for("the system has ENDED");
  mutop.terminal.press({"q"});
  mutop.terminal.wait_for_end();
}

TEST_CASE("colours are for those who want them", "[mutop]") {
  LiveSystem system(small_tree());
  const auto has_colours = [](const Watched& mutop) {
    return std::regex_search(mutop.terminal.screen(true), std::regex("\x1b\\[[0-9;]*(3|4)[0-7]m"));
  };
  CHECK(has_colours(Watched(system)));
  CHECK_FALSE(has_colours(Watched(system, "--no-color")));
  Tmux plain(80, 24, "NO_COLOR=1 " + mutop(system));
  plain.wait_for("echo");
  CHECK_FALSE(std::regex_search(plain.screen(true), std::regex("\x1b\\[[0-9;]*(3|4)[0-7]m")));
  const std::string ascii = Watched(system, "--ascii").terminal.screen();
  CHECK_THAT(ascii, Contains("|- echo"));
  CHECK(std::all_of(ascii.begin(), ascii.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

TEST_CASE("mutop -b prints a table, and with --json an object a line, whose fields the page names", "[mutop]") {
  LiveSystem system(small_tree());
  system.self().send("book", "n", 1);
  system.wait_until_idle("book");
  const std::string table = run_shell(mutop(system, "-b -n 1"));
  CHECK_THAT(table, Contains("NAME") && Contains("book") && Contains("one_for_all, 0 of 100 in 7s"));
  const std::string json = run_shell(mutop(system, "-b -n 3 --json"));
  CHECK(std::count(json.begin(), json.end(), '\n') == 3);
  const std::string first = json.substr(0, json.find('\n'));
  const Json refresh(first);
  CHECK(refresh["system"].text() == system.name());
  CHECK(refresh["broker"]["state"].text() == "running");
  const Json book = refresh["muprocs"].named("book");
  CHECK(book["parent"].text() == "inner");
  CHECK(book["status"]["messages_received"].number() == 1);
  CHECK(book["mailbox"]["channels"].number() == 1);
  CHECK(refresh["muprocs"].named("inner")["supervision"]["strategy"].text() == "one_for_all");
  CHECK(refresh["channels"][0]["to_name"].text() == "book");
  const std::string page = contents(examples_dir() + "/../docs/mutop.md");
  for (const std::string& field : fields_of(json)) {
    INFO(field);
    CHECK(page.find('`' + field + '`') != std::string::npos);
  }
}

TEST_CASE("mutop -b into a pipe that nobody reads any more ends quietly", "[mutop]") {
  LiveSystem system(small_tree());
  const std::string said =
      run_shell("{ " + mutop(system, "-b --json") + "; echo code=$? >&2; } | head -n 1 > /dev/null");
  CHECK(said == "code=0\n");
}

TEST_CASE("mutop -b ends with code 3 when the system ends, after a last refresh that says so", "[mutop]") {
  LiveSystem system(small_tree());
  Process watching = Process::program({"/bin/sh", "-c", mutop(system, "-b --json") + "; echo code=$?"});
  watching.wait_for_output("\"state\": \"running\", \"cpu_percent\"");
  system.leave();
  CHECK(system.stop() == 0);
  watching.wait();
  CHECK_THAT(watching.output(), Contains("\"broker\": {\"os_pid\": " + std::to_string(system.broker().os_pid()) +
                                         ", \"state\": \"gone\"") &&
                                    Contains("has ended\n") && Contains("code=3"));
}

TEST_CASE("mutop says what is wrong with how it was called", "[mutop]") {
  const auto said = [](const std::string& words) {
    return run_shell(bin_dir() + "/mutop " + words + " < /dev/null; echo code=$?");
  };
  CHECK_THAT(said("-b -s nobody"), Contains("nobody") && Contains("code=3"));
  CHECK_THAT(said("--json"), Contains("--json goes with -b") && Contains("code=2"));
  CHECK_THAT(said("-d never"), Contains("code=2"));
  CHECK_THAT(said("-d 0"), Contains("code=2"));
  CHECK_THAT(said("--help"), Contains("--allow-actions") && Contains("code=0"));
  LiveSystem system(small_tree());
  CHECK_THAT(said("-s " + system.folder().native()), Contains("this is no terminal") && Contains("code=2"));
}

TEST_CASE("a system that is started again under its name is looked at again", "[mutop]") {
  const auto config = runtime_dir() / "again.toml";
  std::ofstream(config) << "[system]\nname = \"again\"\n[supervisor.root]\nchildren = "
                           "[\"sleeper\"]\n[muproc.sleeper]\nexec = [\"sleep\", \"1000\"]\nplain = true\n";
  const auto launch = [&] {
    Process broker = Process::program({bin_dir() + "/mubroker", "run", config.native()});
    broker.wait_for_output("system again is up");
    return broker;
  };
  const auto end = [](Process& broker) {
    broker.signal(SIGTERM);
    CHECK(broker.wait() == 0);
  };
  Process first = launch();
  {
    Tmux terminal(80, 24, bin_dir() + "/mutop -d 0.1 -s again");
    terminal.wait_for("sleeper");
    end(first);
    terminal.wait_for("the system has ENDED");
    Process second = launch();
    terminal.wait_for("broker " + std::to_string(second.os_pid()));
    terminal.press({"4"});
    terminal.wait_for("the system is up");
    end(second);
    terminal.wait_for("the system has ENDED");
  }
  nobody_is_left();
}

// Not run unless asked for: scenario_tests "[mutop-cost]". The machine must have the descriptors.
TEST_CASE("what a refresh of a thousand muprocs with a channel each costs", "[.][mutop-cost]") {
  LiveSystem system;
  Self& self = system.self();
  tools::allow_many_descriptors();
  constexpr int count = 1000, refreshes = 100;
  for (int i = 0; i < count; ++i)
    self.send(self.spawn(
                  "w-" + std::to_string(i),
                  +[](Self& worker) {
                    for (;;) worker.receive(on<"n">() >> [](int) {});
                  }),
              "n", i);
  const auto folder = system.folder().native();
  const auto cpu_of = [&](const std::string& options) {
    const std::string said = run_shell("bash -c 'TIMEFORMAT=\"%U %S\"; time " + bin_dir() + "/mutop -b -d 0.2 -n " +
                                       std::to_string(refreshes) + " -s " + folder + ' ' + options + " > /dev/null'");
    std::istringstream times(said);
    double user = -1, kernel = -1;
    times >> user >> kernel;
    INFO(said);
    CHECK(user >= 0);
    return 1000 * (user + kernel) / refreshes;
  };
  WARN("CPU of a refresh, ms: table " << cpu_of("") << ", JSON " << cpu_of("--json"));
  Tmux terminal(200, 50,
                "bash -c 'TIMEFORMAT=\"cpu %U %S\"; time " + bin_dir() + "/mutop -d 0.2 -n " +
                    std::to_string(refreshes) + " -s " + folder + "; sleep 1000'");
  std::istringstream times(terminal.wait_for("cpu "));
  std::string word;
  double user = -1, kernel = -1;
  while (times >> word && word != "cpu") continue;
  times >> user >> kernel;
  CHECK(user >= 0);
  WARN("CPU of a refresh of the screen, ms: " << 1000 * (user + kernel) / refreshes << "; at 5 a second, % of a core: "
                                              << 100 * (user + kernel) / refreshes * 5);
}
