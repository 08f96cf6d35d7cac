#include "chaos/shortage.hpp"

#include <muproc/testing.hpp>

#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "sys/error.hpp"
#include "sys/proc.hpp"

namespace muproc::test {
namespace fs = std::filesystem;

Shortage::Shortage(pid_t os_pid, std::size_t left) : os_pid_(os_pid) {
  const auto open = descriptors_of(os_pid);
  rlim_t limit = 0;
  for (std::size_t room = 0;; ++limit) {
    if (open.contains(static_cast<int>(limit))) continue;
    if (room++ == left) break;
  }
  sys::check(::prlimit(os_pid, RLIMIT_NOFILE, nullptr, &former_), "prlimit RLIMIT_NOFILE");
  const rlimit scarce{limit, former_.rlim_max};
  sys::check(::prlimit(os_pid, RLIMIT_NOFILE, &scarce, nullptr), "prlimit RLIMIT_NOFILE");
}

void Shortage::end() noexcept {
  if (!is_over_) ::prlimit(os_pid_, RLIMIT_NOFILE, &former_, nullptr);  // or it has ended
  is_over_ = true;
}

std::set<int> descriptors_of(pid_t os_pid) {
  std::set<int> found;
  std::error_code gone;
  for (fs::directory_iterator at("/proc/" + std::to_string(os_pid) + "/fd", gone), end; !gone && at != end;
       at.increment(gone))
    found.insert(std::atoi(at->path().filename().c_str()));
  return found;
}

std::vector<pid_t> children_of(pid_t os_pid) {
  std::vector<pid_t> found;
  std::ifstream list("/proc/" + std::to_string(os_pid) + "/task/" + std::to_string(os_pid) + "/children");
  for (pid_t child; list >> child;) found.push_back(child);
  return found;
}

std::vector<pid_t> children_of(pid_t os_pid, const std::string& comm) {
  std::vector<pid_t> found;
  for (const pid_t child : children_of(os_pid)) {
    std::ifstream file("/proc/" + std::to_string(child) + "/comm");
    std::string its;
    if (std::getline(file, its) && its == comm) found.push_back(child);
  }
  return found;
}

std::size_t zombies_of(pid_t os_pid) {
  std::size_t count = 0;
  for (const pid_t child : children_of(os_pid))
    if (const auto stat = sys::process_stat(child); stat && stat->is_zombie()) ++count;
  return count;
}

}  // namespace muproc::test
