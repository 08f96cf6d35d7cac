// What a reload would do, as a list.
#include "broker/spec_diff.hpp"

#include <algorithm>

#include "broker/config.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;

namespace {

SystemSpec system_of(const std::string& text) {
  ConfigResult result = parse_config(text, "/etc/muproc/test.toml");
  INFO(result.report);
  REQUIRE(result.system);
  return *std::move(result.system);
}

const std::string k_before = R"([supervisor.root]
children = ["a", "b", "inner"]
[supervisor.inner]
children = ["c", "d"]
[muproc.a]
exec = ["a"]
[muproc.b]
exec = ["b"]
[muproc.c]
module = "m.so"
entry = "c"
[muproc.d]
exec = ["d"]
)";

/// The config with one text in place of another.
std::string with(const std::string& old_text, const std::string& new_text, std::string config = k_before) {
  const auto at = config.find(old_text);
  REQUIRE(at != config.npos);
  return config.replace(at, old_text.size(), new_text);
}

/// "verb name [detail] …" of all but what is kept.
std::vector<std::string> changes_to(const std::string& after, const std::set<std::string>& modules = {}) {
  std::vector<std::string> lines;
  for (const Change& change : diff(system_of(k_before), system_of(after), modules)) {
    if (change.kind == Change::Kind::keep) continue;
    std::string line = std::string(to_string(change.kind)) + ' ' + change.name;
    for (const std::string& detail : change.details) line += " [" + detail + ']';
    lines.push_back(line);
  }
  return lines;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a config that says the same changes nothing", "[reload]") {
  CHECK(changes_to(k_before).empty());
  CHECK(changes_to("# a comment\n" + k_before).empty());
  CHECK(diff(system_of(k_before), system_of(k_before)).size() == 6);  // all are kept, by name
}

TEST_CASE("what a running process can be given is changed without a stop", "[reload]") {
  CHECK(changes_to(with("exec = [\"a\"]", "exec = [\"a\"]\nstop = \"kill\"\nrestart = \"transient\"")) ==
        Lines{"change a [restart: permanent → transient] [stop: 5s → kill]"});
  CHECK(changes_to(with("exec = [\"a\"]", "exec = [\"a\"]\nbackoff = { initial = \"1s\" }")) == Lines{"change a [backoff.initial: 0s → 1s]"});
  CHECK(changes_to(with("exec = [\"a\"]", "exec = [\"a\"]\nlimits = { files = 100 }\nwatchdog = { interval = \"2s\" }")) ==
        Lines{"change a [watchdog.interval: 0s → 2s] [limits.files: unset → 100]"});
  CHECK(changes_to(with("exec = [\"a\"]", "exec = [\"a\"]\nmay_send = [\"b\"]\ntrust = false")) ==
        Lines{"change a [may_send: unset → [b]] [trust: true → false]"});
  CHECK(changes_to(with("[supervisor.inner]", "[supervisor.inner]\nstrategy = \"rest_for_one\"\nlimit = { restarts = 9 }")) ==
        Lines{"change inner [strategy: one_for_one → rest_for_one] [limit.restarts: 1 → 9]"});
  CHECK(changes_to("[system]\nlog = \"debug\"\n" + k_before) == Lines{"set  [log.level: info → debug]"});
}

TEST_CASE("what only a new process can have is a restart, of that child alone", "[reload]") {
  CHECK(changes_to(with("exec = [\"a\"]", "exec = [\"a\", \"-v\"]")) == Lines{"restart a [code: [a] → [a, -v]]"});
  CHECK(changes_to(with("exec = [\"d\"]", "exec = [\"d\"]\nargs = { n = 1 }\nenv = { L = \"C\" }\nstop = \"1s\"")) ==
        Lines{"restart d [args: {} → {n: 1}] [env: {} → {L=C}] [stop: 5s → 1s]"});
  CHECK(changes_to(with("exec = [\"a\"]", "exec = [\"a\"]\nuser = \"u\"\numask = \"027\"")) ==
        Lines{"restart a [umask: unset → 23] [user: none → u]"});
  CHECK(changes_to(with("exec = [\"a\"]", "exec = [\"a\"]\nsandbox = { writable = [\"/tmp\"], syscalls = [\"kill\"] }")) ==
        Lines{"restart a [sandbox: none → strict, writes below /tmp, also kill]"});
  CHECK(changes_to(k_before, {"m.so"}) == Lines{"restart c [module: m.so has changed]"});
}

