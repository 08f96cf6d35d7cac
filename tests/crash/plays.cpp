#include "crash/plays.hpp"

#include "support/catch.hpp"
#include "support/messages.capnp.h"

namespace muproc::test {

using namespace std::chrono_literals;

namespace {

/// An answer of the broker: what it had to say before is here now.
void hear_the_broker(Stage& stage) { stage.self().demonitor(stage.self().monitor(stage.self().pid())); }

// ---- sending ---------------------------------------------------------------------------------------------------------

template <auto send, muproc::detail::FixedString to>
void sends(Self& self) {
  settle_down(self);
  send(self, to.view(), 0);
  await_go(self);
  mark();
  send(self, to.view(), 1);
  mark();
  send(self, to.view(), 2);
}

void sends_for_the_first_time(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  send_small(self, "tester", 1);
  mark();
  send_small(self, "tester", 2);
}

void sends_into_a_full_channel(Self& self) {
  settle_down(self);
  int n = 0;
  while (self.try_send("tester", "n", n, "text", small_text())) ++n;
  await_go(self);
  mark();
  send_small(self, "tester", n);
  mark();
}

// ---- receiving -------------------------------------------------------------------------------------------------------

void receives(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  self.receive(on<"number">() >> [](int n) { MUST(n == 7); });
  mark();
}

void receives_in_vain(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  self.receive(on<"another">() >> [] {}, after(0s) >> [] {});
  mark();
  self.receive(on<"number">() >> [](int n) { MUST(n == 7); });
}

void receives_from_the_stash(Self& self) {
  settle_down(self);
  self.send(self.pid(), "number", 6, "text", small_text());
  self.send(self.pid(), "number", 7, "text", small_text());
  await_go(self);
  mark();
  self.receive(on<"number">(is(7)) >> [](int) {});
  mark();
}

void receives_a_large_one(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  self.receive(on<Blob>() >> [](Blob::Reader blob) {
    const auto data = blob.getData();
    MUST(data.size() == k_large && data[0] == 1 && data[k_large - 1] == 3);
  });
  mark();
}

void tell_a_number(Stage& stage) { stage.self().send(stage.victim(), "number", 7, "text", small_text()); }

void tell_a_number_once(Stage& stage) {
  if (stage.once()) tell_a_number(stage);
}

void tell_a_large_one(Stage& stage) {
  stage.self().send<Blob>(stage.victim(), [](Blob::Builder blob) {
    auto data = blob.initData(k_large);
    data[0] = 1;
    data[k_large - 1] = 3;
  });
}

// ---- asking ----------------------------------------------------------------------------------------------------------

void registers(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  const Port port = self.register_port("the-port");
  mark();
}

void unregisters(Self& self) {
  settle_down(self);
  Port port = self.register_port("the-port");
  await_go(self);
  mark();
  port.release();
  mark();
}

int the_port_is_free(Stage& stage) {
  CHECK(stage.self().find("the-port") == nil_pid);
  const Port port = stage.self().register_port("the-port");
  return 0;
}

template <bool linked>
void spawns(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  self.spawn("child", waits, {.link = linked});
  mark();
}

/// Whether a child was born, or was just being born; it is ended, and its name is free.
int end_the_child(Stage& stage) {
  Self& self = stage.self();
  int children = 0;
  const Pid last = wait_until("the name of a child to be free", [&] {
    try {
      return self.spawn("child", waits);
    } catch (const NameTaken&) {
      children = 1;
      if (const Pid child = self.find("child")) self.kill(child);
      return nil_pid;
    }
  });
  self.kill(last);
  stage.system().wait_until_gone(last);
  return children;
}

/// It ends with whom it is linked to, however early that was: nobody kills it.
int the_child_has_ended(Stage& stage) {
  Self& self = stage.self();
  const Pid last = wait_until("the name of a linked child to be free", [&] {
    try {
      return self.spawn("child", waits);
    } catch (const NameTaken&) {
      return nil_pid;
    }
  });
  self.kill(last);
  stage.system().wait_until_gone(last);
  return 0;
}

void links(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  self.link("tester");
  mark();
}

/// The notices that came through a link.
int notices(Stage& stage) {
  hear_the_broker(stage);
  int count = 0;
  for (bool more = true; more;)
    stage.self().receive(on<"terminated", "reason">(is(stage.victim()), anything) >> [&](Pid, Value) { ++count; },
                         after(0s) >> [&] { more = false; });
  return count;
}

void monitors(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  self.monitor("resident");
  mark();
}

void sends_an_exit_signal(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  self.trap_exits(true);
  self.exit("tester", "an exit signal");
  mark();
}

/// The exit signals that came from it.
int exit_signals(Stage& stage) {
  hear_the_broker(stage);
  int count = 0;
  for (bool more = true; more;)
    stage.self().receive(on<"terminated", "reason">(is(nullptr), anything) >> [&](Value, Value) { ++count; },
                         after(0s) >> [&] { more = false; });
  return count;
}

void exits(Self& self) {
  settle_down(self);
  await_go(self);
  mark();
  self.exit("done");
}

}  // namespace

std::vector<Play> sending() {
  return {
      {.title = "a small message", .victim = sends<send_small, "tester">, .sends = true},
      {.title = "a large message", .victim = sends<send_large, "tester">, .sends = true},
      {.title = "a message to one that is asleep",
       .victim = sends<send_small, "resident">,
       .at_mark = [](Stage& stage) { stage.system().wait_until_idle("resident"); },
       .aftermath = [](Stage& stage) { stage.resident_is_up_to_date(); return 0; },
       .sends = true},
      {.title = "a message into a full channel",
       .victim = sends_into_a_full_channel,
       .when_blocked = [](Stage& stage) { stage.collect_now(); },
       .sends = true,
       .waits = true},
      {.title = "the first message of a channel", .victim = sends_for_the_first_time, .sends = true},
  };
}

std::vector<Play> receiving() {
  return {
      {.title = "receive what is there", .victim = receives, .at_mark = tell_a_number},
      {.title = "receive in vain, and keep it", .victim = receives_in_vain, .at_mark = tell_a_number},
      {.title = "receive from the stash", .victim = receives_from_the_stash},
      {.title = "receive a large message", .victim = receives_a_large_one, .at_mark = tell_a_large_one},
      {.title = "sleep, wake and receive", .victim = receives, .when_blocked = tell_a_number_once, .waits = true},
  };
}

std::vector<Play> asking() {
  return {
      {.title = "register a port", .victim = registers, .aftermath = the_port_is_free},
      {.title = "unregister a port", .victim = unregisters, .aftermath = the_port_is_free},
      {.title = "spawn", .victim = spawns<false>, .aftermath = end_the_child},
      {.title = "spawn with a link", .victim = spawns<true>, .aftermath = the_child_has_ended},
      {.title = "link", .victim = links, .aftermath = notices},
      {.title = "monitor", .victim = monitors},
      {.title = "trap exits, and send an exit signal", .victim = sends_an_exit_signal, .aftermath = exit_signals},
      {.title = "exit", .victim = exits},
  };
}

}  // namespace muproc::test
