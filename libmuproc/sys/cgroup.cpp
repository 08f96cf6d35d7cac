#include "sys/cgroup.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sys/error.hpp"

namespace muproc::sys {
namespace fs = std::filesystem;
namespace {

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(at, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool lists(const std::string& file, std::string_view word) {
  const std::string text = text_of(file);
  for (const auto line : split(text, '\n'))
    for (const auto one : split(line, ' '))
      if (one == word) return true;
  return false;
}

/// mountinfo's "\040" for a space and so on.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto is_octal = [&](std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && is_octal(i + 1) && is_octal(i + 2) && is_octal(i + 3)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// What follows `top` in a path below it, without a slash in front; nothing when it is elsewhere.
std::optional<std::string_view> below(std::string_view path, std::string_view top) {
  if (top == "/") top = {};
  if (!path.starts_with(top)) return std::nullopt;
  path.remove_prefix(top.size());
  if (path.empty()) return path;
  if (path.front() != '/') return std::nullopt;
  return path.substr(1);
}

std::string joined(std::string_view top, std::string_view rest) {
  std::string path(top == "/" ? "" : top);
  if (!rest.empty()) path.append("/").append(rest);
  return path.empty() ? "/" : path;
}

bool says_yes(const std::string& folder, const char* attribute) {
  char value[8];
  const ssize_t size = ::getxattr(folder.c_str(), attribute, value, sizeof value);
  return size == 1 && value[0] == '1';
}

/// In a pidfd's guard: the number may have become another process's since it was listed.
void kill_member(int os_pid, const std::string& folder) {
  try {
    const UniqueFd pidfd = open_pidfd(os_pid);
    if (lists(folder + "/cgroup.procs", std::to_string(os_pid))) send_signal(pidfd.get(), SIGKILL);
  } catch (const std::exception&) {
    // gone
  }
}

void kill_members(const std::string& folder) {
  const std::string members = text_of(folder + "/cgroup.procs");
  for (const auto line : split(members, '\n')) {
    int os_pid = 0;
    std::from_chars(line.data(), line.data() + line.size(), os_pid);
    if (os_pid > 1) kill_member(os_pid, folder);
  }
  for (const std::string& group : groups_in(folder)) kill_members(folder + '/' + group);
}

}  // namespace

// ---- where groups are ------------------------------------------------------------------------------------------------

std::optional<std::string> unified_group(std::string_view proc_cgroup) {
  for (std::string_view line : split(proc_cgroup, '\n')) {
    if (!line.starts_with("0::/")) continue;
    line.remove_prefix(3);
    constexpr std::string_view k_removed = " (deleted)";
    if (line.ends_with(k_removed)) line.remove_suffix(k_removed.size());
    return std::string(line);
  }
  return std::nullopt;
}

std::optional<std::string> unified_group_of(int os_pid) {
  return unified_group(text_of("/proc/" + std::to_string(os_pid) + "/cgroup"));
}

std::vector<CgroupMount> cgroup_mounts(std::string_view mountinfo) {
  std::vector<CgroupMount> mounts;
  for (const auto line : split(mountinfo, '\n')) {
    // 41 31 0:38 ROOT FOLDER OPTIONS [more …] - cgroup2 …
    const auto fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 6 || fields.end() - dash < 2 || dash[1] != "cgroup2") continue;
    mounts.push_back({unescaped(fields[3]), unescaped(fields[4])});
  }
  return mounts;
}

std::vector<CgroupMount> cgroup_mounts() { return cgroup_mounts(text_of("/proc/self/mountinfo")); }

std::optional<std::string> folder_of_group(std::string_view group, const std::vector<CgroupMount>& mounts) {
  for (const CgroupMount& mount : mounts)
    if (const auto rest = below(group, mount.root); rest) return joined(mount.folder, *rest);
  return std::nullopt;
}

std::optional<std::string> group_of_folder(std::string_view folder, const std::vector<CgroupMount>& mounts) {
  for (const CgroupMount& mount : mounts)
    if (const auto rest = below(folder, mount.folder); rest) return joined(mount.root, *rest);
  return std::nullopt;
}

bool is_cgroup(const std::string& folder) noexcept {
  struct statfs status {};
  return ::statfs(folder.c_str(), &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

bool is_root_cgroup(const std::string& folder) noexcept { return ::access((folder + "/cgroup.type").c_str(), F_OK) != 0; }

bool is_writable_cgroup(const std::string& folder) noexcept {
  return ::access(folder.c_str(), W_OK | X_OK) == 0 && ::access((folder + "/cgroup.procs").c_str(), W_OK) == 0;
}

bool is_delegated(const std::string& folder, std::string_view group) {
  if (is_root_cgroup(folder)) return false;
  if (group == "/" || says_yes(folder, "user.delegate") || says_yes(folder, "trusted.delegate")) return true;
  struct stat status {};
  return ::geteuid() != 0 && ::stat(folder.c_str(), &status) == 0 && status.st_uid == ::geteuid();
}

// ---- what they say, and are told -------------------------------------------------------------------------------------

bool has_controller(const std::string& folder, std::string_view controller) { return lists(folder + "/cgroup.controllers", controller); }
bool gives_controller(const std::string& folder, std::string_view controller) { return lists(folder + "/cgroup.subtree_control", controller); }

int write_to_cgroup(const std::string& folder, const char* file, std::string_view text) noexcept {
  const UniqueFd out(::open((folder + '/' + file).c_str(), O_WRONLY | O_CLOEXEC));
  if (!out) return errno;
  return ::write(out.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

UniqueFd open_cgroup(const std::string& folder) {
  return UniqueFd(check(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC), "open", folder));
}

void kill_cgroup(const std::string& folder) noexcept {
  if (write_to_cgroup(folder, "cgroup.kill", "1") == 0) return;
  try {
    kill_members(folder);
  } catch (const std::exception&) {
    // no memory: the next call may have some
  }
}

bool remove_cgroup(const std::string& folder) noexcept {
  if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) return true;
  try {
    for (const std::string& group : groups_in(folder)) remove_cgroup(folder + '/' + group);
  } catch (const std::exception&) {
    return false;
  }
  return ::rmdir(folder.c_str()) == 0 || errno == ENOENT;
}

std::vector<std::string> groups_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code gone;
  for (fs::directory_iterator at(folder, gone), end; !gone && at != end; at.increment(gone))
    if (at->is_directory(gone)) names.push_back(at->path().filename());
  return names;
}

std::uint64_t oom_kills_in(const std::string& folder) {
  const std::string text = text_of(folder + "/memory.events");
  for (const auto line : split(text, '\n')) {
    constexpr std::string_view k_key = "oom_kill ";
    std::uint64_t count = 0;
    if (line.starts_with(k_key) && std::from_chars(line.data() + k_key.size(), line.data() + line.size(), count).ec == std::errc()) return count;
  }
  return 0;
}

}  // namespace muproc::sys
