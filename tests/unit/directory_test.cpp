// The directory: one writer, and readers that wait for nobody.
#include "shm/directory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "support/catch.hpp"
#include "support/sealed.hpp"
#include "support/watchdog.hpp"
#include "sys/clock.hpp"

using namespace muproc;
using namespace muproc::shm;
using Catch::Matchers::Contains;
using muproc::test::Watchdog;

namespace {

Directory fresh() { return Directory::create("test", 4711); }

SlotInfo described(std::string_view name, Pid pid) {
  SlotInfo info{};
  std::memcpy(info.name, name.data(), name.size());
  info.pid = pid.bits();
  info.parent_slot = k_no_slot;
  info.state = static_cast<std::uint32_t>(SlotState::running);
  return info;
}

/// What a birth leaves in the directory.
void is_born(Directory& directory, std::string_view name, Pid pid) {
  directory.describe(pid.slot(), described(name, pid));
  directory.publish_name(pid.slot(), name, k_default_ring);
  directory.publish_live(pid);
}

/// A description all of whose parts follow from a number.
SlotInfo number(std::uint64_t n) {
  SlotInfo info{};
  std::memset(info.name, static_cast<int>('a' + n % 26), sizeof info.name - 1);
  info.pid = n;
  info.os_pid = static_cast<std::int32_t>(n);
  info.restarts = static_cast<std::uint32_t>(n);
  info.started_ns = n * 3;
  std::memset(info.last_exit, static_cast<int>('a' + n % 26), sizeof info.last_exit - 1);
  return info;
}

}  // namespace

TEST_CASE("the directory says whose it is", "[shm][directory]") {
  const Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  CHECK(view.system() == "test");
  CHECK(view.header().broker_os_pid == 4711);
  CHECK(view.header().layout_version == k_layout_version);
  CHECK(std::memcmp(&view.header().magic, "muprocdi", 8) == 0);
  CHECK(view.slots() == 0);
  CHECK_FALSE(view.find("anybody"));
}

TEST_CASE("nobody but the broker can write the directory, not even root", "[shm][directory][seal]") {
  const Directory directory = fresh();
  muproc::test::check_nobody_can_write(directory.memfd());
  const DirectoryView view(directory.memfd());
  CHECK(::mprotect(&view.live(0), sys::k_page, PROT_READ | PROT_WRITE) == -1);
}

TEST_CASE("an idle directory takes little memory", "[shm][directory]") {
  Directory directory = fresh();
  for (std::uint32_t slot = 0; slot < 14; ++slot) is_born(directory, "m" + std::to_string(slot), Pid(0, slot, 1));
  CHECK(muproc::test::bytes_allocated(directory.memfd()) <= 16 * sys::k_page);
}

TEST_CASE("a directory of another layout is refused, and both versions are said", "[shm][directory]") {
  const auto small = sys::create_memfd("test-small", 4096);
  CHECK_THROWS_WITH(DirectoryView(small.get()), Contains("version " + std::to_string(k_layout_version)));

  const auto other = sys::create_memfd("test-other", k_directory_size);
  DirectoryHeader header{};
  header.magic = k_directory_magic;
  header.layout_version = 99;
  REQUIRE(::pwrite(other.get(), &header, sizeof(std::uint64_t) * 2, 0) == sizeof(std::uint64_t) * 2);
  CHECK_THROWS_WITH(DirectoryView(other.get()),
                    Contains("the broker has 99") && Contains("this muproc has " + std::to_string(k_layout_version)));
}

TEST_CASE("a muproc can be found by its name from birth to death", "[shm][directory]") {
  Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  const Pid pid(0, 2, 1);

  directory.describe(2, described("server", pid));
  CHECK_FALSE(view.find("server"));
  directory.publish_name(2, "server", k_default_ring);
  CHECK_FALSE(view.find("server"));  // it has a name, but does not live yet
  directory.publish_live(pid);
  CHECK(view.find("server") == pid);
  CHECK(view.alive(pid));
  CHECK(view.live(2).ring_size.load() == k_default_ring);
  CHECK(view.slots() == 3);

  directory.withdraw_live(2);
  CHECK_FALSE(view.find("server"));
  CHECK_FALSE(view.alive(pid));
  directory.withdraw_name(2);
  CHECK_FALSE(view.find("server"));
  CHECK(view.info(2)->name == std::string("server"));  // who was the last to live there
}

