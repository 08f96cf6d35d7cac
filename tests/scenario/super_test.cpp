// The talk's three supervision trees, launched as a user would: from their configs and by a program of their own. Then
// ch-1 is killed, and each strategy does what is its own.
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;

namespace {

using Pids = std::map<std::string, Pid>;

/// How often that muproc has said that, as the program alone prints it or as mubroker's console does: "[ch-1] Starting.",
/// "ch-1[4711]: Starting.".
std::size_t times_said(const std::string& output, const std::string& name, const std::string& what) {
  const std::string quoted = std::regex_replace(name, std::regex("\\."), "\\.");
  const std::regex line("(\\[" + quoted + "\\]|" + quoted + "\\[\\d+\\]:) " + what);
  return static_cast<std::size_t>(std::distance(std::sregex_iterator(output.begin(), output.end(), line), std::sregex_iterator()));
}

class Super {
 public:
  Super(const std::string& name, bool from_config)
      : broker_(from_config ? Process::program({bin_dir() + "/mubroker", "run", examples_dir() + "/super/" + name + ".toml"},
                                               {{"MUPROC_MODULE_PATH", module_dir()}})
                            : Process::program({bin_dir() + "/super_api", name})) {
    wait_until(name + " to come up", [&] {
      if (!broker_.running()) FAIL(name << " has ended with " << broker_.wait());
      try {
        attachment_.emplace(attach(name, {.name = "tester"}));
      } catch (const Error&) {
        // not yet
      }
      return attachment_.has_value();
    });
  }

  Self& self() { return **attachment_; }
  Process& broker() { return broker_; }

  /// Waits until all of these are there.
  Pids pids(const std::vector<std::string>& names) {
    Pids found;
    for (const auto& name : names) found[name] = wait_for_name(self(), name);
    return found;
  }
  /// Kills that one, waits until those of `replaced` have new pids, and holds all others to their old ones.
  void kill_and_compare(const std::string& victim, const Pids& before, const std::set<std::string>& replaced) {
    self().kill(before.at(victim));
    for (const auto& name : replaced) wait_for_replacement(self(), name, before.at(name));
    for (const auto& [name, pid] : before) {
      INFO(name);
      if (!replaced.count(name)) CHECK(self().find(name) == pid);
    }
  }
  void wait_for_starts(const std::string& name, std::size_t count) {
    wait_until(std::to_string(count) + " starts of " + name,
               [&] { return times_said(broker_.output(), name, "Starting\\.") == count; });
  }
  void end_in_order() {
    attachment_.reset();
    broker_.signal(SIGTERM);
    CHECK(broker_.wait() == 0);
    nobody_is_left();
  }

 private:
  Process broker_;
  std::optional<Attachment> attachment_;
};

}  // namespace

TEST_CASE("super-1: one_for_one brings back ch-1 and leaves ch-2 alone", "[examples][super]") {
  Super super("super-1", GENERATE(true, false));
  const Pids before = super.pids({"ch-1", "ch-2"});
  super.wait_for_starts("ch-1", 1);
  super.kill_and_compare("ch-1", before, {"ch-1"});
  super.wait_for_starts("ch-1", 2);
  super.wait_for_starts("ch-2", 1);
  super.end_in_order();
  // Both are stopped by kill: no destructor runs.
  CHECK(super.broker().output().find("Terminating.") == std::string::npos);
}

TEST_CASE("super-1: the third kill within five seconds is one too many, and the system ends with 1",
          "[examples][super]") {
  Super super("super-1", GENERATE(true, false));
  Pids now = super.pids({"ch-1", "ch-2"});
  for (int i = 0; i < 2; ++i) {
    super.kill_and_compare("ch-1", now, {"ch-1"});
    now = super.pids({"ch-1", "ch-2"});
  }
  super.self().kill(now["ch-2"]);
  CHECK(super.broker().wait() == 1);
}

TEST_CASE("super-2: all_for_one replaces ch-2 with ch-1, in an orderly way", "[examples][super]") {
  Super super("super-2", GENERATE(true, false));
  const Pids before = super.pids({"ch-1", "ch-2"});
  super.wait_for_starts("ch-1", 1);
  super.wait_for_starts("ch-2", 1);
  super.kill_and_compare("ch-1", before, {"ch-1", "ch-2"});
  super.wait_for_starts("ch-1", 2);
  super.wait_for_starts("ch-2", 2);
  super.end_in_order();
  CHECK(times_said(super.broker().output(), "ch-1", "Terminating\\.") == 0);
  // ch-2 has ten seconds: its destructors have run, each time.
  CHECK(times_said(super.broker().output(), "ch-2", "Terminating\\.") == 2);
}

TEST_CASE("super-3: the death of ch-1 replaces its group with the supervisor inside", "[examples][super]") {
  Super super("super-3", GENERATE(true, false));
  const Pids before = super.pids({"all", "inner", "ch-1", "ch-2", "ch-3.1", "ch-3.2"});
  super.kill_and_compare("ch-1", before, {"inner", "ch-1", "ch-2", "ch-3.1", "ch-3.2"});
  super.end_in_order();
}

TEST_CASE("super-3: the death of ch-3.1 is the inner supervisor's affair alone", "[examples][super]") {
  Super super("super-3", GENERATE(true, false));
  const Pids before = super.pids({"all", "inner", "ch-1", "ch-2", "ch-3.1", "ch-3.2"});
  super.kill_and_compare("ch-3.1", before, {"ch-3.1"});
  super.end_in_order();
}

TEST_CASE("the children say their symbols, each in its own time", "[examples][super]") {
  Super super("super-1", GENERATE(true, false));
  for (const std::string name : {"ch-1", "ch-2"})
    wait_until(name + " to say its symbol", [&] { return times_said(super.broker().output(), name, name) > 0; });
  super.end_in_order();
}
