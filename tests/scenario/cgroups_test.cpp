// Each muproc in a control group of its own, where the kernel gives us a part of its hierarchy. The tests make a group for
// themselves; where they may not, they say so and pass. Limits of memory by groups need a memory controller, which is not
// everywhere: what is written for them is tested in unit/cgroup_test.cpp.
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "support/catch.hpp"
#include "support/notes.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"
#include "sys/cgroup.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

/// A group for one test, removed at its end; nothing must be left in it by then.
class OwnGroup {
 public:
  OwnGroup() {
    static int count = 0;
    const auto mounts = sys::cgroup_mounts();
    const auto own = sys::unified_group_of(::getpid());
    const auto at = own ? sys::folder_of_group(*own, mounts) : std::nullopt;
    if (!at || !sys::is_writable_cgroup(*at)) return;
    const std::string folder = (*at == "/" ? "" : *at) + "/muproc-test-" + std::to_string(::getpid()) + '-' + std::to_string(++count);
    if (::mkdir(folder.c_str(), 0755) == 0) folder_ = folder;
  }
  ~OwnGroup() {
    if (folder_.empty()) return;
    ::unsetenv("MUPROC_CGROUP");
    try {
      wait_until("the groups to go", [&] { return children().empty(); });
      wait_until("the test's group to be empty", [&] { return ::rmdir(folder_.c_str()) == 0; });
    } catch (const std::exception& failure) {
      FAIL_CHECK(failure.what());
      sys::kill_cgroup(folder_);
      sys::remove_cgroup(folder_);
    }
  }
  OwnGroup(const OwnGroup&) = delete;

  explicit operator bool() const {
    if (folder_.empty()) std::cerr << "skipped: no control group of version 2 can be made here\n";
    return !folder_.empty();
  }
  const std::string& folder() const { return folder_; }
  /// Brokers that are started from now on use it.
  void use() const { ::setenv("MUPROC_CGROUP", folder_.c_str(), 1); }
  /// As systemd does with Delegate=yes.
  bool delegate() const { return ::setxattr(folder_.c_str(), "user.delegate", "1", 1, 0) == 0; }
  /// The groups in the system's.
  std::vector<std::string> children() const {
    std::vector<std::string> all;
    for (const std::string& system : sys::groups_in(folder_))
      for (const std::string& child : sys::groups_in(folder_ + '/' + system)) all.push_back(child);
    return all;
  }

 private:
  std::string folder_;
};

std::string group_of(pid_t os_pid) { return sys::unified_group_of(os_pid).value_or("?"); }

void waits(Self& self) {
  self.receive(on<"end">() >> [&](std::string how) { self.exit(how); });
}

/// Leaves somebody who hides: in a session of his own, with an environment that says nothing.
Code leaves_one_who_hides(const fs::path& file) {
  return exec_plain({"sh", "-c", "(setsid env -i sh -c 'echo $$ >>$0; exec sleep 1000' $0 &); echo $$ >>$0.own; exec sleep 1000", file.string()});
}

std::string config_of(const std::string& name, const fs::path& file) {
  return "[system]\nname = \"" + name + "\"\n[supervisor.root]\nlimit = { restarts = 9, within = \"60s\" }\nchildren = [\"a\", \"b\"]\n"
         "[muproc.a]\nplain = true\nstop = \"kill\"\nlimits = { memory = \"512MiB\" }\nexec = [\"sh\", \"-c\", '''"
         "(setsid env -i sh -c 'echo $$$$ >>$0; exec sleep 1000' $0 &); exec sleep 1000''', '" + file.string() + "']\n"
         "[muproc.b]\nplain = true\nstop = \"kill\"\nexec = [\"sleep\", \"1000\"]\n";
}

Process mubroker(const std::string& name, const fs::path& file) {
  const fs::path config = fs::path(file).replace_extension(".toml");
  std::ofstream(config) << config_of(name, file);
  auto broker = Process::program({bin_dir() + "/mubroker", "run", config.string()});
  broker.wait_for_output("is up");
  return broker;
}

}  // namespace

