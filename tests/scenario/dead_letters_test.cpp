// What reached nobody, as muctl dead-letters tells it.
#include <muproc/server.hpp>

#include <csignal>
#include <thread>

#include "support/catch.hpp"
#include "support/messages.capnp.h"
#include "support/muctl_json.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

/// What the broker says now.
Json book() { return json_of({"dead-letters", "-n", "1000"}); }

double counted(const Json& book, const char* why) { return book["counts"][why].number(); }

double for_whom(const Json& book, const std::string& name) {
  for (unsigned i = 0; i < book["targets"].size(); ++i)
    if (book["targets"][i]["name"].text() == name) return book["targets"][i]["count"].number();
  return 0;
}

Json last_of(const Json& book) { return book["last"][static_cast<unsigned>(book["last"].size()) - 1]; }

/// Takes nothing: what is sent to it lies in its channels.
void deaf(Self&) {
  for (;;) ::pause();
}

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

struct Slow {
  int answer(int n) {
    std::this_thread::sleep_for(50ms);
    return n;
  }
};
constexpr Call<&Slow::answer> answer{"answer", "slow"};

}  // namespace

TEST_CASE("a system without dead letters says so", "[dead_letters]") {
  LiveSystem system;
  CHECK(said({"dead-letters"}) == "no dead letters\n");
  CHECK(book()["total"].number() == 0);
}

TEST_CASE("what is sent to one that has ended is a dead letter, by whom, to whom and what", "[dead_letters]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid gone = self.spawn("gone", waits);
  system.kill("gone");
  self.send(gone, "cmd", Symbol("square"), "x", 3);
  self.send<test::Quote>(gone, [](test::Quote::Builder) {});
  self.send(gone, "n", 1);

  const Json seen = book();
  CHECK(seen["total"].number() == 3);
  CHECK(counted(seen, "ended") == 3);
  CHECK(for_whom(seen, "gone") == 3);
  REQUIRE(seen["last"].size() == 3);
  const Json first = seen["last"][0u];
  CHECK(first["why"].text() == "ended");
  CHECK(first["from"].text() == to_string(self.pid()));
  CHECK(first["from_name"].text() == "tester");
  CHECK(first["to"].text() == to_string(gone));
  CHECK(first["to_name"].text() == "gone");
  CHECK(first["kind"].text() == "message");
  CHECK(first["message"].text() == "cmd=:square x");
  CHECK(first["type_id"].is_null());
  CHECK(first["time_ns"].number() > 1e18);
  CHECK_THAT(seen["last"][1u]["type_id"].text(), Contains("0x"));

  const std::string text = said({"dead-letters", "-n", "1"});
  CHECK_THAT(text, Contains("3 dead letters") && Contains("gone") && Contains("sent to one that had ended"));
  CHECK_THAT(text, !Contains("cmd=:square"));
  CHECK_THAT(said({"dead-letters"}), Contains("cmd=:square x"));
}

TEST_CASE("a message for a name that nobody has is an error, and a dead letter", "[dead_letters]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_AS(self.send("nobody", "cmd", "go"), NoSuchName);
  const Json seen = book();
  CHECK(counted(seen, "no_name") == 1);
  CHECK(last_of(seen)["to"].is_null());
  CHECK(last_of(seen)["to_name"].text() == "nobody");
  CHECK(last_of(seen)["message"].text() == "cmd=\"go\"");
}

TEST_CASE("a call to one that has ended is told to the caller, and counted", "[dead_letters]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_server<Slow>(self, "slow", {answer});
  CHECK(answer(self, server, 1) == 1);
  system.kill(server);
  CHECK_THROWS_AS(answer(self, server, 1), CallError);
  CHECK(counted(book(), "call") == 1);
  CHECK(last_of(book())["kind"].text() == "call");
  CHECK(last_of(book())["message"].text() == "answer");
  CHECK_THROWS_AS(answer(self, "slow", 1), CallError);
  CHECK(counted(book(), "no_name") == 1);
  CHECK(for_whom(book(), "slow") == 1);
}

TEST_CASE("an answer that comes too late is a dead letter", "[dead_letters]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_server<Slow>(self, "slow", {answer});
  CHECK_THROWS_AS(answer.within(1ms)(self, server, 1), CallError);
  CHECK(answer(self, server, 2) == 2);  // behind the late one
  const Json seen = book();
  CHECK(counted(seen, "late_reply") == 1);
  CHECK(last_of(seen)["from_name"].text() == "slow");
  CHECK(last_of(seen)["to_name"].text() == "tester");
  CHECK(last_of(seen)["kind"].text() == "reply");
}

