#include "crash/stage.hpp"

#include <algorithm>
#include <csignal>

#include "support/catch.hpp"
#include "support/messages.capnp.h"
#include "tools/common/broker_memory.hpp"

namespace muproc::test {

using namespace std::chrono_literals;

// ---- what victims do -------------------------------------------------------------------------------------------------

const std::string& small_text() {
  static const std::string text = [] {
    std::string made;
    for (int i = 0; i < 200; ++i) made += static_cast<char>('a' + i % 23);
    return made;
  }();
  return text;
}

void settle_down(Self& self) {
  for (int i = 0; i < 16; ++i) self.receive(on<"never">() >> [] {}, after(1us) >> [] {});
}

void await_go(Self& self) {
  self.receive(on<"go">() >> [] {});
}

void send_small(Self& self, Address to, int n) { self.send(to, "n", n, "text", small_text()); }
void send_large(Self& self, Address to, int n) {
  self.send<Blob>(to, [n](Blob::Builder blob) {
    auto data = blob.initData(k_large);
    for (std::size_t i = 0; i < k_large; i += 1000) data[i] = static_cast<kj::byte>(n + 1);
  });
}

void waits(Self& self) {
  self.receive(on<"never">() >> [] {});
}

void resident(Self& self) {
  for (;;)
    self.receive(on<"ping">() >> [&](From from) { self.send(from, "pong", true); },
                 on<"n", "text">() >> [&](int n, std::string text) { self.send("tester", "n", n, "text", text); });
}

// ---- the stage -------------------------------------------------------------------------------------------------------

Stage::Stage() : system_(TestOptions{.log = LogLevel::error}) {
  self().trap_exits(true);  // victims link to it
  self().spawn("resident", resident);
  system_.status("resident");  // what that takes is there from now on
  resident_is_up_to_date();
  auto segments = tools::BrokerMemory(system_.folder()).segments({self().pid()});
  own_ = std::make_unique<shm::PeerSegment>(segments.at(self().pid()).get(), self().pid());
}

std::uint64_t Stage::own_blocks() { return own_->status().arena_blocks.load(); }

void Stage::resident_is_up_to_date() {
  self().send("resident", "ping", true);
  next<bool, "pong">(self());
}

namespace {

auto on_small(std::vector<int>& seen) {
  return on<"n", "text">() >> [&](int n, std::string text) {
    REQUIRE(text == small_text());
    seen.push_back(n);
  };
}
auto on_large(std::vector<int>& seen) {
  return on<Blob>() >> [&](Blob::Reader blob) {
    const auto data = blob.getData();
    REQUIRE(data.size() == k_large);
    bool is_whole = true;
    for (std::size_t i = 0; i < k_large; ++i) is_whole &= data[i] == (i % 1000 ? 0 : data[0]);
    REQUIRE(is_whole);
    seen.push_back(data[0] - 1);
  };
}

}  // namespace

void Stage::collect_now() {
  for (bool more = true; more;) self().receive(on_small(seen_), on_large(seen_), after(0s) >> [&] { more = false; });
}

void Stage::collect_until_death(Ref ref, End& end) {
  for (bool dead = false; !dead;)
    self().receive(on_small(seen_), on_large(seen_),
                   on<"terminated", "reason", "ref">(anything, anything, is(static_cast<std::int64_t>(ref.bits))) >>
                       [&](Value, Reason why) {
                         end.reason = std::move(why);
                         dead = true;
                       },
                   or_fail("the victim's end"));
}

Stage::End Stage::play(const Play& play, const std::function<void(Stepper&, pid_t)>& lead) {
  seen_.clear();
  first_time_ = true;
  const auto [pid, ref] = self().spawn_monitor("victim", play.victim);
  victim_ = pid;
  const pid_t os_pid = os_pid_of(self(), pid);
  End end;
  {
    Stepper stepper(os_pid);
    self().send(pid, "go", true);
    stepper.run_to_mark();
    play.at_mark(*this);
    stepper.when_blocked([&] { play.when_blocked(*this); });
    lead(stepper, os_pid);
  }
  collect_until_death(ref, end);
  end.aftermath = play.aftermath(*this);
  collect_now();
  end.seen = seen_;
  return end;
}

void Stage::stand_by(const Play& play, pid_t os_pid) {
  wait_until("the victim to go on to its end", [&] {
    if (process_state(os_pid) == 'S') play.when_blocked(*this);
    return !process_lives(os_pid);
  });
}

void Stage::take_baseline() {
  broker_ = holdings_of(system_.broker().os_pid());
  test_ = holdings_of(::getpid());
}

void Stage::check_house() {
  CHECK(self().find("victim") == nil_pid);
  CHECK_FALSE(self().alive(victim_));
  resident_is_up_to_date();
  CHECK(own_blocks() == 0);
  self().receive(on<"n">() >> [](int n) { FAIL("number " << n << " has come from nowhere"); }, after(0s) >> [] {});
  wait_until("the victim's channels to be closed", [&] {
    self().receive(on<"never">() >> [] {}, after(0s) >> [] {});
    return open_channels(system_.folder()) == 2;  // to the resident, and from it
  });
  for (const std::string& breach : breaches(system_.folder())) FAIL_CHECK(breach);
  if (broker_ == Holdings{}) return take_baseline();
  // When the first of them was taken, the broker may not have closed all of the victim's yet: less than that counts from then on.
  const auto is_least = [](Holdings& least, const Holdings& now) {
    least = {std::min(least.descriptors, now.descriptors), std::min(least.maps, now.maps)};
    return now == least;
  };
  const auto nothing_is_left = [&] {
    return is_least(broker_, holdings_of(system_.broker().os_pid())) && is_least(test_, holdings_of(::getpid()));
  };
  wait_until("the broker to have " + to_string(broker_) + " again, and the test " + to_string(test_), nothing_is_left);
}

Recording record(Stage& stage, const Play& play, Stage::End* ended) {
  Recording recording;
  const auto end = stage.play(play, [&](Stepper& stepper, pid_t) {
    const Pid pid = stage.victim();
    auto segments = tools::BrokerMemory(stage.system().folder()).segments({pid});
    WatchedMemory memory(segments.at(pid).get());
    recording = stepper.record(&memory);
  });
  if (ended) *ended = end;
  stage.check_house();
  return recording;
}

}  // namespace muproc::test