TEST_CASE("each muproc begins in a group of its own, which goes with it", "[broker][cgroup]") {
  const OwnGroup group;
  if (!group) return;
  group.use();
  LiveSystem system(supervisor(one_for_one, {50, 60s}, {{"a", waits}, {"b", exec_plain({"sleep", "1000"})}}));
  Self& self = system.self();
  const Pid a = self.find("a");
  const std::string first = group_of(os_pid_of(self, a));
  CHECK(first.find("/muproc-test-") != first.npos);
  CHECK(first.find("/a.") != first.npos);
  CHECK(group.children().size() == 2);
  for (int round = 0; round < 20; ++round) {
    const Pid before = self.find("a");
    signal(self, before, SIGKILL);
    const Pid now = wait_for_replacement(self, "a", before);
    CHECK(group_of(os_pid_of(self, now)) != first);
  }
  wait_until("the groups of the past to go", [&] { return group.children().size() == 2; });
  const auto [pid, ref] = self.spawn_monitor("c", waits);
  CHECK(group_of(os_pid_of(self, pid)).find("/c.") != first.npos);
  self.send(pid, "end", "enough");
  CHECK(reason_of(self, ref) == "enough");
  wait_until("the group of one that was spawned to go", [&] { return group.children().size() == 2; });
}

TEST_CASE("who hides is found in its muproc's group, whoever else lives", "[broker][cgroup][descendants]") {
  const OwnGroup group;
  if (!group) return;
  group.use();
  const fs::path file = notes();
  // Somebody older than the one who hides lives on: without a group he might be its origin.
  LiveSystem system(supervisor(one_for_one, {50, 60s}, {{"old", waits}}));
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", leaves_one_who_hides(file), {.stop = kill}}}));
  const pid_t hidden = noted(file, 1).front();
  noted(file.string() + ".own", 1);
  CHECK(process_lives(hidden));
  terminate_child(self, "sup", "a");
  CHECK_FALSE(process_lives(hidden));
  CHECK(self.find("old") != nil_pid);
}

TEST_CASE("a restart begins when the group of its predecessor is empty", "[broker][cgroup][descendants]") {
  const OwnGroup group;
  if (!group) return;
  group.use();
  const fs::path file = notes();
  LiveSystem system(supervisor(one_for_one, {50, 60s}, {{"old", waits}}));
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {50, 60s}, {{"a", leaves_one_who_hides(file), {.stop = kill}}}));
  for (std::size_t round = 1; round <= 5; ++round) {
    const pid_t hidden = noted(file, round).back();
    const pid_t own = noted(file.string() + ".own", round).back();
    ::kill(own, SIGKILL);
    noted(file.string() + ".own", round + 1);
    CHECK_FALSE(process_lives(hidden));
  }
}

TEST_CASE("groups that a muproc makes in its own group go with it", "[broker][cgroup][descendants]") {
  const OwnGroup group;
  if (!group) return;
  group.use();
  const fs::path file = notes();
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"a", exec_plain({"sh", "-c",
      "g=$(ls -d $1/muproc.*/a.*); mkdir $g/below $g/below/deeper; sleep 1000 & echo $! >$g/below/deeper/cgroup.procs; echo $! >>$0; wait",
      file.string(), group.folder()}), {.stop = kill}}}));
  const pid_t inside = noted(file, 1).front();
  CHECK(group_of(inside).ends_with("/below/deeper"));
  terminate_child(self, "sup", "a");
  CHECK_FALSE(process_lives(inside));
  CHECK(group.children().empty());
}

