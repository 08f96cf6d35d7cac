// A config of several files, and its variables.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "broker/config.hpp"
#include "broker/config/variables.hpp"
#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;

/// A folder of files, gone at the end.
class Folder {
 public:
  Folder() : path_(fs::path(std::getenv("MUPROC_RUNTIME_DIR")) / "config-files") { fs::create_directories(path_); }
  ~Folder() { fs::remove_all(path_); }
  fs::path write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  /// The report, with the folder's own path left out.
  std::string report(const ConfigResult& result) const {
    std::string text = result.report;
    for (auto at = text.find(path_.string() + '/'); at != text.npos; at = text.find(path_.string() + '/'))
      text.erase(at, path_.string().size() + 1);
    return text;
  }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

const std::string k_root = "[supervisor.root]\nchildren = [\"x\"]\n";
const std::string k_x = "[muproc.x]\nexec = [\"./x\"]\n";

ConfigResult parse(const std::string& keys, const Settings& settings = {}) {
  return parse_config(k_root + "[muproc.x]\nexec = [\"x\"]\n" + keys, "/etc/muproc/test.toml", settings);
}
ChildSpec child_of(const std::string& keys, const Settings& settings = {}) {
  ConfigResult result = parse(keys, settings);
  INFO(result.report);
  REQUIRE(result.system);
  return result.system->muprocs.at("x");
}
std::string first_line(const ConfigResult& result) { return result.report.substr(0, result.report.find('\n')); }

}  // namespace

// Variables ------------------------------------------------------------------------------------------------------------

TEST_CASE("a variable stands for its setting, else for the environment, else for what is written in its place", "[config][variables]") {
  ::setenv("MUPROC_TEST_PLACE", "/from/environment", 1);
  CHECK(child_of("cwd = \"${MUPROC_TEST_PLACE}/data\"").cwd == "/from/environment/data");
  CHECK(child_of("cwd = \"${MUPROC_TEST_PLACE}\"", {{"MUPROC_TEST_PLACE", "/from/setting"}}).cwd == "/from/setting");
  CHECK(child_of("cwd = \"${MUPROC_TEST_NOWHERE:-/otherwise}\"").cwd == "/otherwise");
  CHECK(child_of("cwd = \"/a/${V:-}b\"").cwd == "/a/b");
  CHECK(child_of("cwd = \"${V:-/x}\"", {{"V", ""}}).cwd == "/x");  // as in a shell
  ::unsetenv("MUPROC_TEST_PLACE");
}

TEST_CASE("variables stand in strings at any depth, but not in keys, and are put in once", "[config][variables]") {
  const ChildSpec x = child_of("args = { \"${V}\" = [\"<${V}>\", { b = \"${V}${V}\" }] }\nenv = { E = \"${W}\" }",
                               {{"V", "v"}, {"W", "${V} \" ] $$"}});
  CHECK(x.args == Mumsg{{"${V}", List{"<v>", Mumsg{{"b", "vv"}}}}});
  CHECK(x.env == std::vector<std::pair<std::string, std::string>>{{"E", "${V} \" ] $$"}});  // text, and nothing but text
}

TEST_CASE("two dollar signs are one, and one before anything but a brace is itself", "[config][variables]") {
  CHECK(std::get<Program>(child_of("env = {}\nargs = { a = \"$HOME $1 $$ $${V} $\" }").code).argv[0] == "x");
  CHECK(child_of("args = { a = \"$HOME $1 $$ $${V} $\" }").args == Mumsg{{"a", "$HOME $1 $ ${V} $"}});
}

TEST_CASE("a string from a variable may be a number or a boolean where one is wanted", "[config][variables]") {
  const ChildSpec x = child_of("limits = { files = \"${FILES}\" }\nbackoff = { factor = \"${FACTOR}\" }\ntrap_exits = \"${TRAP:-true}\"",
                               {{"FILES", "77"}, {"FACTOR", "1.5"}});
  CHECK(x.limits.files == 77u);
  CHECK(x.backoff.factor == 1.5);
  CHECK(x.trap_exits);
  CHECK(first_line(parse("limits = { files = \"${FILES}\" }", {{"FILES", "many"}})) ==
        "/etc/muproc/test.toml:5:20: error: \"limits.files\" must be an integer, not a string");
  CHECK(first_line(parse("limits = { files = \"77\" }")) ==
        "/etc/muproc/test.toml:5:20: error: \"limits.files\" must be an integer, not a string");
}

TEST_CASE("a variable that stands for nothing is an error at its string, with what to do", "[config][variables]") {
  CHECK(parse("cwd = \"/a/${MUPROC_TEST_NOWHERE}\"").report ==
        "/etc/muproc/test.toml:5:7: error: the variable \"MUPROC_TEST_NOWHERE\" is not set; say what it is with --set "
        "MUPROC_TEST_NOWHERE=… or in the environment, or write ${MUPROC_TEST_NOWHERE:-otherwise}\n"
        "    cwd = \"/a/${MUPROC_TEST_NOWHERE}\"\n"
        "          ^~~~~~~~~~~~~~~~~~~~~~~~~~~\n");
  CHECK(first_line(parse("cwd = \"${V\"")) ==
        "/etc/muproc/test.toml:5:7: error: \"${V\" has no \"}\"; a dollar sign before a brace is written \"$$\"");
  CHECK(first_line(parse("cwd = \"${a b}\"")) ==
        "/etc/muproc/test.toml:5:7: error: \"a b\" cannot be a variable's name; a dollar sign before a brace is written \"$$\"");
}

