// All of muctl's verbs, one by one, in the same situations: what scripts rely on.
#include <unistd.h>

#include <algorithm>
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

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

enum class Prints { object, array, lines };  // with --json: a JSON value, or one in each line

struct Verb {
  std::vector<std::string> words;   // a call of it that succeeds, once
  Prints prints = Prints::object;
  bool takes_name = false;          // its first word is one's name
  bool asks_broker = true;          // and so cannot do without
  bool needs_system = true;
};

/// In an order in which each can succeed after those before it. The config is that of the system.
std::vector<Verb> verbs(const std::string& config) {
  return {
      {{"ps"}},
      {{"tree"}},
      {{"show", "echo"}, Prints::object, true},
      {{"events"}, Prints::lines},
      {{"dead-letters"}},
      {{"log"}, Prints::lines, false, false},
      {{"crash"}, Prints::array, false, false},
      {{"doctor", "--for", "1ms"}, Prints::object, false, false},
      {{"trace", "echo", "--for", "1ms"}, Prints::lines, true, false},
      {{"gdb", "echo", "--gdb", "/bin/true"}, Prints::object, true},
      {{"send", "echo", "n=1"}, Prints::object, true},
      {{"call", "echo", "cmd=:square", "x=2"}, Prints::object, true},
      {{"spawn", "extra", "--under", "root", "--plain", "--", "sleep", "1000"}},
      {{"stop", "extra"}, Prints::object, true},
      {{"start", "extra"}, Prints::object, true},
      {{"restart", "extra"}, Prints::object, true},
      {{"kill", "extra"}, Prints::object, true},
      {{"drain", "extra"}, Prints::object, true},
      {{"delete", "extra"}, Prints::object, true},
      {{"exit", "echo", "normal"}, Prints::object, true},
      {{"diff", config}},
      {{"reload", config}},
      {{"completion", "bash"}, Prints::object, false, false, false},
      {{"shutdown"}},
  };
}

/// A system launched from a config, as users have it.
class Launched {
 public:
  Launched() {
    std::ofstream(config) << "[system]\nname = \"verbs\"\n[supervisor.root]\nlimit = { restarts = 9, within = \"60s\" }\nchildren = [\"echo\"]\n"
                             "[muproc.echo]\nmodule = \"" << module_dir() << "/libarea.so\"\nentry = \"areaserver\"\n";
    broker.emplace(Process::program({bin_dir() + "/mubroker", "run", config}));
    broker->wait_for_output("system verbs is up");
  }
  ~Launched() {
    if (!broker->running()) return;
    broker->signal(SIGTERM);
    broker->wait();
  }

  const std::string config = (runtime_dir() / "verbs.toml").string();
  std::optional<Process> broker;
};

std::vector<std::string> with(std::vector<std::string> before, const std::vector<std::string>& words) {
  before.insert(before.end(), words.begin(), words.end());
  return before;
}

/// Throws when it is none.
void check_json(const std::string& text, Prints prints) {
  if (prints != Prints::lines) {
    const Json value(text);
    CHECK_FALSE(value.is_null());
    CHECK(text.front() == (prints == Prints::object ? '{' : '['));
    return;
  }
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const Json value(line);
    CHECK(line.front() == '{');
  }
}

}  // namespace

TEST_CASE("the tests of all verbs know all verbs", "[muctl][verbs]") {
  const std::string help = said({"--help"});
  const auto list = help.find("Subcommands:");
  REQUIRE(list != help.npos);
  const std::string text = help.substr(list);
  const std::regex line(R"(\n  ([a-z-]+) )");
  std::set<std::string> there, known;
  for (std::sregex_iterator at(text.begin(), text.end(), line), end; at != end; ++at) there.insert((*at)[1].str());
  for (const Verb& verb : verbs("x")) known.insert(verb.words.front());
  CHECK(there == known);
  const std::string page = contents(examples_dir() + "/../docs/muctl.md");
  for (const std::string& word : there) CHECK_THAT(page, Contains("`" + word));
}

TEST_CASE("every verb succeeds with 0 and prints JSON when it is asked to", "[muctl][verbs]") {
  Launched launched;
  for (const Verb& verb : verbs(launched.config)) {
    const Outcome outcome = muctl(with({"-s", "verbs", "--json"}, verb.words));
    INFO(verb.words.front() << ": " << outcome.err << outcome.out);
    CHECK(outcome.code == 0);
    CHECK_NOTHROW(check_json(outcome.out, verb.prints));
  }
}

TEST_CASE("every verb says with 2 that it was called wrongly, and prints nothing", "[muctl][verbs]") {
  for (const Verb& verb : verbs("x")) {
    INFO(verb.words.front());
    auto words = verb.words;
    words.insert(words.begin() + 1, "--no-such-option");
    check_fails(words, 2, "--no-such-option");
    if (verb.takes_name) check_fails({verb.words.front()}, 2, "NAME");
    CHECK_THAT(said({verb.words.front(), "--help"}), Contains("muctl " + verb.words.front()));
  }
}

