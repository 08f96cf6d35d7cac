// What muctl doctor says of which facts, and that it says nothing of a healthy system.
#include "tools/common/diagnosis.hpp"

#include <algorithm>
#include <filesystem>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/paths.hpp"
#include "tools/common/examination.hpp"

using namespace muproc;
using namespace muproc::tools;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

Pid pid(std::uint32_t slot) { return Pid(0, slot, 1); }

MuprocFacts a_muproc(std::string name, std::uint32_t slot) {
  MuprocFacts muproc;
  muproc.name = std::move(name);
  muproc.pid = pid(slot);
  muproc.has_watchdog = false;
  muproc.process = ProcessFacts{.open_fds = 20, .fd_limit = 1024, .fds_at_first = 20};
  return muproc;
}

/// Works, and is watched for two seconds.
SystemFacts healthy() {
  SystemFacts facts;
  facts.system = "market";
  facts.watched = 2s;
  facts.broker_os_pid = 4711;
  facts.broker_process.open_fds = 40;
  facts.muprocs = {a_muproc("feed", 1), a_muproc("book", 2), a_muproc("log", 3)};
  facts.muprocs[1].channels = {{"feed", 256 << 10, 100 << 10}, {"log", 256 << 10, 0}};
  facts.muprocs[1].in_hand_age = 5s;
  facts.muprocs[0].recent_restarts = 2;
  facts.muprocs[0].last_exit = "killed by signal 11";
  facts.muprocs[2].stash = 10;
  facts.supervisors = {{"root", 3, 1, 5s}};
  return facts;
}

/// The only finding.
Finding the_finding(const SystemFacts& facts) {
  const auto findings = diagnose(facts);
  REQUIRE(findings.size() == 1);
  CHECK_FALSE(findings.front().advice.empty());
  const auto kinds = finding_kinds();
  CHECK(std::find(kinds.begin(), kinds.end(), findings.front().kind) != kinds.end());
  return findings.front();
}

}  // namespace

TEST_CASE("of a healthy system the doctor says nothing", "[doctor]") {
  CHECK(diagnose(healthy()).empty());
  CHECK(diagnose({}).empty());
}

TEST_CASE("a mailbox that was near full is told with a size of twice its high-water mark", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[1].channels[0].high_water = 200 << 10;
  const Finding finding = the_finding(facts);
  CHECK(finding.kind == "mailbox_near_full");
  CHECK(finding.severity == Severity::unwise);
  CHECK(finding.name == "book");
  CHECK_THAT(finding.text, Contains("from feed into book") && Contains("78 % full (200KiB of 256KiB)"));
  CHECK_THAT(finding.advice, Contains("mailbox.ring = \"512KiB\""));
}

TEST_CASE("a ring that is as large as can be is not told to be larger", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[1].channels[0] = {"feed", 256 << 20, 250 << 20};
  CHECK_THAT(the_finding(facts).advice, !Contains("mailbox.ring"));
  facts.muprocs[1].channels[0] = {"feed", 128 << 20, 120 << 20};
  CHECK_THAT(the_finding(facts).advice, Contains("mailbox.ring = \"256MiB\""));
}

TEST_CASE("senders that wait for each other are told once, with the circle", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[0].blocked_on = pid(2);
  facts.muprocs[1].blocked_on = pid(3);
  facts.muprocs[2].blocked_on = pid(1);
  const auto findings = diagnose(facts);
  CHECK(std::count_if(findings.begin(), findings.end(), [](const Finding& finding) { return finding.kind == "send_cycle"; }) == 1);
  REQUIRE_FALSE(findings.empty());
  CHECK(findings.front().kind == "send_cycle");  // what is wrong comes first
  CHECK(findings.front().severity == Severity::wrong);
  CHECK_THAT(findings.front().text, Contains("feed -> book -> log -> feed"));
}

TEST_CASE("a sender that waits for one who does not wait is no circle", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[0].blocked_on = pid(2);
  facts.muprocs[2].blocked_on = pid(1);
  const auto findings = diagnose(facts);
  REQUIRE(findings.size() == 2);
  for (const Finding& finding : findings) CHECK(finding.kind == "sender_blocked");
  CHECK_THAT(findings[0].text, Contains("feed waits for room in the mailbox of book"));
}

