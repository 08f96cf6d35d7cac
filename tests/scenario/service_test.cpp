// mubroker as others start it: by a service manager, as process 1 of a container.
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/paths.hpp"
#include "support/process.hpp"
#include "support/waiting.hpp"

using namespace muproc::test;
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

namespace {

/// A config with one plain child that runs a shell script, in which $0 is `notes`.
fs::path config_of(const std::string& system, const std::string& script, const fs::path& notes) {
  const fs::path file = runtime_dir() / (system + ".toml");
  std::ofstream(file) << "[system]\nname = \"" << system << "\"\n[supervisor.root]\nchildren = [\"a\"]\n[muproc.a]\nplain = true\n"
                      << "exec = [\"sh\", \"-c\", '''" << script << "''', '" << notes.string() << "']\n";
  return file;
}

/// Root can, mostly; not in every container.
bool can_make_container() {
  const bool can = Process::program({"unshare", "--pid", "--fork", "--mount-proc", "true"}).wait() == 0;
  if (!can) WARN("no pid namespace can be made here: not tested");
  return can;
}

/// The service manager's end of the protocol.
class Manager {
 public:
  explicit Manager(bool is_abstract)
      : name_((is_abstract ? "@muproc-test-" + std::to_string(::getpid()) : (runtime_dir() / "notify").string())),
        socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name_.data(), name_.size());
    if (is_abstract) address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    REQUIRE(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  }
  ~Manager() {
    ::close(socket_);
    if (name_[0] == '/') ::unlink(name_.c_str());
  }
  const std::string& name() const { return name_; }

  /// The next that it was told.
  std::string told() {
    char text[4096];
    const auto got = wait_until("a notification", [&]() -> ssize_t { return std::max<ssize_t>(0, ::recv(socket_, text, sizeof text, 0)); });
    return {text, static_cast<std::size_t>(got)};
  }
  /// The next that begins so.
  std::string told(const std::string& begin) {
    for (;;)
      if (std::string text = told(); text.compare(0, begin.size(), begin) == 0) return text;
  }

 private:
  std::string name_;
  int socket_;
};

}  // namespace

TEST_CASE("mubroker tells a service manager when its system is up, and when it stops", "[service]") {
  Manager manager(GENERATE(false, true));
  const fs::path notes = runtime_dir() / "environment.notes";
  const auto config = config_of("served", "env >$0; exec sleep 1000", notes);
  auto broker = Process::program({bin_dir() + "/mubroker", "run", config.string()}, {{"NOTIFY_SOCKET", manager.name()}});
  CHECK(manager.told() == "STATUS=system served is starting");
  CHECK(manager.told() == "READY=1\nSTATUS=system served is up");
  wait_until("the child's environment", [&] { return contents(notes).find("MUPROC_PID=") != std::string::npos; });
  CHECK_THAT(contents(notes), !Contains("NOTIFY_SOCKET"));
  broker.signal(SIGTERM);
  CHECK(manager.told() == "STOPPING=1\nSTATUS=system served is stopped by SIGTERM");
  CHECK(broker.wait() == 0);
}

TEST_CASE("mubroker tells a service manager of a reload, and when it is over, whether it could be or not", "[service][reload]") {
  Manager manager(false);
  const auto config = config_of("reloaded", "exec sleep 1000", "x");
  auto broker = Process::program({bin_dir() + "/mubroker", "run", config.string()}, {{"NOTIFY_SOCKET", manager.name()}});
  CHECK(manager.told("READY=1") == "READY=1\nSTATUS=system reloaded is up");
  const auto monotonic = [] {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
  };
  const auto before = monotonic();
  broker.signal(SIGHUP);
  const std::string reloading = manager.told("RELOADING=1");
  const std::string begin = "RELOADING=1\nMONOTONIC_USEC=";
  REQUIRE(reloading.starts_with(begin));
  const auto when = std::stoull(reloading.substr(begin.size()));
  CHECK(when >= before);
  CHECK(when <= monotonic());
  CHECK(reloading.ends_with("\nSTATUS=system reloaded is being reloaded"));
  CHECK(manager.told() == "READY=1\nSTATUS=system reloaded is reloaded");
  auto muctl = Process::program({bin_dir() + "/muctl", "-s", "reloaded", "reload"});
  CHECK(muctl.wait() == 0);
  manager.told("RELOADING=1");
  CHECK(manager.told() == "READY=1\nSTATUS=system reloaded is reloaded");
  std::ofstream(config) << "nonsense";
  broker.signal(SIGHUP);
  manager.told("RELOADING=1");
  CHECK(manager.told() == "READY=1\nSTATUS=system reloaded goes on as it was: the config is not reloaded, see the log");
  broker.signal(SIGTERM);
  CHECK(manager.told() == "STOPPING=1\nSTATUS=system reloaded is stopped by SIGTERM");
  CHECK(broker.wait() == 0);
}

