// A running system takes on another config: what need not change goes on.
#include <csignal>
#include <fstream>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/muctl.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;

fs::path config() { return runtime_dir() / "reload.toml"; }
void write(const std::string& text) { std::ofstream(config()) << "[system]\nname = \"reload\"\n" << text; }

const std::string k_defaults = "[defaults.muproc]\nexec = [\"sleep\", \"1000\"]\nplain = true\nstop = \"kill\"\n";

/// A system of plain programs under root and inner.
std::string tree(const std::string& root, const std::string& inner, const std::string& rest) {
  return "[supervisor.root]\nchildren = [" + root + "]\n[supervisor.inner]\nchildren = [" + inner + "]\n" + k_defaults + rest;
}

const std::string k_before = tree(R"("a", "b", "inner")", R"("c", "d")", "[muproc.a]\n[muproc.b]\n[muproc.c]\n[muproc.d]\n");

std::map<std::string, int> os_pids(Self& self) {
  std::map<std::string, int> pids;
  for (const MuprocInfo& info : self.list())
    if (info.os_pid) pids[info.name] = info.os_pid;
  return pids;
}

std::string parent_of(const std::string& name) {
  const std::string shown = said({"show", name});
  const auto at = shown.find("supervisor  ");
  return at == shown.npos ? "" : shown.substr(at + 12, shown.find('\n', at) - at - 12);
}

}  // namespace

TEST_CASE("a reload does the least: who is the same keeps its process, limits change live, others come and go", "[reload]") {
  write(k_before);
  LiveSystem system(config());
  Self& self = system.self();
  const auto before = os_pids(self);
  write(tree(R"("a", "b", "new", "inner")", R"("d")",
             "[muproc.a]\nlimits = { files = 123 }\nbackoff = { initial = \"1s\" }\n[muproc.b]\nenv = { X = \"1\" }\n"
             "[muproc.new]\n[muproc.d]\n"));
  const std::string expected =
      "change   root\n           children: [a, b, inner] → [a, b, new, inner]\n"
      "change   a\n           backoff.initial: 0s → 1s\n           limits.files: unset → 123\n"
      "change   inner\n           children: [c, d] → [d]\n"
      "remove   c\n"
      "restart  b\n           env: {} → {X=1}\n"
      "add      new\n"
      "keep     d\n";
  CHECK(said({"diff"}) == expected);
  CHECK(os_pids(self) == before);  // it only says so
  CHECK(said({"reload"}) == expected);
  const auto after = os_pids(self);
  CHECK(after.at("a") == before.at("a"));
  CHECK(after.at("d") == before.at("d"));
  CHECK(after.at("b") != before.at("b"));
  CHECK(after.contains("new"));
  CHECK_FALSE(after.contains("c"));
  CHECK_THAT(contents("/proc/" + std::to_string(after.at("a")) + "/limits"), Contains("Max open files            123"));
  CHECK_THAT(contents("/proc/" + std::to_string(after.at("b")) + "/environ"), Contains("X=1"));
  CHECK(said({"diff"}) == "nothing changes\nkeep     root, a, b, new, inner, d\n");
  // The new one stands in its place: it stops before b.
  system.broker().signal(SIGTERM);
  system.leave();
  CHECK(system.wait() == 0);
  const std::string log = system.broker().output();
  CHECK(log.rfind("b <0.2.2> has ended") > log.rfind("new <"));
}

TEST_CASE("a bad config changes nothing, and its errors are printed where the reload was asked for", "[reload]") {
  write(k_before);
  LiveSystem system(config());
  const auto before = os_pids(system.self());
  write(k_before + "colour = 1\n");
  for (const char* verb : {"reload", "diff"}) {
    const Outcome outcome = muctl({verb});
    CHECK(outcome.code == 4);
    CHECK_THAT(outcome.err, Contains("nothing was changed") &&
                                Contains("reload.toml:15:1: error: unknown key \"colour\" in [muproc.d]\n    colour = 1\n    ^~~~~~"));
  }
  write("name_was = 1\n" + k_before);
  CHECK(muctl({"reload"}).code == 4);
  std::ofstream(runtime_dir() / "other.toml") << k_before;  // named after its file
  const Outcome other = muctl({"reload", (runtime_dir() / "other.toml").string()});
  CHECK(other.code == 4);
  CHECK_THAT(other.err, Contains("the system is named \"reload\", and the config names it \"other\""));
  write(tree(R"("a", "b", "inner")", R"("c", "d")", "[muproc.a]\nuser = \"nobody-of-that-name\"\n[muproc.b]\n[muproc.c]\n[muproc.d]\n"));
  const Outcome user = muctl({"reload"});
  CHECK(user.code == 4);
  CHECK_THAT(user.err, Contains("there is no user named \"nobody-of-that-name\""));
  CHECK(os_pids(system.self()) == before);
}