TEST_CASE("one that waits for itself, and one that waits for somebody who is gone, confuse nobody", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[0].blocked_on = pid(1);
  facts.muprocs[1].blocked_on = pid(99);
  const auto findings = diagnose(facts);
  REQUIRE(findings.size() == 3);
  CHECK_THAT(findings[0].text, Contains("feed -> feed"));
}

TEST_CASE("a restart loop is told, with why it ended last", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[0].recent_restarts = 7;
  const Finding finding = the_finding(facts);
  CHECK(finding.kind == "restart_loop");
  CHECK_THAT(finding.text, Contains("feed was restarted 7 times in the last 10m") && Contains("killed by signal 11"));
  CHECK_THAT(finding.advice, Contains("muctl crash feed"));
}

TEST_CASE("a supervisor that has no restart left is told before it gives up", "[doctor]") {
  SystemFacts facts = healthy();
  facts.supervisors[0].used = 3;
  CHECK(the_finding(facts).kind == "limit_used_up");
  facts.supervisors[0] = {"root", 0, 0, 5s};  // allows none, and has had none
  CHECK(diagnose(facts).empty());
}

TEST_CASE("a limit that can never trip is told by its kind, another warning of the config by another", "[doctor]") {
  SystemFacts facts = healthy();
  facts.config_warnings = {"/etc/m.toml:4:12: warning: this limit can never trip: back-off keeps 3 failures 7s apart"};
  CHECK(the_finding(facts).kind == "limit_never_trips");
  CHECK_THAT(the_finding(facts).text, Contains("/etc/m.toml:4:12"));
  facts.config_warnings = {"m.toml:1:1: warning: \"stop\" has no effect on the root supervisor"};
  CHECK(the_finding(facts).kind == "config_warning");
  facts.config_warnings.clear();
  facts.config_error = "m.toml:2:1: error: unknown key";
  CHECK(the_finding(facts).kind == "config_unusable");
}

TEST_CASE("one that has not come back for a minute, and has no watchdog, is told", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[1].is_silent = true;
  CHECK(diagnose(facts).empty());  // for two seconds
  facts.muprocs[1].in_hand_age = 75s;
  const Finding finding = the_finding(facts);
  CHECK(finding.kind == "not_back");
  CHECK_THAT(finding.text, Contains("no call of the runtime for the 2s") && Contains("sent 1m15s ago"));
  CHECK_THAT(finding.advice, Contains("muctl gdb --batch book") && Contains("watchdog"));
  facts.muprocs[1].has_watchdog = true;
  CHECK(diagnose(facts).empty());
  facts.muprocs[1].has_watchdog.reset();  // the broker did not say
  CHECK(diagnose(facts).empty());
  facts.muprocs[1].has_watchdog = false;
  facts.muprocs[1].in_hand_age.reset();
  facts.watched = 61s;
  CHECK(the_finding(facts).kind == "not_back");
}

TEST_CASE("zombies are told of whoever should have reaped them", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[0].process->is_zombie = true;
  CHECK(the_finding(facts).kind == "zombie");
  facts = healthy();
  facts.muprocs[0].process->zombie_children = 2;
  CHECK_THAT(the_finding(facts).text, Contains("feed has 2 child processes that ended"));
  facts = healthy();
  facts.broker_process.zombie_children = 1;
  CHECK_THAT(the_finding(facts).text, Contains("the broker has not reaped"));
}

TEST_CASE("descriptors near their limit, or ever more of them, are told as a leak", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[0].process->open_fds = facts.muprocs[0].process->fds_at_first = 900;
  CHECK(the_finding(facts).severity == Severity::wrong);
  CHECK_THAT(the_finding(facts).text, Contains("feed has 900 descriptors open, of 1024"));
  facts.muprocs[0].process = ProcessFacts{.open_fds = 60, .fd_limit = 1024, .fds_at_first = 20};
  CHECK(the_finding(facts).severity == Severity::unwise);
  CHECK_THAT(the_finding(facts).text, Contains("opened 40 descriptors in 2s"));
  facts.muprocs[0].process = ProcessFacts{.open_fds = 60, .fd_limit = 0, .fds_at_first = 0};  // not to be seen
  CHECK(diagnose(facts).empty());
  facts.broker_process.open_fds = 1000;
  CHECK_THAT(the_finding(facts).text, Contains("the broker has 1000 descriptors open"));
}

