// Process groups and publishing to them.
#include <muproc/groups.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "runtime/runtime.hpp"
#include "support/messages.capnp.h"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

using Pids = std::vector<Pid>;

/// Joins "quotes", says so, and then passes what it gets on to its parent.
void subscriber(Self& self) {
  join(self, "quotes");
  self.send(self.parent(), "joined", self.pid());
  for (;;)
    self.receive(on<"n">() >> [&](From, std::int64_t n) { self.send(self.parent(), "got", n, "by", self.pid()); },
                 on<"leave">() >> [&] { leave(self, "quotes"); self.send(self.parent(), "left", self.pid()); },
                 on<Blob>() >> [&](Blob::Reader blob) {
                   const auto data = blob.getData();
                   const bool whole = std::all_of(data.begin(), data.end(), [&](auto byte) { return byte == data[0]; });
                   self.send(self.parent(), "blob", data.size(), "whole", whole);
                 });
}

Pids subscribers(Self& self, unsigned count) {
  Pids pids;
  for (unsigned i = 0; i < count; ++i) {
    pids.push_back(self.spawn(gensym("subscriber-"), subscriber));
    CHECK(next<Pid, "joined">(self) == pids.back());
  }
  return pids;
}

/// Blocks of large messages that this muproc has, once it has taken back what is free.
std::uint64_t arena_blocks(Self& self) {
  auto& runtime = muproc::detail::Runtime::of(self);
  runtime.take_back_blocks();
  return runtime.status().arena_blocks.load();
}

std::map<Pid, int> who_got(Self& self, std::int64_t n, std::size_t copies) {
  std::map<Pid, int> who;
  for (std::size_t i = 0; i < copies; ++i)
    self.receive(on<"got", "by">(is(n), anything) >> [&](std::int64_t, Pid by) { ++who[by]; }, or_fail("a published message"));
  return who;
}

}  // namespace

TEST_CASE("what is published comes to each member once, however often it has joined", "[groups][pg]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(members(self, "quotes").empty());
  CHECK(publish(self, "quotes", "n", 1) == 0);

  const Pids pids = subscribers(self, 2);
  CHECK(members(self, "quotes") == pids);
  CHECK(which_groups(self) == std::vector<std::string>{"quotes"});
  join(self, "quotes");
  join(self, "quotes");
  CHECK(members(self, "quotes") == Pids{pids[0], pids[1], self.pid(), self.pid()});
  CHECK(publish(self, "quotes", "n", 2) == 3);
  CHECK(next<std::int64_t, "n">(self) == 2);
  CHECK(who_got(self, 2, 2) == std::map<Pid, int>{{pids[0], 1}, {pids[1], 1}});

  leave(self, "quotes");
  CHECK(members(self, "quotes") == Pids{pids[0], pids[1], self.pid()});
  leave(self, "quotes");
  CHECK(members(self, "quotes") == pids);
  CHECK_THROWS_AS(leave(self, "quotes"), NoSuchName);
  CHECK_THROWS_AS(leave(self, "nobody's"), NoSuchName);
  CHECK_THROWS_AS(join(self, ""), Error);
  CHECK_THROWS_AS(join(self, std::string(64, 'x')), Error);
  CHECK_FALSE(self.receive_any(0ns));
}

TEST_CASE("mumsgs as values and typed structs are published as well", "[groups]") {
  LiveSystem system;
  Self& self = system.self();
  subscribers(self, 3);
  CHECK(publish(self, "quotes", Mumsg{{"n", 5}}) == 3);
  CHECK(who_got(self, 5, 3).size() == 3);
  CHECK(publish<Blob>(self, "quotes", [](Blob::Builder blob) { blob.initData(100); }) == 3);
  for (int i = 0; i < 3; ++i) CHECK(next<std::int64_t, "blob">(self) == 100);
}

TEST_CASE("a member that leaves gets nothing more", "[groups][pg]") {
  LiveSystem system;
  Self& self = system.self();
  const Pids pids = subscribers(self, 2);
  self.send(pids[0], "leave", true);
  CHECK(next<Pid, "left">(self) == pids[0]);
  CHECK(publish(self, "quotes", "n", 1) == 1);
  CHECK(who_got(self, 1, 1) == std::map<Pid, int>{{pids[1], 1}});
}

