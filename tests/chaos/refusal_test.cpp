// What becomes of births, channels, large messages and kept mailboxes when the kernel refuses a call that they take, in
// the broker, in a sender, in a receiver, in who is being born: each call of each kind, in turn.
#include <muproc/supervisor.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "chaos/refusal.hpp"
#include "chaos/shortage.hpp"
#include "support/catch.hpp"
#include "support/messages.capnp.h"
#include "support/sanitizer.hpp"
#include "support/segment_invariants.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

struct Kind {
  Refusable call;
  int error;
};
constexpr Kind k_kinds[] = {
    {Refusable::memfd_create, ENOMEM}, {Refusable::ftruncate, ENOSPC},    {Refusable::eventfd, ENOMEM},
    {Refusable::mmap, ENOMEM},         {Refusable::madvise, ENOMEM},      {Refusable::mprotect, ENOMEM},
    {Refusable::socketpair, ENFILE},   {Refusable::pipe2, ENFILE},        {Refusable::epoll_ctl, ENOSPC},
    {Refusable::sendmsg, ENOBUFS},     {Refusable::sendmsg, ETOOMANYREFS}};

constexpr std::size_t k_most = 100;  // calls of a kind: more than any of these takes
constexpr int k_large = 31'000;      // bytes: more than scratch memory holds
constexpr int k_more_than_arena = 70 << 20;

bool cannot_refuse() {
  if (k_under_sanitizer) WARN("a sanitizer has calls of its own before the C library's: nothing is refused");
  return k_under_sanitizer;
}

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

/// Tells the test of all that it gets, and of nothing else.
void passes_on(Self& self) {
  for (;;)
    self.receive(
        on<"n">() >> [&](int n) { self.send("tester", "got", n); },
        on<Blob>() >> [&](Blob::Reader blob) { self.send("tester", "size", static_cast<int>(blob.getData().size())); });
}

void send_blob(Self& self, Address to, int size) {
  self.send<Blob>(to, [size](Blob::Builder blob) { blob.initData(static_cast<unsigned>(size)); });
}

/// A system in which nothing may be left of what has failed.
class House {
 public:
  House() : system_(TestOptions{.log = LogLevel::error}) { warm_up(); }
  explicit House(Supervisor root) : system_(std::move(root), TestOptions{.log = LogLevel::error}) { warm_up(); }
  LiveSystem& system() { return system_; }
  Self& self() { return system_.self(); }
  pid_t broker() { return system_.broker().os_pid(); }

  void end(Pid pid) {
    const Ref ref = self().monitor(pid);
    self().kill(pid);
    reason_of(self(), ref);
  }
  /// Of one that is monitored: why it has ended; nothing when it has its message, and then it is ended.
  std::optional<std::string> fate_of(Pid pid, auto has_the_message) {
    std::optional<std::string> told;
    self().receive(
        std::move(has_the_message),
        on<"terminated", "reason">() >> [&](Pid, Reason reason) { told = to_string(reason); },
        or_fail("the message, or the end"));
    if (!told) end(pid);
    self().receive(
        on<"terminated">(is(pid)) >> [] {}, after(0s) >> [] {});
    return told;
  }
  /// All that is there now, and the test.
  std::vector<pid_t> everybody() {
    std::vector<pid_t> all = children_of(broker());
    all.push_back(broker());
    all.push_back(::getpid());
    return all;
  }
  void must_be_as_before() {
    wait_until("no zombie", [&] { return zombies_of(broker()) == 0; });
    wait_until("the broker to have " + to_string(broker_) + " again, and the test " + to_string(test_), [&] {
      self().demonitor(self().monitor(self().pid()));  // hears the broker
      self().receive(
          on<"never">() >> [] {}, after(0s) >> [] {});
      return holdings_of(broker()) == broker_ && holdings_of(::getpid()) == test_ &&
             open_channels(system_.folder()) == channels_;
    });
    for (const std::string& breach : breaches(system_.folder())) FAIL_CHECK(breach);
  }
  /// From now on it must be as it is after births and deaths that nothing disturbs.
  void settle() {
    for (Holdings before; before != broker_ || before == Holdings{};) {
      before = broker_;
      end(self().spawn("another", waits));
      look_until_nothing_changes();
    }
  }

 private:
  /// What the first birth, the first message and the first large one leave is there from now on.
  void warm_up() {
    const Pid first = self().spawn("first", passes_on);
    self().send(first, "n", 0);
    next<int, "got">(self());
    send_blob(self(), first, k_large);
    next<int, "size">(self());
    system_.wait_until_idle(first);
    system_.os_pid(first);
    end(first);
    settle();
  }

  void look_until_nothing_changes() {
    for (int same = 0; same < 20; std::this_thread::sleep_for(2ms)) {
      self().demonitor(self().monitor(self().pid()));  // hears the broker
      const Holdings now = holdings_of(broker());
      same = now == broker_ ? same + 1 : 0;
      broker_ = now;
    }
    test_ = holdings_of(::getpid());
    channels_ = open_channels(system_.folder());
  }