TEST_CASE("what one that ends had not read are dead letters, in its channels and in its stash", "[dead_letters]") {
  LiveSystem system;
  Self& self = system.self();
  SECTION("in its channels, of several senders") {
    const Pid idle = self.spawn("idle", deaf);
    self.spawn("other", +[](Self& self) {
      for (int n = 0; n < 20; ++n) self.send("idle", "n", n);
      self.send("tester", "sent", true);
      waits(self);
    });
    for (int n = 0; n < 300; ++n) self.send(idle, "text", std::string(500, 'x'), "kind", Symbol("noise"));
    next<bool, "sent">(self);
    system.kill("idle");
    const Json seen = book();
    CHECK(counted(seen, "unread") == 320);
    CHECK(seen["total"].number() == 320);
    CHECK(for_whom(seen, "idle") == 320);
    CHECK(last_of(seen)["to_name"].text() == "idle");
    CHECK_THAT(said({"dead-letters"}), Contains("kind=:noise") && Contains("unread when its receiver ended"));
  }
  SECTION("what it had read is none") {
    const Pid half = self.spawn("half", +[](Self& self) {
      for (int n = 0; n < 100; ++n) self.receive(on<"n">() >> [] {});
      self.send(self.parent(), "read", true);
      deaf(self);
    });
    for (int n = 0; n < 150; ++n) self.send(half, "n", n);
    next<bool, "read">(self);
    system.kill("half");
    CHECK(counted(book(), "unread") == 50);
  }
  SECTION("unmatched") {
    const Pid picky = self.spawn("picky", waits);
    for (int n = 0; n < 7; ++n) self.send(picky, "n", n);
    system.wait_for_unmatched("picky", 7);
    system.kill("picky");
    const Json seen = book();
    CHECK(counted(seen, "unread") == 7);
    CHECK(last_of(seen)["count"].number() == 7);
    CHECK(last_of(seen)["from"].is_null());
  }
  SECTION("of a sender that has ended before") {
    self.spawn("idle", deaf);
    const auto [sender, ref] = self.spawn_monitor("sender", Code(+[](Self& self) {
      for (int n = 0; n < 12; ++n) self.send("idle", "n", n);
    }));
    reason_of(self, ref);
    system.kill("idle");
    const Json seen = book();
    CHECK(counted(seen, "unread") == 12);
    CHECK(last_of(seen)["from_name"].text() == "sender");
  }
}

TEST_CASE("the dead letters of one that has ended are not forgotten with it", "[dead_letters]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("gone", waits);
  system.kill("gone");
  const auto [writer, ref] = self.spawn_monitor("writer", Code(+[](Self& self) {
    for (int n = 0; n < 40; ++n) {
      try {
        self.send("gone", "n", n);
      } catch (const NoSuchName&) {
      }
    }
  }));
  reason_of(self, ref);
  const Json seen = book();
  CHECK(counted(seen, "no_name") == 40);
  CHECK(last_of(seen)["from_name"].text() == "writer");
}

TEST_CASE("a message is received or a dead letter, whenever its receiver is killed", "[dead_letters]") {
  LiveSystem system;
  Self& self = system.self();
  double sent = 0, received = 0;
  constexpr int k_rounds = 20;
  for (int round = 0; round < k_rounds; ++round) {
    // It ends in a handler: what it has received is known exactly.
    const int last = 1 + round * 37 % 500;
    const auto [victim, ref] = self.spawn_monitor("victim", Code(+[](Self& self) {
      const int last = self.args()["last"].as<int>();
      for (int n = 1;; ++n) self.receive(on<"n">() >> [&] { n == last ? void(::raise(SIGKILL)) : void(); });
    }), {.args = Mumsg{{"last", last}}});
    for (int n = 0; n < 2000; ++n) self.send(victim, "n", n);
    sent += 2000;
    received += last;
    reason_of(self, ref);
  }
  const Json seen = book();
  INFO("ended " << counted(seen, "ended") << ", late " << counted(seen, "late") << ", unread " << counted(seen, "unread"));
  CHECK(received + counted(seen, "ended") + counted(seen, "late") + counted(seen, "unread") == sent);
  CHECK(for_whom(seen, "victim") == sent - received);
}
