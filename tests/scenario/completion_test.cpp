// Completion in shells: what a user sees who presses the key.
#include <algorithm>
#include <fstream>
#include <regex>
#include <set>

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

using Words = std::set<std::string>;

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

std::string printed(std::vector<std::string> argv) {
  Process process = Process::program(std::move(argv), {{"PATH", bin_dir() + ":" + std::getenv("PATH")}});
  const int code = process.wait();
  INFO(process.output());
  REQUIRE(code == 0);
  return process.output();
}

std::string script_of(const std::string& program, const std::string& shell) { return printed({bin_dir() + '/' + program, "completion", shell}); }

/// What bash offers for the last of these words.
Words offered(std::vector<std::string> words) {
  const auto script = runtime_dir() / "completion.bash";
  std::ofstream(script) << script_of(words.front(), "bash");
  std::vector<std::string> argv = {"bash", "--norc", "-c", R"(
    source "$0" || exit
    complete -p "$1" >/dev/null || exit
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    "_$1" 2>&1
    for word in "${COMPREPLY[@]}"; do printf '%s\n' "$word"; done
    exit 0)", script.string()};
  argv.insert(argv.end(), words.begin(), words.end());
  std::istringstream lines(printed(std::move(argv)));
  Words found;
  for (std::string line; std::getline(lines, line);) found.insert(line);
  return found;
}

Words matches(const std::string& text, const char* pattern) {
  const std::regex expression(pattern);
  Words found;
  for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) found.insert((*at)[1].str());
  return found;
}

/// As the program itself says: its verbs, and for each its options.
Words verbs_of(const std::string& program) {
  const std::string help = printed({bin_dir() + '/' + program, "--help"});
  const auto list = help.find("Subcommands:");
  REQUIRE(list != help.npos);
  return matches(help.substr(list), R"(\n  ([a-z-]+) )");
}
Words options_of(const std::string& program, const std::string& verb) {
  const std::string help = printed({bin_dir() + '/' + program, verb, "--help"});
  return matches(help.substr(0, help.find("NAME=VALUE makes")), R"([\n,] ?(?:  )?(--?[a-z][a-z-]*))");
}

bool is_installed(const std::string& shell) { return Process::program({"/bin/sh", "-c", "command -v " + shell + " >/dev/null"}).wait() == 0; }

}  // namespace

TEST_CASE("bash completes verbs, options and values", "[completion]") {
  CHECK(offered({"muctl", "sh"}) == Words{"show", "shutdown"});
  CHECK(offered({"muctl", "--json", "sh"}) == Words{"show", "shutdown"});
  CHECK(offered({"muctl", ""}) == verbs_of("muctl"));
  CHECK(offered({"muctl", "--"}) == Words{"--help", "--json", "--system", "--version"});
  CHECK(offered({"muctl", "shutdown", "--"}) == Words{"--help", "--json", "--no-wait", "--system", "--timeout", "--version"});
  CHECK(offered({"muctl", "spawn", "x", "--restart", "t"}) == Words{"temporary", "transient"});
  CHECK(offered({"muctl", "spawn", "x", "--restart", "=", "t"}) == Words{"temporary", "transient"});
  CHECK(offered({"muctl", "exit", "a", "s"}) == Words{"shutdown"});
  CHECK(offered({"muctl", "completion", ""}) == Words{"bash", "fish", "zsh"});
  CHECK(offered({"mubroker", ""}) == Words{"check", "completion", "run"});
  CHECK(offered({"mubroker", "run", "--s"}) == Words{"--set"});
}

TEST_CASE("bash completes files where files are wanted", "[completion]") {
  std::ofstream(runtime_dir() / "my config.toml") << "x";
  CHECK(offered({"mubroker", "run", (runtime_dir() / "my").string()}) == Words{(runtime_dir() / "my config.toml").string()});
  CHECK(offered({"muctl", "diff", (runtime_dir() / "my").string()}) == Words{(runtime_dir() / "my config.toml").string()});
}

TEST_CASE("bash completes the names of those who live, and of systems", "[completion]") {
  LiveSystem system(supervisor(one_for_one, {9, 60s}, {{"answerer", waits}, {"other", waits}}));
  const auto port = system.self().register_port("squares");
  CHECK(offered({"muctl", "show", ""}) == Words{"answerer", "other", "root", "squares", "tester"});
  CHECK(offered({"muctl", "kill", "a"}) == Words{"answerer"});
  CHECK(offered({"muctl", "kill", "a", ""}).empty());
  CHECK(offered({"muctl", "spawn", "x", "--under", "r"}) == Words{"root"});
  CHECK(offered({"muctl", "-s", system.name(), "show", "o"}) == Words{"other"});
  CHECK(offered({"muctl", "-s", "no-such-system", "show", "o"}).empty());
  CHECK(offered({"muctl", "-s", system.name().substr(0, 2)}).contains(system.name()));
}

TEST_CASE("a name is never evaluated by the shell that completes it", "[completion]") {
  LiveSystem system;
  Self& self = system.self();
  const auto trap = runtime_dir() / "trapped";
  std::filesystem::remove(trap);
  self.spawn("$(touch " + trap.string().substr(0, 30) + ")", waits);
  self.spawn("x`touch " + trap.filename().string() + "`", waits);
  self.spawn("two words; *", waits);
  self.spawn("line\nbreak", waits);
  const Words names = offered({"muctl", "show", ""});
  CHECK(names.contains(R"(two\ words\;\ \*)"));
  CHECK(std::any_of(names.begin(), names.end(), [](const std::string& name) { return name.starts_with(R"(\$\(touch)"); }));
  CHECK_FALSE(names.contains("break"));
  CHECK_FALSE(std::filesystem::exists(trap));
  CHECK_FALSE(std::filesystem::exists("trapped"));
}

TEST_CASE("what completion asks is answered at once, and says nothing to people", "[completion]") {
  CHECK(muctl({"complete-names"}).code == 3);  // there is no system
  LiveSystem system;
  CHECK(said({"complete-names"}) == "tester\n");
  CHECK_THAT(said({"complete-systems"}), Contains(system.name() + "\n"));
  CHECK_THAT(said({"--help"}), !Contains("complete-names"));
  system.broker().signal(SIGSTOP);
  CHECK(muctl({"complete-names"}).code == 5);
  system.broker().signal(SIGCONT);
}

TEST_CASE("every verb and every option is in the script of every shell, and the shell can read it", "[completion]") {
  for (const std::string program : {"muctl", "mubroker"})
    for (const std::string shell : {"bash", "zsh", "fish"}) {
      const std::string script = script_of(program, shell);
      const auto file = runtime_dir() / ("completion." + shell);
      std::ofstream(file) << script;
      if (is_installed(shell)) CHECK(Process::program({shell, "-n", file.string()}).wait() == 0);
      for (const std::string& verb : verbs_of(program)) {
        INFO(program << ' ' << shell << ' ' << verb);
        CHECK_THAT(script, Contains(verb));
        const Words options = options_of(program, verb);
        CHECK(options.contains("--help"));
        for (const std::string& option : options) {
          const std::string in_fish = (option.starts_with("--") ? "-l " + option.substr(2) : "-s " + option.substr(1)) + ' ';
          CHECK_THAT(script, Contains(shell == "fish" ? in_fish : option));
        }
      }
    }
  CHECK(muctl({"completion", "tcsh"}).code == 2);
}