TEST_CASE("a setting that no string asks for is warned of", "[config][variables]") {
  const ConfigResult result = parse("", {{"SPEED", "9"}});
  CHECK(result.system);
  CHECK(result.warnings == 1);
  CHECK(result.report == "warning: --set SPEED: no string of the config has ${SPEED}\n");
}

// Includes -------------------------------------------------------------------------------------------------------------

TEST_CASE("an included file is a part of the config, and paths in it are relative to it", "[config][include]") {
  const Folder folder;
  folder.write("parts/x.toml", k_x + "cwd = \"data\"\n");
  const auto result = load_config(folder.write("main.toml", "include = [\"parts/x.toml\"]\n" + k_root));
  INFO(result.report);
  REQUIRE(result.system);
  CHECK(result.system->name == "main");
  CHECK(result.system->config_file == folder / "main.toml");
  CHECK(std::get<Program>(result.system->muprocs.at("x").code).argv[0] == folder / "parts/x");
  CHECK(result.system->muprocs.at("x").cwd == folder / "parts/data");
}

TEST_CASE("a pattern includes what fits it, in the order of names, and may fit nothing", "[config][include]") {
  const Folder folder;
  folder.write("d/2.toml", "[muproc.b]\nexec = [\"b\"]\n");
  folder.write("d/1.toml", "[muproc.a]\nexec = [\"a\"]\n[defaults.muproc]\nstop = \"kill\"\n");
  folder.write("d/no.txt", "nonsense");
  const auto result = load_config(folder.write(
      "main.toml", "include = [\"d/*.toml\", \"none/*.toml\", \"*.toml\"]\n[supervisor.root]\nchildren = [\"a\", \"b\"]\n"
                   "[defaults.muproc]\nrestart = \"transient\"\n"));
  INFO(result.report);
  REQUIRE(result.system);
  CHECK(result.system->muprocs.at("b").stop == Stop(kill));  // defaults are everybody's
  CHECK(result.system->muprocs.at("a").restart == transient);
}

TEST_CASE("what is wrong with an included file is reported at its own lines, after the including one's", "[config][include]") {
  const Folder folder;
  folder.write("x.toml", k_x + "colour = 1\n");
  const auto result = load_config(folder.write("main.toml", "include = \"x.toml\"\n" + k_root + "colour = 2\n"));
  CHECK(folder.report(result) == "main.toml:4:1: error: unknown key \"colour\" in [supervisor.root]\n    colour = 2\n    ^~~~~~\n"
                                 "x.toml:3:1: error: unknown key \"colour\" in [muproc.x]\n    colour = 1\n    ^~~~~~\n");
}

TEST_CASE("files that include each other are told their way round; one that is included twice is read once", "[config][include]") {
  const Folder folder;
  folder.write("a.toml", "include = [\"b.toml\"]\n");
  folder.write("b.toml", "include = [\"main.toml\"]\n");
  CHECK(folder.report(load_config(folder.write("main.toml", "include = [\"a.toml\"]\n" + k_root + k_x))) ==
        "b.toml:1:12: error: \"main.toml\" includes itself: main.toml → a.toml → b.toml → main.toml\n"
        "    include = [\"main.toml\"]\n               ^~~~~~~~~~~\n");
  folder.write("b.toml", k_x);
  CHECK(folder.report(load_config(folder.write("main.toml", "include = [\"a.toml\", \"b.toml\", \"./b.toml\"]\n" + k_root))).empty());
}

TEST_CASE("no two files may say the same thing", "[config][include]") {
  const Folder folder;
  folder.write("x.toml", k_x + "[system]\nlog = \"info\"\n[defaults.muproc]\nstop = \"1s\"\n");
  const auto result = load_config(folder.write(
      "main.toml", "include = [\"x.toml\"]\n[system]\nlog = \"info\"\n" + k_root + k_x + "[defaults.muproc]\nstop = \"1s\"\n"));
  CHECK(folder.report(result) ==
        "x.toml:1:9: error: [muproc.x] is said twice: also at main.toml:6\n    [muproc.x]\n            ^\n"
        "x.toml:4:1: error: \"log\" in [system] is said twice: also at main.toml:3\n    log = \"info\"\n    ^~~\n"
        "x.toml:6:1: error: \"stop\" in [defaults.muproc] is said twice: also at main.toml:9\n    stop = \"1s\"\n    ^~~~\n");
}

TEST_CASE("a file that is not there is an error where it is named", "[config][include]") {
  const Folder folder;
  const auto result = load_config(folder.write("main.toml", "include = [\"gone.toml\", 5]\n" + k_root + k_x));
  CHECK(folder.report(result) ==
        "main.toml:1:12: error: cannot read \"gone.toml\": No such file or directory\n    include = [\"gone.toml\", 5]\n               ^~~~~~~~~~~\n"
        "main.toml:1:25: error: \"include\" must be an array of file names; this is an integer\n    include = [\"gone.toml\", 5]\n                            ^\n");
}

TEST_CASE("a child that another file lists already is told where", "[config][include]") {
  const Folder folder;
  folder.write("x.toml", k_x + "[supervisor.inner]\nchildren = [\"x\"]\n");
  const auto result = load_config(folder.write("main.toml", "include = [\"x.toml\"]\n[supervisor.root]\nchildren = [\"inner\", \"x\"]\n"));
  CHECK_THAT(folder.report(result), Contains("x.toml:4:13: error: \"x\" is already a child of [supervisor.root] (main.toml:3)"));
}
