#include "broker/cgroups.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "shm/layout.hpp"
#include "sys/clock.hpp"
#include "sys/error.hpp"
#include "sys/process.hpp"

namespace muproc::broker {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;

constexpr const char* k_broker = "broker";
constexpr std::string_view k_memory = "memory";
// For who was killed to be gone. Who does not go by then waits for a device, and stays.
constexpr std::chrono::nanoseconds k_rmdir_patience = 2s;

[[noreturn]] void fail(const std::string& what, int error) { throw std::runtime_error(what + ": " + std::strerror(error)); }

void write_or_throw(const std::string& folder, const char* file, const std::string& text) {
  if (const int error = sys::write_to_cgroup(folder, file, text)) fail("write " + text + " to " + folder + '/' + file, error);
}

void make_group(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) sys::throw_errno("mkdir", folder);
}

/// The group that was given to us.
struct Base {
  std::string folder, group;
  bool is_own;  // we are in it
};

/// Throws what is in the way.
Base find_base(const std::string& wanted) {
  if (wanted == "none") throw std::runtime_error("none are wanted");
  const bool is_auto = wanted == "auto";
  const auto mounts = sys::cgroup_mounts();
  const auto own_group = sys::unified_group_of(::getpid());
  const std::string own = own_group ? sys::folder_of_group(*own_group, mounts).value_or("") : "";
  std::error_code missing;
  const std::string folder = is_auto ? own : fs::canonical(wanted, missing).native();
  if (folder.empty()) throw std::runtime_error(is_auto ? "we are in none of version 2" : wanted + ": " + missing.message());
  const auto group = sys::group_of_folder(folder, mounts);
  if (!group || !sys::is_cgroup(folder)) throw std::runtime_error(folder + " is no cgroup of version 2");
  if (is_auto && !sys::is_delegated(folder, *group)) throw std::runtime_error(folder + " is not delegated to us");
  if (!sys::is_writable_cgroup(folder)) throw std::runtime_error(folder + " is not writable");
  return {folder, *group, own == folder};
}

enum class With { all, all_but_the_broker };

/// Ends who is in the groups below, and removes them.
void empty_group(const std::string& system_group, With whom) {
  const auto until = sys::monotonic() + k_rmdir_patience;
  for (;;) {
    bool is_empty = true;
    for (const std::string& name : sys::groups_in(system_group)) {
      const std::string folder = system_group + '/' + name;
      if (name == k_broker && whom == With::all_but_the_broker) continue;
      if (sys::remove_cgroup(folder)) continue;
      sys::kill_cgroup(folder);
      is_empty = false;
    }
    if (is_empty || sys::monotonic() >= until) return;
    std::this_thread::sleep_for(200us);
  }
}

/// Back to the group above, if the kernel lets us: it does when that gives no controllers any more.
void leave(const std::string& system_group) {
  const std::string base = fs::path(system_group).parent_path();
  const std::string own = system_group + '/' + k_broker;
  sys::write_to_cgroup(system_group, "cgroup.subtree_control", "-memory");
  if (::access(own.c_str(), F_OK) == 0 && !sys::remove_cgroup(own)) {
    sys::write_to_cgroup(base, "cgroup.subtree_control", "-memory");  // refused while another system has it from there
    sys::write_to_cgroup(base, "cgroup.procs", std::to_string(::getpid()));
  }
  sys::remove_cgroup(system_group);
}

/// In the group itself: what a clone may find in its way there (rights, a kernel that is too old) it finds here.
void clone_one(const std::string& folder) {
  const sys::UniqueFd group = sys::open_cgroup(folder);
  const int os_pid = sys::clone_unseen(group.get());
  if (os_pid == 0) ::_exit(0);
  if (os_pid < 0) fail("clone3 into " + folder, errno);
  while (::waitpid(os_pid, nullptr, __WALL) < 0 && errno == EINTR) {
  }
}

/// What can be part of a file's name on anybody's terminal.
std::string safe(std::string name) {
  const auto is_plain = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; };
  name.resize(std::min<std::size_t>(name.size(), 64));
  for (char& c : name)
    if (!is_plain(c)) c = '_';
  return name;
}

}  // namespace

std::string system_group_name(const std::string& system, const fs::path& system_folder) {
  const std::string& place = system_folder.native();
  return fmt::format("muproc.{}.{:08x}", safe(system), static_cast<std::uint32_t>(shm::name_hash(place.data(), place.size())));
}

std::string child_group_name(const std::string& child, std::uint64_t number) {
  return safe(child) + '.' + std::to_string(number);
}

void end_groups(const std::string& system_group) noexcept {
  if (system_group.empty()) return;
  try {
    empty_group(system_group, With::all_but_the_broker);
    leave(system_group);
  } catch (const std::exception&) {
    // The next broker does it.
  }
}

