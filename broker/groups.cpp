#include "broker/groups.hpp"

#include <algorithm>

namespace muproc::broker {
namespace {

auto find_member(std::vector<shm::GroupMember>& members, Pid pid) {
  return std::find_if(members.begin(), members.end(), [&](const auto& member) { return member.pid == pid.bits(); });
}

}  // namespace

std::string Groups::why_no_name(std::string_view name) {
  if (name.empty()) return "a group needs a name";
  if (name.size() >= shm::k_name_size)
    return "a group's name has at most " + std::to_string(shm::k_name_size - 1) + " characters";
  if (name.find('\0') != name.npos) return "a group's name has no NUL in it";
  return {};
}

void Groups::join(const std::string& group, Pid pid) {
  ++joined_[pid][group];
  auto& members = members_[group];
  const auto member = find_member(members, pid);
  member == members.end() ? members.push_back({pid.bits(), 1}) : void(++member->joins);
}

bool Groups::leave(const std::string& group, Pid pid) {
  const auto its_groups = joined_.find(pid);
  if (its_groups == joined_.end() || !its_groups->second.contains(group)) return false;
  auto& members = members_.at(group);
  const auto member = find_member(members, pid);
  if (--member->joins == 0) members.erase(member);
  if (members.empty()) members_.erase(group);
  if (--its_groups->second.at(group) == 0) its_groups->second.erase(group);
  if (its_groups->second.empty()) joined_.erase(its_groups);
  return true;
}

std::vector<shm::GroupMember> Groups::members(const std::string& group) const {
  const auto found = members_.find(group);
  return found == members_.end() ? std::vector<shm::GroupMember>() : found->second;
}

bool Groups::monitor(Pid watcher, std::uint64_t ref, const std::string& group) {
  if (!monitors_.try_emplace({watcher, ref}, group).second) return false;
  watched_by_[group].emplace(watcher, ref);
  return true;
}

void Groups::demonitor(Pid watcher, std::uint64_t ref) {
  const auto monitor = monitors_.extract({watcher, ref});
  if (monitor.empty()) return;
  const auto watched = watched_by_.find(monitor.mapped());
  watched->second.erase({watcher, ref});
  if (watched->second.empty()) watched_by_.erase(watched);
}

std::vector<Groups::Watcher> Groups::watchers(const std::string& group) const {
  std::vector<Watcher> watchers;
  if (const auto found = watched_by_.find(group); found != watched_by_.end())
    for (const auto& [pid, ref] : found->second) watchers.push_back({pid, ref});
  return watchers;
}

std::vector<std::string> Groups::leave_all(Pid dead) {
  std::vector<std::string> changed;
  auto its_groups = joined_.extract(dead);
  if (its_groups.empty()) return changed;
  for (const auto& [group, times] : its_groups.mapped()) {
    auto& members = members_.at(group);
    members.erase(find_member(members, dead));
    if (members.empty()) members_.erase(group);
    departed_[dead].push_back({group, times});
    changed.push_back(group);
  }
  return changed;
}

std::vector<Groups::Left> Groups::end(Pid dead) {
  std::vector<std::uint64_t> refs;
  for (auto at = monitors_.lower_bound({dead, 0}); at != monitors_.end() && at->first.first == dead; ++at)
    refs.push_back(at->first.second);
  for (const std::uint64_t ref : refs) demonitor(dead, ref);
  const auto departed = departed_.extract(dead);
  return departed.empty() ? std::vector<Left>() : departed.mapped();
}

}  // namespace muproc::broker