TEST_CASE("a child that is moved keeps its process, and its new supervisor restarts and stops it", "[reload]") {
  write(k_before);
  LiveSystem system(config());
  Self& self = system.self();
  const auto before = os_pids(self);
  write(tree(R"("b", "inner", "c")", R"("a", "d")", "[muproc.a]\n[muproc.b]\n[muproc.c]\n[muproc.d]\n"));
  CHECK_THAT(said({"reload"}), Contains("move     a\n           supervisor: root → inner\n") && Contains("move     c\n"));
  CHECK(os_pids(self) == before);
  CHECK(parent_of("a") == "inner");
  CHECK(parent_of("c") == "root");
  const Pid a = self.find("a");
  signal(self, a, SIGKILL);
  wait_for_replacement(self, "a", a);
  said({"stop", "inner"});
  CHECK(self.find("a") == nil_pid);
  CHECK(self.find("c"));
}

TEST_CASE("a supervisor moves with all below it, and a removed one takes its own along", "[reload]") {
  write("[supervisor.root]\nchildren = [\"a\", \"top\", \"inner\"]\n[supervisor.top]\nchildren = [\"e\"]\n[supervisor.inner]\nchildren = [\"c\"]\n" +
        k_defaults + "[muproc.a]\n[muproc.c]\n[muproc.e]\n");
  LiveSystem system(config());
  Self& self = system.self();
  const auto before = os_pids(self);
  write("[supervisor.root]\nchildren = [\"a\", \"top\"]\n[supervisor.top]\nchildren = [\"e\", \"inner\"]\n[supervisor.inner]\nchildren = [\"c\"]\n" +
        k_defaults + "[muproc.a]\n[muproc.c]\n[muproc.e]\n");
  said({"reload"});
  CHECK(os_pids(self) == before);
  CHECK(parent_of("inner") == "top");
  write("[supervisor.root]\nchildren = [\"a\"]\n" + k_defaults + "[muproc.a]\n");
  CHECK_THAT(said({"reload"}), Contains("remove   c\nremove   inner\nremove   e\nremove   top\n"));
  CHECK(os_pids(self) == std::map<std::string, int>{{"a", before.at("a")}, {"tester", ::getpid()}});
  CHECK_NOTHROW(self.spawn("top", +[](Self&) {}));  // the name is free
}

TEST_CASE("what cannot be added is told, the rest is done, and the next reload tries again", "[reload]") {
  write(k_before);
  LiveSystem system(config());
  Self& self = system.self();
  const auto with = [&](const std::string& program) {
    write(tree(R"("x", "a", "b", "inner")", R"("c", "d")",
               "[muproc.a]\nrestart = \"transient\"\n[muproc.b]\n[muproc.c]\n[muproc.d]\n[muproc.x]\nexec = [\"" + program + "\", \"1000\"]\n"));
  };
  with("/no/such/program");
  const Outcome outcome = muctl({"reload"});
  CHECK(outcome.code == 1);
  CHECK_THAT(outcome.out, Contains("add      x\n           failed: x could not be started: exec /no/such/program: No such file or directory\n") &&
                              Contains("change   a\n"));
  CHECK_THAT(said({"show", "a"}), Contains("transient"));
  with("sleep");
  CHECK_THAT(said({"reload"}), Contains("add      x\n"));
  CHECK(self.find("x"));
}

TEST_CASE("how logs are kept changes while everybody goes on, and what needs another broker says so", "[reload][log]") {
  const std::string rest = "[supervisor.root]\nchildren = [\"a\", \"b\"]\n[defaults.muproc]\nplain = true\nstop = \"kill\"\n"
                           "[muproc.a]\nexec = [\"sh\", \"-c\", \"i=0; while :; do i=$$((i+1)); echo line $$i; sleep 0.01; done\"]\n"
                           "[muproc.b]\nlog = { format = \"text\" }\nexec = [\"sh\", \"-c\", \"while :; do echo tick; sleep 0.01; done\"]\n";
  write(rest);
  Process broker = Process::program({bin_dir() + "/mubroker", "run", config().string()});
  broker.wait_for_output("system reload is up");
  const fs::path logs = runtime_dir() / "reload" / "logs";
  wait_until("lines of a", [&] { return contents(logs / "a.log").find("line 3\n") != std::string::npos; });
  write("log = { level = \"debug\", format = \"json\", file_size = \"4KiB\", files = 2, console = false }\ncrash_reports = 7\ncgroup = \"none\"\n" + rest);
  const std::string said_to_be = said({"reload"});
  INFO(said_to_be);
  for (const char* detail : {"log.level: info → debug", "log.format: text → json", "log.file_size: 16MiB → 4KiB", "log.files: 5 → 2",
                             "log.console: true → false", "crash_reports: 100 → 7", "cgroup: unset → none (needs a restart of the broker)"})
    CHECK_THAT(said_to_be, Contains(detail));
  CHECK_THAT(said_to_be, Contains("keep     root, a, b\n"));
  // What has been done is no change any more; the rest is.
  CHECK_THAT(said({"diff"}), Contains("cgroup: unset → none") && !Contains("log."));
  wait_until("JSON lines of a", [&] { return contents(logs / "a.log").find("\"text\": \"line ") != std::string::npos; });
  wait_until("a rotated file of a", [&] { return fs::exists(logs / "a.1.log"); });
  CHECK(contents(logs / "b.log").find('{') == std::string::npos);  // it says itself what it wants
  wait_until("a rotated file of the broker", [&] {
    said({"ps"});
    muctl({"restart", "a"});
    return fs::exists(logs / "broker.1.log");
  });
  CHECK_FALSE(fs::exists(logs / "broker.2.log"));
  const auto shown = broker.output().size();
  // On the console, too, it is quiet now but for the broker itself, which tells more.
  muctl({"restart", "b"});
  wait_until("the broker's own words", [&] { return broker.output().size() > shown; });
  CHECK_THAT(broker.output().substr(shown), !Contains("]: tick"));
  said({"shutdown"});
  CHECK(broker.wait() == 0);
}

