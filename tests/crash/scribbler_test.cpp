// A wild write harms nobody else: one muproc after the other goes mad while all the others work.
//
// Two honest ones send numbered messages, small and large, to a clerk, who checks that none is missing, doubled or
// spoilt. Each scribbler sends to all of these, and writes over whatever it can; the clerk and the honest ones read what it
// has left them. At the end they are still who they were.
#include <unistd.h>

#include <csignal>
#include <map>
#include <thread>
#include <tuple>

#include "crash/scribbler.hpp"
#include "crash/stage.hpp"
#include "support/catch.hpp"
#include "support/messages.capnp.h"
#include "support/muctl.hpp"
#include "support/soak.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

const std::string k_words = "what an honest muproc says";

/// Looks at all of a message, as somebody who prints it would.
void look_at_all_of(const Message& message) {
  if (message.is_mumsg()) to_string(message.mumsg().value());
  if (message.is<Blob>()) {
    volatile std::uint64_t sum = 0;
    for (const auto byte : message.as<Blob>().getData()) sum = sum + byte;
  }
}

/// And answers, small and large.
void answer(Self& self, const Message& message) {
  look_at_all_of(message);
  if (!message.from()) return;
  std::ignore = self.try_send(message.from(), "echo", true);
  std::ignore = self.try_send<Blob>(message.from(), [](Blob::Builder blob) { blob.initData(40'000); });
}

/// Takes numbered messages of honest ones, one after the other, and answers them; and whatever others send.
void clerk(Self& self) {
  std::map<Pid, int> last;
  for (;;)
    self.receive(on<"report">() >> [&](From from, bool) { self.send(from, "honest", static_cast<std::int64_t>(last.size())); },
                 on<"honest", "words">() >> [&](From from, int n, std::string words) {
                   MUST(words == k_words && n == ++last[from]);
                   self.send(from, "done", n);
                 },
                 on<Numbers>() >> [&](From from, Numbers::Reader numbers) {
                   std::size_t right = 0;
                   for (const std::uint64_t number : numbers.getList()) right += number == 42;
                   MUST(right == 5000 || !last.contains(from));
                 },
                 otherwise >> [&](const Message& message) { answer(self, message); });
}

/// Sends one after the other, and counts what is done.
void honest(Self& self) {
  for (int n = 1;; ++n) {
    self.send("clerk", "honest", n, "words", k_words);
    if (n % 16 == 0)
      self.send<Numbers>("clerk", [](Numbers::Builder numbers) {
        auto list = numbers.initList(5000);
        for (unsigned i = 0; i < 5000; ++i) list.set(i, 42);
      });
    for (bool done = false; !done;)
      self.receive(on<"done">([&](int m) { return m == n; }) >> [&] { done = true; },
                   on<"count">() >> [&](From from, bool) { self.send(from, "counted", n); },
                   otherwise >> [&](const Message& message) { answer(self, message); });
  }
}

// ---- the scribbler ---------------------------------------------------------------------------------------------------

/// Something that it really says, to everybody.
void say_something(Self& self) {
  for (const char* to : {"clerk", "honest-1", "honest-2"}) {
    std::ignore = self.try_send(to, "nonsense", 1, "text", std::string(100, 'x'));
    std::ignore = self.try_send<Blob>(to, [](Blob::Builder blob) { blob.initData(40'000); });
  }
}

template <class Attack>
void on_each_channel(const FoundMemory& memory, Random& random, Attack&& attack) {
  for (const auto& channel : memory.channels()) attack(channel, random);
}

[[noreturn]] void wait_for_the_end() {
  for (;;) ::pause();
}

void scribbles(Self& self) {
  Random random(self.args()["seed"].as<std::uint64_t>());
  const auto how = self.args()["how"].as<std::string>();
  say_something(self);
  FoundMemory memory(self.pid());
  if (how == "records") on_each_channel(memory, random, write_wrong_record);
  if (how == "tables") on_each_channel(memory, random, write_wrong_table);
  if (how == "records" || how == "tables") wait_for_the_end();
  if (how == "contents")
    for (int i = 0; i < 40; ++i) {
      on_each_channel(FoundMemory(self.pid()), random, write_wrong_contents);
      std::this_thread::yield();
    }
  if (how == "noise")
    for (int i = 0; i < 20; ++i) {
      for (const auto& part : memory.interesting()) scribble(part, 1 + random.below(200), random);
      std::this_thread::yield();
    }
  if (how == "crash") {
    // The last word of one who dies of a fault, which the broker reads.
    for (int i = 0; i < 3; ++i) scribble({memory.segment() + shm::k_crash_offset, std::size_t{640} << 10}, 20'000, random);
    auto* state = reinterpret_cast<std::uint32_t*>(memory.segment() + shm::k_crash_offset);
    *state = static_cast<std::uint32_t>(shm::CrashState::whole);
    std::signal(SIGSEGV, SIG_DFL);
    ::raise(SIGSEGV);
  }
  if (how == "storm") {
    // While it goes on sending as if nothing were.
    std::thread([&, seed = random.bits()] {
      Random its(seed);
      for (int i = 0; i < 3000; ++i) on_each_channel(memory, its, spoil_unread);
      ::raise(SIGKILL);
    }).detach();
    for (;;) say_something(self);
  }
  if (how == "asleep") {
    for (int i = 0; i < 200; ++i) {
      scribble({memory.segment() + shm::k_status_offset, 128}, 4, random);
      scribble({memory.segment() + shm::k_cursors_offset, 16 * sizeof(shm::Cursor)}, 50, random);
      scribble({memory.segment() + shm::k_positions_offset, 128}, 8, random);
      say_something(self);
    }
  }
  ::raise(SIGKILL);
}

/// All those who must not be harmed.
class Town {
 public:
  Town() : system_(TestOptions{.log = LogLevel::off}) {
    clerk_ = self().spawn("clerk", clerk);
    for (const char* name : {"honest-1", "honest-2"}) honest_.push_back(self().spawn(name, honest));
  }
  LiveSystem& system() { return system_; }
  Self& self() { return system_.self(); }

  /// How that one ended.
  Reason let_loose(const std::string& how, std::uint64_t seed) {
    const auto [pid, ref] = self().spawn_monitor("scribbler", scribbles, {.args = {{"how", how}, {"seed", static_cast<std::int64_t>(seed >> 1)}}});
    return reason_of(self(), ref);
  }
  /// Nobody has been replaced or has stopped working.
  void check() {
    REQUIRE(self().find("clerk") == clerk_);
    for (const Pid pid : honest_) {
      REQUIRE(self().alive(pid));
      const int before = count(pid);
      wait_until(self().name_of(pid) + " to go on", [&] { return count(pid) > before; });
    }
    self().send(clerk_, "report", true);
    REQUIRE(next<std::int64_t, "honest">(self()) >= 2);
  }

 private:
  int count(Pid pid) {
    self().send(pid, "count", true);
    return next<int, "counted">(self());
  }
  LiveSystem system_;
  Pid clerk_;
  std::vector<Pid> honest_;
};

void let_many_loose(const std::string& how, int lives, bool must_be_found_out) {
  Random random;
  INFO(random.how_to_repeat());
  Town town;
  const SoakShare time(k_crash_tests);
  for (int life = 0; life < lives || time.is_left(); ++life) {
    INFO(how << ", life " << life);
    const Reason reason = town.let_loose(how, random.bits());
    CAPTURE(reason);
    if (must_be_found_out) CHECK(reason.kind() == Reason::Kind::corrupt_message);
    town.check();
    // Whoever looks at the system sees it, too.
    if (life % 8 == 0) {
      for (const char* verb : {"tree", "ps", "dead-letters"}) CHECK(muctl({"-s", town.system().name(), verb}).code == 0);
    }
  }
}

}  // namespace

TEST_CASE("who writes a record that cannot be is ended, and nobody else is harmed", "[crash][scribbler]") {
  let_many_loose("records", 20, true);
}

TEST_CASE("who writes a large message that lies elsewhere is ended, and nobody else is harmed", "[crash][scribbler]") {
  let_many_loose("tables", 20, true);
}

TEST_CASE("messages that are almost right, or not at all, harm nobody", "[crash][scribbler]") {
  let_many_loose("contents", 20, false);
}

TEST_CASE("noise all over a muproc's memory harms nobody else", "[crash][scribbler]") {
  let_many_loose("noise", 20, false);
}

TEST_CASE("a crash area full of nonsense is read without harm", "[crash][scribbler]") {
  let_many_loose("crash", 5, false);
}

TEST_CASE("messages that change while they are read harm nobody", "[crash][scribbler]") {
  let_many_loose("storm", 5, false);
}

TEST_CASE("a muproc that lies about its sleep and its cursors harms nobody but itself", "[crash][scribbler]") {
  let_many_loose("asleep", 10, false);
}
