// What the kernel's texts say of control groups, and what is written to a group's files: here folders of ordinary files
// stand in for groups. (With the kernel's own: scenario/cgroups_test.cpp.)
#include "broker/cgroups.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "broker/exit_status.hpp"
#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::broker;
namespace fs = std::filesystem;

namespace {

/// A folder that looks like a group, removed at the end.
class StandIn {
 public:
  StandIn() {
    std::string path = (fs::temp_directory_path() / "muproc-cgroup-XXXXXX").native();
    folder = ::mkdtemp(path.data());
  }
  ~StandIn() { fs::remove_all(folder); }
  void file(const std::string& name, const std::string& text) const { std::ofstream(folder + '/' + name) << text; }
  std::string text(const std::string& name) const {
    std::ifstream in(folder + '/' + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string folder;
};

const std::string k_hybrid = "9:name=systemd:/\n4:memory:/elsewhere\n0::/system.slice/muproc@x.service\n";
const std::string k_mountinfo =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
    "50 31 0:38 /system.slice /mnt/with\\040space rw - cgroup2 none rw\n";

}  // namespace

TEST_CASE("the group of the unified hierarchy is found among those of the old one", "[cgroup]") {
  CHECK(sys::unified_group(k_hybrid) == "/system.slice/muproc@x.service");
  CHECK(sys::unified_group("0::/\n") == "/");
  CHECK(sys::unified_group("0::/a/b (deleted)\n") == "/a/b");
  CHECK_FALSE(sys::unified_group("4:memory:/elsewhere\n"));
  CHECK_FALSE(sys::unified_group(""));
  CHECK_FALSE(sys::unified_group("0::\n"));
}

TEST_CASE("a group is seen where its hierarchy is mounted, and a folder tells its group", "[cgroup]") {
  const auto mounts = sys::cgroup_mounts(k_mountinfo);
  REQUIRE(mounts.size() == 2);
  CHECK(mounts[0] == sys::CgroupMount{"/", "/sys/fs/cgroup/unified"});
  CHECK(mounts[1] == sys::CgroupMount{"/system.slice", "/mnt/with space"});
  CHECK(sys::folder_of_group("/a/b", mounts) == "/sys/fs/cgroup/unified/a/b");
  CHECK(sys::folder_of_group("/", mounts) == "/sys/fs/cgroup/unified");
  CHECK(sys::folder_of_group("/system.slice/x", {mounts[1]}) == "/mnt/with space/x");
  CHECK(sys::folder_of_group("/system.slice", {mounts[1]}) == "/mnt/with space");
  CHECK_FALSE(sys::folder_of_group("/system.slices/x", {mounts[1]}));  // a name that only begins alike
  CHECK_FALSE(sys::folder_of_group("/other", {mounts[1]}));
  CHECK(sys::group_of_folder("/sys/fs/cgroup/unified/a", mounts) == "/a");
  CHECK(sys::group_of_folder("/sys/fs/cgroup/unified", mounts) == "/");
  CHECK(sys::group_of_folder("/mnt/with space/x", mounts) == "/system.slice/x");
  CHECK_FALSE(sys::group_of_folder("/home", mounts));
  CHECK(sys::cgroup_mounts("nonsense\n\n - cgroup2\n41 31 0:38 / /x rw -\n").empty());
}

TEST_CASE("a folder of ordinary files is no group", "[cgroup]") {
  const StandIn group;
  CHECK_FALSE(sys::is_cgroup(group.folder));
  CHECK_FALSE(sys::is_cgroup("/no/such/folder"));
  // And so it is not used, and why not is said, since somebody has asked for it.
  const Cgroups groups(group.folder, "test", "/run/muproc/test");
  CHECK_FALSE(groups.is_in_use());
  CHECK(groups.is_disappointing());
  CHECK(groups.report() == "no cgroups are used: " + group.folder + " is no cgroup of version 2");
}

TEST_CASE("groups that are not wanted, or not there, are not used", "[cgroup]") {
  const Cgroups none("none", "test", "/run/muproc/test");
  CHECK_FALSE(none.is_in_use());
  CHECK_FALSE(none.is_disappointing());
  Cgroups missing("/no/such/group", "test", "/run/muproc/test");
  CHECK_FALSE(missing.is_in_use());
  CHECK(missing.report() == "no cgroups are used: /no/such/group: No such file or directory");
  CHECK(missing.make("a") == nullptr);
  CHECK(missing.owner_of(::getpid()) == nil_pid);
}

TEST_CASE("controllers are words of their own", "[cgroup]") {
  const StandIn group;
  group.file("cgroup.controllers", "cpuset memory pids\n");
  group.file("cgroup.subtree_control", "memory_x pids\n");
  CHECK(sys::has_controller(group.folder, "memory"));
  CHECK_FALSE(sys::has_controller(group.folder, "mem"));
  CHECK_FALSE(sys::gives_controller(group.folder, "memory"));
  CHECK(sys::gives_controller(group.folder, "pids"));
  CHECK_FALSE(sys::has_controller("/no/such/folder", "memory"));
}

TEST_CASE("what a group's file does not take is an error with its number", "[cgroup]") {
  const StandIn group;
  group.file("memory.max", "max\n");
  CHECK(sys::write_to_cgroup(group.folder, "memory.max", "536870912") == 0);
  CHECK(group.text("memory.max").starts_with("536870912"));
  CHECK(sys::write_to_cgroup(group.folder, "memory.oom.group", "1") == ENOENT);
}

TEST_CASE("kills for want of memory are counted, and other kills are not", "[cgroup]") {
  const StandIn group;
  CHECK(sys::oom_kills_in(group.folder) == 0);
  group.file("memory.events", "low 0\nhigh 3\nmax 12\noom 1\noom_kill 0\noom_group_kill 7\n");
  CHECK(sys::oom_kills_in(group.folder) == 0);
  group.file("memory.events", "low 0\nhigh 3\nmax 12\noom 1\noom_kill 2\noom_group_kill 1\n");
  CHECK(sys::oom_kills_in(group.folder) == 2);
  group.file("memory.events", "oom_kill many\n");
  CHECK(sys::oom_kills_in(group.folder) == 0);
}

TEST_CASE("who is killed by the kernel since its group has no memory left ended out of memory", "[cgroup][reason]") {
  const ExitStatus by_kill{ExitStatus::Kind::signalled, SIGKILL};
  CHECK(reason_of(by_kill, {}, {}, false, true) == Reason(Reason::Kind::out_of_memory));
  CHECK(reason_of(by_kill, {}, {}, false, false) == Reason::signal(SIGKILL));
  CHECK(reason_of(by_kill, {}, Reason::shutdown(), false, true) == Reason::shutdown());  // it was we who did it
  CHECK(reason_of({ExitStatus::Kind::signalled, SIGSEGV}, {}, {}, false, true) == Reason::signal(SIGSEGV));
  CHECK(reason_of({ExitStatus::Kind::exited, 3}, {}, {}, false, true) == Reason::code(3));
}

TEST_CASE("where the kernel has no cgroup.kill, the members of a group and of those below it are killed", "[cgroup]") {
  const StandIn group;
  fs::create_directory(group.folder + "/below");
  const auto sleeps = [] {
    const pid_t child = ::fork();
    if (child == 0)
      for (;;) ::pause();
    return child;
  };
  const pid_t member = sleeps(), below = sleeps(), other = sleeps();
  group.file("cgroup.procs", std::to_string(member) + "\n0\n1\n-1\nx\n");
  group.file("below/cgroup.procs", std::to_string(below) + '\n');
  sys::kill_cgroup(group.folder);
  int status = 0;
  CHECK(::waitpid(member, &status, 0) == member);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
  CHECK(::waitpid(below, &status, 0) == below);
  CHECK(::waitpid(other, &status, WNOHANG) == 0);
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
}

TEST_CASE("groups below are listed, removed with the one above, and a missing one is gone", "[cgroup]") {
  const StandIn group;
  const std::string top = group.folder + "/top";
  fs::create_directories(top + "/a/b");
  fs::create_directories(top + "/c");
  auto names = sys::groups_in(top);
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"a", "c"});
  CHECK(sys::groups_in("/no/such/folder").empty());
  CHECK(sys::remove_cgroup(top));
  CHECK_FALSE(fs::exists(top));
  CHECK(sys::remove_cgroup(top));
  fs::create_directories(top + "/a");
  std::ofstream(top + "/a/busy") << "as if somebody were in it";
  CHECK_FALSE(sys::remove_cgroup(top));
}

TEST_CASE("a group's name is safe whatever its child is called, and each system's is its own", "[cgroup]") {
  CHECK(child_group_name("ch-1", 17) == "ch-1.17");
  CHECK(child_group_name("../a b/\n.é", 1) == "___a_b_____.1");
  CHECK(child_group_name(std::string(200, 'x'), 2) == std::string(64, 'x') + ".2");
  CHECK(system_group_name("demo", "/run/muproc/demo") == system_group_name("demo", "/run/muproc/demo"));
  CHECK(system_group_name("demo", "/run/muproc/demo") != system_group_name("demo", "/tmp/muproc/demo"));
  CHECK(system_group_name("de.mo", "/x").starts_with("muproc.de_mo."));
}