TEST_CASE("a plain program that is to have another notify socket begins anew", "[reload][notify]") {
  const auto plain = with("exec = [\"a\"]", "exec = [\"a\"]\nplain = true");
  const auto watched = with("plain = true", "plain = true\nwatchdog = { interval = \"1s\" }", plain);
  const auto changes = diff(system_of(plain), system_of(watched));
  CHECK(std::ranges::count(changes, Change::Kind::restart, &Change::kind) == 1);
}

TEST_CASE("removals come first, in reverse start order; additions last, in start order", "[reload]") {
  const auto after = R"([supervisor.root]
children = ["x", "b", "new"]
[supervisor.new]
children = ["y", "z"]
[muproc.b]
exec = ["b"]
[muproc.x]
exec = ["x"]
[muproc.y]
exec = ["y"]
[muproc.z]
exec = ["z"]
)";
  CHECK(changes_to(after) == Lines{"change root [children: [a, b, inner] → [x, b, new]]", "remove d", "remove c", "remove inner",
                                   "remove a", "add x", "add new", "add y", "add z"});
}

TEST_CASE("a child that goes to another supervisor goes as it is, and to a new one begins anew", "[reload]") {
  CHECK(changes_to(with("children = [\"a\", \"b\", \"inner\"]\n[supervisor.inner]\nchildren = [\"c\", \"d\"]",
                        "children = [\"b\", \"inner\"]\n[supervisor.inner]\nchildren = [\"c\", \"a\", \"d\"]")) ==
        Lines{"change root [children: [a, b, inner] → [b, inner]]", "change inner [children: [c, d] → [c, a, d]]",
              "move a [supervisor: root → inner]"});
  CHECK(changes_to(with("\"a\", \"b\", \"inner\"]", "\"b\", \"inner\", \"new\"]\n[supervisor.new]\nchildren = [\"a\"]")) ==
        Lines{"change root [children: [a, b, inner] → [b, inner, new]]", "remove a", "add new", "add a"});
}

TEST_CASE("replicas come and go by their names", "[reload]") {
  const auto two = with("exec = [\"b\"]", "exec = [\"b\"]\nreplicas = 2"), three = with("replicas = 2", "replicas = 3", two);
  const auto changes = diff(system_of(two), system_of(three));
  CHECK(std::ranges::count(changes, Change::Kind::add, &Change::kind) == 1);
  CHECK(std::ranges::count(changes, Change::Kind::keep, &Change::kind) == 6);
}

TEST_CASE("what needs another launch is refused", "[reload]") {
  const auto why = [](const std::string& after) { return why_not_reload(system_of(k_before), system_of(after)); };
  CHECK(why(k_before).empty());
  CHECK(why("[system]\nname = \"other\"\n" + k_before) ==
        "the system is named \"test\", and the config names it \"other\"; end the system and launch it anew for that");
  CHECK(why("[system]\nruntime_dir = \"/run/x\"\n" + k_before).starts_with("runtime_dir cannot be changed"));
  CHECK(why(with("[supervisor.root]", "[supervisor.top]")).starts_with("the root supervisor is \"root\", and in the config it is \"top\""));
}

