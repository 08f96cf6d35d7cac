#include "sys/settings.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

namespace muproc::sys {
namespace {

using Step = SettingsFailure::Step;

bool write_to(const char* path, const char* text, std::size_t size) noexcept {
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool is_written = ::write(file, text, size) == static_cast<ssize_t>(size);
  const int error = errno;
  ::close(file);
  errno = error;
  return is_written;
}

/// True when the kernel has these already: without a privilege it lets nobody set them, not even to what they are.
bool has_groups(const std::vector<gid_t>& wanted) noexcept {
  gid_t now[256];
  const long count = ::syscall(SYS_getgroups, 256, now);
  if (count < 0 || static_cast<std::size_t>(count) != wanted.size()) return false;
  return std::all_of(wanted.begin(), wanted.end(), [&](gid_t group) { return std::find(now, now + count, group) != now + count; });
}

/// The system calls themselves: glibc's functions want to tell all threads, of which there are none.
SettingsFailure become(const ProcessSettings::Identity& identity) noexcept {
  const auto [uid, gid, groups] = std::tie(identity.uid, identity.gid, identity.groups);
  const auto failed = [](Step step) { return SettingsFailure{step, 0, errno}; };
  if (!has_groups(groups) && ::syscall(SYS_setgroups, groups.size(), groups.data()) != 0) return failed(Step::groups);
  if (::syscall(SYS_setresgid, gid, gid, gid) != 0) return failed(Step::gid);
  if (::syscall(SYS_setresuid, uid, uid, uid) != 0) return failed(Step::uid);
  ::prctl(PR_SET_DUMPABLE, 1);  // as after an exec: its core can be dumped, its own user may look into it
  return {};
}

SettingsFailure confine(const Confinement& confinement) noexcept {
  std::size_t path = 0;
  const auto failed = [&](Step step) { return SettingsFailure{step, static_cast<std::int32_t>(path), errno}; };
  if (!take_no_new_privileges()) return failed(Step::no_new_privileges);
  switch (hold_files(confinement, path)) {
    case FilesHeld::yes:
    case FilesHeld::kernel_cannot: break;
    case FilesHeld::path_failed: return failed(Step::writable);
    case FilesHeld::failed: return failed(Step::landlock);
  }
  if (!install_filter(confinement)) return failed(Step::filter);
  return {};
}

}  // namespace

void ProcessSettings::limit(int resource, rlimit value) {
  std::erase_if(limits, [&](const Limit& other) { return other.resource == resource; });
  limits.push_back({resource, value});
}

SettingsFailure apply(const ProcessSettings& settings) noexcept {
  const auto failed = [](Step step, int resource = 0) { return SettingsFailure{step, resource, errno}; };
  for (const auto& limit : settings.limits)
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &limit.value) != 0) return failed(Step::limit, limit.resource);
  if (settings.cpus && ::sched_setaffinity(0, sizeof *settings.cpus, &*settings.cpus) != 0) return failed(Step::cpus);
  if (settings.nice && ::setpriority(PRIO_PROCESS, 0, *settings.nice) != 0) return failed(Step::nice);
  const std::string& oom = settings.oom_score_adj;
  if (!oom.empty() && !write_to("/proc/self/oom_score_adj", oom.data(), oom.size())) return failed(Step::oom_score_adj);
  if (settings.umask) ::umask(*settings.umask);
  if (settings.identity)
    if (const auto failure = become(*settings.identity)) return failure;
  if (!settings.cwd.empty() && ::chdir(settings.cwd.c_str()) != 0) return failed(Step::chdir);
  if (settings.confinement) return confine(*settings.confinement);
  return {};
}

const char* resource_name(int resource) noexcept {
  switch (resource) {
    case RLIMIT_NOFILE: return "RLIMIT_NOFILE";
    case RLIMIT_DATA: return "RLIMIT_DATA";
    case RLIMIT_CORE: return "RLIMIT_CORE";
    case RLIMIT_NPROC: return "RLIMIT_NPROC";
    case RLIMIT_STACK: return "RLIMIT_STACK";
    case RLIMIT_MEMLOCK: return "RLIMIT_MEMLOCK";
    case RLIMIT_FSIZE: return "RLIMIT_FSIZE";
    case RLIMIT_CPU: return "RLIMIT_CPU";
    case RLIMIT_RTPRIO: return "RLIMIT_RTPRIO";
    default: return "of an unknown resource";
  }
}

namespace {
std::string writable_path(const ProcessSettings& settings, std::int32_t index) {
  const bool is_known = settings.confinement && index >= 0 && static_cast<std::size_t>(index) < settings.confinement->writable.size();
  return is_known ? settings.confinement->writable[static_cast<std::size_t>(index)] : std::string("a writable path");
}
}  // namespace

std::string to_string(const SettingsFailure& failure, const ProcessSettings& settings) {
  const auto what = [&]() -> std::string {
    switch (failure.step) {
      case Step::none: return "nothing";
      case Step::limit: return std::string("setrlimit ") + resource_name(failure.resource);
      case Step::cpus: return "sched_setaffinity";
      case Step::nice: return "setpriority";
      case Step::oom_score_adj: return "write /proc/self/oom_score_adj";
      case Step::groups: return "setgroups";
      case Step::gid: return "setgid";
      case Step::uid: return "setuid";
      case Step::chdir: return "chdir " + settings.cwd;
      case Step::no_new_privileges: return "prctl PR_SET_NO_NEW_PRIVS";
      case Step::landlock: return "Landlock";
      case Step::writable: return "open " + writable_path(settings, failure.resource);
      case Step::filter: return "seccomp";
    }
    return "an unknown step";
  };
  return what() + ": " + std::strerror(failure.error);
}

}  // namespace muproc::sys
