// What the config says, and what is said about it when it is wrong.
#include "broker/config.hpp"

#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/paths.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

ConfigResult parse(const std::string& text) { return parse_config(text, "/etc/muproc/test.toml"); }

// The system of a config that must be right.
SystemSpec system_of(const std::string& text) {
  ConfigResult result = parse(text);
  INFO(result.report);
  REQUIRE(result.system);
  CHECK(result.report.empty());
  return *std::move(result.system);
}

// A right config around one muproc's or one supervisor's keys.
std::string with_muproc(const std::string& keys, const std::string& root_keys = "") {
  return "[supervisor.root]\nchildren = [\"x\"]\n" + root_keys + "\n[muproc.x]\n" + keys;
}
ChildSpec child_of(const std::string& keys) {
  return system_of(with_muproc("exec = [\"x\"]\n" + keys)).muprocs.at("x");
}
SupervisorSpec root_of(const std::string& keys) {
  return system_of(with_muproc("exec = [\"x\"]", keys)).supervisors.at("root");
}

// The report without source lines and carets, and without the file's name.
std::string messages(const ConfigResult& result) {
  const std::string prefix = "/etc/muproc/test.toml:";
  std::string out;
  std::size_t at = 0;
  while (at < result.report.size()) {
    const std::size_t end = result.report.find('\n', at);
    const std::string line = result.report.substr(at, end - at);
    if (line.starts_with(prefix)) out += line.substr(prefix.size()) + '\n';
    at = end + 1;
  }
  return out;
}
std::string messages(const std::string& text) { return messages(parse(text)); }
std::string messages_about(const std::string& muproc_keys) {
  const std::string all = messages(with_muproc("exec = [\"x\"]\n" + muproc_keys));
  return all.substr(0, all.find('\n'));
}

}  // namespace

// What it says ---------------------------------------------------------------------------------------------------------

TEST_CASE("defaults are OTP's", "[config][otp][start_defaults]") {
  const SystemSpec system = system_of(R"([supervisor.root]
children = ["inner", "x"]
[supervisor.inner]
children = ["y"]
[muproc.x]
module = "m.so"
entry = "run"
[muproc.y]
exec = ["y"]
)");
  CHECK(system.name == "test");  // after its file
  CHECK(system.root == "root");
  CHECK(system.log == LogLevel::info);
  const SupervisorSpec& root = system.supervisors.at("root");
  CHECK(root.strategy == one_for_one);
  CHECK(root.limit == Limit{1, 5s});
  CHECK(root.auto_shutdown == never);
  const SupervisorSpec& inner = system.supervisors.at("inner");
  CHECK(inner.restart == permanent);
  CHECK(inner.stop == forever);
  const ChildSpec& x = system.muprocs.at("x");
  CHECK(x.restart == permanent);
  CHECK(x.stop == Stop(5s));
  CHECK(x.backoff == Backoff{});
  CHECK(x.mailbox == MailboxSizes{});
  CHECK(x.limits == ProcessLimits{});
  CHECK_FALSE(x.significant);
  CHECK_FALSE(x.trap_exits);
}