TEST_CASE("who is drained still lives, and is not alive to who sends", "[shm][directory]") {
  Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  const Pid pid(0, 2, 1);
  is_born(directory, "server", pid);
  CHECK_FALSE(view.draining(pid));
  directory.drain(pid);
  CHECK(view.draining(pid));
  CHECK(view.lives(pid));
  CHECK_FALSE(view.alive(pid));
  CHECK_FALSE(view.find("server"));
  CHECK_FALSE(view.draining(Pid()));
  CHECK_FALSE(view.lives(Pid(0, 2, 2)));
  directory.withdraw_live(2);
  CHECK_FALSE(view.lives(pid));
  is_born(directory, "server", Pid(0, 2, 2));
  CHECK_FALSE(view.draining(pid));
  CHECK(view.alive(Pid(0, 2, 2)));
}

TEST_CASE("a pid is never alive again, whoever lives in its slot", "[shm][directory]") {
  Directory directory = fresh();
  is_born(directory, "first", Pid(0, 5, 1));
  directory.withdraw_live(5);
  directory.withdraw_name(5);
  is_born(directory, "second", Pid(0, 5, 2));
  const DirectoryView view(directory.memfd());
  CHECK_FALSE(view.alive(Pid(0, 5, 1)));
  CHECK(view.alive(Pid(0, 5, 2)));
  CHECK_FALSE(view.find("first"));
  CHECK(view.find("second") == Pid(0, 5, 2));
}

TEST_CASE("a pid that cannot be is not alive, and its slot has no description", "[shm][directory][hostile]") {
  const Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  CHECK_FALSE(view.alive(Pid(0, k_max_slots, 1)));
  CHECK_FALSE(view.alive(Pid(~std::uint64_t{0})));
  CHECK_FALSE(view.info(k_max_slots));
  CHECK_FALSE(view.info(~0u));
}

TEST_CASE("a name as long as can be is found, and no other", "[shm][directory]") {
  Directory directory = fresh();
  const std::string longest(k_name_size - 1, 'x');
  is_born(directory, longest, Pid(0, 0, 1));
  const DirectoryView view(directory.memfd());
  CHECK(view.find(longest) == Pid(0, 0, 1));
  CHECK_FALSE(view.find(longest + 'x'));
  CHECK_FALSE(view.find(longest.substr(1)));
  CHECK_FALSE(view.find(""));
}

TEST_CASE("ports are names besides the own one", "[shm][directory]") {
  Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  const Pid server(0, 0, 1), other(0, 1, 1);
  is_born(directory, "server", server);
  is_born(directory, "other", other);
  REQUIRE(directory.add_port("area", server));
  REQUIRE(directory.add_port("volume", server));

  CHECK(view.find_port("area") == server);
  CHECK(view.find("volume") == server);
  CHECK(view.ports(server) == std::vector<std::string>{"area", "volume"});
  CHECK(view.ports(other).empty());

  SECTION("a port goes before a muproc of the same name") {
    REQUIRE(directory.add_port("other", server));
    CHECK(view.find("other") == server);
    CHECK(view.find_muproc("other") == other);
  }
  SECTION("a removed port is gone, and its room is used again") {
    directory.remove_port("area");
    CHECK_FALSE(view.find("area"));
    CHECK(view.ports(server) == std::vector<std::string>{"volume"});
    REQUIRE(directory.add_port("circumference", other));
    CHECK(view.find("circumference") == other);
    CHECK(view.header().ports_used.load() == 2);
  }
  SECTION("a port of the dead leads nowhere") {
    directory.withdraw_live(server.slot());
    CHECK_FALSE(view.find("area"));
  }
}

TEST_CASE("there is room for so many ports and channels, and then no more", "[shm][directory]") {
  Directory directory = fresh();
  for (std::uint32_t i = 0; i < k_max_ports; ++i) REQUIRE(directory.add_port("port-" + std::to_string(i), Pid(0, 0, 1)));
  CHECK_FALSE(directory.add_port("one-more", Pid(0, 0, 1)));
  directory.remove_port("port-17");
  CHECK(directory.add_port("one-more", Pid(0, 0, 1)));

  const auto open = [&] { return directory.add_channel(Pid(0, 0, 1), Pid(0, 1, 1), k_rings_offset, k_default_ring, 0, 42); };
  for (std::uint32_t i = 0; i < k_max_channel_rows; ++i) REQUIRE(open() == i);
  CHECK_FALSE(open());
  directory.remove_channel(99);
  CHECK(open() == 99);
}