  struct Refusals {
    Refusals() { make_refusals(); }
  } refusals_;  // before the system
  LiveSystem system_;
  Holdings broker_, test_;
  std::size_t channels_ = 0;
};

/// Does it with the first call of each kind refused, with the second and so on, until it needs no further one.
/// `act` says what it was told of a refusal; nothing, when it has succeeded all the same.
void at_each_call(const std::function<Whom()>& whom, const std::function<std::optional<std::string>()>& act,
                  const std::function<void()>& afterwards) {
  std::size_t struck = 0;
  for (const Kind& kind : k_kinds)
    for (std::size_t nth = 1;; ++nth) {
      INFO(to_string(kind.call) << " number " << nth << " fails: " << std::strerror(kind.error));
      REQUIRE(nth < k_most);
      Refusal refusal(kind.call, kind.error, whom(), nth);
      const auto told = act();
      refusal.end();
      const bool has_struck = refusal.has_struck();
      if (told) CHECK_THAT(*told, Contains(std::strerror(kind.error)) || Contains("bad_alloc"));
      if (told) CHECK(has_struck);
      afterwards();
      struck += has_struck;
      if (!has_struck) break;
    }
  CHECK(struck > 0);
}

std::optional<std::string> told_by(const std::function<void()>& act) {
  try {
    act();
    return std::nullopt;
  } catch (const std::exception& failure) {
    return failure.what();
  }
}

}  // namespace

TEST_CASE("who spawns while the kernel refuses the broker a call hears so, and nothing is left of it",
          "[broker][refusal]") {
  if (cannot_refuse()) return;
  House house;
  Self& self = house.self();
  const bool is_program = GENERATE(false, true);
  CAPTURE(is_program);
  const Code code = is_program ? exec_plain({"sleep", "1000"}) : Code(waits);
  house.end(self.spawn("x", code));
  house.settle();
  Pid pid;
  at_each_call([&] { return Whom::only(house.broker()); },
               [&] {
                 pid = nil_pid;
                 return told_by([&] { pid = self.spawn("x", code); });
               },
               [&] {
                 if (!pid) pid = self.spawn("x", code);
                 house.end(pid);
                 house.must_be_as_before();
               });
}

TEST_CASE("who is refused a call while it is being born is not born, and its spawner hears why", "[refusal]") {
  if (cannot_refuse()) return;
  House house;
  Self& self = house.self();
  Pid pid;
  at_each_call([&] { return Whom::all_but(house.everybody()); },
               [&] {
                 pid = nil_pid;
                 return told_by([&] { pid = self.spawn("x", waits); });
               },
               [&] {
                 if (!pid) pid = self.spawn("x", waits);
                 house.end(pid);
                 house.must_be_as_before();
               });
}

TEST_CASE("who joins while the kernel refuses the broker a call is let in or hears why not",
          "[broker][refusal][attach]") {
  if (cannot_refuse()) return;
  House house;
  bool is_in = false;
  const auto come = [&] {
    is_in = false;
    std::string why;
    std::thread([&] {  // one membership in a thread
      try {
        const auto membership = attach(house.system().folder().string(), {.name = "guest"});
        is_in = true;
      } catch (const std::exception& failure) {
        why = failure.what();
      }
    })
        .join();
    return is_in ? std::optional<std::string>() : std::optional(why);
  };
  at_each_call([&] { return Whom::only(house.broker()); },
               [&] {
                 const auto told = come();
                 // A connection that could not even be taken is closed without a word.
                 return told && Contains("closed the connection").match(*told) ? std::nullopt : told;
               },
               [&] {
                 house.system().wait_until_gone("guest");
                 if (!is_in) come();
                 CHECK(is_in);
                 house.system().wait_until_gone("guest");
                 house.must_be_as_before();
               });
}

TEST_CASE("who sends for the first time while a call is refused hears so, and can do it afterwards",
          "[refusal][channel]") {
  if (cannot_refuse()) return;
  House house;
  Self& self = house.self();
  Pid pid;
  const bool is_the_broker = GENERATE(false, true);
  CAPTURE(is_the_broker);
  at_each_call(
      [&] {
        pid = self.spawn("x", passes_on);
        return Whom::only(is_the_broker ? house.broker() : ::getpid());
      },
      [&] { return told_by([&] { self.send(pid, "n", 1); }); },
      [&] {
        self.send(pid, "n", 2);
        int got = 0;
        while (got != 2) got = next<int, "got">(self);
        // One channel to it, and one from it.
        CHECK(open_channels(house.system().folder()) == 2);
        house.end(pid);
        house.must_be_as_before();
      });
}