TEST_CASE("by the time a death is heard of, the dead one has left its groups", "[groups][pg][death]") {
  LiveSystem system;
  Self& self = system.self();
  for (int round = 0; round < 10; ++round) {
    const auto [pid, ref] = self.spawn_monitor("member", +[](Self& self) {
      join(self, "quotes");
      join(self, "other");
      self.send(self.parent(), "joined", self.pid());
      self.sleep(1h);
    });
    CHECK(next<Pid, "joined">(self) == pid);
    CHECK(members(self, "quotes") == Pids{pid});
    test::signal(self, pid, SIGKILL);
    CHECK(reason_of(self, ref) == Reason::signal(SIGKILL));
    CHECK(members(self, "quotes").empty());
    CHECK(which_groups(self).empty());
  }
}

TEST_CASE("whoever was told of a join publishes to the new member", "[groups][pg]") {
  LiveSystem system;
  Self& self = system.self();
  // The publisher never saw the group without the new one: it is told by a message only.
  self.spawn("publisher", +[](Self& self) {
    for (;;)
      self.receive(on<"joined">() >> [&](Pid newcomer) {
        MUST(publish(self, "quotes", "for", newcomer) > 0);
      });
  });
  for (int i = 0; i < 20; ++i) {
    self.spawn(gensym("member-"), +[](Self& self) {
      join(self, "quotes");
      self.send("publisher", "joined", self.pid());
      for (;;)
        self.receive(on<"for">(is(self.pid())) >> [&](Pid me) { self.send(self.parent(), "served", me); },
                     on<"for">() >> [](Pid) {});
    });
    next<Pid, "served">(self);
  }
}

TEST_CASE("a monitor of a group tells of joins and leaves, and of a death as one leave", "[groups][pg][monitor]") {
  LiveSystem system;
  Self& self = system.self();
  const Pids pids = subscribers(self, 1);
  const auto [ref, there] = monitor_group(self, "quotes");
  CHECK(there == pids);
  const auto change = [&, ref = ref](bool joined) {
    std::pair<Pid, int> who;
    const auto is_ref = is(static_cast<std::int64_t>(ref.bits));
    if (joined)
      self.receive(on<"joined", "group", "times", "ref">(anything, is("quotes"), anything, is_ref) >>
                       [&](From from, Pid pid, std::string, int times) { CHECK_FALSE(from); who = {pid, times}; },
                   or_fail("a join"));
    else
      self.receive(on<"left", "group", "times", "ref">(anything, is("quotes"), anything, is_ref) >>
                       [&](Pid pid, std::string, int times) { who = {pid, times}; },
                   or_fail("a leave"));
    return who;
  };
  join(self, "quotes");
  CHECK(change(true) == std::pair(self.pid(), 1));
  leave(self, "quotes");
  CHECK(change(false) == std::pair(self.pid(), 1));

  const auto [twice, down] = self.spawn_monitor("twice", +[](Self& self) {
    join(self, "quotes");
    join(self, "quotes");
    self.sleep(1h);
  });
  CHECK(change(true) == std::pair(twice, 1));
  CHECK(change(true) == std::pair(twice, 1));
  self.kill(twice);
  CHECK(change(false) == std::pair(twice, 2));
  CHECK(reason_of(self, down).is(Reason::Kind::killed));

  // Unread ones are taken back, and no more come.
  join(self, "quotes");
  leave(self, "quotes");
  demonitor_group(self, ref);
  join(self, "quotes");
  CHECK_FALSE(self.receive_any(0ns));
}

TEST_CASE("the notice of a leave comes after what the member had sent before", "[groups][monitor][order]") {
  LiveSystem system;
  Self& self = system.self();
  const auto monitor = monitor_group(self, "g");
  for (int round = 0; round < 20; ++round) {
    const Pid pid = self.spawn(gensym("member-"), +[](Self& self) {
      self.send(self.parent(), "step", 1);
      join(self, "g");
      self.send(self.parent(), "step", 2);
      self.send(self.parent(), "step", 3);
      leave(self, "g");
      self.send(self.parent(), "step", 4);
      join(self, "g");
      self.send(self.parent(), "step", 5);
    });
    std::string order;
    while (order.size() < 8)
      self.receive(on<"step">() >> [&](From, int step) { order += std::to_string(step); },
                   on<"joined">(is(pid)) >> [&](Pid) { order += 'j'; }, on<"left">(is(pid)) >> [&](Pid) { order += 'l'; },
                   or_fail("the next step after " + order));
    CHECK(order == "1j23l4j5");
    CHECK(next<Pid, "left">(self) == pid);
  }
}