void leave_groups(const std::string& system_group) noexcept {
  if (system_group.empty()) return;
  try {
    leave(system_group);
  } catch (const std::exception&) {
    // The next broker does it.
  }
}

// ---- one ------------------------------------------------------------------------------------------------------------

Cgroup::Cgroup(Cgroups& all, std::string name)
    : all_(all), name_(std::move(name)), folder_(all.folder_ + '/' + name_), holds_memory_(all.holds_memory_) {
  sys::check(::mkdir(folder_.c_str(), 0755), "mkdir", folder_);
}

Cgroup::~Cgroup() {
  if (!remove()) all_.left_.push_back(folder_);
}

void Cgroup::belongs_to(Pid owner) { all_.owners_[name_] = owner; }

std::string Cgroup::limit_memory(Bytes most) {
  const bool is_unlimited = most.count == ~std::uint64_t{0};
  sys::write_to_cgroup(folder_, "memory.oom.group", "1");  // who runs out ends whole, and not a part of it
  const int error = sys::write_to_cgroup(folder_, "memory.max", is_unlimited ? "max" : std::to_string(most.count));
  holds_memory_ = error == 0;
  return error ? "write " + folder_ + "/memory.max: " + std::strerror(error) : std::string();
}

bool Cgroup::remove() noexcept {
  if (folder_.empty()) return true;
  if (!sys::remove_cgroup(folder_)) return false;
  all_.owners_.erase(name_);
  folder_.clear();
  return true;
}

// ---- all ------------------------------------------------------------------------------------------------------------

Cgroups::Cgroups(const std::string& wish, const std::string& system, const fs::path& system_folder) {
  const char* from_environment = std::getenv("MUPROC_CGROUP");
  const std::string wanted = !wish.empty() ? wish : from_environment && *from_environment ? from_environment : "auto";
  is_disappointing_ = wanted != "auto" && wanted != "none";
  try {
    const Base base = find_base(wanted);
    const std::string name = system_group_name(system, system_folder);
    group_ = (base.group == "/" ? "" : base.group) + '/' + name;
    folder_ = base.folder + '/' + name;
    use(base.folder, base.is_own);
    is_disappointing_ = false;
  } catch (const std::exception& failure) {
    report_ = std::string("no cgroups are used: ") + failure.what();
    holds_memory_ = false;
    leave_groups(std::exchange(folder_, {}));
  }
}

Cgroups::~Cgroups() { end_groups(folder_); }

void Cgroups::use(const std::string& base, bool is_own_group) {
  if (::access(folder_.c_str(), F_OK) == 0) {  // a predecessor's: our lock says that nobody of it has anything to do any more
    empty_group(folder_, With::all);
    sys::remove_cgroup(folder_);
  }
  make_group(folder_);
  report_ = "each muproc is in a cgroup of its own, in " + folder_;
  give_memory(base, is_own_group);
  try_out();
}

void Cgroups::give_memory(const std::string& base, bool is_own_group) {
  if (!sys::has_controller(base, k_memory)) {
    report_ += "; memory is limited by RLIMIT_DATA: there is no memory controller";
    return;
  }
  try {
    const std::string ours = folder_ + '/' + k_broker;
    if (is_own_group) {
      make_group(ours);
      write_or_throw(ours, "cgroup.procs", std::to_string(::getpid()));
    }
    if (!sys::gives_controller(base, k_memory)) write_or_throw(base, "cgroup.subtree_control", "+memory");
    write_or_throw(folder_, "cgroup.subtree_control", "+memory");
    holds_memory_ = true;
  } catch (const std::exception& failure) {
    leave(folder_);
    make_group(folder_);
    report_ += std::string("; memory is limited by RLIMIT_DATA: ") + failure.what();
  }
}

void Cgroups::try_out() {
  const std::string folder = folder_ + "/trial";
  make_group(folder);
  clone_one(folder);
  sys::remove_cgroup(folder);
}

std::shared_ptr<Cgroup> Cgroups::make(const std::string& child) {
  std::erase_if(left_, [](const std::string& folder) { return sys::remove_cgroup(folder); });
  return is_in_use() ? std::make_shared<Cgroup>(*this, child_group_name(child, ++last_)) : nullptr;
}

void Cgroups::kill_all() noexcept {
  if (!is_in_use()) return;
  try {
    for (const std::string& name : sys::groups_in(folder_))
      if (name != k_broker) sys::kill_cgroup(folder_ + '/' + name);
  } catch (const std::exception&) {
    // no memory: it is called again
  }
}

Pid Cgroups::owner_of(int os_pid) const {
  if (!is_in_use()) return {};
  const auto group = sys::unified_group_of(os_pid);
  if (!group || !group->starts_with(group_ + '/')) return {};
  const std::string rest = group->substr(group_.size() + 1);
  const auto owner = owners_.find(rest.substr(0, rest.find('/')));
  return owner == owners_.end() ? Pid() : owner->second;
}

}  // namespace muproc::broker
