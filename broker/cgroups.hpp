// The broker's control groups: one for each child, where the kernel gives us a part of its hierarchy (cgroups(7)).
//
//     GROUP                      given to us ("delegated"): by systemd's Delegate=yes, a container, `[system] cgroup`
//     └── muproc.SYSTEM.1a2b3c4d     ours; the number is made of the system's folder
//         ├── broker                 ourselves, with seed, zygotes and logger
//         ├── ch-1.1                 a child, by its name and a running number
//         └── ch-2.2
//
// A child is cloned in its group, so all that it forks is there, too, whatever it does to its environment or its session:
// at its end the group is killed and removed (descendants.hpp), and whose an orphan is can be read from its group. Where
// the memory controller is given as well, a child's group holds it to its `limits.memory`; else RLIMIT_DATA does.
//
// A group that gives controllers to those below it has no members itself. So we move into `broker`, before anything is
// forked, when there is a memory controller; else we stay where we are.
//
// Nothing of this is there unless all of it works: that is tried out at the beginning. If we die at any line, the seed and
// the zygotes end who is left and remove the groups (`end_groups`); what they cannot remove, since they live in it,
// the next broker of this system does, whose lock says that it is alone.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <muproc/bytes.hpp>
#include <muproc/pid.hpp>

#include "sys/cgroup.hpp"

namespace muproc::broker {

class Cgroups;

/// A child's group, which goes with it.
class Cgroup {
 public:
  Cgroup(Cgroups& all, std::string name);
  /// Removes it, unless somebody still lives in it.
  ~Cgroup();
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  const std::string& folder() const { return folder_; }
  /// Whose it is, from now on.
  void belongs_to(Pid owner);
  /// Holds all in it together to so much memory. Empty, or what went wrong: then it holds them to nothing.
  std::string limit_memory(Bytes most);
  /// Whether a limit would be, or is, this group's affair.
  bool holds_memory() const { return holds_memory_; }
  bool has_run_out_of_memory() const { return holds_memory_ && sys::oom_kills_in(folder_) > 0; }
  void kill() noexcept { sys::kill_cgroup(folder_); }
  /// False while somebody in it lives.
  bool remove() noexcept;

 private:
  Cgroups& all_;
  std::string name_, folder_;
  bool holds_memory_;
};

class Cgroups {
 public:
  /// `wish` is `[system] cgroup`: "auto", "none", or a folder; empty: $MUPROC_CGROUP, else "auto". Moves this process when
  /// it has to. Does not throw when it cannot be: `report` says why.
  Cgroups(const std::string& wish, const std::string& system, const std::filesystem::path& system_folder);
  /// Kills who is left, removes the groups, and moves this process back.
  ~Cgroups();
  Cgroups(const Cgroups&) = delete;
  Cgroups& operator=(const Cgroups&) = delete;

  bool is_in_use() const { return !folder_.empty(); }
  /// The group of this system; empty: groups are not used.
  const std::string& folder() const { return folder_; }
  bool holds_memory() const { return holds_memory_; }

  /// What is used, or why nothing is.
  const std::string& report() const { return report_; }
  /// It is not as somebody has asked for it.
  bool is_disappointing() const { return is_disappointing_; }

  /// A group for the next child of that name; null when groups are not used. Throws std::system_error.
  std::shared_ptr<Cgroup> make(const std::string& child);
  /// Sends SIGKILL to all who are in groups of children.
  void kill_all() noexcept;
  /// Whose group that process is in; nil: none of ours.
  Pid owner_of(int os_pid) const;

 private:
  friend class Cgroup;
  void use(const std::string& base, bool is_own_group);
  void give_memory(const std::string& base, bool is_own_group);
  void try_out();

  std::string folder_, group_;  // the system's: where it is seen, and as /proc says it
  bool holds_memory_ = false, is_disappointing_ = false;
  std::string report_;
  std::uint64_t last_ = 0;
  std::unordered_map<std::string, Pid> owners_;  // by the names of groups
  std::vector<std::string> left_;                // groups of the past in which somebody has still to end
};

/// Whether that one's memory is its group's affair.
inline bool holds_memory(const std::shared_ptr<Cgroup>& cgroup) { return cgroup && cgroup->holds_memory(); }

/// "muproc.NAME.1a2b3c4d": never another system's.
std::string system_group_name(const std::string& system, const std::filesystem::path& system_folder);
/// "ch-1.17": a file's name, whatever the child's name is.
std::string child_group_name(const std::string& child, std::uint64_t number);

/// Ends all who are left in the groups of a system, and removes as many of them as it can, the caller's own among them.
void end_groups(const std::string& system_group) noexcept;
/// Removes what it can without ending anybody.
void leave_groups(const std::string& system_group) noexcept;

}  // namespace muproc::broker
