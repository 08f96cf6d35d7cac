// Sandboxes: what is still done in one, what is not, and that nobody gets out by being restarted or by spawning.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/paths.hpp"
#include "support/sanitizer.hpp"
#include "support/system_fixture.hpp"
#include "sys/confinement.hpp"
#include "wire/log_line.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

// ---- what is forbidden, with names that a report must know -------------------------------------------------------------

extern "C" {
__attribute__((noinline)) void changes_a_mode() {
  [[maybe_unused]] const int outcome = ::chmod("/tmp/muproc-nothing", 0600);
  asm volatile("");
}
__attribute__((noinline)) void reads_through_a_wild_pointer() { *reinterpret_cast<volatile int*>(0x10) = 1; }
}

namespace {

const Sandbox k_strict{.strict = true};
const SystemOptions k_captured{.capture_output = true};

Supervisor nobody() {
  return supervisor(one_for_one, {1, 5s}, {{"idle", +[](Self& self) { self.receive(on<"end">() >> [] {}); }}});
}

bool has_landlock() { return sys::landlock_version() > 0; }
bool has_landlock_or_says_so() {
  if (!has_landlock()) WARN("this kernel has no Landlock: skipped");
  return has_landlock();
}

ChildOptions in(Sandbox sandbox, Mumsg args = {}) {
  ChildOptions options{.args = std::move(args), .restart = temporary};
  options.sandbox = std::move(sandbox);
  return options;
}

/// Waits until somebody watches.
void be_watched(Self& self) {
  self.receive(on<"go">() >> [] {});
}

/// Starts a child that waits to be watched, and gives the reason of its end.
Reason fate_of_child(Self& self, const std::string& name, Code code, ChildOptions options) {
  self.start_supervisor("sup-" + name, supervisor(one_for_one, {}, {{name, std::move(code), std::move(options)}}));
  const Pid pid = wait_for_name(self, name);
  const Ref watching = self.monitor(pid);
  self.send(pid, "go", true);
  return reason_of(self, watching);
}

std::string report_of(const LiveSystem& system, const std::string& name) {
  const auto path = wait_until("the crash report of " + name, [&]() -> std::optional<fs::path> {
    for (const auto& entry : fs::directory_iterator(system.folder() / "crashes"))
      if (entry.path().extension() == ".txt" && wire::parse_crash_file(entry.path().filename().native())->stem == name)
        return entry.path();
    return std::nullopt;
  });
  return contents(*path);
}

/// A line of /proc/PID/status.
std::string status_of(pid_t os_pid, const std::string& key) {
  std::ifstream status("/proc/" + std::to_string(os_pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key + ":")) return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  return {};
}

bool is_confined(pid_t os_pid) { return status_of(os_pid, "NoNewPrivs") == "1" && status_of(os_pid, "Seccomp") == "2"; }

fs::path fresh_folder() {
  static int count = 0;
  const fs::path folder = runtime_dir() / ("sandbox-" + std::to_string(++count));
  fs::create_directories(folder);
  return fs::canonical(folder);
}

/// What a file's opening for writing comes to: 0, or the error.
int error_of_writing(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  const int error = ::write(fd, "x", 1) == 1 ? 0 : errno;
  ::close(fd);
  return error;
}

}  // namespace

// ---- what goes on in it --------------------------------------------------------------------------------------------------

