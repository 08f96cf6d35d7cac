// The book of slots, incarnations and names.
#include "broker/muproc_table.hpp"

#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::broker;
using Catch::Matchers::Contains;

namespace {

SlotIndex taken(MuprocTable& table, const std::string& name) {
  REQUIRE(table.why_not_name(name).empty());
  return table.reserve(name, shm::SlotKind::muproc, {}, nullptr).value();
}

}  // namespace

TEST_CASE("a pid names one incarnation and no other", "[broker][table]") {
  MuprocTable table;
  const SlotIndex slot = taken(table, "ch-1");
  const Pid first = table.begin(slot).pid;
  CHECK(table.find(first)->name == "ch-1");
  table.end(slot);
  CHECK_FALSE(table.find(first));
  const Pid second = table.begin(slot).pid;
  CHECK(second.slot() == first.slot());
  CHECK(second.incarnation() == first.incarnation() + 1);
  CHECK_FALSE(table.find(first));
  CHECK(table.find(second));
  CHECK_FALSE(table.find(nil_pid));
  CHECK_FALSE(table.find(Pid(0, 4000, 1)));
}

TEST_CASE("an incarnation is never 0, also after the last one", "[broker][table]") {
  MuprocTable table;
  const SlotIndex slot = taken(table, "ch-1");
  table.record(slot).incarnation = 0xffffff;
  CHECK(table.begin(slot).pid.incarnation() == 1);
}

TEST_CASE("a name is taken for as long as its slot is, alive or not", "[broker][table]") {
  MuprocTable table;
  const SlotIndex slot = taken(table, "ch-1");
  CHECK_THAT(table.why_not_name("ch-1"), Contains("\"ch-1\" is taken"));
  CHECK_FALSE(table.find("ch-1"));
  table.begin(slot);
  CHECK(table.find("ch-1"));
  table.end(slot);
  CHECK_FALSE(table.find("ch-1"));
  CHECK_FALSE(table.why_not_name("ch-1").empty());
  table.release(slot);
  CHECK(table.why_not_name("ch-1").empty());
}

TEST_CASE("muprocs and ports share one space of names", "[broker][table]") {
  MuprocTable table;
  const Pid server = table.begin(taken(table, "areaserver")).pid;
  const Pid other = table.begin(taken(table, "other")).pid;
  CHECK(table.why_not_port("areaserver", server).empty());  // its own name
  CHECK_THAT(table.why_not_port("areaserver", other), Contains("muproc's name"));
  table.add_port("area", server);
  CHECK_THAT(table.why_not_port("area", server), Contains("taken by areaserver"));
  CHECK_THAT(table.why_not_name("area"), Contains("port of areaserver"));
  CHECK(table.find("area")->pid == server);
  CHECK(table.ports_of(server) == std::vector<std::string>{"area"});
}

TEST_CASE("the ports of the dead are free", "[broker][table]") {
  MuprocTable table;
  const SlotIndex slot = taken(table, "areaserver");
  table.add_port("area", table.begin(slot).pid);
  table.end(slot);
  CHECK_FALSE(table.port_owner("area"));
  CHECK(table.why_not_name("area").empty());
}

TEST_CASE("names are neither empty nor longer than the directory has room for", "[broker][table]") {
  const MuprocTable table;
  CHECK_THAT(table.why_not_name(""), Contains("needs a name"));
  CHECK(table.why_not_name(std::string(63, 'x')).empty());
  CHECK_THAT(table.why_not_name(std::string(64, 'x')), Contains("at most 63 bytes"));
  CHECK_THAT(table.why_not_port("", {}), Contains("needs a name"));
}

TEST_CASE("a full table has no slot to give until one is released", "[broker][table]") {
  MuprocTable table;
  std::vector<SlotIndex> slots;
  for (std::uint32_t n = 0; n < shm::k_max_slots; ++n) slots.push_back(taken(table, "m" + std::to_string(n)));
  CHECK_FALSE(table.reserve("one more", shm::SlotKind::muproc, {}, nullptr));
  table.release(slots[17]);
  CHECK(table.reserve("one more", shm::SlotKind::muproc, {}, nullptr) == slots[17]);
}

TEST_CASE("a slot rests before it is used again", "[broker][table]") {
  MuprocTable table;
  const SlotIndex first = taken(table, "a");
  table.release(first);
  CHECK(taken(table, "b") != first);
}