TEST_CASE("births, deaths and restarts are counted", "[shm][directory]") {
  Directory directory = fresh();
  directory.count_birth();
  directory.count_birth();
  directory.count_death();
  directory.count_restart();
  const DirectoryView view(directory.memfd());
  CHECK(view.header().births.load() == 2);
  CHECK(view.header().deaths.load() == 1);
  CHECK(view.header().restarts.load() == 1);
}

TEST_CASE("frames on the lane are counted for each muproc", "[shm][directory]") {
  Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  directory.announce_frame(3);
  directory.announce_frame(3);
  directory.announce_frame(4);
  CHECK(view.live(3).lane.load() == 2);
  CHECK(view.live(4).lane.load() == 1);
  directory.reset_frames(3);
  CHECK(view.live(3).lane.load() == 0);
}

TEST_CASE("a message's age is never less than it is, and never negative", "[shm][directory]") {
  const Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  const std::uint64_t now = sys::ticks(view.use_tsc());
  CHECK(view.age(now + (std::uint64_t{1} << 40)).count() == 0);

  const auto before = sys::monotonic();
  while (sys::monotonic() - before < std::chrono::milliseconds(5)) {
  }
  CHECK(view.age(now) >= std::chrono::microseconds(4990));
  CHECK(view.age(now) < std::chrono::hours(1));  // it is in nanoseconds and not in something else
}

TEST_CASE("a description is never seen half changed", "[shm][directory]") {
  const Watchdog watchdog("descriptions to be read while they change");
  Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  directory.describe(0, number(0));
  std::atomic<bool> over{false};
  std::thread broker([&] {
    for (std::uint64_t n = 1; !over.load(std::memory_order_relaxed); ++n) directory.describe(0, number(n));
  });
  std::uint64_t torn = 0, backwards = 0, last = 0;
  for (int seen = 0; seen < 100000;) {
    const auto info = view.info(0);
    if (!info) continue;  // it changed all the time: the reader is told so, and not made to wait
    ++seen;
    const SlotInfo whole = number(info->pid);
    torn += std::memcmp(&whole, &*info, sizeof whole) != 0;
    backwards += info->pid < last;
    last = info->pid;
  }
  over = true;
  broker.join();
  CHECK(torn == 0);
  CHECK(backwards == 0);
}

TEST_CASE("a port is never seen with another port's name", "[shm][directory]") {
  const Watchdog watchdog("ports to be read while they change");
  Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  const Pid cat(0, 0, 1), dog(0, 1, 1);
  is_born(directory, "cat", cat);
  is_born(directory, "dog", dog);
  std::atomic<bool> over{false};
  std::thread broker([&] {
    while (!over.load(std::memory_order_relaxed)) {
      directory.add_port("meow-meow-meow-meow", cat);
      directory.remove_port("meow-meow-meow-meow");
      directory.add_port("woof-woof-woof-woof", dog);
      directory.remove_port("woof-woof-woof-woof");
    }
  });
  std::uint64_t wrong = 0;
  for (int look = 0; look < 100000; ++look) {
    const Pid meows = view.find_port("meow-meow-meow-meow"), woofs = view.find_port("woof-woof-woof-woof");
    wrong += (meows && meows != cat) + (woofs && woofs != dog);
    for (const auto& name : view.ports(cat)) wrong += name != "meow-meow-meow-meow";
  }
  over = true;
  broker.join();
  CHECK(wrong == 0);
}

TEST_CASE("one that has ended is found where its mailbox is kept, until its successor is, or there will be none", "[shm][directory][keep]") {
  Directory directory = fresh();
  const DirectoryView view(directory.memfd());
  const Pid first(0, 5, 1), second(0, 5, 2);
  is_born(directory, "ledger", first);
  CHECK_FALSE(view.find_kept("ledger"));
  directory.keep(first);
  directory.describe(5, described("ledger", {}));
  CHECK_FALSE(view.find("ledger"));
  CHECK_FALSE(view.alive(first));
  CHECK(view.kept(first));
  CHECK(view.find_kept("ledger") == first);
  is_born(directory, "ledger", second);
  CHECK(view.find("ledger") == second);
  CHECK_FALSE(view.kept(first));
  CHECK_FALSE(view.find_kept("ledger"));
  directory.keep(second);
  directory.forget_kept(5);
  CHECK_FALSE(view.find_kept("ledger"));
  CHECK_FALSE(view.kept(second));
}