TEST_CASE("sixty-four members get a large message from one block, which is given back after the last", "[groups][large]") {
  LiveSystem system;
  Self& self = system.self();
  constexpr unsigned k_members = 64;
  constexpr unsigned k_size = 4 << 20;
  const Pids pids = subscribers(self, k_members);
  CHECK(arena_blocks(self) == 0);

  // While one of them does not read, the block stays; and it is one.
  const pid_t stopped = os_pid_of(self, pids[17]);
  ::kill(stopped, SIGSTOP);
  wait_until_stopped(stopped);
  CHECK(publish<Blob>(self, "quotes", [&](Blob::Builder blob) {
          auto data = blob.initData(k_size);
          std::fill(data.begin(), data.end(), 0x5a);
        }) == k_members);
  for (unsigned i = 0; i < k_members - 1; ++i) CHECK(next<bool, "whole">(self));
  CHECK(arena_blocks(self) == 1);
  ::kill(stopped, SIGCONT);
  CHECK(next<bool, "whole">(self));
  wait_until("the block to be given back", [&] { return arena_blocks(self) == 0; });
}

TEST_CASE("a block that a dead member held is given back by its death", "[groups][large][death]") {
  LiveSystem system;
  Self& self = system.self();
  const Pids pids = subscribers(self, 3);
  const pid_t stopped = os_pid_of(self, pids[1]);
  ::kill(stopped, SIGSTOP);
  wait_until_stopped(stopped);
  const Ref down = self.monitor(pids[1]);
  for (int i = 0; i < 3; ++i) publish<Blob>(self, "quotes", [&](Blob::Builder blob) { blob.initData(1 << 20); });
  for (int i = 0; i < 6; ++i) CHECK(next<bool, "whole">(self));
  CHECK(arena_blocks(self) == 3);
  ::kill(stopped, SIGKILL);
  CHECK(reason_of(self, down) == Reason::signal(SIGKILL));
  wait_until("the blocks to be given back", [&] { return arena_blocks(self) == 0; });
}

TEST_CASE("try_publish says who was full, and the others have it", "[groups][backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const Pids pids = subscribers(self, 3);
  const pid_t stopped = os_pid_of(self, pids[2]);
  ::kill(stopped, SIGSTOP);
  wait_until_stopped(stopped);
  std::int64_t n = 0;
  Published published;
  do {
    published = try_publish(self, "quotes", "n", ++n);
    for (std::size_t i = 0; i < published.sent; ++i)
      if (i < 2) next<Pid, "by">(self);
  } while (published.full.empty());
  CHECK(published.full == Pids{pids[2]});
  CHECK(published.sent == 2);
  ::kill(stopped, SIGCONT);
  for (std::int64_t i = 1; i < n; ++i) CHECK(who_got(self, i, 1) == std::map<Pid, int>{{pids[2], 1}});
}

TEST_CASE("publish waits for a slow member after all others have it, and each gets all in order", "[groups][backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  constexpr std::int64_t k_messages = 20000;
  const auto reader = +[](Self& self) {
    join(self, "quotes");
    self.send(self.parent(), "joined", self.pid());
    for (std::int64_t wanted = 0; wanted < k_messages; ++wanted)
      self.receive(on<"n">() >> [&](std::int64_t n) { MUST(n == wanted); });
    self.send(self.parent(), "done", self.pid());
  };
  const Pid slow = self.spawn("slow", reader);
  CHECK(next<Pid, "joined">(self) == slow);
  const Pid quick = self.spawn("quick", reader);
  CHECK(next<Pid, "joined">(self) == quick);
  system.suspend(slow);
  const auto [publisher, ref] = self.spawn_monitor("publisher", +[](Self& self) {
    for (std::int64_t n = 0; n < k_messages; ++n) MUST(publish(self, "quotes", "n", n) == 2);
  });
  wait_until("the publisher to be blocked", [&] { return system.status(publisher).activity == MuprocStatus::Activity::sending; });
  system.wait_until_idle(quick);
  system.resume(slow);
  std::set<Pid> done{next<Pid, "done">(self), next<Pid, "done">(self)};
  CHECK(done == std::set<Pid>{slow, quick});
  CHECK(reason_of(self, ref).is_normal());
}