TEST_CASE("to whom somebody new sends while a call is refused to it has the message, or ends and says why",
          "[refusal][channel]") {
  if (cannot_refuse()) return;
  House house;
  Self& self = house.self();
  Pid pid;
  Ref ref;
  at_each_call(
      [&] {
        std::tie(pid, ref) = self.spawn_monitor("x", passes_on);
        house.system().wait_until_idle(pid);
        return Whom::only(house.system().os_pid(pid));
      },
      [&]() -> std::optional<std::string> {
        self.send(pid, "n", 1);
        return house.fate_of(pid, on<"got">() >> [](int) {});
      },
      [&] { house.must_be_as_before(); });
}

TEST_CASE("a large message whose sender is refused a call is sent, or its sender hears why not", "[refusal][large]") {
  if (cannot_refuse()) return;
  House house;
  Self& self = house.self();
  Pid pid;
  const bool is_the_broker = GENERATE(false, true);
  // The broker has a part in what is larger than the arena.
  const int size = is_the_broker ? k_more_than_arena : GENERATE(k_large, k_more_than_arena);
  CAPTURE(is_the_broker, size);
  at_each_call(
      [&] {
        pid = self.spawn("x", passes_on);
        self.send(pid, "n", 0);
        next<int, "got">(self);
        return Whom::only(is_the_broker ? house.broker() : ::getpid());
      },
      [&] {
        const auto told = told_by([&] { send_blob(self, pid, size); });
        if (!told) CHECK(next<int, "size">(self) == size);
        return told;
      },
      [&] {
        for (int i = 0; i < 2; ++i) {
          send_blob(self, pid, size);
          CHECK(next<int, "size">(self) == size);
        }
        house.end(pid);
        house.must_be_as_before();
      });
}

TEST_CASE("a large message whose receiver is refused a call is received, or its receiver ends and says why",
          "[refusal][large]") {
  if (cannot_refuse()) return;
  House house;
  Self& self = house.self();
  Pid pid;
  Ref ref;
  constexpr int size = k_more_than_arena;  // what lies in its sender's arena is mapped already
  at_each_call(
      [&] {
        std::tie(pid, ref) = self.spawn_monitor("x", passes_on);
        self.send(pid, "n", 0);
        next<int, "got">(self);
        house.system().wait_until_idle(pid);
        return Whom::only(house.system().os_pid(pid));
      },
      [&]() -> std::optional<std::string> {
        send_blob(self, pid, size);
        return house.fate_of(pid, on<"size">() >> [&](int got) { CHECK(got == size); });
      },
      [&] { house.must_be_as_before(); });
}

TEST_CASE("a kept mailbox whose new owner, or the broker, is refused a call loses nothing", "[refusal][keep]") {
  if (cannot_refuse()) return;
  constexpr Backoff k_soon{.initial = 5ms, .max = 5ms};
  House house(supervisor(one_for_one, {1'000'000, 1s},
                         {{"a",
                           passes_on,
                           {.backoff = k_soon,
                            .mailbox = {.on_restart = OnRestart::keep, .in_hand = InHand::redeliver}}}}));
  Self& self = house.self();
  const bool is_the_broker = GENERATE(false, true);
  CAPTURE(is_the_broker);
  self.send("a", "n", 0);
  next<int, "got">(self);
  house.settle();
  at_each_call(
      [&] {
        house.system().wait_until_idle("a");  // what it has in hand is delivered again
        house.system().suspend("a");
        return is_the_broker ? Whom::only(house.broker()) : Whom::all_but(house.everybody());
      },
      [&]() -> std::optional<std::string> {
        const Pid before = self.find("a");
        for (int n = 0; n < 4; ++n) self.send("a", "n", n);
        send_blob(self, "a", k_large);
        signal(self, before, SIGKILL);
        for (int n = 0; n < 4; ++n) CHECK(next<int, "got">(self) == n);
        CHECK(next<int, "size">(self) == k_large);
        return std::nullopt;
      },
      [&] {
        self.send("a", "n", 99);
        CHECK(next<int, "got">(self) == 99);
        wait_until("no zombie", [&] { return zombies_of(house.broker()) == 0; });
        for (const std::string& breach : breaches(house.system().folder())) FAIL_CHECK(breach);
      });
}

TEST_CASE("a sender that could not map a kept mailbox's owner goes on to its successor", "[refusal][keep]") {
  if (cannot_refuse()) return;
  House house(supervisor(one_for_one, {1'000'000, 1s}, {{"a", passes_on, {.mailbox = {.on_restart = OnRestart::keep}}}}));
  Self& self = house.self();
  const auto channels = [&] { return open_channels(house.system().folder()); };
  const Pid before = self.find("a");
  {
    const Refusal refusal(Refusable::mmap, ENOMEM, Whom::only(::getpid()), 1);
    CHECK_THROWS(self.send("a", "n", 1));
    REQUIRE(refusal.has_struck());
  }
  CHECK(channels() == 1);
  signal(self, before, SIGKILL);
  wait_until("a successor", [&] { return self.find("a") != before && self.find("a") != nil_pid; });
  self.send("a", "n", 2);
  CHECK(next<int, "got">(self) == 2);
  // The one that was granted, and the answer's: not a third.
  CHECK(channels() == 2);
}
