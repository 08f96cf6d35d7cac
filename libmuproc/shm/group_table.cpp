#include "shm/group_table.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "shm/words.hpp"

namespace muproc::shm {
namespace {

constexpr std::uint32_t k_smallest_list = 4;

struct Name {
  char bytes[k_name_size] = {};
};

Name& name_at(GroupEntry& entry) { return reinterpret_cast<Name&>(entry.name); }

Name name_of(std::string_view text) {
  Name name;
  std::memcpy(name.bytes, text.data(), std::min(text.size(), k_name_size - 1));
  return name;
}

std::string_view view(const Name& name) {
  return {name.bytes, static_cast<std::size_t>(std::find(name.bytes, name.bytes + k_name_size, '\0') - name.bytes)};
}

std::uint64_t hash_of(std::string_view name) { return name_hash(name.data(), name.size()); }

}  // namespace

// ---- reading ---------------------------------------------------------------------------------------------------------

std::uint32_t GroupTableView::used() const {
  return std::min(header().groups_used.load(std::memory_order_acquire), k_max_groups);
}

std::optional<GroupTableView::Snapshot> GroupTableView::read(std::string_view name) const {
  const std::uint64_t hash = hash_of(name);
  for (std::uint32_t index = 0, end = used(); index < end; ++index) {
    GroupEntry& from = entry(index);
    while (from.hash.load(std::memory_order_acquire) == hash) {
      // [SYNC group.version] acquire: whoever has heard of a join sees the list with it.
      Snapshot snapshot{index, from.version.load(std::memory_order_acquire), {}};
      const Name its_name = load_words(name_at(from));
      const GroupList list = load_words(from.lists[snapshot.version & 1]);
      if (list.first <= k_group_places && list.count <= k_group_places - list.first) {
        snapshot.members.resize(list.count);
        for (std::uint32_t i = 0; i < list.count; ++i) snapshot.members[i] = load_words(places()[list.first + i]);
      }
      std::atomic_thread_fence(std::memory_order_acquire);
      if (from.version.load(std::memory_order_relaxed) != snapshot.version) continue;  // it has changed meanwhile
      if (view(its_name) != name) break;
      if (snapshot.members.empty()) return std::nullopt;
      return snapshot;
    }
  }
  return std::nullopt;
}

bool GroupTableView::is_current(const Snapshot& snapshot) const {
  // [SYNC group.version] acquire
  return entry(snapshot.entry).version.load(std::memory_order_acquire) == snapshot.version;
}

std::vector<std::string> GroupTableView::names() const {
  std::vector<std::string> names;
  for (std::uint32_t index = 0, end = used(); index < end; ++index) {
    const std::uint64_t hash = entry(index).hash.load(std::memory_order_acquire);
    if (!hash) continue;
    const Name name = load_words(name_at(entry(index)));
    if (hash_of(view(name)) == hash) names.emplace_back(view(name));  // else the entry is changing hands
  }
  std::sort(names.begin(), names.end());
  return names;
}

// ---- writing ---------------------------------------------------------------------------------------------------------

std::optional<std::uint32_t> GroupTable::take_entry() {
  if (!free_entries_.empty()) {
    const std::uint32_t index = free_entries_.back();
    free_entries_.pop_back();
    return index;
  }
  const std::uint32_t index = header().groups_used.load(std::memory_order_relaxed);
  if (index >= k_max_groups) return std::nullopt;
  header().groups_used.store(index + 1, std::memory_order_release);
  return index;
}

std::optional<GroupTable::Pair> GroupTable::take_pair(std::size_t members) {
  if (members > k_group_places / 2) return std::nullopt;
  const std::uint32_t capacity = std::bit_ceil(std::max(k_smallest_list, static_cast<std::uint32_t>(members)));
  if (auto& free = free_pairs_[capacity]; !free.empty()) {
    const std::uint32_t first = free.back();
    free.pop_back();
    return Pair{first, capacity};
  }
  if (2 * capacity > k_group_places - places_used_) return std::nullopt;
  return Pair{std::exchange(places_used_, places_used_ + 2 * capacity), capacity};
}

bool GroupTable::show(std::string_view name, const std::vector<GroupMember>& members) {
  auto shown = shown_.find(name);
  if (members.empty()) {
    if (shown != shown_.end()) hide(shown);
    return true;
  }
  const bool is_new = shown == shown_.end();
  std::optional<Pair> larger;
  if (is_new || shown->second.pair.capacity < members.size()) {
    larger = take_pair(members.size());
    if (!larger) return false;
  }
  if (is_new) {
    const auto index = take_entry();
    if (!index) {
      give_back(*larger);
      return false;
    }
    shown = shown_.emplace(std::string(name), Shown{*index, {}}).first;
    store_words(name_at(entry(*index)), name_of(name));
  }
  GroupEntry& to = entry(shown->second.entry);
  const Pair pair = larger.value_or(shown->second.pair);
  const std::uint64_t next = to.version.load(std::memory_order_relaxed) + 1;
  const GroupList list{pair.first + static_cast<std::uint32_t>(next & 1) * pair.capacity,
                       static_cast<std::uint32_t>(members.size())};
  for (std::uint32_t i = 0; i < list.count; ++i) store_words(places()[list.first + i], members[i]);
  store_words(to.lists[next & 1], list);
  to.version.store(next, std::memory_order_release);  // [SYNC group.version]
  if (is_new) to.hash.store(hash_of(name), std::memory_order_release);
  if (larger && shown->second.pair.capacity) give_back(shown->second.pair);
  shown->second.pair = pair;
  return true;
}

void GroupTable::hide(std::map<std::string, Shown, std::less<>>::iterator shown) {
  GroupEntry& to = entry(shown->second.entry);
  const std::uint64_t next = to.version.load(std::memory_order_relaxed) + 1;
  store_words(to.lists[next & 1], GroupList{});
  to.version.store(next, std::memory_order_release);  // [SYNC group.version]
  to.hash.store(0, std::memory_order_release);
  give_back(shown->second.pair);
  free_entries_.push_back(shown->second.entry);
  shown_.erase(shown);
}

}  // namespace muproc::shm
