// Kept mailboxes, with a broker: what a supervised child's replacement gets of what was sent to the one before.
#include <muproc/server.hpp>
#include <muproc/supervisor.hpp>

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>

#include "support/catch.hpp"
#include "support/messages.capnp.h"
#include "support/muctl_json.hpp"
#include "support/random.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

/// What lives write down; it is there before the system, so all share it.
template <class T>
T* shared() {
  void* memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<T*>(memory);
}

struct Notes {
  std::atomic<int> lives;
  std::atomic<int> deliveries;
};
Notes* const notes = shared<Notes>();

const MailboxSizes k_keep{.on_restart = OnRestart::keep};
const MailboxSizes k_redeliver{.on_restart = OnRestart::keep, .in_hand = InHand::redeliver};

/// Its first life wants nothing that it is sent; any later one tells the sender what it gets.
void late_reader(Self& self) {
  if (notes->lives++ == 0) self.receive(on<"never">() >> [] {});
  for (;;)
    self.receive(
        on<"n">() >> [&](From from, int n) { self.send(from, "got", n); },
        on<"large">() >> [&](From from, const Data& data) { self.send(from, "got", static_cast<int>(data.size())); });
}

Supervisor tree(Function function, MailboxSizes mailbox, Limit limit = {100, 5s}, Backoff backoff = {}) {
  return supervisor(
      one_for_one, {1000, 5s},
      {{"sup", supervisor(one_for_one, limit,
                          {{"kept", function, {.stop = muproc::kill, .backoff = backoff, .mailbox = mailbox}}})}});
}

Json book() { return json_of({"dead-letters", "-n", "1000"}); }

int got(Self& self) { return next<int, "got">(self); }

struct Sum {
  int total = 0;
  void add(int n) { total += n; }
  int get() { return total; }
  void die() { ::kill(::getpid(), SIGKILL); }
};
constexpr Cast<&Sum::add> add{"add"};
constexpr Cast<&Sum::die> die{"die"};
constexpr Call<&Sum::get> get{"get"};

struct Fresh {
  Fresh() { notes->lives = notes->deliveries = 0; }
};

}  // namespace

TEST_CASE(
    "a replacement gets what was sent to a kept mailbox and not handled, the stash first, in the order of each sender",
    "[keep]") {
  const Fresh fresh;
  LiveSystem system(tree(late_reader, k_keep));
  Self& self = system.self();
  for (int n = 0; n < 500; ++n) self.send("kept", "n", n);
  system.wait_for_unmatched("kept", 500);
  system.suspend("kept");
  for (int n = 500; n < 1000; ++n) self.send("kept", "n", n);
  const Pid before = system.wait_for("kept");
  system.kill("kept");
  system.wait_for_restart("kept", before);
  self.send("kept", "n", 1000);
  for (int n = 0; n <= 1000; ++n) CHECK(got(self) == n);
  CHECK(json_of({"show", "kept"})["kept"]["messages"].number() >= 1000);
  CHECK_THAT(said({"show", "kept"}), Contains("dropped") && Contains("delivered again"));
}

TEST_CASE("a mailbox that is not kept begins empty, and its name finds nobody meanwhile", "[keep]") {
  const Fresh fresh;
  LiveSystem system(tree(late_reader, {}, {100, 5s}, {.initial = 1h, .max = 1h, .jitter = 0}),
                    TestOptions{.virtual_time = true});
  Self& self = system.self();
  const Pid before = system.wait_for("kept");
  self.send("kept", "n", 1);
  system.wait_for_unmatched("kept", 1);
  system.kill("kept");
  CHECK_FALSE(self.find("kept"));
  CHECK_THROWS_AS(self.send("kept", "n", 2), NoSuchName);
  system.advance(2h);
  system.wait_for_restart("kept", before);
  self.send("kept", "n", 3);
  CHECK(got(self) == 3);
}