namespace {

using test::Random;

std::size_t below(Random& random, std::size_t limit) { return random.below(limit); }

/// Any system of a few nodes, with a few of their settings.
SystemSpec any_system(Random& random) {
  SystemSpec system;
  system.name = "s";
  system.root = "root";
  system.log = below(random, 2) ? LogLevel::info : LogLevel::debug;
  std::vector<std::string> supervisors{"root"};
  for (const std::string name : {"s1", "s2", "s3"})
    if (below(random, 2)) supervisors.push_back(name);
  for (std::size_t i = 0; i < supervisors.size(); ++i) {
    SupervisorSpec& supervisor = system.supervisors[supervisors[i]];
    supervisor.name = supervisors[i];
    supervisor.strategy = below(random, 2) ? one_for_one : one_for_all;
    if (i > 0) system.supervisors[supervisors[below(random, i)]].children.push_back(supervisors[i]);
  }
  for (const std::string name : {"a", "b", "c", "d", "e"}) {
    if (below(random, 4) == 0) continue;
    ChildSpec& child = system.muprocs[name];
    child.name = name;
    child.code = Program{{below(random, 3) ? "x" : "y"}, false};
    if (below(random, 3) == 0) child.stop = 1s;
    if (below(random, 3) == 0) child.limits.files = 64;
    auto& children = system.supervisors[supervisors[below(random, supervisors.size())]].children;
    children.insert(children.begin() + static_cast<std::ptrdiff_t>(below(random, children.size() + 1)), name);
  }
  return system;
}

std::string text_of(const SystemSpec& system) {
  std::string text = std::string(to_string(system.log)) + '\n';
  for (const auto& [name, supervisor] : system.supervisors) {
    text += name + ' ' + std::string(to_string(supervisor.strategy)) + ':';
    for (const std::string& child : supervisor.children) text += ' ' + child;
    text += '\n';
  }
  for (const auto& [name, child] : system.muprocs)
    text += name + ' ' + std::get<Program>(child.code).argv[0] + ' ' + to_string(child.stop) + ' ' +
            std::to_string(child.limits.files.value_or(0)) + '\n';
  return text;
}

}  // namespace

TEST_CASE("what the system says of itself is set while it runs, but for its cgroup", "[reload][system]") {
  CHECK(changes_to("[system]\nlog = { level = \"debug\", format = \"json\", file_size = \"1MiB\", files = 2, console = false }\ncrash_reports = 7\n" + k_before) ==
        Lines{"set  [log.level: info → debug] [log.format: text → json] [log.file_size: 16MiB → 1MiB] [log.files: 5 → 2] "
              "[log.console: true → false] [crash_reports: 100 → 7]"});
  CHECK(changes_to("[system]\nmetrics = \"0.0.0.0:1\"\nmetrics_public = true\n" + k_before) == Lines{"set  [metrics: unset → 0.0.0.0:1] [metrics_public: false → true]"});
  CHECK(changes_to("[system]\ncgroup = \"none\"\n" + k_before) == Lines{"set  [cgroup: unset → none (needs a restart of the broker)]"});
  SystemSpec system = system_of(k_before);
  system.logs.is_captured = true;
  const SystemSpec to = system_of("[system]\nlog = { files = 2 }\ncgroup = \"none\"\ncrash_reports = 7\nmetrics = \"[::1]:9464\"\n" + k_before);
  system = apply(system, diff(system, to), to);
  CHECK(system.logs.files == 2);
  CHECK(system.logs.is_captured);
  CHECK(system.crash_reports == 7);
  CHECK(system.metrics.text == "[::1]:9464");
  CHECK(system.cgroup.empty());
}

TEST_CASE("how a muproc's log is kept needs another process, and each key is named", "[reload]") {
  CHECK(changes_to(with("exec = [\"a\"]", "exec = [\"a\"]\nlog = { level = \"debug\", files = 2 }")) ==
        Lines{"restart a [log.level: unset → debug] [log.files: unset → 2]"});
}

TEST_CASE("the changes between any two systems make the one of the other, and touch each node once", "[reload][property]") {
  Random random;
  INFO(random.how_to_repeat());
  for (int round = 0; round < 3000; ++round) {
    const SystemSpec from = any_system(random), to = any_system(random);
    const auto changes = diff(from, to);
    INFO(text_of(from) << "→\n" << text_of(to));
    REQUIRE(text_of(apply(from, changes, to)) == text_of(to));
    std::map<std::string, int> stops;
    for (const Change& change : changes) {
      const bool is_muproc = to.find_muproc(change.name) || from.find_muproc(change.name);
      if (!is_muproc) continue;
      // Nobody who is the same before and after is stopped.
      const auto *before = from.find_muproc(change.name), *after = to.find_muproc(change.name);
      const bool must_restart = before && after && (!(before->code == after->code) || (before->limits.files && !after->limits.files));
      if (change.kind == Change::Kind::restart) REQUIRE(must_restart);
      if (change.kind == Change::Kind::remove || change.kind == Change::Kind::restart) REQUIRE(++stops[change.name] == 1);
      if (change.kind == Change::Kind::keep) REQUIRE(parent_of(from, change.name)->name == parent_of(to, change.name)->name);
    }
  }
}
