// Who is in which process group: the part of the directory from which members are read without asking the broker.
//
// The broker writes a group's new list beside the current one and makes it current by one store; a reader takes the
// version, copies, and looks at the version again. It never waits for the broker: one that is stopped in the middle leaves
// the old list in place, whole. A group without members does not exist, and its entry may become another group's, whose
// versions go on counting; so who has kept a list together with its entry and version knows by one load whether it is
// still right.
//
// Lists lie in pairs of equal capacity, a power of two; a group that outgrows its pair gets one twice as large, and the
// former pair may be given to another group as soon as the version says that it is not this one's list any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shm/layout.hpp"

namespace muproc::shm {

class GroupTableView {
 public:
  /// `area`: the k_groups_size bytes at k_groups_offset of the directory.
  explicit GroupTableView(std::byte* area) : area_(area) {}

  /// What is known of a group: right for as long as `is_current` says so.
  struct Snapshot {
    std::uint32_t entry = 0;
    std::uint64_t version = 0;
    std::vector<GroupMember> members;
  };
  /// Nothing when there is no such group.
  std::optional<Snapshot> read(std::string_view name) const;
  bool is_current(const Snapshot& snapshot) const;
  std::vector<std::string> names() const;

 protected:
  GroupsHeader& header() const { return *reinterpret_cast<GroupsHeader*>(area_); }
  GroupEntry& entry(std::uint32_t index) const {
    return reinterpret_cast<GroupEntry*>(area_ + k_group_entries_at)[index];
  }
  GroupMember* places() const { return reinterpret_cast<GroupMember*>(area_ + k_group_members_at); }
  std::uint32_t used() const;

  std::byte* area_;
};

/// The broker's side. One in the process that writes the directory.
class GroupTable : public GroupTableView {
 public:
  explicit GroupTable(std::byte* area) : GroupTableView(area) {}

  /// Shows these members; none: the group is gone. False, with nothing changed, when there is no room; taking members
  /// away never needs any.
  bool show(std::string_view name, const std::vector<GroupMember>& members);

 private:
  struct Pair {
    std::uint32_t first = 0;
    std::uint32_t capacity = 0;  // of each of the two
  };
  struct Shown {
    std::uint32_t entry = 0;
    Pair pair;
  };
  std::optional<std::uint32_t> take_entry();
  std::optional<Pair> take_pair(std::size_t members);
  void give_back(Pair pair) { free_pairs_[pair.capacity].push_back(pair.first); }
  void hide(std::map<std::string, Shown, std::less<>>::iterator shown);

  std::map<std::string, Shown, std::less<>> shown_;
  std::vector<std::uint32_t> free_entries_;
  std::map<std::uint32_t, std::vector<std::uint32_t>> free_pairs_;  // by capacity
  std::uint32_t places_used_ = 0;
};

}  // namespace muproc::shm