TEST_CASE("a member that dies while a publisher waits for it is passed over", "[groups][death][backpressure]") {
  LiveSystem system;
  Self& self = system.self();
  const Pids pids = subscribers(self, 2);
  const pid_t stopped = os_pid_of(self, pids[0]);
  ::kill(stopped, SIGSTOP);
  wait_until_stopped(stopped);
  const auto [publisher, ref] = self.spawn_monitor("publisher", +[](Self& self) {
    // Until the stopped one's ring is full and it has died.
    while (publish(self, "quotes", "x", 1) == 2) {
    }
  });
  wait_until("the publisher to be blocked", [&] { return system.status("publisher").activity == MuprocStatus::Activity::sending; });
  ::kill(stopped, SIGKILL);
  CHECK(reason_of(self, ref).is_normal());
  CHECK(members(self, "quotes") == Pids{pids[1]});
}

TEST_CASE("members that die in the middle of publishing harm neither the publisher nor the others", "[groups][death]") {
  LiveSystem system;
  Self& self = system.self();
  const Pids pids = subscribers(self, 8);
  std::int64_t n = 0;
  for (unsigned victim = 0; victim < 6; ++victim) {
    const Ref down = self.monitor(pids[victim]);
    const pid_t os_pid = os_pid_of(self, pids[victim]);
    for (int i = 0; i < 20; ++i) {
      publish(self, "quotes", "n", ++n);
      if (i == 10) ::kill(os_pid, SIGKILL);
    }
    CHECK(reason_of(self, down) == Reason::signal(SIGKILL));
  }
  // The two that lived have everything, in order.
  std::map<Pid, std::int64_t> last;
  while (last[pids[6]] < n || last[pids[7]] < n)
    self.receive(on<"got", "by">() >> [&](std::int64_t got, Pid by) { CHECK(got == ++last[by]); }, or_fail("what was published"));
}

TEST_CASE("of a publisher killed in the middle each member gets a message whole or not at all", "[groups][death]") {
  LiveSystem system;
  Self& self = system.self();
  constexpr unsigned k_members = 8;
  const auto member = +[](Self& self) {
    join(self, "blobs");
    self.send(self.parent(), "joined", self.pid());
    for (std::uint64_t wanted = 0;;)
      self.receive(
          on<Blob>() >> [&](Blob::Reader blob) {
            const auto data = blob.getData();
            const auto first = static_cast<unsigned char>(wanted++);
            MUST(data.size() == (wanted % 3 ? 1000 : 100'000));
            MUST(std::all_of(data.begin(), data.end(), [&](auto byte) { return byte == first; }));
          },
          on<"count">() >> [&](From from) { self.send(from, "counted", wanted); wanted = 0; });
  };
  for (unsigned i = 0; i < k_members; ++i) {
    self.spawn(gensym("member-"), member);
    next<Pid, "joined">(self);
  }
  for (int round = 0; round < 10; ++round) {
    const auto [publisher, ref] = self.spawn_monitor("publisher", +[](Self& self) {
      self.send(self.parent(), "started", true);
      for (std::uint64_t n = 0;; ++n)
        publish<Blob>(self, "blobs", [&](Blob::Builder blob) {
          auto data = blob.initData((n + 1) % 3 ? 1000 : 100'000);
          std::fill(data.begin(), data.end(), static_cast<capnp::byte>(n));
        });
    });
    next<bool, "started">(self);
    self.sleep(std::chrono::milliseconds(1 + round));
    test::signal(self, publisher, SIGKILL);
    CHECK(reason_of(self, ref) == Reason::signal(SIGKILL));
    // Everyone has all but perhaps the last one.
    publish(self, "blobs", "count", true);
    std::set<std::uint64_t> counts;
    for (unsigned i = 0; i < k_members; ++i) counts.insert(next<std::uint64_t, "counted">(self));
    CHECK(*counts.rbegin() - *counts.begin() <= 1);
  }
}

TEST_CASE("members are found and published to while the broker is stopped", "[groups][broker]") {
  LiveSystem system;
  Self& self = system.self();
  const Pids pids = subscribers(self, 4);
  publish(self, "quotes", "n", 1);  // opens the channels
  who_got(self, 1, 4);
  system.broker().signal(SIGSTOP);
  wait_until_stopped(system.broker().os_pid());
  CHECK(members(self, "quotes") == pids);
  CHECK(publish(self, "quotes", "n", 2) == 4);
  CHECK(who_got(self, 2, 4).size() == 4);
  system.broker().signal(SIGCONT);
}
