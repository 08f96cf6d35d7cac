// What a tool sees of a running system in its shared memory, without asking the broker.
#include <sys/types.h>
#include <unistd.h>

#include <csignal>

#include "support/catch.hpp"
#include "support/system_fixture.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/sampler.hpp"
#include "tools/common/system_view.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using tools::BrokerState;
using tools::Failure;
using tools::SystemView;

namespace {

void waits(Self& self) {
  for (;;)
    self.receive(
        on<"end">() >> [&](std::string how) { self.exit(how); }, on<"n">() >> [] {});
}

/// Takes nothing until it is continued.
void waits_outside(Self& self) {
  ::raise(SIGSTOP);
  waits(self);
}

void floods(Self& self) {
  for (;;) self.send("receiver", "n", 1, "padding", std::string(200, 'x'));
}

void dies(Self& self) { self.exit("tired"); }

/// Looks until the snapshot is as it should be, and returns that one.
template <class Predicate>
std::shared_ptr<const tools::Snapshot> seen(SystemView& view, const char* what, Predicate predicate) {
  return wait_until(what, [&] {
    auto now = view.look();
    return predicate(*now) ? now : nullptr;
  });
}

}  // namespace

TEST_CASE("the tree of a system can be read while its broker is stopped", "[view]") {
  LiveSystem system(
      supervisor(rest_for_one, {3, 5s}, {{"a", waits}, {"inner", supervisor(one_for_all, {2, 7s}, {{"b", waits}})}}));
  Self& self = system.self();
  system.broker().signal(SIGSTOP);
  wait_until_stopped(system.broker().os_pid());
  SystemView view(system.folder().native());
  const auto now = view.look();
  CHECK(now->broker == BrokerState::stopped);
  CHECK(now->broker_os_pid == system.broker().os_pid());
  CHECK(now->system == system.name());
  const auto* root = now->find("root");
  const auto* inner = now->find("inner");
  const auto* b = now->find("b");
  REQUIRE(root);
  REQUIRE(inner);
  REQUIRE(b);
  CHECK(inner->parent == root->slot);
  CHECK(b->parent == inner->slot);
  CHECK(b->pid == self.find("b"));
  CHECK(b->state == shm::SlotState::running);
  REQUIRE(root->supervision);
  CHECK(root->supervision->strategy == "rest_for_one");
  CHECK(root->supervision->limit == 3);
  CHECK(inner->supervision->within == 7s);
  CHECK_FALSE(b->supervision);
  REQUIRE(b->status);
  CHECK(now->shared_bytes > 0);
  system.broker().signal(SIGCONT);
}

TEST_CASE("a sender that waits for room, and whose mailbox is full, can be read without the broker", "[view]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid receiver = self.spawn("receiver", waits_outside);
  wait_until_stopped(system.os_pid(receiver));
  const Pid sender = self.spawn("sender", floods);
  SystemView view(system.folder().native());
  const auto now = seen(view, "a blocked sender", [&](const tools::Snapshot& now) {
    const auto* blocked = now.find(sender);
    return blocked && blocked->status && blocked->status->blocked_on == receiver;
  });
  const auto* full = now->find(receiver);
  REQUIRE(full);
  CHECK(full->mailbox.fill > 0.9);
  CHECK(full->mailbox.waiting > 100);
  CHECK(full->mailbox.waiting == now->find(sender)->status->messages_sent);
  CHECK(full->mailbox.capacity == shm::k_default_ring);
  REQUIRE(full->mailbox.oldest);
  CHECK(*full->mailbox.oldest > 0ns);
  tools::Sampler sampler;
  sampler.sample(now);
  system.resume("receiver");
  const auto later = seen(view, "messages taken", [&](const tools::Snapshot& now) {
    return now.find(receiver)->status->messages_received > 1000;
  });
  const auto sample = sampler.sample(later);
  CHECK(sample.messages > 0);
  CHECK(sample.rates_of(*later->find(receiver))->received > 0);
  CHECK(sample.rates_of(*later->find(receiver))->high_water > 0.9);
  CHECK(sample.rates_of(*later->find(receiver))->resident.value_or(0) > 0);
  for (const char* name : {"sender", "receiver"}) self.kill(name);
}

TEST_CASE("a child that backs off shows how long it has to wait, and its supervisor what it has used of its limit",
          "[view]") {
  LiveSystem system(supervisor(one_for_one, {5, 60s}, {{"a", waits}}));
  Self& self = system.self();
  ChildOptions options;
  options.backoff = {.initial = 600s, .max = 600s, .jitter = 0};
  Pid inner = self.start_supervisor("inner", supervisor(one_for_one, {5, 60s}, {{"slow", waits, options}}));
  SystemView view(system.folder().native());
  CHECK(view.look()->find("inner")->supervision->used == 0);
  self.kill("slow");
  const auto now = seen(view, "back-off", [](const tools::Snapshot& now) {
    return now.find("slow")->state == shm::SlotState::backing_off;
  });
  const auto* slow = now->find("slow");
  CHECK_FALSE(slow->pid);
  CHECK(slow->last_exit == "killed");
  REQUIRE(slow->due_in);
  CHECK(*slow->due_in > 500s);
  CHECK(*slow->due_in <= 600s);
  CHECK(now->find("inner")->supervision->used == 1);
  CHECK(now->find("root")->supervision->used == 0);
  self.kill(inner);
}

TEST_CASE("when the broker is killed, the last that was seen stays to be seen", "[view]") {
  LiveSystem system(supervisor(one_for_one, {}, {{"a", waits}}));
  SystemView view(system.folder().native());
  const Pid a = system.self().find("a");
  CHECK(view.look()->broker == BrokerState::running);
  system.kill_broker();
  const auto now = view.look();
  CHECK(now->broker == BrokerState::gone);
  REQUIRE(now->find("a"));
  CHECK(now->find("a")->pid == a);
  CHECK_FALSE(view.is_succeeded());
  CHECK_THROWS_AS(SystemView(system.folder().native()), Failure);
}

TEST_CASE("a system that has ended is none, and the error says so", "[view]") {
  std::filesystem::path folder;
  {
    LiveSystem system;
    folder = system.folder();
  }
  try {
    SystemView view(folder.native());
    FAIL("it was found");
  } catch (const Failure& failure) {
    CHECK(failure.code == tools::ExitCode::no_system);
    CHECK_THAT(failure.what(), Catch::Matchers::Contains("broker"));
  }
}

TEST_CASE("muprocs that come and go are mapped and let go of", "[view]") {
  LiveSystem system;
  Self& self = system.self();
  SystemView view(system.folder().native());
  view.look();
  for (int i = 0; i < 5; ++i) {
    const Pid pid = self.spawn("brief", waits);
    CHECK(view.look()->find(pid)->status);
    CHECK(view.segment(pid));
    const Ref watching = self.monitor(pid);
    self.send(pid, "end", "done");
    reason_of(self, watching);
    seen(view, "its end", [&](const tools::Snapshot& now) { return !now.find(pid); });
    seen(view, "its segment let go of", [&](const tools::Snapshot&) { return !view.segment(pid); });
  }
  CHECK(play(self, "d", dies) == Reason::exit("tired"));
}
