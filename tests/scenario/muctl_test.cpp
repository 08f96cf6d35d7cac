// muctl against systems of real processes: what it prints, what it does, how it ends.
#include <csignal>
#include <fstream>

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

// ---- who lives in the systems ----------------------------------------------------------------------------------------

void answers(Self& self) {
  const auto port = self.register_port("squares");
  for (;;) {
    self.receive(
        on<"cmd", "x">(is("square"), anything) >>
            [&](From from, Symbol, double x) { self.send(from, "answer", x * x); },
        on<"cmd">(is("echo")) >> [&](From from) { self.send(from, self.message()->mumsg().value()); },
        on<"cmd">(is("die")) >> [&] { self.exit("asked-to"); });
  }
}

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

Supervisor a_tree() {
  return supervisor(
      one_for_one, {9, 60s},
      {{"answerer", answers}, {"inner", supervisor(rest_for_one, {2, 5s}, {{"a", waits}, {"b", waits}})}});
}

}  // namespace

TEST_CASE("muctl ps, tree and show tell of everybody", "[muctl]") {
  LiveSystem system(a_tree());
  Self& self = system.self();

  const std::string table = said({"ps"});
  CHECK_THAT(table, StartsWith("NAME") && Contains("answerer") && Contains("inner") && Contains("supervisor") &&
                        Contains("tester") && Contains("outsider") && Contains(to_string(self.find("b"))));

  const Json ps = json_of({"ps"});
  CHECK(ps["system"].text() == system.name());
  const Json a = ps["nodes"].named("a");
  CHECK(a["pid"].text() == to_string(self.find("a")));
  CHECK(a["os_pid"].number() == os_pid_of(self, self.find("a")));
  CHECK(a["kind"].text() == "muproc");
  CHECK(a["state"].text() == "running");
  CHECK(a["parent"].text() == "inner");
  CHECK(a["restarts"].number() == 0);
  CHECK(a["process"]["resident_bytes"].number() > 100'000);
  CHECK(a["mailbox"]["waiting_messages"].number() == 0);
  CHECK(a["mailbox"]["in_hand"].number() == 0);
  CHECK(a["watchdog_seconds"].is_null());
  CHECK(ps["nodes"].named("inner")["restarts_used"].number() == 0);
  CHECK(a["uptime_seconds"].number() >= 0);
  CHECK(a["last_exit"].is_null());
  CHECK(a["restart"].text() == "permanent");
  CHECK(a["stop"].text() == "5s");

  const std::string tree = said({"tree"});
  CHECK_THAT(tree, Contains("├─ answerer") && Contains("└─ inner") && Contains("   ├─ a") && Contains("   └─ b") &&
                       Contains("rest_for_one, 2 in 5s"));
  const Json roots = json_of({"tree"})["roots"];
  const Json root = roots[0u];
  CHECK(root["kind"].text() == "supervisor");
  CHECK(root["parent"].is_null());
  CHECK(root["children"].size() == 2);
  CHECK(root["children"][0u]["name"].text() == "answerer");
  const Json inner = root["children"][1u];
  CHECK(inner["strategy"].text() == "rest_for_one");
  CHECK(inner["limit"]["restarts"].number() == 2);
  CHECK(inner["limit"]["within_seconds"].number() == 5);
  CHECK(inner["os_pid"].is_null());
  CHECK(inner["children"][1u]["name"].text() == "b");
  CHECK(roots.named("tester")["children"].size() == 0);

  self.link(self.find("answerer"), {.on_normal = OnNormal::ignore});
  CHECK_THAT(said({"show", "answerer"}), Contains("ports") && Contains("squares") && Contains("links") &&
                                             Contains("tester " + to_string(self.pid())) && Contains("activity"));
  const Json shown = json_of({"show", "squares"});  // by its port
  CHECK(shown["name"].text() == "answerer");
  CHECK(shown["ports"][0u].text() == "squares");
  CHECK(shown["links"].named("tester")["pid"].text() == to_string(self.pid()));
  CHECK(shown["status"]["messages_received"].number() == 0);
  CHECK(json_of({"show", to_string(self.find("b"))})["name"].text() == "b");
  self.unlink(self.find("answerer"));
}

TEST_CASE("muctl kill and exit end a muproc, and show says why its last one ended", "[muctl]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  Pid pid = self.find("answerer");
  CHECK(said({"kill", "answerer"}) == "killed answerer " + to_string(pid) + "\n");
  pid = wait_for_replacement(self, "answerer", pid);
  const Json killed = json_of({"show", "answerer"});
  CHECK(killed["last_exit"].text() == "killed");
  CHECK(killed["restarts"].number() == 1);

  CHECK(json_of({"exit", "answerer", "be gone"})["pid"].text() == to_string(pid));
  wait_for_replacement(self, "answerer", pid);
  CHECK(json_of({"show", "answerer"})["last_exit"].text() == R"(exit: "be gone")");
}

TEST_CASE("what muctl exit tells to one that traps exits arrives as a message, as the value that was typed",
          "[muctl]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  said({"exit", "tester", "[1, :two]"});
  CHECK(next<Reason, "reason">(self) == Reason::exit(List{1, Symbol("two")}));
  said({"exit", "tester", "shutdown"});
  CHECK(next<Reason, "reason">(self) == Reason::shutdown());
}

TEST_CASE("muctl stop, start and restart return when it is done", "[muctl]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  const Pid b = self.find("b");
  CHECK(said({"stop", "b"}) == "stopped b\n");
  CHECK(!self.find("b"));
  const Json stopped = json_of({"show", "b"});
  CHECK(stopped["state"].text() == "stopped");
  CHECK(stopped["pid"].is_null());
  CHECK(stopped["os_pid"].is_null());
  CHECK(stopped["uptime_seconds"].is_null());
  CHECK(stopped["status"].is_null());
  check_fails({"kill", "b"}, 1, "b is not running, it is stopped");
  check_fails({"send", "b", "n=1"}, 1, "b is not running, it is stopped");

  const Json started = json_of({"start", "b"});
  CHECK(started["pid"].text() == to_string(self.find("b")));
  CHECK(self.find("b") != b);
  check_fails({"start", "b"}, 1, "b ");

  const Pid before = self.find("b");
  said({"restart", "b"});
  CHECK(self.find("b"));
  CHECK(self.find("b") != before);
  check_fails({"stop", "tester"}, 1, "tester " + to_string(self.pid()) + " has no supervisor");
}

TEST_CASE("muctl delete makes a supervisor forget a child that is stopped", "[muctl]") {
  LiveSystem system(a_tree());
  check_fails({"delete", "b"}, 1, "b runs");
  said({"stop", "b"});
  CHECK(said({"delete", "b"}) == "deleted b\n");
  check_fails({"show", "b"}, 1, "no muproc or supervisor is named \"b\"");
  check_fails({"delete", "b"}, 1, "no muproc or supervisor is named \"b\"");
}

TEST_CASE("muctl spawn starts a muproc by itself, under a supervisor, or from its template", "[muctl]") {
  LiveSystem system(a_tree());
  Self& self = system.self();
  SECTION("a module's code, as nobody's child") {
    const Json born = json_of({"spawn", "area", "--module", module_dir() + "/libarea.so", "--entry", "areaserver", "depth=3"});
    CHECK(born["name"].text() == "area");
    CHECK(born["pid"].text() == to_string(self.find("area")));
    CHECK(json_of({"show", "area"})["parent"].is_null());
    check_fails({"stop", "area"}, 1, "has no supervisor");
    check_fails({"spawn", "area", "--plain", "--", "sleep", "1"}, 1, "taken");
  }
  SECTION("a plain program under a supervisor, which restarts it") {
    CHECK_THAT(said({"spawn", "sleeper", "--under", "inner", "--plain", "--stop", "kill", "--", "sleep", "--", "1000"}),
               StartsWith("spawned sleeper <"));
    const Json shown = json_of({"show", "sleeper"});
    CHECK(shown["parent"].text() == "inner");
    CHECK(shown["restart"].text() == "permanent");
    CHECK(shown["stop"].text() == "kill");
    CHECK(shown["code"].text() == "sleep -- 1000");
    const Pid before = self.find("sleeper");
    said({"kill", "sleeper"});
    wait_for_replacement(self, "sleeper", before);
    check_fails({"spawn", "sleeper", "--under", "inner", "--plain", "--", "sleep", "1"}, 1, "has a child \"sleeper\" already");
  }
  SECTION("an instance of a template") {
    self.start_supervisor("conns", supervisor(simple_one_for_one, {1, 5s}, {{"conn", +[](Self& self) {
                            self.send("tester", "port", self.args()["port"].as<int>());
                            waits(self);
                          }}}));
    CHECK_THAT(said({"spawn", "--under", "conns", "port=81"}), StartsWith("spawned conn-1 <"));
    CHECK(next<int, "port">(self) == 81);
    CHECK_THAT(said({"spawn", "other", "port=82", "--under", "conns"}), StartsWith("spawned other <"));
    CHECK(json_of({"show", "conns"})["strategy"].text() == "simple_one_for_one");
    check_fails({"spawn", "x", "--under", "conns", "--", "sleep"}, 1, "from a template");
    CHECK(said({"stop", "conn-1"}) == "stopped conn-1\n");
    check_fails({"show", "conn-1"}, 1, "no muproc");
  }
  SECTION("what makes no sense") {
    check_fails({"spawn", "x"}, 2, "what is it to run?");
    check_fails({"spawn", "--", "sleep"}, 2, "a name");
    check_fails({"spawn", "x", "--entry", "e", "--", "sleep"}, 2, "not both");
    check_fails({"spawn", "x", "--restart", "permanent", "--", "sleep"}, 2, "--under");
    check_fails({"spawn", "x", "--under", "inner", "--restart", "sometimes", "--", "sleep"}, 2, "permanent, transient or temporary");
    check_fails({"spawn", "x", "--under", "inner", "--stop", "5", "--", "sleep"}, 2, "duration");
    check_fails({"spawn", "x", "n", "--", "sleep"}, 2, "n");
    check_fails({"spawn", "x", "--under", "nobody", "--", "sleep"}, 1, "nobody");
    check_fails({"spawn", "x", "--plain", "--", "/no/such/program"}, 1, "No such file");
  }
}

TEST_CASE("muctl names what nobody has, and what may have been meant", "[muctl]") {
  LiveSystem system(a_tree());
  check_fails({"show", "answrer"}, 1, R"(no muproc or supervisor is named "answrer"; did you mean "answerer"?)");
  check_fails({"send", "sqares", "n=1"}, 1, R"(did you mean "squares"?)");
  check_fails({"kill", "<0.99.1>"}, 1, "the pid <0.99.1>");
  check_fails({"send", "inner", "n=1"}, 1, "is a supervisor and has no mailbox");
}

TEST_CASE("muctl send delivers the fields as they were typed", "[muctl]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(said({"send", "tester", "n=3", "who=you and me", "s=:sym", "d:data=00ff", "l=[1, {a=nil}]"}).empty());
  const Message message = self.receive_any();
  CHECK(message.mumsg().value() == Mumsg{{"n", 3},
                                         {"who", "you and me"},
                                         {"s", Symbol("sym")},
                                         {"d", Data{std::byte{0}, std::byte{255}}},
                                         {"l", List{1, Mumsg{{"a", nullptr}}}}});
  said({"--json", "send", to_string(self.pid()), "n=4"});
  CHECK(next<std::int64_t, "n">(self) == 4);
}

TEST_CASE("muctl call prints the answer", "[muctl]") {
  LiveSystem system(a_tree());
  CHECK(said({"call", "answerer", "cmd=:square", "x=3"}) == "answer=9.0\n");
  CHECK(said({"call", "squares", "cmd=:echo", "s=two words", "p:pid=0.3.1", "l=[nil]"}) ==
        "cmd=:echo s=\"two words\" p=<0.3.1> l=[nil]\n");
  const Json answer = json_of({"call", "answerer", "cmd=:square", "x=0.5"});
  CHECK(answer["name"].text() == "answerer");
  CHECK(answer["answer"]["answer"].number() == 0.25);
}

TEST_CASE("muctl call tells of a death at once, and of silence in time", "[muctl]") {
  LiveSystem system(a_tree());
  const std::string title = "answerer " + to_string(system.self().find("answerer"));
  check_fails({"call", "answerer", "n=1", "--timeout", "50ms"}, 5, "no answer from " + title + " within 50ms");
  // Without a limit that a test would live to see.
  check_fails({"call", "answerer", "cmd=:die", "--timeout", "24h"}, 1,
              title + R"( ended without an answer: exit: "asked-to")");
}

TEST_CASE("muctl refuses bad words with the exit code for usage, before it talks to anybody", "[muctl]") {
  check_fails({"send", "a", "n=1", "square"}, 2, R"("square" is no NAME=VALUE)");
  check_fails({"call", "a", "n:itn=1"}, 2, R"(did you mean "int"?)");
  check_fails({"exit", "a", "[1"}, 2, "[1");
  check_fails({"pss"}, 2, R"(there is no verb "pss"; did you mean "ps"?)");
  check_fails({}, 2, "a verb is missing");
  check_fails({"show"}, 2, "NAME");
  check_fails({"ps", "--josn"}, 2, "--josn");
  check_fails({"call", "a", "--timeout", "5"}, 2, "unit");
  CHECK_THAT(said({"call", "--help"}), Contains("cmd=:square"));
}

TEST_CASE("muctl says when there is no system, or no such system", "[muctl]") {
  check_fails({"ps"}, 3, "no system is running");
  LiveSystem system;
  check_fails({"-s", "tset-1", "ps"}, 3, "tset-1");
  said({"-s", (runtime_dir() / system.name()).string() + "/", "ps"});
}

TEST_CASE("muctl does not wait for ever for a broker that is stopped", "[muctl]") {
  LiveSystem system(a_tree());
  system.broker().signal(SIGSTOP);
  check_fails({"call", "answerer", "n=1", "--timeout", "50ms"}, 5, "does not answer within 50ms; is it stopped?");
  system.broker().signal(SIGCONT);
}

TEST_CASE("muctl shutdown ends the system and returns when its broker is gone", "[muctl]") {
  LiveSystem system(a_tree());
  system.leave();
  CHECK(said({"shutdown"}) == system.name() + " has ended\n");
  CHECK(system.wait() == 0);
  check_fails({"ps"}, 3, "no system is running");
}

TEST_CASE("muctl shows and ends a system that mubroker launched from a config, beside another one", "[muctl]") {
  const auto config = runtime_dir() / "plain.toml";
  std::ofstream(config) << R"([system]
name = "plain"
[supervisor.root]
limit = { restarts = 3, within = "60s" }
children = ["one", "two"]
[defaults.muproc]
exec  = ["sleep", "1000"]
plain = true
[muproc.one]
[muproc.two]
)";
  LiveSystem other;
  Process broker = Process::program({bin_dir() + "/mubroker", "run", config.string()});
  wait_until("the system plain to come up", [] {
    return muctl({"-s", "plain", "show", "two"}).out.find("running") != std::string::npos;
  });

  check_fails({"ps"}, 3, "several systems are running");
  const Json before = json_of({"-s", "plain", "show", "one"});
  CHECK(before["kind"].text() == "plain");
  CHECK_THAT(before["code"].text(), Contains("sleep"));
  CHECK(before["status"].is_null());
  check_fails({"-s", "plain", "call", "one", "n=1"}, 1, "is a plain program and has no mailbox");

  said({"-s", "plain", "kill", "one"});
  wait_until("the replacement of one", [] {
    return json_of({"-s", "plain", "show", "one"})["restarts"].number() == 1;
  });
  CHECK(json_of({"-s", "plain", "shutdown"})["name"].text() == "plain");
  CHECK(broker.wait() == 0);
}
