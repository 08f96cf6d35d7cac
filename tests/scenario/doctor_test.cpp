// muctl doctor on systems of real processes: healthy ones, and sick ones.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <set>
#include <thread>

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

void sink(Self& self) {
  for (;;) self.receive(otherwise >> [](const Message&) {});
}

/// Never takes anything.
void deaf(Self&) {
  for (;;) ::pause();
}

/// Leaves a child that has ended, and does not wait for it.
void careless(Self& self) {
  if (::fork() == 0) ::_exit(0);
  sink(self);
}

/// Fills the mailbox of "deaf" until it waits for room.
void pushy(Self& self) {
  for (std::int64_t n = 0;; ++n) self.send("deaf", "n", n);
}

/// Its findings, as "kind name"; the exit code goes with them.
std::set<std::string> findings(std::vector<std::string> words) {
  words.insert(words.begin(), "--json");
  const Outcome outcome = muctl(std::move(words));
  INFO(outcome.err << outcome.out);
  CHECK(outcome.err.empty());
  const Json json(outcome.out);
  std::set<std::string> found;
  for (unsigned i = 0; i < json["findings"].size(); ++i)
    found.insert(json["findings"][i]["kind"].text() + (json["findings"][i]["name"].is_null() ? "" : " " + json["findings"][i]["name"].text()));
  CHECK(outcome.code == (found.empty() ? 0 : 1));
  return found;
}

/// The doctor may need a second visit: a zombie is one when it is there at two looks.
bool finds(std::vector<std::string> words, const std::string& finding) { return findings(std::move(words)).contains(finding); }

}  // namespace

TEST_CASE("the doctor finds nothing in a healthy system, and ends with 0", "[doctor]") {
  LiveSystem system(supervisor(one_for_one, {2, 5s}, {{"sink", sink}}));
  for (int i = 0; i < 100; ++i) system.self().send("sink", "n", i);
  CHECK(findings({"doctor", "--for", "300ms"}).empty());
  CHECK_THAT(said({"doctor", "--for", "1ms"}), Contains("nothing is wrong with " + system.name()));
}

TEST_CASE("the doctor names a full mailbox with a larger size, and who waits for room there", "[doctor]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("deaf", deaf);
  self.spawn("pushy", pushy);
  wait_until("the sender to wait", [] { return json_of({"show", "pushy"})["status"]["activity"].text() == "sending"; });
  const auto found = findings({"doctor", "--for", "300ms"});
  CHECK(found.contains("mailbox_near_full deaf"));
  CHECK(found.contains("sender_blocked pushy"));
  const Outcome text = muctl({"doctor", "--for", "1ms"});
  CHECK(text.code == 1);
  CHECK_THAT(text.out, Contains("mailbox.ring = \"512KiB\" for deaf"));
}

TEST_CASE("the doctor names who does not wait for its children", "[doctor]") {
  LiveSystem system;
  system.self().spawn("careless", careless);
  wait_until("the zombie to be found", [] { return finds({"doctor", "--for", "50ms"}, "zombie careless"); });
}

TEST_CASE("the doctor names a restart loop, and a limit that can never trip", "[doctor]") {
  const std::string config = (runtime_dir() / "sick.toml").string();
  std::ofstream(config) << "[system]\nname = \"sick\"\n[supervisor.root]\nlimit = { restarts = 100, within = \"1m\" }\nchildren = [\"patient\", \"fails\"]\n"
                           "[supervisor.patient]\nlimit = { restarts = 3, within = \"1s\" }\nchildren = [\"echo\"]\n"
                           "[muproc.echo]\nmodule = \"" << module_dir() << "/libarea.so\"\nentry = \"areaserver\"\nbackoff = { initial = \"10s\", jitter = 0 }\n"
                           "[muproc.fails]\nexec = [\"false\"]\nplain = true\nbackoff = { initial = \"20ms\", max = \"10m\", factor = 8 }\n";
  Process broker = Process::program({bin_dir() + "/mubroker", "run", config});
  broker.wait_for_output("system sick is up");
  const std::vector<std::string> doctor = {"-s", "sick", "doctor", "--for", "20ms"};
  wait_until("the restart loop to be found", [&] { return finds(doctor, "restart_loop fails"); });
  CHECK(finds(doctor, "limit_never_trips"));

  std::ofstream(config, std::ios::app) << "nonsense = 1\n";
  CHECK(finds(doctor, "config_unusable"));

  broker.signal(SIGSTOP);
  wait_until("the broker to be found stopped", [&] { return finds(doctor, "broker_stopped"); });
  CHECK_FALSE(finds(doctor, "config_unusable"));  // which only the broker could say
  broker.signal(SIGCONT);
  broker.signal(SIGTERM);
  broker.wait();
}

TEST_CASE("the doctor leaves alone a plain program that was replaced on the disk", "[doctor]") {
  LiveSystem system;
  const auto copy = runtime_dir() / "sleep";
  std::filesystem::copy_file("/bin/sleep", copy);
  said({"spawn", "old", "--plain", "--", copy.string(), "1000"});
  CHECK_FALSE(finds({"doctor", "--for", "1ms"}, "version_mismatch old"));  // a plain program's version is its own affair
  std::filesystem::remove(copy);
  CHECK_FALSE(finds({"doctor", "--for", "1ms"}, "version_mismatch old"));
}