TEST_CASE("what is sent to the name of a kept mailbox while its owner is being brought back waits for the replacement",
          "[keep]") {
  const Fresh fresh;
  LiveSystem system(tree(late_reader, k_keep, {100, 5s}, {.initial = 1h, .max = 1h, .jitter = 0}),
                    TestOptions{.virtual_time = true});
  Self& self = system.self();
  const Pid before = system.wait_for("kept");
  self.send("kept", "n", 1);
  system.wait_for_unmatched("kept", 1);
  system.kill("kept");
  CHECK_FALSE(self.find("kept"));
  self.send("kept", "n", 2);
  self.send(before, "n", 99);  // to a pid that has ended
  const Pid stranger = self.spawn(
      "stranger", +[](Self& self) {
        self.send("kept", "n", 3);  // it has never sent it anything
        self.receive(on<"got">() >> [&](int n) { self.send(self.parent(), "stranger_got", n); });
      });
  system.wait_until_idle(stranger);
  system.advance(2h);
  system.wait_for_restart("kept", before);
  CHECK(got(self) == 1);
  CHECK(got(self) == 2);
  CHECK((next<int, "stranger_got">(self)) == 3);
  self.send("kept", "n", 4);
  CHECK(got(self) == 4);
}

TEST_CASE("a message to oneself is kept, and what a timer has sent is not", "[keep]") {
  const Fresh fresh;
  LiveSystem system(tree(
      +[](Self& self) {
        if (notes->lives++ == 0) {
          self.send(self.pid(), "own", 7);
          self.send_after(0ms, self.pid(), Mumsg{{"timer", true}});
          self.receive(on<"never">() >> [] {});
        }
        for (;;)
          self.receive(on<"tell">() >> [&](From from) {
            self.receive(on<"own">() >> [&](int n) { self.send(from, "got", n); });
            self.send(from, "left", static_cast<int>(self.unmatched_count()));
          });
      },
      k_keep));
  const Pid before = system.wait_for("kept");
  system.wait_for_unmatched("kept", 2);
  system.kill("kept");
  system.wait_for_restart("kept", before);
  system.self().send("kept", "tell", true);
  CHECK(got(system.self()) == 7);
  CHECK((next<int, "left">(system.self())) == 0);
}

TEST_CASE("large messages are kept, waiting, read and unread, also of a sender that has ended", "[keep]") {
  const Fresh fresh;
  LiveSystem system(tree(late_reader, k_keep));
  Self& self = system.self();
  const auto large = [](int megabytes) { return Data(static_cast<std::size_t>(megabytes) << 20, std::byte{42}); };
  self.send("kept", "large", large(1));
  system.wait_for_unmatched("kept", 1);
  const Reason reason = play(
      self, "passer-by", +[](Self& self) {
        self.send("kept", "large", Data(std::size_t{3} << 20, std::byte{1}));
        self.send("kept", "note", true);
      });
  CHECK(reason == Reason::normal());
  system.wait_for_unmatched("kept", 3);
  system.suspend("kept");
  self.send("kept", "large", large(2));
  const Pid before = system.wait_for("kept");
  system.kill("kept");
  system.wait_for_restart("kept", before);
  CHECK(got(self) == 1 << 20);
  CHECK(got(self) == 2 << 20);
  // Nothing of it is forgotten: what has come back can be sent again for as long as one likes.
  for (int n = 0; n < 200; ++n) {
    self.send("kept", "large", large(1));
    CHECK(got(self) == 1 << 20);
  }
}

TEST_CASE(
    "a cast to a server with a kept mailbox is carried out by its replacement, and a call is answered with its end",
    "[keep]") {
  ChildOptions options;
  options.mailbox = k_keep;
  LiveSystem system(supervisor(one_for_one, {100, 5s}, {server_child<Sum>("sum", {add, die, get}, options)}));
  Self& self = system.self();
  const Pid before = system.wait_for("sum");
  add(self, "sum", 1);
  CHECK(get(self, "sum") == 1);
  system.suspend("sum");
  die(self, "sum");
  for (int n = 0; n < 100; ++n) add(self, "sum", 1);
  self.spawn(
      "caller", +[](Self& self) {
        try {
          get(self, "sum");
          self.send(self.parent(), "call", "answered");
        } catch (const CallError& down) {
          self.send(self.parent(), "call", down.kind == CallError::Kind::down ? "down" : "other");
        }
      });
  wait_until("the caller to wait",
             [&] { return system.status("caller").activity == test::MuprocStatus::Activity::receiving; });
  system.resume("sum");
  CHECK((next<std::string, "call">(self)) == "down");
  system.wait_for_restart("sum", before);
  CHECK(get(self, "sum") == 100);
}

