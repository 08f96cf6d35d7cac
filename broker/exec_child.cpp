#include "broker/exec_child.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

#include <muproc/detail/names.hpp>

#include "sys/process.hpp"
#include "wire/codec.hpp"

extern char** environ;

namespace muproc::broker {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const auto& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

/// Ours, then what the spec adds or replaces.
std::map<std::string, std::string> merged_environment(wire::ExecSpec::Reader spec) {
  std::map<std::string, std::string> merged;
  for (char** entry = environ; entry && *entry; ++entry)
    if (const char* equals = std::strchr(*entry, '=')) merged[std::string(static_cast<const char*>(*entry), equals)] = equals + 1;
  for (auto variable : spec.getEnv()) merged[wire::string(variable.getName())] = wire::string(variable.getValue());
  merged.erase(detail::k_control_fd_variable);
  return merged;
}

/// Where the broker's own program lies: the seed is a fork of it.
std::string own_directory() {
  char path[4096];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  return size > 0 ? std::string(path, static_cast<std::size_t>(std::string_view(path, static_cast<std::size_t>(size)).rfind('/'))) : ".";
}

/// A name without a slash is looked for in the child's PATH, as execvp does, and then beside the broker's own program.
std::string find_program(const std::string& name, const std::map<std::string, std::string>& environment) {
  if (name.find('/') != name.npos) return name;
  const auto path = environment.find("PATH");
  const std::string places =
      (path == environment.end() ? "/usr/local/bin:/usr/bin:/bin" : path->second) + ":" + own_directory();
  for (std::size_t begin = 0; begin <= places.size();) {
    const std::size_t end = std::min(places.find(':', begin), places.size());
    const std::string candidate = (end == begin ? "." : places.substr(begin, end - begin)) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return name;  // the exec says what is wrong
}

rlimit both(std::uint64_t value) { return {value, value}; }

}  // namespace

std::string to_string(const ExecFailure& failure, const std::string& program, const std::string& cwd) {
  const auto what = [&]() -> std::string {
    switch (failure.step) {
      case ExecFailure::Step::chdir: return "chdir " + cwd;
      case ExecFailure::Step::file_limit: return "setrlimit RLIMIT_NOFILE for " + program;
      case ExecFailure::Step::memory_limit: return "setrlimit RLIMIT_DATA for " + program;
      case ExecFailure::Step::core_limit: return "setrlimit RLIMIT_CORE for " + program;
      case ExecFailure::Step::cpus: return "sched_setaffinity for " + program;
      case ExecFailure::Step::nice: return "setpriority for " + program;
      case ExecFailure::Step::oom_score_adj: return "write /proc/self/oom_score_adj for " + program;
      case ExecFailure::Step::exec: return "exec " + program;
    }
    return program;
  };
  return what() + ": " + std::strerror(failure.error);
}

ExecChild::ExecChild(wire::ExecSpec::Reader spec, int status, int control, rlimit files)
    : cwd_(wire::string(spec.getCwd())), status_(status), control_(control), plain_(spec.getPlain()), files_(files) {
  for (auto argument : spec.getArgv()) arguments_.push_back(wire::string(argument));
  auto environment = merged_environment(spec);
  if (!arguments_.empty()) program_ = find_program(arguments_[0], environment);
  if (control >= 0) environment[detail::k_control_fd_variable] = std::to_string(control);
  for (const auto& [name, value] : environment) environment_.push_back(name + "=" + value);
  argv_ = pointers(arguments_);
  envp_ = pointers(environment_);

  const auto limits = spec.getLimits();
  if (limits.getFiles()) files_ = both(limits.getFiles());
  if ((has_memory_ = limits.getMemory() != 0)) memory_ = both(limits.getMemory());
  if ((has_core_ = limits.getHasCore())) core_ = both(limits.getCore());
  if ((has_nice_ = limits.getHasNice())) nice_ = limits.getNice();
  if ((has_umask_ = limits.getHasUmask())) umask_ = limits.getUmask();
  if (limits.getHasOomScoreAdj()) oom_score_adj_ = std::to_string(limits.getOomScoreAdj());
  CPU_ZERO(&cpus_);
  for (const auto cpu : limits.getCpus())
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &cpus_);
  has_cpus_ = limits.getCpus().size() != 0;
}

// ---- in the clone: async-signal-safe calls only ----------------------------------------------------------------------

void ExecChild::fail(ExecFailure::Step step) const noexcept {
  const ExecFailure failure{step, errno};
  [[maybe_unused]] const ssize_t written = ::write(status_, &failure, sizeof failure);
  ::_exit(127);
}

void ExecChild::apply_limits() const noexcept {
  using Step = ExecFailure::Step;
  if (::setrlimit(RLIMIT_NOFILE, &files_) != 0) fail(Step::file_limit);
  if (has_memory_ && ::setrlimit(RLIMIT_DATA, &memory_) != 0) fail(Step::memory_limit);
  if (has_core_ && ::setrlimit(RLIMIT_CORE, &core_) != 0) fail(Step::core_limit);
  if (has_cpus_ && ::sched_setaffinity(0, sizeof cpus_, &cpus_) != 0) fail(Step::cpus);
  if (has_nice_ && ::setpriority(PRIO_PROCESS, 0, nice_) != 0) fail(Step::nice);
  if (!oom_score_adj_.empty()) {
    const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0 || ::write(file, oom_score_adj_.data(), oom_score_adj_.size()) < 0) fail(Step::oom_score_adj);
    ::close(file);
  }
  if (has_umask_) ::umask(umask_);
}

void ExecChild::run(int broker) const noexcept {
  ::setpgid(0, 0);
  sys::set_parent_death_signal(plain_ ? SIGTERM : SIGKILL);
  if (::getppid() != broker) ::_exit(127);  // the broker died before the signal was set
  apply_limits();
  if (!cwd_.empty() && ::chdir(cwd_.c_str()) != 0) fail(ExecFailure::Step::chdir);
  if (control_ >= 0) ::fcntl(control_, F_SETFD, 0);
  ::execve(program_.c_str(), argv_.data(), envp_.data());
  fail(ExecFailure::Step::exec);
}

}  // namespace muproc::broker
