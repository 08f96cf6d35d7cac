#include "broker/exec_child.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

#include <muproc/detail/names.hpp>

#include "sys/process.hpp"
#include "wire/codec.hpp"
#include "wire/settings.hpp"

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

}  // namespace

std::string to_string(const ExecFailure& failure, const std::string& program, const sys::ProcessSettings& settings) {
  if (failure.settings) return to_string(failure.settings, settings);
  return "exec " + program + ": " + std::strerror(failure.exec_error);
}

ExecChild::ExecChild(wire::ExecSpec::Reader spec, Descriptors fds, rlimit files)
    : fds_(fds), plain_(spec.getPlain()) {
  for (auto argument : spec.getArgv()) arguments_.push_back(wire::string(argument));
  auto environment = merged_environment(spec);
  if (!arguments_.empty()) program_ = find_program(arguments_[0], environment);
  if (fds.control >= 0) environment[detail::k_control_fd_variable] = std::to_string(fds.control);
  for (const auto& [name, value] : environment) environment_.push_back(name + "=" + value);
  argv_ = pointers(arguments_);
  envp_ = pointers(environment_);
  settings_ = wire::settings_of(spec.getLimits(), spec.getCwd());
  if (spec.getLimits().getFiles() == 0) settings_.limit(RLIMIT_NOFILE, files);
}

// ---- in the clone: async-signal-safe calls only ----------------------------------------------------------------------

void ExecChild::fail(const ExecFailure& failure) const noexcept {
  [[maybe_unused]] const ssize_t written = ::write(fds_.status, &failure, sizeof failure);
  ::_exit(127);
}

void ExecChild::die_with(int broker) const noexcept {
  sys::set_parent_death_signal(plain_ ? SIGTERM : SIGKILL);
  if (::getppid() != broker) ::_exit(127);  // the broker died before the signal was set
}

void ExecChild::run(int broker) const noexcept {
  ::setpgid(0, 0);
  die_with(broker);
  if (fds_.out >= 0) {
    ::dup2(fds_.out, STDOUT_FILENO);
    ::dup2(fds_.err, STDERR_FILENO);
  }
  if (const auto failure = sys::apply(settings_)) fail({failure, 0});
  if (settings_.identity) die_with(broker);  // the change of user has undone it
  if (fds_.control >= 0) ::fcntl(fds_.control, F_SETFD, 0);
  ::execve(program_.c_str(), argv_.data(), envp_.data());
  fail({{}, errno});
}

}  // namespace muproc::broker
