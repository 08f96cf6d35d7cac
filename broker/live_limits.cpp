#include "broker/live_limits.hpp"

#include <sched.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace muproc::broker {
namespace {

/// For each thread: Linux holds these per thread.
template <class Call>
bool for_each_thread(int os_pid, Call&& call) {
  std::error_code gone;
  bool all = true;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(os_pid) + "/task", gone))
    all &= call(std::stoi(task.path().filename().string())) || errno == ESRCH;
  return all && !gone;
}

}  // namespace

std::string apply_to(int os_pid, const sys::ProcessSettings& settings) {
  std::string failures;
  const auto failed = [&](const std::string& what) { failures += (failures.empty() ? "" : "; ") + what + ": " + std::strerror(errno); };
  for (const auto& limit : settings.limits)
    if (::prlimit(os_pid, static_cast<__rlimit_resource>(limit.resource), &limit.value, nullptr) != 0)
      failed(std::string("prlimit ") + sys::resource_name(limit.resource));
  if (settings.cpus && !for_each_thread(os_pid, [&](int id) { return ::sched_setaffinity(id, sizeof *settings.cpus, &*settings.cpus) == 0; }))
    failed("sched_setaffinity");
  if (settings.nice && !for_each_thread(os_pid, [&](int id) { return ::setpriority(PRIO_PROCESS, static_cast<id_t>(id), *settings.nice) == 0; }))
    failed("setpriority");
  if (!settings.oom_score_adj.empty()) {
    std::ofstream file("/proc/" + std::to_string(os_pid) + "/oom_score_adj");
    if (!(file << settings.oom_score_adj << std::flush)) failed("write oom_score_adj");
  }
  return failures;
}

}  // namespace muproc::broker
