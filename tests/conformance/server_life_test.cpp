// What a generic server does besides answering: continued work, idle time, declining to start.
#include <muproc/server.hpp>

#include <string>
#include <vector>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

/// Notes what it does, and does what it is told.
class Diary {
 public:
  Diary(Self& self, const std::string& how) : self_(self) {
    if (how == "continue") {
      continue_with(self, [this] { note("first of the constructor"); });
      continue_with(self, [this] {
        note("second of the constructor");
        continue_with(self_, [this] { note("third"); });
      });
    }
    if (how == "wait") continue_with(self, [&self] { self.receive(on<"go">() >> [] {}); });
    if (how == "throw later") continue_with(self, [] { throw std::runtime_error("no way on"); });
    if (how == "ignore") ignore_start(self);
    if (how == "idle") idle_timeout(self, 20ms);
    if (how == "exit") exit_after_handler(self, "not worth it");
  }

  void note(const std::string& what) { notes_.push_back(what); }
  void note_and_continue(const std::string& what) {
    continue_with(self_, [this, what] { note("continued " + what); });
    note(what);
  }
  void be_idle_after(std::int64_t ms) { idle_timeout(self_, std::chrono::milliseconds(ms)); }
  void never_be_idle() { idle_timeout(self_, std::nullopt); }
  std::vector<std::string> read() { return notes_; }
  void continue_for_ever() {
    continue_with(self_, [this] { continue_for_ever(); });
  }

  void handle_timeout() {
    note("idle");
    self_.send(self_.parent(), "idle", self_.pid());
  }
  void terminate(const Reason& reason) { self_.send(self_.parent(), "terminate", reason); }

 private:
  Self& self_;
  std::vector<std::string> notes_;
};

constexpr Cast<&Diary::note> note{"note", "diary"};
constexpr Cast<&Diary::note_and_continue> note_and_continue{"note_and_continue", "diary"};
constexpr Call<&Diary::read> read_diary{"read", "diary"};
constexpr Cast<&Diary::be_idle_after> be_idle_after{"be_idle_after", "diary"};
constexpr Call<&Diary::never_be_idle> never_be_idle{"never_be_idle", "diary"};
constexpr Cast<&Diary::continue_for_ever> continue_for_ever{"continue_for_ever", "diary"};

Pid start_diary(Self& self, const std::string& how = {}, const ServerOptions& options = {}) {
  return start_server<Diary>(
      self, "diary", {note, note_and_continue, read_diary, be_idle_after, never_be_idle, continue_for_ever}, options, how);
}

using Notes = std::vector<std::string>;

}  // namespace

// ---- continued work --------------------------------------------------------------------------------------------------

TEST_CASE("what a handler continues with runs after it and before any later message", "[server][otp][continue]") {
  LiveSystem system;
  Self& self = system.self();
  start_diary(self);
  for (int round = 0; round < 20; ++round) {
    note_and_continue(self, "a");
    note(self, "b");
  }
  const Notes notes = read_diary(self);
  REQUIRE(notes.size() == 60);
  for (int round = 0; round < 20; ++round)
    CHECK(Notes(notes.begin() + 3 * round, notes.begin() + 3 * round + 3) == Notes{"a", "continued a", "b"});
}

TEST_CASE("what a constructor continues with runs in its order, before any message", "[server][otp][continue]") {
  LiveSystem system;
  Self& self = system.self();
  start_diary(self, "continue");
  note(self, "a message");
  CHECK(read_diary(self) ==
        Notes{"first of the constructor", "second of the constructor", "third", "a message"});
}

TEST_CASE("a starter does not wait for what the constructor continues with", "[server][otp][continue]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_diary(self, "wait");  // would not return
  note(self, "before");
  self.send(server, "go", true);
  CHECK(read_diary(self) == Notes{"before"});
}

TEST_CASE("what continued work throws ends the server, which terminates once", "[server][otp][continue]") {
  LiveSystem system;
  Self& self = system.self();
  start_diary(self, "throw later");
  CHECK(next<Reason, "terminate">(self).what() == "no way on");
  CHECK_FALSE(self.receive(on<"terminate">() >> [](Reason) { return true; }, after(0s) >> [] { return false; }));
}

TEST_CASE("an exit signal acts between pieces of continued work", "[server][continue]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_diary(self));
  continue_for_ever(self);
  self.exit("diary", "enough");
  CHECK(reason_of(self, ref) == "enough");
}

// ---- idle time -------------------------------------------------------------------------------------------------------

TEST_CASE("a server hears of the time in which no message came, again and again", "[server][idle]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_diary(self, "idle");
  for (int i = 0; i < 3; ++i) CHECK(next<Pid, "idle">(self) == server);
  never_be_idle(self);
  const Notes notes = read_diary(self);
  CHECK(notes.size() >= 3);
  CHECK(read_diary(self) == notes);
}