TEST_CASE(
    "the message in hand at a death is dropped, and named in the log, the crash report and among the dead letters",
    "[keep]") {
  const Fresh fresh;
  LiveSystem system(tree(
                        +[](Self& self) {
                          for (;;)
                            self.receive(
                                on<"poison">() >> [] { ::kill(::getpid(), SIGKILL); },
                                on<"n">() >> [&](From from, int n) { self.send(from, "got", n); });
                        },
                        k_keep),
                    SystemOptions{.capture_output = true});
  Self& self = system.self();
  const Pid before = system.wait_for("kept");
  system.suspend("kept");
  self.send("kept", "n", 1);
  self.send("kept", "poison", Symbol("arsenic"));
  self.send("kept", "n", 2);
  system.resume("kept");
  CHECK(got(self) == 1);
  CHECK(got(self) == 2);
  system.wait_for_restart("kept", before);
  const Json letters = book();
  CHECK(letters["counts"]["in_hand"].number() == 1);
  CHECK(letters["total"].number() == 1);
  const Json last = letters["last"][0];
  CHECK(last["message"].text() == "poison=:arsenic");
  CHECK(json_of({"show", "kept"})["kept"]["dropped_in_hand"].number() == 1);
  system.broker().wait_for_output("in its hand was \"poison=:arsenic\" from tester");
  CHECK_THAT(*wait_until("the crash report",
                         [&]() -> std::optional<std::string> {
                           const Outcome outcome = muctl({"crash", "kept"});
                           return outcome.code == 0 && outcome.out.find("in hand") != outcome.out.npos
                                      ? std::optional(outcome.out)
                                      : std::nullopt;
                         }),
             Contains("it is dropped"));
}

TEST_CASE("redelivered, a message says how many died with it in their hands, and after three it is dropped and named",
          "[keep]") {
  const Fresh fresh;
  LiveSystem system(tree(
      +[](Self& self) {
        for (;;)
          self.receive(
              on<"poison">() >>
                  [&](From from) {
                    MUPROC_MUST(self.redelivered() == self.message()->redelivered());
                    self.send(from, "again", static_cast<int>(self.redelivered()));
                    ::kill(::getpid(), SIGKILL);
                  },
              on<"n">() >>
                  [&](From from, int n) {
                    MUPROC_MUST(self.redelivered() == 0);
                    self.send(from, "got", n);
                  });
      },
      k_redeliver));
  Self& self = system.self();
  self.send("kept", "poison", true);
  self.send("kept", "n", 5);
  for (int again = 0; again <= 3; ++again) CHECK((next<int, "again">(self)) == again);
  CHECK(got(self) == 5);
  CHECK(book()["counts"]["in_hand"].number() == 1);
  const Json kept = json_of({"show", "kept"})["kept"];
  CHECK(kept["in_hand"].text() == "redeliver");
  CHECK(kept["redelivered"].number() == 3);
  CHECK(kept["dropped_in_hand"].number() == 1);
}

TEST_CASE(
    "a handler that throws leaves its message in hand; one that exits, or whose exception is survived, has handled it",
    "[keep]") {
  const Fresh fresh;
  LiveSystem system(tree(
      +[](Self& self) {
        for (;;) try {
            self.receive(
                on<"throw">() >>
                    [&] {
                      if (self.redelivered() == 0) throw std::runtime_error("of its own");
                    },
                on<"survive">() >>
                    [&] {
                      ++notes->deliveries;
                      throw 7;
                    },
                on<"exit">() >>
                    [&] {
                      ++notes->deliveries;
                      self.exit("enough");
                    },
                on<"n">() >> [&](From from, int n) { self.send(from, "got", n); });
          } catch (int) {}
      },
      k_redeliver));
  Self& self = system.self();
  self.send("kept", "throw", true);
  self.send("kept", "survive", true);
  self.send("kept", "exit", true);
  self.send("kept", "n", 1);
  CHECK(got(self) == 1);
  CHECK(notes->deliveries == 2);
  CHECK(json_of({"show", "kept"})["kept"]["redelivered"].number() == 1);
}

TEST_CASE("when the supervisor gives up, what was kept for the replacement are dead letters", "[keep]") {
  const Fresh fresh;
  LiveSystem system(tree(late_reader, k_keep, {0, 5s}));
  Self& self = system.self();
  for (int n = 0; n < 10; ++n) self.send("kept", "n", n);
  system.wait_for_unmatched("kept", 10);
  system.suspend("kept");
  for (int n = 0; n < 5; ++n) self.send("kept", "n", n);
  const Pid before = system.wait_for("kept");
  system.kill("kept");
  system.wait_for_restart("kept", before);  // the supervisor's supervisor has started it again
  CHECK(wait_until("the dead letters", [&] { return book()["counts"]["unread"].number() == 15; }));
  self.send("kept", "n", 77);
  CHECK(got(self) == 77);
}