TEST_CASE("every verb says with 3 that there is no such system, and what could be done", "[muctl][verbs]") {
  for (const Verb& verb : verbs("/dev/null")) {
    if (!verb.needs_system) continue;
    INFO(verb.words.front());
    check_fails(with({"--json", "-s", "no-such-system"}, verb.words), 3, verb.asks_broker ? "start one with \"mubroker run CONFIG\"" : "no-such-system");
  }
}

TEST_CASE("every verb that wants a name says with 1 that nobody has it, and who may have been meant", "[muctl][verbs]") {
  Launched launched;
  for (const Verb& verb : verbs(launched.config)) {
    if (!verb.takes_name) continue;
    auto words = verb.words;
    INFO(words.front());
    words[1] = "ehco";
    check_fails(with({"--json"}, words), 1, "did you mean \"echo\"?");
    words[1] = "something-else";
    check_fails(words, 1, "\"muctl ps\" shows who there is");
  }
}

TEST_CASE("a bad config is told with 4, and nothing has changed", "[muctl][verbs]") {
  Launched launched;
  std::ofstream(runtime_dir() / "bad.toml") << "[system]\nname = \"verbs\"\nnmae = 1\n";
  for (const char* verb : {"diff", "reload"}) check_fails({verb, (runtime_dir() / "bad.toml").string()}, 4, "nothing was changed");
}

TEST_CASE("every verb that asks a broker which is stopped says so with 5 in time", "[muctl][verbs]") {
  Launched launched;
  launched.broker->signal(SIGSTOP);
  // All at once, since each has its patience.
  std::vector<std::pair<std::string, Process>> running;
  for (const Verb& verb : verbs(launched.config))
    if (verb.asks_broker && verb.needs_system)
      running.emplace_back(verb.words.front(), Process::program(with({bin_dir() + "/muctl", "-s", "verbs"}, verb.words)));
  for (auto& [word, process] : running) {
    INFO(word);
    CHECK(process.wait() == 5);
    CHECK_THAT(process.output(), StartsWith("muctl: ") && Contains("is it stopped?"));
  }
  CHECK(muctl({"-s", "verbs", "log"}).code == 0);  // files need no broker
  CHECK(muctl({"-s", "verbs", "crash"}).code == 0);
  launched.broker->signal(SIGCONT);
}

TEST_CASE("every verb says with 6 that the system is another user's", "[muctl][verbs]") {
  if (::geteuid() != 0) {
    WARN("only root can be somebody else: not tested");
    return;
  }
  if (Process::program({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", bin_dir() + "/muctl", "--version"}).wait() != 0) {
    WARN("the user nobody cannot run what was built here: not tested");
    return;
  }
  Launched launched;
  const auto folder = (runtime_dir() / "verbs").string();
  for (const Verb& verb : verbs(launched.config)) {
    if (!verb.needs_system) continue;
    Process process = Process::program(with({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", bin_dir() + "/muctl", "-s", folder}, verb.words));
    INFO(verb.words.front());
    CHECK(process.wait() == 6);
    INFO(process.output());
    CHECK_THAT(process.output(), StartsWith("muctl: "));
  }
}

TEST_CASE("who is not running is told with what starts it", "[muctl][verbs]") {
  Launched launched;
  said({"stop", "echo"});
  for (const char* verb : {"kill", "send", "call", "gdb"}) {
    std::vector<std::string> words = {verb, "echo"};
    if (std::string(verb) == "gdb") words.insert(words.end(), {"--gdb", "/bin/true"});
    check_fails(words, 1, "echo is not running, it is stopped; \"muctl start echo\" starts it");
  }
}

TEST_CASE("muctl tree draws who is below whom, with state, restarts and uptime", "[muctl][verbs]") {
  Launched launched;
  said({"kill", "echo"});
  wait_until("the replacement", [] { return json_of({"show", "echo"})["restarts"].number() == 1; });
  wait_until("it to be up", [] { return json_of({"show", "echo"})["state"].text() == "running"; });
  const std::string tree = said({"tree"});
  CHECK(std::regex_search(tree, std::regex(R"(NAME +WHAT +RESTART +STATE +OSPID +RESTARTS +UPTIME\n)")));
  CHECK(std::regex_search(tree, std::regex(R"(\nroot +one_for_one, 9 in 1m +permanent +running +- +0 +[0-9.]+m?s\n)")));
  CHECK(std::regex_search(tree, std::regex(R"(\n└─ echo +\S+:areaserver +permanent +running +[0-9]+ +1 +[0-9.]+m?s\n)")));
  said({"stop", "echo"});
  CHECK(std::regex_search(said({"tree"}), std::regex(R"(\n└─ echo +\S+ +permanent +stopped +- +1 +-\n)")));
}
