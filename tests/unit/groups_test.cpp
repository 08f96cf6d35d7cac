// Process groups: the broker's book of them, and the table in the directory that everybody reads.
#include "broker/groups.hpp"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "shm/group_table.hpp"
#include "support/catch.hpp"
#include "support/watchdog.hpp"

using namespace muproc;
using muproc::broker::Groups;

namespace muproc::shm {
bool operator==(const GroupMember& a, const GroupMember& b) { return a.pid == b.pid && a.joins == b.joins; }
}  // namespace muproc::shm

namespace {

using Members = std::vector<shm::GroupMember>;
const Pid a(0, 1, 1), b(0, 2, 1), c(0, 3, 1);

/// The groups' part of a directory, in private memory.
struct Area {
  std::vector<std::uint64_t> memory = std::vector<std::uint64_t>(shm::k_groups_size / 8 + 8);
  std::byte* data() {
    const auto at = reinterpret_cast<std::uintptr_t>(memory.data());
    return reinterpret_cast<std::byte*>((at + 63) / 64 * 64);
  }
};

Members numbered(std::uint64_t count, std::uint64_t joins) {
  Members members;
  for (std::uint64_t i = 0; i < count; ++i) members.push_back({i + 1, joins});
  return members;
}

}  // namespace

// ---- the book --------------------------------------------------------------------------------------------------------

TEST_CASE("one who has joined twice has to leave twice", "[broker][groups]") {
  Groups groups;
  groups.join("g", a);
  groups.join("g", b);
  groups.join("g", a);
  CHECK(groups.members("g") == Members{{a.bits(), 2}, {b.bits(), 1}});
  CHECK(groups.leave("g", a));
  CHECK(groups.members("g") == Members{{a.bits(), 1}, {b.bits(), 1}});
  CHECK(groups.leave("g", a));
  CHECK_FALSE(groups.leave("g", a));
  CHECK(groups.members("g") == Members{{b.bits(), 1}});
  CHECK_FALSE(groups.leave("other", b));
}

TEST_CASE("the dead one leaves all groups at once, and what it left is told once", "[broker][groups]") {
  Groups groups;
  groups.join("g", a);
  groups.join("g", a);
  groups.join("h", a);
  groups.join("h", b);
  CHECK(groups.leave_all(a) == std::vector<std::string>{"g", "h"});
  CHECK(groups.members("g").empty());
  CHECK(groups.members("h") == Members{{b.bits(), 1}});
  CHECK(groups.end(a) == std::vector<Groups::Left>{{"g", 2}, {"h", 1}});
  CHECK(groups.end(a).empty());
  CHECK(groups.leave_all(a).empty());
}

TEST_CASE("monitors of groups stack, need no group, and end with their owner", "[broker][groups]") {
  Groups groups;
  CHECK(groups.monitor(a, 1, "g"));
  CHECK(groups.monitor(a, 2, "g"));
  CHECK(groups.monitor(b, 1, "g"));
  CHECK_FALSE(groups.monitor(b, 1, "h"));
  CHECK(groups.watchers("g") == std::vector<Groups::Watcher>{{a, 1}, {a, 2}, {b, 1}});
  groups.demonitor(a, 1);
  groups.demonitor(a, 77);
  groups.demonitor(c, 1);
  CHECK(groups.watchers("g") == std::vector<Groups::Watcher>{{a, 2}, {b, 1}});
  groups.end(a);
  CHECK(groups.watchers("g") == std::vector<Groups::Watcher>{{b, 1}});
  CHECK(groups.watchers("h").empty());
}

TEST_CASE("a group's name has 1 to 63 bytes", "[broker][groups]") {
  CHECK(Groups::why_no_name("g").empty());
  CHECK(Groups::why_no_name(std::string(63, 'g')).empty());
  CHECK_FALSE(Groups::why_no_name("").empty());
  CHECK_FALSE(Groups::why_no_name(std::string(64, 'g')).empty());
  CHECK_FALSE(Groups::why_no_name(std::string("a\0b", 3)).empty());
}

// ---- the table -------------------------------------------------------------------------------------------------------

TEST_CASE("a group's list is read as it was last shown", "[shm][groups]") {
  Area area;
  shm::GroupTable table(area.data());
  const shm::GroupTableView view(area.data());
  CHECK_FALSE(view.read("g"));
  for (const std::uint64_t count : {1, 4, 5, 64, 3, 1000, 1}) {
    REQUIRE(table.show("g", numbered(count, count)));
    const auto snapshot = view.read("g");
    REQUIRE(snapshot);
    CHECK(snapshot->members == numbered(count, count));
    CHECK(view.is_current(*snapshot));
    REQUIRE(table.show("h", numbered(count + 1, 7)));
    CHECK(view.is_current(*snapshot));
  }
  CHECK(view.names() == std::vector<std::string>{"g", "h"});
  const auto before = view.read("g");
  REQUIRE(table.show("g", {}));
  CHECK_FALSE(view.is_current(*before));
  CHECK_FALSE(view.read("g"));
  CHECK(view.names() == std::vector<std::string>{"h"});
  REQUIRE(table.show("i", numbered(1, 1)));  // it gets the entry that g had
  CHECK_FALSE(view.is_current(*before));
  CHECK_FALSE(view.read("g"));
}

TEST_CASE("the table of groups says when it is full, and takes again when there is room", "[shm][groups]") {
  Area area;
  shm::GroupTable table(area.data());
  for (std::uint32_t i = 0; i < shm::k_max_groups; ++i) REQUIRE(table.show(std::to_string(i), numbered(1, 1)));
  CHECK_FALSE(table.show("one more", numbered(1, 1)));
  REQUIRE(table.show("17", {}));
  CHECK(table.show("one more", numbered(1, 1)));

  CHECK_FALSE(table.show("1", numbered(shm::k_group_places / 2, 1)));
  CHECK(shm::GroupTableView(area.data()).read("1")->members == numbered(1, 1));
}

TEST_CASE("whoever reads a group while it changes sees one of its lists, whole", "[shm][groups]") {
  Area area;
  shm::GroupTable table(area.data());
  const shm::GroupTableView view(area.data());
  const muproc::test::Watchdog watchdog("a thousand lists to be read while they change");
  std::atomic<bool> over{false};
  std::thread writer([&] {
    for (std::uint64_t round = 1; !over; ++round) {
      table.show("g", numbered(round % 9, round));  // empty now and then
      table.show("h", numbered(1 + round % 7, round));
      if (round % 64 == 0) std::this_thread::yield();
    }
  });
  bool torn = false;
  std::uint64_t last = 0;
  for (int seen = 0; seen < 1000;) {
    const auto snapshot = view.read("g");
    if (!snapshot) continue;
    const std::uint64_t round = snapshot->members.front().joins;
    torn |= snapshot->members != numbered(round % 9, round) || round < last;
    last = round;
    ++seen;
  }
  over = true;
  writer.join();
  CHECK_FALSE(torn);
}