TEST_CASE("in a strict sandbox a muproc does all that the runtime offers", "[sandbox]") {
  LiveSystem system;
  Self& self = system.self();
  const auto does_much = +[](Self& self) {
    be_watched(self);
    const auto port = self.register_port("in-the-box");
    self.log().warn("from inside");
    const auto [child, watching] =
        self.spawn_monitor("child", Code(+[](Self& self) {
                             self.receive(on<"text">() >> [&](From from, std::string text) {
                               self.send(from, "size", static_cast<std::int64_t>(text.size()));
                             });
                           }));
    self.send(child, "text", std::string(3'000'000, 'x'));  // large: in memory that is asked of the broker
    std::int64_t size = 0;
    self.receive(on<"size">() >> [&](std::int64_t n) { size = n; });
    MUST(size == 3'000'000);
    MUST(test::reason_of(self, watching) == Reason::normal());

    self.send_after(1ms, self.pid(), Mumsg{{"tick", true}});
    bool ticked = false;
    self.receive(on<"tick">() >> [&] { ticked = true; });
    MUST(ticked);
    self.sleep(1ms);

    std::thread([sender = self.sender(), to = self.pid()]() mutable { sender.send(to, "from_thread", true); }).join();
    bool heard = false;
    self.receive(on<"from_thread">() >> [&] { heard = true; });
    MUST(heard);

    try {
      throw std::runtime_error("caught");
    } catch (const std::exception&) {}
    MUST(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    MUST(std::ifstream("/proc/self/maps").good());
    self.exit("all done");
  };
  CHECK(fate_of_child(self, "x", does_much, in(k_strict)) == "all done");
}

TEST_CASE("a program that is a muproc is in its sandbox before it begins, and gives up exec when it has attached",
          "[sandbox][exec]") {
  if (!k_ends_in_a_sandbox) return;
  LiveSystem system;
  Self& self = system.self();
  self.start_supervisor(
      "sup", supervisor(one_for_one, {5, 5s}, {{"decoder", exec({bin_dir() + "/decoder"}), {.sandbox = k_strict}}}));
  const Pid decoder = wait_for_name(self, "decoder");
  CHECK(is_confined(os_pid_of(self, decoder)));
  CHECK(status_of(os_pid_of(self, decoder), "Seccomp_filters") == "2");
  self.send(decoder, "frame", 7);
  CHECK(next<std::int64_t, "decoded">(self) == 49);
  self.send(decoder, "frame", 13);  // it crashes
  const Pid again = wait_for_replacement(self, "decoder", decoder);
  CHECK(is_confined(os_pid_of(self, again)));
  self.send(again, "frame", 8);
  CHECK(next<std::int64_t, "decoded">(self) == 64);
}

TEST_CASE("a restart and a spare are in the sandbox of their predecessor", "[sandbox][restart][spares]") {
  LiveSystem system;
  Self& self = system.self();
  const auto waits = +[](Self& self) { self.receive(on<"end">() >> [] {}); };
  ChildOptions options{.sandbox = k_strict};
  options.spares = 1;
  self.start_supervisor("sup", supervisor(one_for_one, {9, 5s}, {{"x", waits, options}}));
  Pid pid = wait_for_name(self, "x");
  for (int i = 0; i < 4; ++i) {
    CHECK(is_confined(os_pid_of(self, pid)));
    test::signal(self, pid, SIGKILL);
    pid = wait_for_replacement(self, "x", pid);
  }
  CHECK(is_confined(os_pid_of(self, pid)));
}

// ---- what is refused -----------------------------------------------------------------------------------------------------

TEST_CASE("a system call that the sandbox does not permit ends the muproc by SIGSYS, and its report names the call",
          "[sandbox][crash]") {
  LiveSystem system(nobody(), k_captured);
  const auto forbidden = +[](Self& self) {
    be_watched(self);
    changes_a_mode();
  };
  const Reason reason = fate_of_child(system.self(), "x", forbidden, in(k_strict));
  CHECK(reason.is(Reason::Kind::signal));
  CHECK_THAT(to_string(reason), Contains("SIGSYS"));
  if (!k_crashes_are_ours) return;
  const std::string report = report_of(system, "x");
  CHECK_THAT(report, Contains("SIGSYS, SYS_SECCOMP: its sandbox does not permit the system call chmod"));
  CHECK_THAT(report, Contains("changes_a_mode"));
}

TEST_CASE("a crash in a sandbox is reported with its stack", "[sandbox][crash]") {
  if (!k_crashes_are_ours) return;
  LiveSystem system(nobody(), k_captured);
  const auto crashes = +[](Self& self) {
    be_watched(self);
    reads_through_a_wild_pointer();
  };
  CHECK_THAT(to_string(fate_of_child(system.self(), "x", crashes, in(k_strict))), Contains("SIGSEGV"));
  const std::string report = report_of(system, "x");
  CHECK_THAT(report, Contains("reads_through_a_wild_pointer"));
  CHECK_THAT(report, Contains("libmuproc.so"));
}

TEST_CASE("a sandbox permits the system calls that it adds by name", "[sandbox]") {
  LiveSystem system;
  const auto needs_chmod = +[](Self& self) {
    be_watched(self);
    changes_a_mode();
    self.exit("alive");
  };
  CHECK(fate_of_child(system.self(), "x", needs_chmod, in({.strict = true, .syscalls = {"chmod", "fchmodat"}})) ==
        "alive");
}

TEST_CASE("in a sandbox there are no sockets but Unix ones, unless it has the network", "[sandbox][network]") {
  LiveSystem system;
  const auto tries = +[](Self& self) {
    be_watched(self);
    std::string seen;
    for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {
      const int fd = ::socket(family, family == AF_NETLINK ? SOCK_RAW : SOCK_STREAM, 0);
      seen += fd >= 0 ? '+' : errno == EACCES ? '-' : '?';
    }
    self.exit(seen);
  };
  CHECK(fate_of_child(system.self(), "without", tries, in(k_strict)) == "+---");
  const Reason with = fate_of_child(system.self(), "with", tries, in({.strict = true, .network = true}));
  CHECK_THAT(to_string(with), Contains("+"));
  CHECK_THAT(to_string(with), !Contains("-"));
}

TEST_CASE("in a sandbox no file changes but what lies below its writable paths", "[sandbox][files]") {
  if (!has_landlock_or_says_so()) return;
  LiveSystem system;
  const fs::path mine = fresh_folder(), others = fresh_folder();
  std::ofstream(others / "there") << "as it was";
  fs::create_directory_symlink(others, mine / "way-out");
  const auto tries = +[](Self& self) {
    be_watched(self);
    const fs::path mine = self.args()["mine"].as<std::string>(), others = self.args()["others"].as<std::string>();
    MUST(error_of_writing(mine / "new") == 0);
    MUST(error_of_writing("/dev/null") == 0);
    MUST(fs::create_directory(mine / "folder"));
    MUST(error_of_writing(mine / "folder" / "deep") == 0);
    MUST(::rename((mine / "new").c_str(), (mine / "folder" / "moved").c_str()) == 0);
    MUST(::unlink((mine / "folder" / "deep").c_str()) == 0);

    MUST(error_of_writing(others / "there") == EACCES);
    MUST(error_of_writing(others / "new") == EACCES);
    MUST(error_of_writing(mine / "way-out" / "there") == EACCES);
    MUST(::unlink((others / "there").c_str()) != 0);
    MUST(::mkdir((others / "folder").c_str(), 0700) != 0);
    MUST(::rename((mine / "folder" / "moved").c_str(), (others / "moved").c_str()) != 0);
    std::string read;
    std::getline(std::ifstream(others / "there"), read);
    MUST(read == "as it was");  // reading is free
    self.exit("all tried");
  };
  const Mumsg args{{"mine", mine.string()}, {"others", others.string()}};
  CHECK(fate_of_child(system.self(), "x", tries, in({.strict = true, .writable = {mine.string()}}, args)) ==
        "all tried");
  CHECK(contents(others / "there") == "as it was");
  CHECK(std::distance(fs::directory_iterator(others), {}) == 1);
}

TEST_CASE("a writable path that is not there, or has become a link, is an error of the start", "[sandbox][files]") {
  if (!has_landlock_or_says_so()) return;
  LiveSystem system;
  Self& self = system.self();
  const fs::path folder = fresh_folder();
  const auto start = [&](const std::string& name, const Sandbox& sandbox) -> std::string {
    try {
      self.start_supervisor("sup-" + name, supervisor(one_for_one, {}, {{name, be_watched, in(sandbox)}}));
    } catch (const Error& failure) {
      return failure.what();
    }
    return "it was started";
  };
  CHECK_THAT(start("a", {.strict = true, .writable = {folder / "nowhere"}}),
             Contains("open " + (folder / "nowhere").string() + ": No such file or directory"));
  CHECK_THAT(start("b", {.strict = true, .writable = {"here"}}), Contains("no absolute path"));
  CHECK_THAT(start("c", {.strict = true, .syscalls = {"no_such_call"}}), Contains("there is no such system call here"));

  // Settled when it is described: what a link leads to then, and never elsewhere.
  const fs::path real = folder / "real", link = folder / "link";
  fs::create_directory(real);
  fs::create_directory_symlink(real, link);
  ChildOptions options{.restart = permanent};
  options.sandbox = {.strict = true, .writable = {link}};
  options.args = {{"at", real.string()}};
  const auto writes = +[](Self& self) {
    MUST(error_of_writing(fs::path(self.args()["at"].as<std::string>()) / "file") == 0);
    self.receive(on<"end">() >> [] {});
  };
  self.start_supervisor("sup-d", supervisor(one_for_one, {1, 5s}, {{"d", writes, options}}));
  const Pid pid = wait_for_name(self, "d");
  fs::rename(real, folder / "elsewhere");
  fs::create_directory_symlink("/etc", real);
  const Ref watching = self.monitor("sup-d");
  test::signal(self, pid, SIGKILL);
  CHECK(reason_of(self, watching) == Reason::shutdown());
}

TEST_CASE("in a sandbox nobody is signalled, nor is others' memory read", "[sandbox]") {
  LiveSystem system;
  const auto sends = [&](const std::string& name, Function function, Sandbox sandbox) {
    return to_string(fate_of_child(system.self(), name, function, in(std::move(sandbox))));
  };
  const auto by_tgkill = +[](Self& self) {
    be_watched(self);
    ::syscall(SYS_tgkill, ::getppid(), ::getppid(), 0);
  };
  const auto by_kill = +[](Self& self) {
    be_watched(self);
    ::kill(::getppid(), 0);
  };
  CHECK_THAT(sends("tgkill", by_tgkill, k_strict), Contains("SIGSYS"));
  CHECK_THAT(sends("kill", by_kill, k_strict), Contains("SIGSYS"));
  const auto by_ptrace = +[](Self& self) {
    be_watched(self);
    ::syscall(SYS_ptrace, 16, ::getppid(), 0, 0);
  };
  CHECK_THAT(sends("ptrace", by_ptrace, k_strict), Contains("SIGSYS"));
  constexpr int k_scopes_signals = 6;
  if (sys::landlock_version() < k_scopes_signals) return;
  const auto is_refused = +[](Self& self) {
    be_watched(self);
    MUST(::kill(::getppid(), 0) == -1 && errno == EPERM);
    MUST(::kill(::getpid(), 0) == 0);
    self.exit("refused");
  };
  CHECK(fate_of_child(system.self(), "permitted", is_refused, in({.strict = true, .syscalls = {"kill"}})) == "refused");
}

TEST_CASE("in a sandbox no process is forked and no program is run", "[sandbox]") {
  LiveSystem system;
  const auto forks = +[](Self& self) {
    be_watched(self);
    if (::fork() == 0) ::_exit(0);
    self.exit("it has forked");
  };
  const auto executes = +[](Self& self) {
    be_watched(self);
    ::execl("/bin/true", "true", nullptr);
    self.exit("no such program");
  };
  CHECK_THAT(to_string(fate_of_child(system.self(), "forks", forks, in(k_strict))), Contains("SIGSYS"));
  CHECK_THAT(to_string(fate_of_child(system.self(), "executes", executes, in(k_strict))), Contains("SIGSYS"));
}

// ---- no way around it ----------------------------------------------------------------------------------------------------

TEST_CASE("who is spawned from a sandbox is in it too, and nothing that lies outside is loaded or said for it",
          "[sandbox][rights]") {
  LiveSystem system;
  Self& self = system.self();
  const fs::path folder = fresh_folder();
  const auto spawns = +[](Self& self) {
    be_watched(self);
    const auto forbidden = +[](Self&) { changes_a_mode(); };
    const auto [child, watching] = self.spawn_monitor("child", Code(forbidden));
    MUST(to_string(test::reason_of(self, watching)).find("SIGSYS") != std::string::npos);

    ChildOptions wishes{.restart = temporary};
    wishes.sandbox = {.strict = true, .syscalls = {"chmod", "fchmodat"}, .network = true};
    self.start_supervisor("inner", supervisor(one_for_one, {},
                                              {{"wisher",
                                                +[](Self& self) {
                                                  be_watched(self);
                                                  changes_a_mode();
                                                },
                                                wishes}}));
    const Pid wisher = self.find("wisher");
    const Ref end = self.monitor(wisher);
    self.send(wisher, "go", true);
    MUST(to_string(test::reason_of(self, end)).find("SIGSYS") != std::string::npos);

    std::string refusal;
    try {
      self.spawn("loader", module("libloaded_late.so", "loaded_late"));
    } catch (const Error& failure) {
      refusal = failure.what();
    }
    self.exit(refusal);
  };
  CHECK_THAT(to_string(fate_of_child(self, "x", spawns, in({.strict = true, .writable = {folder.string()}}))),
             Contains("x is in a sandbox, so it cannot have"));
}

TEST_CASE("a program that is no muproc is held as well, with what it prints and says of itself", "[sandbox][plain]") {
  LiveSystem system;
  Self& self = system.self();
  const fs::path mine = fresh_folder(), others = fresh_folder();
  const std::string script = "echo it speaks; echo mine > " + (mine / "file").string() + "; { echo others > " +
                             (others / "file").string() + "; } 2>/dev/null; while :; do read nothing < /dev/null; done";
  ChildOptions options = in({.strict = true, .writable = {mine.string()}});
  self.start_supervisor("sup",
                        supervisor(one_for_one, {}, {{"plain", exec_plain({"/bin/sh", "-c", script}), options}}));
  const Pid pid = wait_for_name(self, "plain");
  CHECK(is_confined(os_pid_of(self, pid)));
  system.broker().wait_for_output("it speaks");
  wait_until("what it writes", [&] { return contents(mine / "file") == "mine\n"; });
  if (has_landlock()) CHECK_FALSE(fs::exists(others / "file"));
  self.kill(pid);
}

TEST_CASE("a plain program in a sandbox is ready when it says so on its notify socket", "[sandbox][plain][ready]") {
  LiveSystem system;
  ChildOptions options = in(k_strict);
  options.ready_on = ReadyOn::notify;
  const Code notifier =
      exec_plain({"perl", "-MSocket", "-e",
                  "socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; ($to = $ENV{NOTIFY_SOCKET}) =~ s/^@/\\0/;"
                  "send(S, 'READY=1', 0, pack_sockaddr_un($to)) or die $!; sleep 1000"});
  system.self().start_supervisor("sup", supervisor(one_for_one, {}, {{"notifier", notifier, options}}));
  CHECK(wait_for_name(system.self(), "notifier"));
}

TEST_CASE("a muproc in a sandbox does not say what the system is to be", "[sandbox][rights]") {
  LiveSystem system;
  const auto asks_for_another_config = +[](Self& self) {
    be_watched(self);
    const std::string socket = self.args()["socket"].as<std::string>();
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
    MUST(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    char byte;
    MUST(::read(fd, &byte, 1) <= 0);  // it is not let in
    self.exit("shut out");
  };
  const std::string socket = system.folder() / "control.sock";
  CHECK(fate_of_child(system.self(), "x", asks_for_another_config, in(k_strict, {{"socket", socket}})) == "shut out");
}
