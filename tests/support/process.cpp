#include "support/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "support/catch.hpp"
#include "support/waiting.hpp"

namespace muproc::test {
namespace {

struct Stat {
  pid_t parent = 0;
  char state = 'X';
};

/// What /proc says of a process; state 'X' when it is gone.
Stat stat_of(pid_t os_pid) {
  std::ifstream file("/proc/" + std::to_string(os_pid) + "/stat");
  std::string line;
  std::getline(file, line);
  Stat stat;
  // The name in parentheses may contain anything; what follows the last one is plain.
  if (const auto end = line.rfind(')'); end != line.npos) std::istringstream(line.substr(end + 1)) >> stat.state >> stat.parent;
  return stat;
}

/// Beyond this many bytes nobody reads on.
constexpr std::size_t k_shown = 20'000;

void show_output(const std::string& output) {
  if (output.empty()) return;
  const std::size_t from = output.size() > k_shown ? output.size() - k_shown : 0;
  std::fprintf(stderr, "---- what the processes of the test printed%s ----\n%s----\n", from ? " at last" : "",
               output.c_str() + from);
}

bool test_has_failed() {
  return std::uncaught_exceptions() > 0 || !Catch::getResultCapture().lastAssertionPassed();
}

}  // namespace

Process::Process(Process&& other) noexcept
    : os_pid_(std::exchange(other.os_pid_, 0)),
      reaped_(other.reaped_),
      exit_code_(other.exit_code_),
      output_(std::move(other.output_)) {}

Process Process::start(const std::function<void()>& in_child) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  static unsigned count = 0;
  Process process(std::filesystem::path(std::getenv("MUPROC_RUNTIME_DIR")) / ("output-" + std::to_string(++count)));
  const int output = ::open(process.output_.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
  REQUIRE(output >= 0);
  const pid_t test = ::getpid();
  std::fflush(nullptr);
  process.os_pid_ = ::fork();
  if (process.os_pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != test) ::_exit(70);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::close(output);
    in_child();
    ::_exit(70);
  }
  ::close(output);
  REQUIRE(process.os_pid_ > 0);
  return process;
}

Process Process::forked(std::function<int()> body) {
  return start([&] {
    int code = 70;
    try {
      code = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    std::fflush(nullptr);
    ::_exit(code);
  });
}

Process Process::program(std::vector<std::string> argv, std::map<std::string, std::string> environment) {
  return start([&] {
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> arguments;
    for (auto& argument : argv) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    std::perror(arguments[0]);
  });
}

Process::~Process() {
  if (os_pid_ == 0) return;
  if (!reaped_) {
    ::kill(os_pid_, SIGKILL);
    ::waitpid(os_pid_, nullptr, __WALL);
  }
  if (test_has_failed()) show_output(output());
}

bool Process::running() const { return !reaped_ && process_lives(os_pid_); }

void Process::signal(int number) const {
  if (!reaped_) ::kill(os_pid_, number);
}

int Process::wait() {
  if (reaped_) return exit_code_;
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, os_pid_, 0));
  REQUIRE(pidfd >= 0);
  pollfd ended{pidfd, POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&ended, 1, static_cast<int>(std::chrono::milliseconds(k_patience).count()));
  } while (ready < 0 && errno == EINTR);
  ::close(pidfd);
  if (ready == 0) waited_in_vain("the end of the process " + std::to_string(os_pid_));
  int status = 0;
  REQUIRE(::waitpid(os_pid_, &status, __WALL) == os_pid_);
  reaped_ = true;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_code_;
}

std::string Process::output() const {
  std::ifstream file(output_);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

void Process::wait_for_output(const std::string& text) const {
  wait_until("\"" + text + "\" in the output", [&] { return output().find(text) != std::string::npos; });
}

bool process_lives(pid_t os_pid) {
  const char state = stat_of(os_pid).state;
  return state != 'X' && state != 'Z';
}

std::vector<pid_t> own_children() {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    const pid_t os_pid = std::stoi(name);
    const Stat stat = stat_of(os_pid);
    if (stat.state != 'X' && stat.parent == ::getpid()) children.push_back(os_pid);
  }
  return children;
}

void nobody_is_left(const std::vector<pid_t>& but) {
  const auto strangers = [&] {
    std::vector<pid_t> left;
    for (const pid_t child : own_children()) {
      if (std::find(but.begin(), but.end(), child) != but.end()) continue;
      if (::waitpid(child, nullptr, WNOHANG | __WALL) != child) left.push_back(child);
    }
    return left;
  };
  detail::Watchdog watchdog;
  while (!strangers().empty() && watchdog.go_on()) {
  }
  std::string names;
  // Killing one may orphan others, which come to us then.
  for (auto left = strangers(); !left.empty(); left = strangers()) {
    for (const pid_t orphan : left) {
      std::ifstream file("/proc/" + std::to_string(orphan) + "/comm");
      std::string name;
      std::getline(file, name);
      names += ' ' + std::to_string(orphan) + " (" + name + ')';
      ::kill(orphan, SIGKILL);
      ::waitpid(orphan, nullptr, __WALL);
    }
  }
  if (!names.empty()) FAIL("processes were left behind:" << names);
}

}  // namespace muproc::test