TEST_CASE("an idle time-out never comes early, and a message begins it anew", "[server][idle]") {
  LiveSystem system;
  Self& self = system.self();
  start_diary(self);
  be_idle_after(self, 200);
  auto last = std::chrono::steady_clock::now();
  bool idle = false;
  for (int i = 0; i < 20 && !idle; ++i) {
    last = std::chrono::steady_clock::now();
    note(self, "here");
    idle = self.receive(on<"idle">() >> [](Pid) { return true; }, after(20ms) >> [] { return false; });
  }
  if (!idle) next<Pid, "idle">(self);
  CHECK(std::chrono::steady_clock::now() - last >= 200ms);
}

TEST_CASE("a server without handle_timeout ends in order when it is idle", "[server][idle]") {
  struct Brief {
    explicit Brief(Self& self) { idle_timeout(self, 10ms); }
    void nothing() {}
  };
  constexpr Call<&Brief::nothing> nothing{"nothing"};
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_server<Brief>(self, "brief", {nothing}));
  const Reason reason = reason_of(self, ref);
  CHECK((reason.is_normal() || reason.is(Reason::Kind::noproc)));  // it may have ended before it was looked at
}

TEST_CASE("an idle time that is not positive is an error", "[server][idle]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_diary(self));
  be_idle_after(self, 0);
  CHECK_THAT(reason_of(self, ref).name(), Contains("invalid_argument"));
}

// ---- starting --------------------------------------------------------------------------------------------------------

TEST_CASE("a server that declines to start is no error, and leaves nothing behind", "[server][otp][start][start_ignore]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 10; ++i) {
    CHECK(start_diary(self, "ignore") == nil_pid);
    CHECK_FALSE(self.find("diary"));
  }
  const Pid started = start_diary(self);
  CHECK(self.find("diary") == started);
  CHECK_FALSE(self.receive_any(0s));  // no notice, and nothing was terminated
}

TEST_CASE("a linked starter outlives a server that declines to start", "[server][otp][start][start_ignore]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "starter", +[](Self& self) {
          MUST(start_diary(self, "ignore", {.link = true}) == nil_pid);
          self.exit("went on");
        }) == "went on");
}

TEST_CASE("a constructor may end its server once it has started", "[server][start]") {
  LiveSystem system;
  Self& self = system.self();
  start_diary(self, "exit");
  CHECK(next<Reason, "terminate">(self) == "not worth it");
}

TEST_CASE("starting a server whose name is taken tells of it, and the first one lives", "[server][otp][start]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid first = start_diary(self);
  CHECK_THROWS_AS(start_diary(self), NameTaken);  // already_started
  CHECK(self.find("diary") == first);
  note(self, "still here");
  CHECK(read_diary(self) == Notes{"still here"});
}

TEST_CASE("a server's starter may be gone before it has started", "[server][start]") {
  struct Slow {
    explicit Slow(Self& self) { self.receive(on<"go">() >> [] {}); }
    void nothing() {}
  };
  static constexpr Call<&Slow::nothing> nothing{"nothing"};
  LiveSystem system;
  Self& self = system.self();
  const auto [starter, ref] =
      self.spawn_monitor("starter", +[](Self& self) { start_server<Slow>(self, "slow", {nothing}); });
  wait_until("the server to have its name", [&] { return self.find("slow") != nil_pid; });
  self.kill(starter);
  CHECK(reason_of(self, ref) == Reason::killed());
  self.send("slow", "go", true);
  nothing.within(k_patience)(self, "slow");
}

// ---- elsewhere -------------------------------------------------------------------------------------------------------

TEST_CASE("what is for servers is an error elsewhere", "[server]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_AS(exit_after_handler(self, "x"), std::logic_error);
  CHECK_THROWS_AS(stay_after_handler(self), std::logic_error);
  CHECK_THROWS_AS(continue_with(self, [] {}), std::logic_error);
  CHECK_THROWS_AS(idle_timeout(self, 1s), std::logic_error);
  CHECK_THROWS_AS(ignore_start(self), std::logic_error);
  CHECK_THROWS_AS(server_port(self), std::logic_error);
}

TEST_CASE("who is linked to a server that crashed sees the reason within its own", "[server][otp][crash]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("linked", +[](Self& self) {
    const Pid server = start_diary(self, {}, {.link = true});
    self.send(self.parent(), "server", server);
    be_idle_after(self, -1);
    self.receive(on<"never">() >> [] {});
  });
  const Pid server = next<Pid, "server">(self);
  const Reason reason = reason_of(self, ref);
  REQUIRE(reason.is(Reason::Kind::linked));
  CHECK(reason.pid() == server);
  CHECK_THAT(reason.root_cause().name(), Contains("invalid_argument"));
}
