#include <muproc/testing.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>

namespace muproc::test {
namespace {

/// Beyond this many bytes nobody reads on.
constexpr std::size_t k_shown = 20'000;

[[noreturn]] void fail_with_errno(const char* what) { throw Failed(std::string(what) + ": " + std::strerror(errno)); }

}  // namespace

// ---- waiting ---------------------------------------------------------------------------------------------------------

void waited_in_vain(std::string_view what) {
  throw Failed("waited " + std::to_string(k_patience.count()) + " s for " + std::string(what));
}

bool detail::Looking::go_on() {
  if (std::chrono::steady_clock::now() - started_ > k_patience) return false;
  if (++rounds_ < 100) {
    ::sched_yield();
  } else {
    const timespec moment{0, 500'000};
    ::nanosleep(&moment, nullptr);
  }
  return true;
}

// ---- processes -------------------------------------------------------------------------------------------------------

Process::Process(Process&& other) noexcept
    : os_pid_(std::exchange(other.os_pid_, 0)),
      reaped_(other.reaped_),
      exit_code_(other.exit_code_),
      output_(std::exchange(other.output_, {})) {}

Process Process::start(const std::function<void()>& in_child) {
  std::string path = (std::filesystem::temp_directory_path() / "muproc-test-output-XXXXXX").string();
  const int output = ::mkostemp(path.data(), O_APPEND | O_CLOEXEC);
  if (output < 0) fail_with_errno(path.c_str());
  Process process{std::filesystem::path(path)};
  const int test = ::getpid();
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
  if (process.os_pid_ < 0) {
    process.os_pid_ = 0;
    fail_with_errno("fork");
  }
  return process;
}

Process Process::forked(std::function<int()> body) {
  return start([&] {
    int code = 70;
    try {
      code = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    } catch (...) {
      std::fprintf(stderr, "an exception of an unknown type\n");
    }
    std::fflush(nullptr);
    ::_exit(code);
  });
}

Process Process::program(std::vector<std::string> argv, std::map<std::string, std::string> environment) {
  if (argv.empty()) throw Failed("a program needs a name");
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
  if (output_.empty()) return;  // moved from
  if (os_pid_ != 0 && !reaped_) {
    ::kill(os_pid_, SIGKILL);
    ::waitpid(os_pid_, nullptr, __WALL);
  }
  if (test_has_failed()) show_output();
  std::error_code ignored;
  std::filesystem::remove(output_, ignored);
}

bool Process::running() const { return !reaped_ && process_lives(os_pid_); }

void Process::signal(int number) const {
  if (!reaped_) ::kill(os_pid_, number);
}

int Process::wait() {
  if (reaped_) return exit_code_;
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, os_pid_, 0));
  if (pidfd < 0) fail_with_errno("pidfd_open");
  pollfd ended{pidfd, POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&ended, 1, static_cast<int>(std::chrono::milliseconds(k_patience).count()));
  } while (ready < 0 && errno == EINTR);
  ::close(pidfd);
  if (ready == 0) waited_in_vain("the end of the process " + std::to_string(os_pid_));
  int status = 0;
  if (::waitpid(os_pid_, &status, __WALL) != os_pid_) fail_with_errno("waitpid");
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

void Process::show_output() const {
  const std::string all = output();
  if (all.empty()) return;
  const std::size_t from = all.size() > k_shown ? all.size() - k_shown : 0;
  std::fprintf(stderr, "---- what the processes of the test printed%s ----\n%s----\n", from ? " at last" : "", all.c_str() + from);
}

char process_state(int os_pid) {
  std::ifstream file("/proc/" + std::to_string(os_pid) + "/stat");
  std::string line;
  std::getline(file, line);
  // The name in parentheses may contain anything; what follows the last one is plain.
  const auto end = line.rfind(')');
  return end != line.npos && end + 2 < line.size() ? line[end + 2] : 'X';
}

bool process_lives(int os_pid) {
  const char state = process_state(os_pid);
  return state != 'X' && state != 'Z';
}

void wait_until_stopped(int os_pid) {
  wait_until("process " + std::to_string(os_pid) + " to stop", [&] { return process_state(os_pid) == 'T'; });
}

}  // namespace muproc::test
