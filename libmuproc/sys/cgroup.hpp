// Control groups of the unified hierarchy (version 2, cgroups(7)): the kernel's folders of processes.
//
// A group is a folder. Whoever is cloned in it stays in it, whatever it does to its parents, its session and its
// environment, so a group can be asked for all that has come from somebody, and be ended whole. It is removed like an
// empty folder, as soon as nobody in it lives: zombies do not count.
//
// Everything here takes a folder's path and does one thing, once: who must wait or try again does so elsewhere. What a
// file says is read here and nowhere else, so tests put folders of ordinary files in a group's place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sys/fd.hpp"

namespace muproc::sys {

/// A place where (a part of) the hierarchy is mounted.
struct CgroupMount {
  std::string root;    // what of the hierarchy is seen there: "/" is all
  std::string folder;  // where
  friend bool operator==(const CgroupMount&, const CgroupMount&) = default;
};

/// What the text of /proc/PID/cgroup says of the unified hierarchy: "/a/b", also of a group that is removed. Nothing
/// when the process is in none.
std::optional<std::string> unified_group(std::string_view proc_cgroup);
/// Likewise of a process; nothing when it has gone.
std::optional<std::string> unified_group_of(int os_pid);
/// The unified hierarchy's mounts in the text of /proc/PID/mountinfo.
std::vector<CgroupMount> cgroup_mounts(std::string_view mountinfo);
/// Where a group of the hierarchy can be seen, and which group a folder is. Nothing when it is nowhere.
std::optional<std::string> folder_of_group(std::string_view group, const std::vector<CgroupMount>& mounts);
std::optional<std::string> group_of_folder(std::string_view folder, const std::vector<CgroupMount>& mounts);
/// /proc/self/mountinfo's.
std::vector<CgroupMount> cgroup_mounts();

/// Of the unified hierarchy's file system, not a folder like any other.
bool is_cgroup(const std::string& folder) noexcept;
/// The hierarchy's very root, which is the whole machine's. (What a container sees as its root is not.)
bool is_root_cgroup(const std::string& folder) noexcept;
/// We may make groups in it, and put processes into it.
bool is_writable_cgroup(const std::string& folder) noexcept;
/// It was given to us: it is our own, of a user who is not root; or whoever made it has said so, as systemd does with
/// Delegate=yes; or it is what this container has for its root.
bool is_delegated(const std::string& folder, std::string_view group);

/// Whether the groups below can have that controller ("memory").
bool has_controller(const std::string& folder, std::string_view controller);
/// Whether they have it.
bool gives_controller(const std::string& folder, std::string_view controller);
/// Writes one of its files: 0, or errno.
int write_to_cgroup(const std::string& folder, const char* file, std::string_view text) noexcept;

/// For clones that begin there (`clone_sibling`). Throws std::system_error.
UniqueFd open_cgroup(const std::string& folder);

/// Sends SIGKILL to all who are in it, or in groups below it. Those who are being forked at this moment may be missed
/// where the kernel has no cgroup.kill: call it again until nobody is left.
void kill_cgroup(const std::string& folder) noexcept;
/// Removes it, with the groups below it. False while somebody in it lives.
bool remove_cgroup(const std::string& folder) noexcept;
/// The groups below it, by their names.
std::vector<std::string> groups_in(const std::string& folder);

/// How often the kernel has killed somebody in it since memory had run out, there or in a group above.
std::uint64_t oom_kills_in(const std::string& folder);

}  // namespace muproc::sys