TEST_CASE("mubroker says that it lives as often as its service manager wants to hear it", "[service]") {
  Manager manager(false);
  const auto config = config_of("watched", "exec sleep 1000", "x");
  auto broker = Process::program({bin_dir() + "/mubroker", "run", config.string()},
                                 {{"NOTIFY_SOCKET", manager.name()}, {"WATCHDOG_USEC", "20000"}});
  for (int i = 0; i < 3; ++i) CHECK(manager.told("WATCHDOG=1") == "WATCHDOG=1");
  broker.signal(SIGTERM);
  CHECK(broker.wait() == 0);
}

TEST_CASE("mubroker tells no service manager that it is up when it is not", "[service]") {
  Manager manager(false);
  const fs::path file = runtime_dir() / "fails.toml";
  std::ofstream(file) << "[supervisor.root]\nchildren = [\"a\"]\n[muproc.a]\nplain = true\nexec = [\"/no/such/program\"]\n";
  auto broker = Process::program({bin_dir() + "/mubroker", "run", file.string()}, {{"NOTIFY_SOCKET", manager.name()}});
  CHECK(broker.wait() == 1);
  CHECK(manager.told() == "STATUS=system fails is starting");
  CHECK(manager.told() == "STOPPING=1\nSTATUS=system fails ends by itself");
}

TEST_CASE("a notification socket that is not there hinders nobody", "[service]") {
  const std::string name = GENERATE("/no/such/socket", "@nobody-listens", "nonsense", "", "/");
  const auto config = config_of("unheard", "exec sleep 1000", "x");
  auto broker = Process::program({bin_dir() + "/mubroker", "run", config.string()}, {{"NOTIFY_SOCKET", name}});
  broker.wait_for_output("is up");
  broker.signal(SIGTERM);
  CHECK(broker.wait() == 0);
}

TEST_CASE("as process 1 of a container mubroker reaps everything, and TERM stops the system", "[service][container]") {
  if (!can_make_container()) return;
  const fs::path notes = runtime_dir() / "orphans.notes";
  const auto config = config_of("contained", "for i in 1 2 3; do (setsid sh -c 'echo x >>$0' $0 &); done; (setsid sleep 1000 &); exec sleep 1000", notes);
  auto container = Process::program({"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", bin_dir() + "/mubroker", "run", config.string()});
  container.wait_for_output("is launched by process 1");
  container.wait_for_output("is up");
  pid_t broker = 0;
  std::ifstream("/proc/" + std::to_string(container.os_pid()) + "/task/" + std::to_string(container.os_pid()) + "/children") >> broker;
  REQUIRE(broker != 0);
  wait_until("three orphans that have ended", [&] { return contents(notes).size() == 6; });
  wait_until("no zombies", [&] {
    std::ifstream children("/proc/" + std::to_string(broker) + "/task/" + std::to_string(broker) + "/children");
    for (pid_t pid; children >> pid;)
      if (!process_lives(pid)) return false;
    return true;
  });
  ::kill(broker, SIGTERM);
  CHECK(container.wait() == 0);
  CHECK_THAT(container.output(), Contains("is stopped by SIGTERM") && Contains("has ended, exit code 0"));
  nobody_is_left();
}

TEST_CASE("who came into a container from outside is not the broker's to end", "[service][container]") {
  if (!can_make_container()) return;
  const auto config = config_of("visited", "exec sleep 1000", "x");
  auto container = Process::program({"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", bin_dir() + "/mubroker", "run", config.string()});
  container.wait_for_output("is up");
  pid_t broker = 0;
  std::ifstream("/proc/" + std::to_string(container.os_pid()) + "/task/" + std::to_string(container.os_pid()) + "/children") >> broker;
  const fs::path notes = runtime_dir() / "visitor.notes";
  // As `docker exec` does; the visitor is orphaned in the container.
  auto visit = Process::program({"nsenter", "--target", std::to_string(broker), "--pid", "sh", "-c",
                                 "(setsid env -i sh -c 'echo x >>$0; exec sleep 1000' $0 &); sleep 0.1", notes.string()});
  CHECK(visit.wait() == 0);
  wait_until("the visitor", [&] { return contents(notes) == "x\n"; });
  const auto children = [&] {
    std::size_t count = 0;
    std::ifstream list("/proc/" + std::to_string(broker) + "/task/" + std::to_string(broker) + "/children");
    for (pid_t pid; list >> pid;) count += process_lives(pid) ? 1 : 0;
    return count;
  };
  const auto before = children();
  auto restart = Process::program({bin_dir() + "/muctl", "-s", "visited", "restart", "a"});
  CHECK(restart.wait() == 0);
  CHECK(children() == before);
  ::kill(broker, SIGTERM);
  CHECK(container.wait() == 0);
  nobody_is_left();
}