TEST_CASE("when a child is stopped for good, who waits for room in its kept mailbox fails, and what waited are dead letters",
          "[keep]") {
  const Fresh fresh;
  MailboxSizes small = k_keep;
  small.ring = Bytes::kib(4);
  LiveSystem system(tree(late_reader, small, {100, 5s}, {.initial = 1h, .max = 1h, .jitter = 0}),
                    TestOptions{.virtual_time = true});
  Self& self = system.self();
  system.wait_for("kept");
  system.kill("kept");
  const auto [writer, ref] = self.spawn_monitor(
      "writer", +[](Self& self) {
        for (int n = 0;; ++n) {
          self.send("kept", "n", n);
          notes->deliveries = n + 1;
        }
      });
  wait_until("the writer to wait for room",
             [&] { return system.status("writer").activity == test::MuprocStatus::Activity::sending; });
  terminate_child(self, "sup", "kept");
  CHECK_THAT(to_string(reason_of(self, ref)), Contains("nobody is named"));
  CHECK(book()["counts"]["unread"].number() == notes->deliveries);
}

TEST_CASE("a mailbox is kept when its owner ends in order and is brought back, by hand too, and not when it is stopped",
          "[keep]") {
  const Fresh fresh;
  LiveSystem system(supervisor(one_for_all, {100, 5s},
                               {{"kept", late_reader, {.stop = muproc::kill, .mailbox = k_keep}},
                                {"other", +[](Self& self) { self.receive(on<"never">() >> [] {}); }}}));
  Self& self = system.self();
  self.send("kept", "n", 1);
  system.wait_for_unmatched("kept", 1);
  Pid before = system.wait_for("kept");
  system.kill("other");  // its group is restarted
  before = system.wait_for_restart("kept", before);
  CHECK(got(self) == 1);
  system.suspend("kept");
  self.send("kept", "n", 2);
  CHECK(muctl({"restart", "kept"}).code == 0);
  CHECK(got(self) == 2);
  system.suspend("kept");
  self.send("kept", "n", 3);
  CHECK(muctl({"stop", "kept"}).code == 0);
  CHECK_THROWS_AS(self.send("kept", "n", 4), NoSuchName);
  CHECK(book()["counts"]["unread"].number() == 1);
  CHECK(muctl({"start", "kept"}).code == 0);
  self.send("kept", "n", 5);
  CHECK(got(self) == 5);
}

// ---- a thousand deaths -----------------------------------------------------------------------------------------------