TEST_CASE("SIGHUP reloads, and a bad config is only logged", "[reload][signal]") {
  write(k_before);
  Process broker = Process::program({bin_dir() + "/mubroker", "run", config().string()});
  broker.wait_for_output("system reload is up");
  write("nonsense");
  broker.signal(SIGHUP);
  broker.wait_for_output("SIGHUP: the config is not reloaded: ");
  write(tree(R"("a", "inner")", R"("c", "d")", "[muproc.a]\n[muproc.c]\n[muproc.d]\n"));
  broker.signal(SIGHUP);
  broker.wait_for_output("reload: remove b");
  broker.wait_for_output("system reload is reloaded\n");
  broker.signal(SIGTERM);
  CHECK(broker.wait() == 0);
}

TEST_CASE("settings of the launch count in a reload, and those of the reload before them", "[reload][variables]") {
  std::ofstream(config()) << "[system]\nname = \"reload\"\n[supervisor.root]\nchildren = [\"a\"]\n"
                             "[muproc.a]\nexec = [\"sleep\", \"${LONG}\"]\nplain = true\nstop = \"${STOP:-kill}\"\n";
  Process broker = Process::program({bin_dir() + "/mubroker", "run", config().string(), "--set", "LONG=1000"});
  broker.wait_for_output("system reload is up");
  CHECK(said({"diff"}) == "nothing changes\nkeep     root, a\n");
  CHECK(said({"reload", "--set", "STOP=7s"}) == "change   a\n           stop: kill → 7s\nkeep     root\n");
  CHECK(muctl({"diff", "--set", "nonsense"}).code == 2);
  CHECK_THAT(said({"--json", "diff"}), Contains(R"("verb": "keep")") && Contains(R"("name": "a")"));
  said({"shutdown"});
  CHECK(broker.wait() == 0);
}

TEST_CASE("a module that has changed on disk gets a new zygote, and its children begin anew", "[reload][module]") {
  const auto module = runtime_dir() / "libarea-copy.so";
  fs::copy_file(module_dir() + "/libarea.so", module, fs::copy_options::overwrite_existing);
  const std::string text = "[supervisor.root]\nchildren = [\"s\", \"p\"]\n[muproc.s]\nmodule = \"./libarea-copy.so\"\nentry = \"areaserver\"\n"
                           "[muproc.p]\nexec = [\"sleep\", \"1000\"]\nplain = true\nstop = \"kill\"\n";
  write(text);
  LiveSystem system(config());
  Self& self = system.self();
  const auto before = os_pids(self);
  CHECK(said({"diff"}) == "nothing changes\nkeep     root, s, p\n");
  // As a build or an installation does it: another file takes its place.
  fs::copy_file(module, runtime_dir() / "new.so", fs::copy_options::overwrite_existing);
  fs::rename(runtime_dir() / "new.so", module);
  CHECK_THAT(said({"reload"}), Contains("restart  s\n           module: ") && Contains("libarea-copy.so has changed\n") && Contains("keep     root, p"));
  const auto after = os_pids(self);
  CHECK(after.at("p") == before.at("p"));
  CHECK(after.at("s") != before.at("s"));
  CHECK(said({"diff"}) == "nothing changes\nkeep     root, s, p\n");
}

TEST_CASE("a system that was not launched from a config has nothing to reload", "[reload]") {
  LiveSystem system;
  const Outcome outcome = muctl({"reload"});
  CHECK(outcome.code == 1);
  CHECK_THAT(outcome.err, Contains("the system was not launched from a config"));
}