TEST_CASE("every key of a muproc is read", "[config]") {
  const ChildSpec x = child_of(R"(
args     = { period = "3s", count = 3, ratio = 0.5, on = true, list = [1, "a"], deep = { b = 1, a = 2 } }
bindings = { symbol = "VOD.L" }
env      = { LANG = "C", A = "" }
cwd      = "work"
restart  = "transient"
stop     = "10s"
ready    = { on = "call", timeout = "2m" }
backoff  = { initial = "100ms", max = "10s", factor = 1.5, jitter = 0, reset_after = "1h" }
mailbox  = { ring = "1MiB", max_message = "1GB", stash = "8MiB", on_restart = "keep", in_hand = "redeliver" }
limits   = { memory = "512MiB", files = 1024, cpus = [0, 3], nice = -5, core = "unlimited", oom_score_adj = 500, processes = 50, stack = "16MiB", locked_memory = "unlimited", file_size = "1GiB", cpu_time = "1h", realtime_priority = 7 }
umask    = "027"
trap_exits = true
watchdog = { interval = "2s" }
user     = "decoder"
group    = 990
groups   = ["video", 44]
may_send = ["x"]
may_control = false
trust    = false
)");
  CHECK(x.args == Mumsg{{"period", "3s"},
                        {"count", 3},
                        {"ratio", 0.5},
                        {"on", true},
                        {"list", List{1, "a"}},
                        {"deep", Mumsg{{"b", 1}, {"a", 2}}}});
  CHECK(x.bindings == Mumsg{{"symbol", "VOD.L"}});
  CHECK(x.env == std::vector<std::pair<std::string, std::string>>{{"LANG", "C"}, {"A", ""}});
  CHECK(x.cwd == "/etc/muproc/work");
  CHECK(x.restart == transient);
  CHECK(x.stop == Stop(10s));
  CHECK(x.ready_on == ReadyOn::call);
  CHECK(x.ready_timeout == 120s);
  CHECK(x.backoff == Backoff{100ms, 10s, 1.5, 0, 1h});
  CHECK(x.mailbox == MailboxSizes{Bytes::mib(1), Bytes{1'000'000'000}, Bytes::mib(8), OnRestart::keep, InHand::redeliver});
  CHECK(x.limits.memory == Bytes::mib(512));
  CHECK(x.limits.files == 1024u);
  CHECK(x.limits.cpus == std::vector<unsigned>{0, 3});
  CHECK(x.limits.nice == -5);
  CHECK(x.limits.core == Bytes{~std::uint64_t{0}});
  CHECK(x.limits.oom_score_adj == 500);
  CHECK(x.limits.processes == 50u);
  CHECK(x.limits.stack == Bytes::mib(16));
  CHECK(x.limits.locked_memory == Bytes{~std::uint64_t{0}});
  CHECK(x.limits.file_size == Bytes::gib(1));
  CHECK(x.limits.cpu_time == 1h);
  CHECK(x.limits.realtime_priority == 7u);
  CHECK(x.umask == 027u);
  CHECK(x.trap_exits);
  CHECK(x.watchdog == 2s);
  CHECK(x.user == "decoder");
  CHECK(x.group == "990");
  CHECK(x.groups == std::vector<std::string>{"video", "44"});
  CHECK(x.may_send == std::vector<std::string>{"x"});
  CHECK_FALSE(x.may_control);
  CHECK_FALSE(x.trust);
}

TEST_CASE("every key of a supervisor is read", "[config]") {
  CHECK(root_of("strategy = \"rest_for_one\"").strategy == rest_for_one);
  CHECK(root_of("strategy = \"all_for_one\"").strategy == one_for_all);
  CHECK(root_of("limit = { restarts = 0, within = \"1m\" }").limit == Limit{0, 60s});
  CHECK(root_of("limit.restarts = 7").limit == Limit{7, 5s});

  const SystemSpec system = system_of(R"(
[system]
name = "market"
log = "debug"
runtime_dir = "run"
[supervisor.root]
children = ["inner"]
auto_shutdown = "all_significant"
[supervisor.inner]
children = ["x"]
restart = "temporary"
stop = "kill"
significant = true
[muproc.x]
exec = ["x"]
)");
  CHECK(system.name == "market");
  CHECK(system.log == LogLevel::debug);
  CHECK(system.runtime_dir == "/etc/muproc/run");
  CHECK(system.config_dir == "/etc/muproc");
  CHECK(system.supervisors.at("root").auto_shutdown == all_significant);
  const SupervisorSpec& inner = system.supervisors.at("inner");
  CHECK(inner.restart == temporary);
  CHECK(inner.stop == Stop(kill));
  CHECK(inner.significant);
}

TEST_CASE("a muproc's code is an entry of a module, a program, or a plain program", "[config]") {
  const auto code = [](const std::string& keys) { return system_of(with_muproc(keys)).muprocs.at("x").code; };
  CHECK(std::get<ModuleEntry>(code("module = \"./libarea.so\"\nentry = \"server\"")) ==
        ModuleEntry{"/etc/muproc/libarea.so", "server"});
  CHECK(std::get<ModuleEntry>(code("module = \"libarea.so\"\nentry = \"server\"")).module == "libarea.so");
  CHECK(std::get<Program>(code("exec = [\"../bin/decoder\", \"--fast\"]")) ==
        Program{{"/etc/bin/decoder", "--fast"}, false});
  CHECK(std::get<Program>(code("exec = [\"sleep\", \"./x\"]\nplain = true")) == Program{{"sleep", "./x"}, true});
}

TEST_CASE("defaults give what a node does not say itself", "[config]") {
  const SystemSpec system = system_of(R"(
[defaults.supervisor]
strategy = "one_for_all"
limit = { restarts = 9 }
[defaults.muproc]
module = "m.so"
entry = "run"
stop = "kill"
args = { a = 1, b = 2 }
backoff = { initial = "1s", jitter = 0 }
[supervisor.root]
children = ["x", "y"]
limit = { within = "1h" }
[muproc.x]
stop = "forever"
args = { b = 3, c = 4 }
backoff = { initial = "2s" }
[muproc.y]
exec = ["y"]
)");
  CHECK(system.supervisors.at("root").strategy == one_for_all);
  CHECK(system.supervisors.at("root").limit == Limit{9, 1h});
  const ChildSpec& x = system.muprocs.at("x");
  CHECK(std::get<ModuleEntry>(x.code) == ModuleEntry{"m.so", "run"});
  CHECK(x.stop == forever);
  CHECK(x.args == Mumsg{{"a", 1}, {"b", 3}, {"c", 4}});
  CHECK(x.backoff.initial == 2s);
  CHECK(x.backoff.jitter == 0);
  const ChildSpec& y = system.muprocs.at("y");
  CHECK(std::get<Program>(y.code).argv.front() == "y");
  CHECK(y.stop == Stop(kill));
}

TEST_CASE("replicas are children of their own, in order", "[config]") {
  const SystemSpec system = system_of(R"(
[supervisor.root]
children = ["a", "w", "b"]
[muproc.a]
exec = ["a"]
[muproc.b]
exec = ["b"]
[muproc.w]
exec = ["w"]
replicas = 3
)");
  CHECK(system.supervisors.at("root").children == std::vector<std::string>{"a", "w.0", "w.1", "w.2", "b"});
  CHECK(system.muprocs.at("w.2").name == "w.2");
  CHECK_FALSE(system.muprocs.contains("w"));
}

TEST_CASE("the supervision config of the talk's super-3 is understood", "[config][super]") {
  const ConfigResult result =
      load_config(std::filesystem::path(muproc::test::examples_dir()) / "super" / "super-3.toml");
  INFO(result.report);
  REQUIRE(result.system);
  CHECK(result.report.empty());
  CHECK(result.system->supervisors.at("root").limit == Limit{2, 5s});
  CHECK(result.system->supervisors.at("all").children == std::vector<std::string>{"ch-1", "ch-2", "inner"});
  CHECK(result.system->muprocs.at("ch-1").stop == Stop(kill));
  CHECK(result.system->muprocs.at("ch-1").args == Mumsg{{"period", "3s"}, {"symbol", "ch-1"}});
}

// What is wrong --------------------------------------------------------------------------------------------------------

TEST_CASE("six mistakes are reported in one go, in the order of the file, each with its place", "[config]") {
  const ConfigResult result = parse_config(R"([system]
nmae = "super"

[supervisor.root]
strategy = "one_for_al"
children = ["ch-1", "ch-22"]

[muproc.ch-1]
module = "libsuper.so"
stop   = 5

[muproc."ch-2"]
exec   = ["./decoder"]
limits = { files = "many" }
)",
                                           "super.toml");
  CHECK_FALSE(result.system);
  CHECK(result.errors == 7);  // the wrong name of a child leaves that child an orphan
  CHECK(result.report == R"(super.toml:2:1: error: unknown key "nmae" in [system]; did you mean "name"?
    nmae = "super"
    ^~~~
super.toml:5:12: error: "strategy" is "one_for_al", which is none of "one_for_one", "one_for_all", "rest_for_one", "all_for_one" or "simple_one_for_one"; did you mean "one_for_all"?
    strategy = "one_for_al"
               ^~~~~~~~~~~~
super.toml:6:21: error: no muproc or supervisor is named "ch-22"; did you mean "ch-2"?
    children = ["ch-1", "ch-22"]
                        ^~~~~~~
super.toml:9:1: error: [muproc.ch-1] has a "module" but no "entry"
    module = "libsuper.so"
    ^~~~~~
super.toml:10:10: error: "stop" needs a unit; write for example "5s" or "250ms"
    stop   = 5
             ^
super.toml:12:9: error: [muproc.ch-2] is nobody's child: no supervisor lists "ch-2"
    [muproc."ch-2"]
            ^~~~~~
super.toml:14:20: error: "limits.files" must be an integer, not a string
    limits = { files = "many" }
                       ^~~~~~
)");
}

TEST_CASE("carets stand under tabs and under characters of several bytes", "[config]") {
  const ConfigResult result = parse_config(
      "[supervisor.root]\nchildren = [\"größe\"]\n[muproc.\"größe\"]\nexec = [\"x\"]\n"
      "\tcwd = [\"ü\"]\n",
      "x.toml");
  CHECK(result.report ==
        "x.toml:5:8: error: \"cwd\" must be a string, not an array\n"
        "    \tcwd = [\"ü\"]\n"
        "    \t      ^~~~~\n");
}

TEST_CASE("a syntax error is reported in TOML's words, and hides no other mistake", "[config]") {
  CHECK(messages(with_muproc("exec = [\"x\"]\nstop = \ncolour = 1\n")) ==
        "6:8: error: key-value pair: expected value, saw '\\n'\n"
        "7:1: error: unknown key \"colour\" in [muproc.x]\n");
}

TEST_CASE("a syntax error makes nothing seem to be missing that it only hides", "[config]") {
  CHECK(parse("[supervisor.root]\nchildren = \n[muproc.x]\nexec = [\"x\"]\n").errors == 1);
  CHECK(parse("[supervisor.root]\nchildren = [\"x\"]\n[muproc.x\nexec = [\"x\"]\n").errors == 1);
  CHECK(parse("[supervisor.root]\nchildren = [\"x\"]\n[muproc.x]\nexec = [\"x\n").errors == 1);
  CHECK(parse("[supervisor.root]\nchildren = [\"x\",\n[muproc.x]\nexec = [\"x\"]\n").errors == 1);
}

TEST_CASE("duplicate tables, keys and names are errors", "[config]") {
  CHECK(messages(with_muproc("exec = [\"x\"]\n[muproc.x]\nexec = [\"y\"]")) ==
        "6:1: error: table header: cannot redefine existing table 'muproc.x'\n");
  CHECK(messages(with_muproc("exec = [\"x\"]\ncwd = \".\"\ncwd = \".\"")) ==
        "7:7: error: key-value pair: cannot redefine existing string 'cwd'\n");
  CHECK(messages(with_muproc("exec = [\"x\"]\n[muproc.root]\nexec = [\"x\"]"))
            .find("6:9: error: \"root\" is also the name of [supervisor.root]; names are unique\n") == 0);
  CHECK(messages("[supervisor.root]\nchildren = [\"w\", \"w.1\"]\n[muproc.w]\nexec = [\"w\"]\nreplicas = 2\n"
                 "[muproc.\"w.1\"]\nexec = [\"w\"]\n") ==
        "6:9: error: \"w.1\" is also the name of [muproc.w]; names are unique\n");
}

TEST_CASE("the supervisors must form one tree", "[config]") {
  const std::string x = "[muproc.x]\nexec = [\"x\"]\n";
  CHECK(messages("[supervisor.root]\nchildren = [\"x\", \"y\"]\n" + x) ==
        "2:18: error: no muproc or supervisor is named \"y\"\n");
  CHECK(messages("[supervisor.root]\nchildren = [\"x\", \"x\"]\n" + x) ==
        "2:18: error: \"x\" is listed twice (line 2)\n");
  CHECK(messages("[supervisor.root]\nchildren = [\"b\", \"x\"]\n[supervisor.b]\nchildren = [\"x\"]\n" + x) ==
        "4:13: error: \"x\" is already a child of [supervisor.root] (line 2)\n");
  CHECK(messages("[supervisor.root]\nchildren = [\"a\"]\n[supervisor.a]\nchildren = [\"b\"]\n"
                 "[supervisor.b]\nchildren = [\"a\"]\n") == "6:13: error: \"a\" is its own ancestor: a → b → a\n");
  CHECK(messages("[supervisor.a]\nchildren = [\"b\"]\n[supervisor.b]\nchildren = [\"a\"]\n") ==
        "4:13: error: \"a\" is its own ancestor: a → b → a\n");
  CHECK(messages("[supervisor.a]\nchildren = [\"a\"]\n") == "2:13: error: \"a\" is its own ancestor: a → a\n");
  CHECK(messages("[supervisor.root]\nchildren = [\"x\"]\n[muproc.y]\nexec = [\"y\"]\n" + x) ==
        "3:9: error: [muproc.y] is nobody's child: no supervisor lists \"y\"\n");
  CHECK(messages("[supervisor.b]\nchildren = [\"y\"]\n[supervisor.root]\nchildren = [\"x\"]\n"
                 "[muproc.y]\nexec = [\"y\"]\n" +
                 x) ==
        "1:13: error: [supervisor.b] is nobody's child: no supervisor lists \"b\", and the root is \"root\"\n");
  CHECK(messages("[supervisor.root]\nchildren = []\n") == "2:12: error: a supervisor must have at least one child\n");
  CHECK(messages("[supervisor.root]\n") == "1:13: error: [supervisor.root] has no children\n");
  CHECK(messages("").find("1:1: error: there is no supervisor") == 0);
}

TEST_CASE("a template supervisor has a template in place of children", "[config][otp][simple_one_for_one]") {
  const auto with = [](const std::string& keys) {
    return "[supervisor.root]\nchildren = [\"conns\"]\n[supervisor.conns]\n" + keys + "\n[muproc.conn]\nexec = [\"x\"]\n";
  };
  const SystemSpec system = system_of(with("strategy = \"simple_one_for_one\"\ntemplate = \"conn\""));
  CHECK(system.supervisors.at("conns").strategy == simple_one_for_one);
  CHECK(system.supervisors.at("conns").children == std::vector<std::string>{"conn"});

  CHECK(messages(with("strategy = \"simple_one_for_one\"\nchildren = [\"conn\"]")) ==
        "5:1: error: [supervisor.conns] is \"simple_one_for_one\": it has a \"template\" in place of \"children\"\n");
  CHECK_THAT(messages(with("strategy = \"simple_one_for_one\"")), Contains("3:13: error: [supervisor.conns] has no template"));
  CHECK_THAT(messages(with("template = \"conn\"")), Contains("\"template\" belongs to strategy = \"simple_one_for_one\""));
  CHECK_THAT(messages(with("strategy = \"simple_one_for_one\"\ntemplate = \"con\"")), Contains("did you mean \"conn\"?"));
  CHECK_THAT(messages(with("strategy = \"simple_one_for_one\"\ntemplate = \"inner\"\n[supervisor.inner]\nchildren = [\"conn\"]")),
             Contains("\"inner\" is a supervisor; a template is a muproc"));
  CHECK_THAT(messages(with("strategy = \"simple_one_for_one\"\ntemplate = \"conn\"") + "replicas = 2\n"), Contains("has no \"replicas\""));
}

TEST_CASE("a muproc has one kind of code, and all of it", "[config]") {
  CHECK(messages(with_muproc("")) ==
        "4:9: error: [muproc.x] has no code: give it \"module\" and \"entry\", or \"exec\"\n");
  CHECK(messages(with_muproc("entry = \"e\"")) == "5:1: error: [muproc.x] has an \"entry\" but no \"module\"\n");
  CHECK(messages(with_muproc("module = \"e\"")) == "5:1: error: [muproc.x] has a \"module\" but no \"entry\"\n");
  CHECK(messages(with_muproc("module = \"e\"\nentry = \"e\"\nexec = [\"e\"]")) ==
        "7:1: error: [muproc.x] has both \"module\" and \"exec\"; a muproc runs one of them\n");
  CHECK(messages(with_muproc("module = \"e\"\nentry = \"e\"\nplain = true")) ==
        "7:1: error: \"plain\" belongs to \"exec\": code in a module is never plain\n");
  CHECK(messages(with_muproc("exec = []")) == "5:8: error: \"exec\" must name a program\n");
  CHECK(messages(with_muproc("exec = \"ls -l\"")) ==
        "5:8: error: \"exec\" must be an array of strings, not a string\n");
}

TEST_CASE("a bad value is told what would be good", "[config]") {
  CHECK(messages_about("stop = \"kil\"") ==
        "6:8: error: \"stop\" is \"kil\", but must be \"kill\", \"forever\" or a duration such as \"5s\"; "
        "did you mean \"kill\"?");
  CHECK(messages_about("stop = \"5\"") ==
        "6:8: error: \"stop\": \"5\" has no unit; write for example \"5s\" or \"250ms\"");
  CHECK(messages_about("stop = \"5 sec\"") ==
        "6:8: error: \"stop\": \"5 sec\" has an unknown unit; the units are ns, us, ms, s, m, h and d");
  CHECK(messages_about("restart = \"Permanent\"") ==
        "6:11: error: \"restart\" is \"Permanent\", which is none of \"permanent\", \"transient\" or \"temporary\"; "
        "did you mean \"permanent\"?");
  CHECK(messages_about("mailbox = { ring = \"300KiB\" }") ==
        "6:20: error: \"mailbox.ring\" must be a power of two from \"4KiB\" to \"256MiB\"");
  CHECK(messages_about("mailbox = { stash = 64 }") ==
        "6:21: error: \"mailbox.stash\" needs a unit; write for example \"256KiB\" or \"1GiB\"");
  CHECK(messages_about("mailbox = { stach = \"64B\" }") ==
        "6:13: error: unknown key \"stach\" in \"mailbox\"; did you mean \"stash\"?");
  CHECK(messages_about("limits = { nice = 40 }") == "6:19: error: \"limits.nice\" is 40, but must be from -20 to 19");
  CHECK(messages_about("backoff = { jitter = 1.5 }") ==
        "6:22: error: \"backoff.jitter\" is 1.5, but must be from 0 to 1");
  CHECK(messages_about("umask = 22") == "6:9: error: \"umask\" must be octal digits, such as \"022\" or 0o022");
  CHECK(messages_about("args = { at = 1979-05-27 }") ==
        "6:15: error: \"args.at\" is a date or time, which no message can hold; write it as a string");
  CHECK(messages_about("args = 5") == "6:8: error: \"args\" must be a table, not an integer");
  CHECK(messages_about("trap_exits = 1") == "6:14: error: \"trap_exits\" must be true or false, not an integer");
}

TEST_CASE("names must be fit for a directory and for its slots", "[config]") {
  CHECK(messages("[system]\nname = \"a/b\"\n" + with_muproc("exec = [\"x\"]"))
            .find("2:8: error: a system cannot be named \"a/b\"") == 0);
  CHECK(messages("[supervisor.root]\nchildren = [\"a/b\"]\n[muproc.\"a/b\"]\nexec = [\"x\"]")
            .find("3:9: error: \"a/b\" cannot be a name") == 0);
  const std::string longest(63, 'n');
  CHECK(parse("[supervisor.root]\nchildren = [\"" + longest + "\"]\n[muproc." + longest + "]\nexec = [\"x\"]").system);
  CHECK_FALSE(
      parse("[supervisor.root]\nchildren = [\"" + longest + "n\"]\n[muproc." + longest + "n]\nexec = [\"x\"]").system);
}

TEST_CASE("a significant child is not permanent, and its supervisor looks at significance",
          "[config][otp][significant]") {
  CHECK(messages(with_muproc("exec = [\"x\"]\nsignificant = true", "auto_shutdown = \"any_significant\"")) ==
        "6:1: error: \"x\" cannot be significant: it is permanent, so it never ends for good\n");
  CHECK(messages(with_muproc("exec = [\"x\"]\nsignificant = true\nrestart = \"transient\"")) ==
        "6:1: error: \"x\" cannot be significant: its supervisor's auto_shutdown is \"never\"\n");
}

TEST_CASE("a sandbox is a mode, or a table that is strict unless it says otherwise", "[config][sandbox]") {
  CHECK(child_of("sandbox = \"none\"").sandbox == Sandbox());
  CHECK(child_of("sandbox = \"strict\"").sandbox == Sandbox{.strict = true});
  CHECK(child_of("sandbox = { network = true, syscalls = [\"kill\"], writable = [\"data\", \"/tmp\"] }").sandbox ==
        Sandbox{true, {"kill"}, true, {"/etc/muproc/data", "/tmp"}});
  CHECK(child_of("sandbox = { mode = \"none\", network = true }").sandbox == Sandbox());
  CHECK(messages_about("sandbox = \"strickt\"") ==
        "6:11: error: \"sandbox\" is \"strickt\", which is none of \"none\" or \"strict\"; did you mean \"strict\"?");
  CHECK(messages_about("sandbox = { syscalls = [\"kil\", \"fork\"] }") ==
        "6:25: error: \"sandbox.syscalls\" has \"kil\", which is no system call here; did you mean \"kill\"?");
  CHECK(messages_about("sandbox = { writeable = [] }") ==
        "6:13: error: unknown key \"writeable\" in \"sandbox\"; did you mean \"writable\"?");
  CHECK(messages_about("sandbox = true") == "6:11: error: \"sandbox\" must be a table, not a boolean");
}

TEST_CASE("a default sandbox is joined with a muproc's own, and undone by none", "[config][sandbox]") {
  const auto sandbox_of = [](const std::string& own) {
    return system_of("[defaults.muproc]\nsandbox = { writable = [\"/tmp\"] }\n" + with_muproc("exec = [\"x\"]\n" + own)).muprocs.at("x").sandbox;
  };
  CHECK(sandbox_of("") == Sandbox{.strict = true, .writable = {"/tmp"}});
  CHECK(sandbox_of("sandbox = { network = true }") == Sandbox{.strict = true, .network = true, .writable = {"/tmp"}});
  CHECK(sandbox_of("sandbox = \"strict\"") == Sandbox{.strict = true, .writable = {"/tmp"}});
  CHECK(sandbox_of("sandbox = \"none\"") == Sandbox());
}

TEST_CASE("metrics are served where only this machine reaches them, unless it is said that others may", "[config][metrics]") {
  const auto of = [](const std::string& system) { return "[system]\n" + system + "\n" + with_muproc("exec = [\"x\"]"); };
  CHECK(system_of(of("metrics = \"127.0.0.1:9464\"")).metrics == MetricsAddress{"127.0.0.1:9464", false});
  CHECK(system_of(of("metrics = \"unix:/run/m.sock\"")).metrics.text == "unix:/run/m.sock");
  CHECK(system_of(of("metrics_public = true\nmetrics = \"0.0.0.0:9464\"")).metrics == MetricsAddress{"0.0.0.0:9464", true});
  CHECK(messages(of("metrics = \"0.0.0.0:9464\"")) ==
        "2:11: error: \"metrics\" is an address that other machines may reach: use a loopback address or a Unix socket, or set metrics_public = true\n");
  CHECK(messages(of("metrics = \"9464\"")) ==
        "2:11: error: \"metrics\" is \"9464\", but it must be an address and a port such as \"127.0.0.1:9464\" or \"[::1]:9464\", or \"unix:/path\"\n");
  CHECK(messages(of("metrics = true")) == "2:11: error: \"metrics\" must be a string, not a boolean\n");
}

TEST_CASE("spares are for modules: a program that asks for some is an error, a default passes it by", "[config][spares]") {
  const auto with = [](const std::string& defaults, const std::string& keys) {
    return "[defaults.muproc]\n" + defaults + "\n[supervisor.root]\nchildren = [\"x\"]\n[muproc.x]\n" + keys + "\n";
  };
  const std::string module = "module = \"/x.so\"\nentry = \"x\"\n";
  CHECK(system_of(with("", module + "spares = 2")).muprocs.at("x").spares == 2);
  CHECK(system_of(with("spares = 2", module)).muprocs.at("x").spares == 2);
  CHECK(system_of(with("spares = 2", "exec = [\"x\"]")).muprocs.at("x").spares == 0);
  CHECK_THAT(messages(with("", "exec = [\"x\"]\nspares = 2")),
             Contains("error: \"spares\" belongs to \"module\": a program begins with an exec, so there is nothing to clone in advance"));
  CHECK(messages(with("", "exec = [\"x\"]\nspares = 0")).empty());
  CHECK_THAT(messages(with("", module + "spares = 1001")), Contains("spares"));
  CHECK_THAT(messages(with("", module + "spares = 1\nrestart = \"temporary\"")), Contains("warning: \"spares\" has no effect"));
}

TEST_CASE("a file that cannot be read is an error that names it", "[config]") {
  const ConfigResult result = load_config("/nonexistent/x.toml");
  CHECK_FALSE(result.system);
  CHECK(result.report == "/nonexistent/x.toml: error: cannot read the file: No such file or directory\n");
}

TEST_CASE("readiness is asked for in a way that the muproc can answer", "[config][ready]") {
  CHECK(messages_about("ready = { on = \"notify\" }") ==
        "6:1: error: [muproc.x] is no plain program: it does not notify, but can call ready(), with ready.on = \"call\"");
  CHECK(messages_about("plain = true\nready = { on = \"call\" }") ==
        "7:1: error: [muproc.x] is a plain program, which cannot call ready(): ready.on can be \"notify\"");
  CHECK(messages_about("ready = { on = \"atach\" }") ==
        "6:16: error: \"ready.on\" is \"atach\", which is none of \"attach\", \"call\" or \"notify\"; did you mean \"attach\"?");
  CHECK(child_of("plain = true\nready = { on = \"notify\" }").ready_on == ReadyOn::notify);
}

TEST_CASE("limits, users and watchdogs that cannot be are told what could", "[config]") {
  CHECK(messages_about("watchdog = { interval = \"1ms\" }") ==
        "6:25: error: \"watchdog.interval\" must be at least \"10ms\"");
  CHECK(messages_about("watchdog = \"2s\"") == "6:12: error: \"watchdog\" must be a table, not a string");
  CHECK(messages_about("limits = { cpu_time = \"1500ms\" }") ==
        "6:23: error: \"limits.cpu_time\" must be a number of whole seconds, at least one");
  CHECK(messages_about("limits = { realtime_priority = 100 }") ==
        "6:32: error: \"limits.realtime_priority\" is 100, but must be from 0 to 99");
  CHECK(messages_about("limits = { stack = \"lots\" }").starts_with("6:20: error: \"limits.stack\": \"lots\" "));
  CHECK(messages_about("user = true") == "6:8: error: \"user\" must be a name or a number, not a boolean");
  CHECK(messages_about("user = -1") == "6:8: error: \"user\" is -1, but must be from 0 to 4294967294");
  CHECK(messages_about("groups = [\"video\", \"\"]") == "6:20: error: \"groups\" must not be empty");
}

TEST_CASE("may_send names muprocs, all replicas of one at once, and a stranger is warned of", "[config][rights]") {
  const SystemSpec system = system_of(R"([supervisor.root]
children = ["a", "w"]
[muproc.a]
exec = ["a"]
may_send = ["w"]
[muproc.w]
exec = ["w"]
may_send = []
replicas = 2
)");
  CHECK(system.muprocs.at("a").may_send == std::vector<std::string>{"w.0", "w.1"});
  CHECK(system.muprocs.at("w.1").may_send == std::vector<std::string>{});
  CHECK(messages_about("may_send = [\"y\"]") ==
        "6:13: warning: \"may_send\" names \"y\", and no muproc of this config has that name");
}

// Warnings -------------------------------------------------------------------------------------------------------------

TEST_CASE("a limit that can never trip is warned of", "[config]") {
  const std::string slow = "exec = [\"x\"]\nbackoff = { initial = \"3s\", jitter = 0 }";
  CHECK(messages(with_muproc(slow, "limit = { restarts = 2, within = \"5s\" }")) ==
        "3:1: warning: this limit can never trip: back-off keeps 3 failures further apart than the 5s that it looks "
        "at\n");
  CHECK(messages(with_muproc(slow, "limit = { restarts = 1, within = \"5s\" }")).empty());

  const std::string two =
      "children = [\"x\", \"y\"]\n[muproc.x]\nexec = [\"x\"]\n[muproc.y]\nexec = [\"y\"]\nstop = \"7s\"\n";
  CHECK(messages("[supervisor.root]\nstrategy = \"one_for_all\"\n" + two).empty());  // y's own failures are fast
  CHECK(messages("[defaults.muproc]\nstop = \"6s\"\n[supervisor.root]\nstrategy = \"one_for_all\"\n" + two) ==
        "3:13: warning: this limit cannot trip when children use all their time to stop, which keeps 2 failures "
        "further apart than the 5s that it looks at\n");
}

TEST_CASE("settings without effect are warned of", "[config]") {
  CHECK(messages(with_muproc("exec = [\"x\"]\nplain = true\nargs = { a = 1 }", "stop = \"5s\"")) ==
        "3:1: warning: \"stop\" has no effect on the root supervisor\n"
        "7:1: warning: \"args\" has no effect on a plain program\n");
  CHECK(messages(with_muproc("exec = [\"x\"]", "auto_shutdown = \"any_significant\"")) ==
        "3:1: warning: \"auto_shutdown\" has no effect: no child is significant\n");
}

TEST_CASE("a log is a level alone, or a table; what a muproc does not say is left to the system", "[config][log]") {
  CHECK(child_of("").log == LogOptions{});
  CHECK(child_of("log = \"warn\"").log == LogOptions{.level = LogLevel::warn});
  CHECK(child_of("log = { level = \"debug\", format = \"json\", file_size = \"1MiB\", files = 3 }").log ==
        LogOptions{LogLevel::debug, LogFormat::json, Bytes::mib(1), 3});
  CHECK(messages_about("log = { file_size = \"1KiB\" }").find("must be at least 4KiB") != std::string::npos);
  CHECK(messages_about("log = { files = 0 }").find("log.files") != std::string::npos);
  CHECK(messages_about("log = { console = false }").find("console") != std::string::npos);  // the system's alone
  CHECK(messages_about("log = \"loud\"").find("loud") != std::string::npos);

  const std::string nodes = "[supervisor.root]\nchildren = [\"x\"]\n[muproc.x]\nexec = [\"x\"]\n";
  CHECK(system_of("[system]\nlog = \"error\"\n" + nodes).log == LogLevel::error);
  const SystemSpec system = system_of("[system]\ncrash_reports = 7\nlog = { level = \"trace\", format = \"json\", files = 9, console = false }\n" + nodes);
  CHECK(system.log == LogLevel::trace);
  CHECK(system.logs.format == LogFormat::json);
  CHECK(system.logs.files == 9);
  CHECK(system.logs.file_size == Bytes::mib(16));
  CHECK_FALSE(system.logs.on_console);
  CHECK(system.crash_reports == 7);
  CHECK(system.cgroup.empty());
  CHECK(system_of("[system]\ncgroup = \"none\"\n" + nodes).cgroup == "none");
  CHECK(system_of("[system]\ncgroup = \"auto\"\n" + nodes).cgroup == "auto");
  CHECK(system_of("[system]\ncgroup = \"/sys/fs/cgroup/x\"\n" + nodes).cgroup == "/sys/fs/cgroup/x");
}