namespace {

constexpr std::size_t k_senders = 4;
constexpr std::size_t k_most = 1 << 20;

struct Tallies {
  std::atomic<bool> stop;
  std::atomic<std::uint64_t> allowed;  // of each sender
  std::array<std::atomic<std::uint64_t>, k_senders> sent, latest;
  std::atomic<std::uint64_t> refused, out_of_order, not_marked;
  std::array<std::array<std::atomic<std::uint8_t>, k_most>, k_senders> started, finished;
};
Tallies* const tallies = shared<Tallies>();

void clear_tallies() {
  tallies->stop = false;
  tallies->allowed = 0;
  tallies->refused = tallies->out_of_order = tallies->not_marked = 0;
  for (std::size_t s = 0; s < k_senders; ++s) {
    tallies->sent[s] = tallies->latest[s] = 0;
    for (auto& count : tallies->started[s]) count = 0;
    for (auto& count : tallies->finished[s]) count = 0;
  }
}

/// Its message is a symbol, so that its number is named with it.
void counting_server(Self& self) {
  for (;;)
    self.receive(on<"id">() >> [&](const Symbol& id) {
      const std::size_t sender = static_cast<std::size_t>(id.name[1] - '0');
      const std::uint64_t n = std::strtoull(id.name.c_str() + 3, nullptr, 10);
      const bool is_new = n + 1 > tallies->latest[sender];
      if (!is_new && (self.redelivered() == 0 || n + 1 < tallies->latest[sender])) ++tallies->out_of_order;
      if (tallies->started[sender][n]++ > 0 && self.redelivered() == 0) ++tallies->not_marked;
      tallies->latest[sender] = n + 1;
      if (n % 64 == 0)
        self.receive(
            on<"nobody sends this">() >> [] {}, after(0ms) >> [] {});  // reads what there is
      ++tallies->finished[sender][n];
    });
}

void counting_sender(Self& self) {
  const int me = self.args()["me"].as<int>();
  auto& sent = tallies->sent[static_cast<std::size_t>(me)];
  while (!tallies->stop) {
    const std::uint64_t n = sent;
    if (n >= tallies->allowed || n >= k_most) {
      self.sleep(0ns);  // a runtime call
      ::sched_yield();
      continue;
    }
    try {
      self.send("kept", "id", Symbol("s" + std::to_string(me) + '-' + std::to_string(n)));
      ++sent;
    } catch (const NoSuchName&) {
      ++tallies->refused;
    }
  }
}

std::size_t kills_wanted(std::size_t usual) {
  const char* set = std::getenv("MUPROC_TEST_KILLS");
  return set ? std::strtoull(set, nullptr, 10) : usual;
}

/// The messages that were named as dropped in hand.
void collect(std::set<std::string>& named) {
  const Json letters = book();
  for (unsigned i = 0; i < letters["last"].size(); ++i)
    if (letters["last"][i]["why"].text() == "in_hand") named.insert(letters["last"][i]["message"].text());
}

void play_to_death(MailboxSizes mailbox, std::size_t kills) {
  clear_tallies();
  Random random;
  LiveSystem system(
      supervisor(one_for_one, {4'000'000, 1s}, {{"kept", counting_server, {.stop = muproc::kill, .mailbox = mailbox}}}),
      TestOptions{.log = LogLevel::error});
  Self& self = system.self();
  for (int s = 0; s < static_cast<int>(k_senders); ++s)
    self.spawn("s" + std::to_string(s), counting_sender, {.args = {{"me", s}}});
  std::set<std::string> named;
  Pid before;
  for (std::size_t kill = 0; kill < kills; ++kill) {
    tallies->allowed += 100;
    before = system.wait_for_restart("kept", before);
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random.below(3000));
    while (std::chrono::steady_clock::now() < until) ::sched_yield();
    ::kill(os_pid_of(self, before), SIGKILL);
    if (kill % 100 == 99) collect(named);
  }
  const auto id = [](std::size_t sender, std::uint64_t n) {
    return "id=:s" + std::to_string(sender) + '-' + std::to_string(n);
  };
  wait_until("the senders to have sent all", [&] {
    for (const auto& sent : tallies->sent)
      if (sent < std::min<std::uint64_t>(tallies->allowed, k_most)) return false;
    return true;
  });
  tallies->stop = true;
  system.wait_for_restart("kept", before);
  system.wait_until_idle("kept");
  collect(named);
  std::uint64_t sent = 0, handled = 0, twice = 0, missing = 0, unfinished = 0;
  for (std::size_t s = 0; s < k_senders; ++s)
    for (std::uint64_t n = 0; n < tallies->sent[s]; ++n) {
      ++sent;
      const bool is_named = named.contains(id(s, n));
      const unsigned started = tallies->started[s][n], finished = tallies->finished[s][n];
      handled += finished > 0 && !is_named;
      missing += started == 0 && !is_named;
      unfinished += finished == 0 && !is_named;
      twice += started > 1;
    }
  INFO(random.how_to_repeat());
  const Json kept = json_of({"show", "kept"})["kept"];
  CHECK(sent == handled + named.size());
  CHECK(kept["dropped_in_hand"].number() == static_cast<double>(named.size()));
  CHECK(missing == 0);
  CHECK(unfinished == 0);
  CHECK(tallies->refused == 0);
  CHECK(tallies->out_of_order == 0);
  CHECK(tallies->not_marked == 0);
  if (mailbox.in_hand == InHand::drop)
    CHECK(twice == 0);
  else
    CHECK(kept["redelivered"].number() >= 3.0 * static_cast<double>(named.size()));  // before each of these was dropped
  WARN(kills << " kills, " << sent << " sent = " << handled << " handled + " << named.size() << " dropped in hand; "
             << twice << " delivered more than once; " << kept["messages"].number() << " were waiting at restarts");
}

}  // namespace

TEST_CASE(
    "killed again and again under four senders, what was sent is what was handled and what is named as dropped in hand",
    "[keep][kills]") {
  play_to_death(k_keep, kills_wanted(40));
}

TEST_CASE("killed again and again under four senders, with redelivery all is handled, and what comes twice is marked",
          "[keep][kills]") {
  play_to_death(k_redeliver, kills_wanted(40));
}
