#include "tools/common/broker_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <unordered_set>

#include "sys/proc.hpp"
#include "tools/common/failure.hpp"

namespace muproc::tools {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view k_segment = "/memfd:muproc:";
constexpr std::string_view k_directory = "/memfd:muproc-directory ";

/// Calls `each` with the number and the target of every descriptor of the process. False when they cannot be read.
template <class Each>
bool for_each_fd(int os_pid, Each&& each) {
  std::error_code failure;
  const fs::path fds = fmt::format("/proc/{}/fd", os_pid);
  for (fs::directory_iterator at(fds, failure), end; !failure && at != end; at.increment(failure)) {
    std::error_code gone;
    const fs::path target = fs::read_symlink(at->path(), gone);
    if (!gone) each(at->path(), target.native());
  }
  return !failure;
}

/// Opened anew, so the descriptor is ours and read-only.
sys::UniqueFd open_read_only(const fs::path& path) { return sys::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); }

bool is_sealed(int memfd) {
  const int seals = ::fcntl(memfd, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

}  // namespace

int broker_in_lock(const fs::path& folder) {
  std::ifstream lock(folder / "lock");
  int os_pid = 0;
  return lock >> os_pid && os_pid > 0 ? os_pid : 0;
}

std::optional<Pid> owner_of_memfd(std::string_view target) {
  if (!target.starts_with(k_segment)) return std::nullopt;
  target.remove_prefix(k_segment.size());
  std::uint64_t parts[3];
  char before = '<';
  for (std::uint64_t& part : parts) {
    if (target.empty() || target.front() != before) return std::nullopt;
    target.remove_prefix(1);
    const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), part);
    if (error != std::errc()) return std::nullopt;
    target.remove_prefix(static_cast<std::size_t>(end - target.data()));
    before = '.';
  }
  if (target.empty() || target.front() != '>' || parts[0] > 0xffff || parts[1] > 0xffffff || parts[2] > 0xffffff)
    return std::nullopt;
  return Pid(static_cast<std::uint16_t>(parts[0]), static_cast<std::uint32_t>(parts[1]),
             static_cast<std::uint32_t>(parts[2]));
}

BrokerMemory::BrokerMemory(fs::path folder) : folder_(std::move(folder)) {
  const std::string name = folder_.filename().native();
  std::error_code failure;
  const fs::path lock = fs::canonical(folder_ / "lock", failure);
  if (failure == std::errc::permission_denied)
    throw Failure(ExitCode::permission,
                  fmt::format("system \"{}\": {}: {}; only its owner and root may look at it: try sudo", name,
                              folder_.native(), failure.message()));
  os_pid_ = failure ? 0 : broker_in_lock(folder_);
  if (os_pid_ == 0)
    throw Failure(ExitCode::no_system,
                  fmt::format("no system \"{}\" is running: there is no broker in {}", name, folder_.native()));
  try {
    pidfd_ = sys::open_pidfd(os_pid_);
  } catch (const std::exception&) {
    throw Failure(ExitCode::no_system, fmt::format("the broker of {} (process {}) is gone", name, os_pid_));
  }
  bool has_lock = false;
  const auto look = [&](const fs::path& fd, const std::string& target) {
    has_lock = has_lock || target == lock.native();
    if (target.starts_with(k_directory) && !directory_) directory_ = open_read_only(fd);
  };
  if (!for_each_fd(os_pid_, look)) {
    if (sys::has_ended(pidfd_.get()))
      throw Failure(ExitCode::no_system, fmt::format("the broker of {} (process {}) is gone", name, os_pid_));
    throw Failure(ExitCode::permission,
                  fmt::format("the broker of {} is process {}, which only its owner and root may look into: try sudo",
                              name, os_pid_));
  }
  if (!has_lock)
    throw Failure(ExitCode::no_system,
                  fmt::format("the broker of {} (process {}) is gone, and the number is another's", name, os_pid_));
  if (!directory_)
    throw Failure(ExitCode::no_system,
                  fmt::format("the broker of {} (process {}) has no directory yet", name, os_pid_));
}

BrokerState BrokerMemory::state() const {
  if (sys::has_ended(pidfd_.get())) return BrokerState::gone;
  const auto stat = sys::process_stat(os_pid_);
  if (!stat || stat->is_zombie()) return BrokerState::gone;
  return stat->state == 'T' || stat->state == 't' ? BrokerState::stopped : BrokerState::running;
}

std::unordered_map<Pid, sys::UniqueFd> BrokerMemory::segments(const std::vector<Pid>& wanted) const {
  const std::unordered_set<Pid> missing(wanted.begin(), wanted.end());
  std::unordered_map<Pid, sys::UniqueFd> found;
  for_each_fd(os_pid_, [&](const fs::path& fd, const std::string& target) {
    const auto owner = owner_of_memfd(target);
    if (!owner || !missing.contains(*owner) || found.contains(*owner)) return;
    sys::UniqueFd memfd = open_read_only(fd);
    // The number may lead to another file by now: what counts is what was opened.
    std::error_code gone;
    const std::string opened =
        memfd ? fs::read_symlink(fmt::format("/proc/self/fd/{}", memfd.get()), gone).native() : std::string();
    if (owner_of_memfd(opened) == owner && is_sealed(memfd.get())) found.emplace(*owner, std::move(memfd));
  });
  return found;
}

}  // namespace muproc::tools
