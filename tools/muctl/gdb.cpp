// A debugger at a muproc.
//
// What the broker says of OS pids is old by the time it is read: the process is held by a pidfd, and the broker is asked
// again whether that incarnation still lives there. Only then is the number handed on.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "tools/common/failure.hpp"
#include "tools/common/json.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"
#include "wire/node_words.hpp"

namespace muproc::tools {
namespace {

namespace fs = std::filesystem;

class PidFd {
 public:
  explicit PidFd(int os_pid) : fd_(static_cast<int>(::syscall(SYS_pidfd_open, os_pid, 0))) {}
  ~PidFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  PidFd(const PidFd&) = delete;
  PidFd& operator=(const PidFd&) = delete;
  bool lives() const {
    pollfd end{fd_, POLLIN, 0};
    return fd_ >= 0 && ::poll(&end, 1, 0) == 0;
  }

 private:
  int fd_;
};

Failure has_ended(const Node& node) {
  return Failure(ExitCode::request_failed, fmt::format("{} has just ended; try again, if it is restarted", title(node)));
}

/// The path of the program, as execvp would find it; empty when there is none.
std::string found(const std::string& program) {
  const auto is_there = [](const fs::path& path) { return ::access(path.c_str(), X_OK) == 0 && !fs::is_directory(path); };
  if (program.find('/') != std::string::npos) return is_there(program) ? program : "";
  const char* variable = std::getenv("PATH");
  const std::string_view path = variable ? variable : "/usr/local/bin:/usr/bin:/bin";
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const fs::path candidate = fs::path(end > begin ? path.substr(begin, end - begin) : ".") / program;
    if (is_there(candidate)) return candidate.string();
    begin = end + 1;
  }
  return {};
}

std::string debugger(const std::string& asked) {
  const char* variable = std::getenv("MUPROC_GDB");
  const std::string program = !asked.empty() ? asked : variable && *variable ? variable : "gdb";
  if (const std::string path = found(program); !path.empty()) return path;
  throw Failure(ExitCode::request_failed,
                fmt::format("there is no debugger \"{}\": install gdb, or say where it is with --gdb PATH or $MUPROC_GDB", printable(program)));
}

/// Who traces that process already; 0: nobody.
int tracer_of(int os_pid) {
  std::ifstream status("/proc/" + std::to_string(os_pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("TracerPid:")) return std::atoi(line.c_str() + 10);
  return 0;
}

/// 0, or the error with which the kernel refuses. A child asks, which does not disturb the process: its end lets go of it.
int why_not_traced(int os_pid) {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) ::_exit(::ptrace(PTRACE_SEIZE, os_pid, nullptr, nullptr) == 0 ? 0 : errno);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
}

void check_traceable(const Node& node) {
  if (const int tracer = tracer_of(node.getOsPid()))
    throw Failure(ExitCode::request_failed, fmt::format("process {} is attached to {} already: end that debugger first", tracer, title(node)));
  const int error = why_not_traced(node.getOsPid());
  if (error == 0) return;
  if (error == ESRCH) throw has_ended(node);
  int scope = 0;
  std::ifstream("/proc/sys/kernel/yama/ptrace_scope") >> scope;
  throw Failure(ExitCode::permission,
                fmt::format("the kernel does not let you attach to {}: {}; {}", title(node), std::strerror(error),
                            scope > 0 ? fmt::format("/proc/sys/kernel/yama/ptrace_scope is {}: use sudo, or have an administrator set it to 0", scope)
                                      : "use sudo, or be the user that it runs as; a container needs the capability SYS_PTRACE"));
}

std::vector<std::string> command(const std::string& program, int os_pid, bool batch) {
  std::vector<std::string> words = {program, "-p", std::to_string(os_pid)};
  // By this signal the broker interrupts system calls of one that is to end.
  words.insert(words.end(), {"-ex", "handle SIGURG nostop noprint pass"});
  if (batch) words.insert(words.end(), {"-batch", "-ex", "set pagination off", "-ex", "thread apply all backtrace"});
  return words;
}

std::string json_of(const Node& node, const std::vector<std::string>& words) {
  JsonWriter json;
  json.begin_object().field("verb", "gdb").field("name", name_of(node)).field("pid", to_string(Pid(node.getPid())));
  json.field("os_pid", node.getOsPid()).key("command").begin_array();
  for (const auto& word : words) json.value(word);
  json.end_array().end_object();
  return json.take() + '\n';
}

}  // namespace

std::string gdb(const Context& context, const std::string& name, const std::string& program, bool batch) {
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  const Node node = nodes.find(name);
  if (wire::is_supervisor(node)) throw Failure(ExitCode::request_failed, title(node) + " is a supervisor and has no process: it lives in the broker");
  if (node.getPid() == 0 || node.getOsPid() <= 0) throw not_running(node);
  const std::vector<std::string> words = command(debugger(program), node.getOsPid(), batch);
  const PidFd process(node.getOsPid());
  const Nodes again = broker.nodes();
  if (!process.lives() || again.name_of(Pid(node.getPid())) != name_of(node)) throw has_ended(node);
  check_traceable(node);
  if (context.json) return json_of(node, words);

  if (node.getWatchdogNs() > 0)
    std::cerr << fmt::format("muctl: its watchdog ({}) waits as long as a debugger is attached\n", short_duration(std::chrono::nanoseconds(node.getWatchdogNs())));
  if (!batch) std::cerr << fmt::format("muctl: {} stands still while you look; who sends to it waits when its channels are full\n", title(node));
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  if (!process.lives()) throw has_ended(node);
  ::execv(argv[0], argv.data());
  throw Failure(ExitCode::request_failed, fmt::format("{}: {}", words[0], std::strerror(errno)));
}

}  // namespace muproc::tools