TEST_CASE("versions that do not fit are told, of the broker and of each muproc", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[0].process->runs_replaced_library = true;
  facts.muprocs[1].process->runs_other_library = true;
  facts.broker_process.runs_replaced_library = true;
  const auto findings = diagnose(facts);
  REQUIRE(findings.size() == 3);
  for (const Finding& finding : findings) CHECK(finding.kind == "version_mismatch");
}

TEST_CASE("a broker that is stopped, gone or silent is told", "[doctor]") {
  SystemFacts facts = healthy();
  facts.broker = BrokerState::stopped;
  facts.broker_answers = false;
  CHECK(the_finding(facts).kind == "broker_stopped");
  CHECK_THAT(the_finding(facts).advice, Contains("kill -CONT 4711"));
  facts.broker = BrokerState::gone;
  CHECK(the_finding(facts).kind == "broker_gone");
  facts.broker = BrokerState::running;
  facts.broker_trouble = "no answer within 3s";
  CHECK_THAT(the_finding(facts).text, Contains("no answer within 3s"));
}

TEST_CASE("a stash that is large and grows is told, one that only grows or only is large is not", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[2].stash_at_first = facts.muprocs[2].stash = 5000;
  CHECK(diagnose(facts).empty());
  facts.muprocs[2].stash = 5100;
  CHECK(the_finding(facts).kind == "stash_grows");
}

TEST_CASE("a child that could not be started is told", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[0].state = shm::SlotState::failed;
  CHECK(the_finding(facts).kind == "failed");
}

TEST_CASE("names and reasons of others reach the terminal without escape sequences", "[doctor]") {
  SystemFacts facts = healthy();
  facts.muprocs[0].name = "fe\x1b[31med";
  facts.muprocs[0].last_exit = "why\n\x07";
  facts.muprocs[0].recent_restarts = 9;
  const Finding finding = the_finding(facts);
  CHECK(finding.text.find('\x1b') == std::string::npos);
  CHECK(finding.text.find('\n') == std::string::npos);
  CHECK(finding.advice.find('\x1b') == std::string::npos);
}

TEST_CASE("docs/muctl.md names each kind of finding", "[doctor][docs]") {
  const std::string page = test::contents(std::filesystem::path(test::examples_dir()) / ".." / "docs" / "muctl.md");
  for (const std::string_view kind : finding_kinds()) CHECK_THAT(page, Contains("| `" + std::string(kind) + "` |"));
}

TEST_CASE("the limit of open files is read out of the kernel's table", "[doctor]") {
  CHECK(open_files_limit("Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n") == 1024);
  CHECK(open_files_limit("Max open files            unlimited            unlimited            files\n") == 0);
  CHECK(open_files_limit("") == 0);
  CHECK(open_files_limit("Max open files") == 0);
}

TEST_CASE("which libmuproc a process runs, and whether it is still there, is read out of its maps", "[doctor]") {
  const std::string there = "7f00-7f10 r-xp 00001000 08:01 4242       /usr/lib/libmuproc.so.0.1.0\n7f20-7f30 rw-s 00000000 00:01 7    /memfd:muproc:<0.1.1> (deleted)\n";
  CHECK(mapped_library(there).file == "08:01:4242");
  CHECK_FALSE(mapped_library(there).is_replaced);
  CHECK(mapped_library("7f00-7f10 r-xp 00001000 08:01 4242       /usr/lib/libmuproc.so.0.1.0 (deleted)\n").is_replaced);
  CHECK(mapped_library("7f00-7f10 r--p 00001000 08:01 4242       /usr/lib/libmuproc.so.0.1.0\n").file.empty());
  CHECK(mapped_library("").file.empty());
  CHECK(mapped_library("nonsense /r-xp libmuproc.so\n").file.size() < 100);
}