TEST_CASE("a broker that was delegated its group uses it unasked, and says so", "[broker][cgroup]") {
  const OwnGroup group;
  if (!group) return;
  const fs::path file = notes();
  if (!group.delegate()) {
    std::cerr << "skipped: a group cannot be marked as delegated here\n";
    return;
  }
  {
    const fs::path config = fs::path(file).replace_extension(".toml");
    std::ofstream(config) << config_of("delegated", file);
    // As systemd does it: in the group before the exec.
    auto broker = Process::program({"sh", "-c", "echo $$ >$0/cgroup.procs && exec \"$1\" run \"$2\"", group.folder(), bin_dir() + "/mubroker", config.string()});
    broker.wait_for_output("is up");
    noted(file, 1);
    CHECK(broker.output().find("each muproc is in a cgroup of its own") != std::string::npos);
    CHECK(group.children().size() == 2);
    auto muctl = Process::program({bin_dir() + "/muctl", "-s", "delegated", "show", "a"});
    CHECK(muctl.wait() == 0);
    const bool has_memory = sys::has_controller(group.folder(), "memory");
    CHECK(muctl.output().find(has_memory ? "512MiB by the cgroup " : "512MiB by RLIMIT_DATA") != std::string::npos);
    broker.signal(SIGTERM);
    CHECK(broker.wait() == 0);
    CHECK(sys::groups_in(group.folder()).empty());
  }
  nobody_is_left();
}

TEST_CASE("a group that was not delegated is used by nobody who was not told to", "[broker][cgroup]") {
  const OwnGroup group;
  if (!group || ::geteuid() != 0) return;
  const fs::path file = notes();
  {
    const fs::path config = fs::path(file).replace_extension(".toml");
    std::ofstream(config) << config_of("undelegated", file);
    auto broker = Process::program({"sh", "-c", "echo $$ >$0/cgroup.procs && exec \"$1\" run \"$2\"", group.folder(), bin_dir() + "/mubroker", config.string()});
    broker.wait_for_output("is up");
    CHECK(sys::groups_in(group.folder()).empty());
    broker.signal(SIGTERM);
    CHECK(broker.wait() == 0);
  }
  nobody_is_left();
}

TEST_CASE("a broker that was killed leaves neither processes nor groups", "[broker][cgroup][crash]") {
  const OwnGroup group;
  if (!group) return;
  group.use();
  const fs::path file = notes();
  {
    auto broker = mubroker("killed", file);
    const pid_t hidden = noted(file, 1).front();
    broker.signal(SIGKILL);
    broker.wait();
    wait_until("the one who hides to go", [&] { return !process_lives(hidden); });
    wait_until("the groups to go", [&] { return sys::groups_in(group.folder()).empty(); });
  }
  nobody_is_left();
}

TEST_CASE("a fresh broker ends who is left in the groups of its predecessor, and takes them over", "[broker][cgroup][crash]") {
  const OwnGroup group;
  if (!group) return;
  group.use();
  const fs::path file = notes();
  {
    // All are killed at once: nobody is there to tidy up.
    auto broker = mubroker("heir", file);
    const pid_t hidden = noted(file, 1).front();
    const std::string system = group.folder() + '/' + sys::groups_in(group.folder()).front();
    ::kill(broker.os_pid(), SIGSTOP);
    std::ifstream children("/proc/" + std::to_string(broker.os_pid()) + "/task/" + std::to_string(broker.os_pid()) + "/children");
    for (pid_t child; children >> child;)
      if (child != hidden) ::kill(child, SIGKILL);
    broker.signal(SIGKILL);
    broker.wait();
    CHECK(process_lives(hidden));
    CHECK_FALSE(sys::groups_in(system).empty());
    std::ofstream(file) << "";
    auto heir = mubroker("heir", file);
    CHECK_FALSE(process_lives(hidden));
    noted(file, 1);
    CHECK(group.children().size() == 2);
    heir.signal(SIGTERM);
    CHECK(heir.wait() == 0);
    CHECK(sys::groups_in(group.folder()).empty());
  }
  nobody_is_left();
}
