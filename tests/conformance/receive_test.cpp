// Sending and receiving between real processes: addresses, order, clauses, what stays and what goes.
#include <string>
#include <vector>

#include "support/messages.capnp.h"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  self.receive(on<"cmd">(is("return")) >> [] {});
}

/// Sends back every message, as a mumsg of what it was, with how it came.
void echo(Self& self) {
  for (;;)
    self.receive(otherwise >> [&](const Message& message) {
      Mumsg back = message.mumsg().value();
      back.set("echoed by", self.pid());
      self.send(message.from(), back);
    });
}

std::vector<int> numbers_in_order(Self& self, std::size_t count) {
  std::vector<int> numbers;
  while (numbers.size() < count)
    self.receive(on<"n">() >> [&](int n) { numbers.push_back(n); }, or_fail("numbers"));
  return numbers;
}

}  // namespace

// ---- addresses -------------------------------------------------------------------------------------------------------

TEST_CASE("a pid, a name and a port address the same mailbox", "[send]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid pid = self.spawn("a", +[](Self& self) {
    auto port = self.register_port("the port");
    echo(self);
  });
  wait_for_name(self, "the port");
  const std::string name = "a";
  const Symbol symbol("a");
  for (const Address& to : {Address(pid), Address("a"), Address(name), Address("the port"), Address(symbol)}) {
    self.send(to, "n", 1);
    CHECK(next<Pid, "echoed by">(self) == pid);
  }
  CHECK(self.find("the port") == pid);
  CHECK(self.name_of(pid) == "a");
}

TEST_CASE("a message to nobody is an error that names nobody", "[send][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_AS(self.send("nobody", "n", 1), NoSuchName);
  CHECK_THROWS_WITH(self.send("nobody", "n", 1), Contains("nobody"));
  CHECK_THROWS_AS(self.send(nil_pid, "n", 1), NoSuchName);
  CHECK_THROWS_AS((self.try_send("nobody", "n", 1)), NoSuchName);
  CHECK_THROWS_AS((self.send_within(1s, "nobody", "n", 1)), NoSuchName);
  CHECK_THROWS_AS(self.exit("nobody", "because"), NoSuchName);
  CHECK_THROWS_AS(self.kill("nobody"), NoSuchName);
}

TEST_CASE("a message to a dead pid is dropped", "[send]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", waits);
  self.send(pid, "n", 1);  // a channel is open
  self.kill(pid);
  reason_of(self, ref);
  CHECK_NOTHROW(self.send(pid, "n", 2));
  CHECK(self.try_send(pid, "n", 3));
  const Pid successor = self.spawn("a", echo);
  self.send(pid, "n", 4);
  self.send(successor, "n", 5);
  self.receive(on<"echoed by", "n">() >> [&](Pid by, int n) {
    CHECK(by == successor);
    CHECK(n == 5);
  }, or_fail("an answer"));
  CHECK(pid != successor);
}

TEST_CASE("one may send to oneself, and it stays in order", "[send]") {
  LiveSystem system;
  Self& self = system.self();
  for (int n = 0; n < 1000; ++n) {
    if (n % 2) {
      self.send(self.pid(), "n", n);
    } else {
      self.send("tester", "n", n);
    }
  }
  for (int n = 0; n < 1000; ++n)
    self.receive(on<"n">() >> [&](From from, int got) {
      CHECK(from == self.pid());
      REQUIRE(got == n);
    }, or_fail("my own message"));
}

TEST_CASE("a port belongs to one, until it lets it go or ends", "[names][otp][bad_register]") {
  LiveSystem system;
  Self& self = system.self();
  {
    auto port = self.register_port("the port");
    CHECK(port.name() == "the port");
    CHECK_THROWS_AS(self.register_port("the port"), NameTaken);
    CHECK(play(self, "thief", +[](Self& self) {
            try {
              auto port = self.register_port("the port");
              MUST(!"registered");
            } catch (const NameTaken&) {
            }
            try {
              self.unregister_port("the port");
              MUST(!"unregistered");
            } catch (const NoSuchName&) {
            }
          }) == Reason::normal());
    CHECK(self.find("the port") == self.pid());
  }
  CHECK_FALSE(self.find("the port"));
  CHECK_THROWS_AS(self.unregister_port("the port"), NoSuchName);
  auto again = self.register_port("the port");
  auto moved = std::move(again);
  CHECK(self.find("the port") == self.pid());
  moved.release();
  moved.release();
  CHECK_FALSE(self.find("the port"));
}

TEST_CASE("what cannot be a port's name is refused, and leaves nothing", "[names][otp][bad_register][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_AS(self.register_port(""), Error);
  CHECK_THROWS_AS(self.register_port(std::string(64, 'x')), Error);
  auto longest = self.register_port(std::string(63, 'x'));
  CHECK(self.find(std::string(63, 'x')) == self.pid());
  CHECK_FALSE(self.find(""));
}

TEST_CASE("all that live are listed, by a pattern of their names", "[names]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid a1 = self.spawn("a-1", waits);
  const Pid a2 = self.spawn("a-2", waits);
  self.spawn("b-1", waits);
  const auto some = self.list("^a-");
  REQUIRE(some.size() == 2);
  CHECK(((some[0].pid == a1 && some[1].pid == a2) || (some[0].pid == a2 && some[1].pid == a1)));
  CHECK(some[0].os_pid > 0);
  bool tester_is_there = false;
  for (const MuprocInfo& info : self.list()) tester_is_there |= info.pid == self.pid() && info.name == "tester";
  CHECK(tester_is_there);
  CHECK(self.list("^nobody$").empty());
}

// ---- order -----------------------------------------------------------------------------------------------------------

TEST_CASE("one sender's messages arrive in their order, small and large and typed", "[receive][order]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("sender", +[](Self& self) {
    for (int n = 0; n < 3000; ++n) {
      if (n % 100 == 50) {
        self.send(self.parent(), "n", n, "weight", Data(100'000, std::byte{1}));
      } else if (n % 3 == 0) {
        self.send<Quote>(self.parent(), [&](Quote::Builder quote) { quote.setQty(n); });
      } else {
        self.send(self.parent(), "n", n);
      }
    }
    waits(self);
  });
  for (int expected = 0; expected < 3000; ++expected)
    self.receive(on<"n">() >> [&](int n) { REQUIRE(n == expected); },
                 on<Quote>() >> [&](Quote::Reader quote) { REQUIRE(quote.getQty() == expected); },
                 or_fail("the next message"));
}

TEST_CASE("what a message causes is not seen before it", "[receive][order]") {
  // The sender tells us and then another, who tells us too: its message must come second.
  LiveSystem system;
  Self& self = system.self();
  self.spawn("second", +[](Self& self) {
    for (;;) self.receive(on<"n">() >> [&](int n) { self.send("tester", "n", n + 1); });
  });
  self.spawn("first", +[](Self& self) {
    for (int n = 0; n < 4000; n += 2) {
      self.send("tester", "n", n);
      self.send("second", "n", n);
    }
    waits(self);
  });
  std::vector<int> seen = numbers_in_order(self, 4000);
  std::vector<bool> was_seen(4000);
  for (const int n : seen) {
    if (n % 2) REQUIRE(was_seen[static_cast<std::size_t>(n - 1)]);
    was_seen[static_cast<std::size_t>(n)] = true;
  }
}

TEST_CASE("what no clause takes stays in order", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  for (int n = 0; n < 10; ++n) self.send(self.pid(), n % 2 ? "odd" : "even", n);
  for (int n = 1; n < 10; n += 2) CHECK(next<int, "odd">(self) == n);
  CHECK(self.unmatched_count() == 5);
  for (int n = 0; n < 10; n += 2) CHECK(next<int, "even">(self) == n);
  CHECK(self.unmatched_count() == 0);
}

TEST_CASE("for each message the clauses are tried in order, oldest message first", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  self.send(self.pid(), "b", 1);
  self.send(self.pid(), "a", 2, "b", 3);
  std::string seen;
  for (int i = 0; i < 2; ++i)
    self.receive(on<"a">() >> [&](int n) { seen += "a" + std::to_string(n); },
                 on<"b">() >> [&](int n) { seen += "b" + std::to_string(n); });
  CHECK(seen == "b1a2");
}

TEST_CASE("after zero looks once at what is there, and keeps the order", "[receive][otp][receive_zero]") {
  LiveSystem system;
  Self& self = system.self();
  for (int n = 0; n < 5; ++n) self.send(self.pid(), "n", n);
  CHECK(self.receive(on<"other">() >> [] { return 1; }, after(0s) >> [] { return 2; }) == 2);
  for (int n = 0; n < 5; ++n)
    CHECK(self.receive(on<"n">() >> [](int got) { return got; }, after(0s) >> [] { return -1; }) == n);
  CHECK(self.receive(otherwise >> [] { return 1; }, after(0s) >> [] { return 2; }) == 2);
}

TEST_CASE("after is never early", "[receive][otp][after_long]") {
  LiveSystem system;
  Self& self = system.self();
  for (const auto delay : {0ns, 1ns, 1'000'000ns, 7'654'321ns, 50'000'000ns}) {
    const auto before = std::chrono::steady_clock::now();
    self.receive(on<"never">() >> [] {}, after(delay) >> [] {});
    CHECK(std::chrono::steady_clock::now() - before >= delay);
    const auto again = std::chrono::steady_clock::now();
    CHECK_FALSE(self.receive_any(delay));
    CHECK(std::chrono::steady_clock::now() - again >= delay);
  }
}

TEST_CASE("an after that is longer than nanoseconds can count waits for a message all the same", "[receive][otp][after_long]") {
  LiveSystem system;
  Self& self = system.self();
  for (const auto hours : {std::chrono::hours::max(), std::chrono::hours(3'000'000)}) {
    self.send_after(1ms, self.pid(), {{"n", 1}});
    CHECK(self.receive(on<"n">() >> [] { return true; }, after(hours) >> [] { return false; }));
  }
  CHECK_THROWS_AS(self.receive(after(std::chrono::hours::min()) >> [] {}), std::invalid_argument);
}

TEST_CASE("messages that match nothing do not lengthen an after", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "listener", +[](Self& self) {
          const Pid babbler = self.spawn("babbler", +[](Self& self) {
            for (;;) self.send("listener", "noise", true);
          });
          self.receive(on<"noise">() >> [] {});
          // It comes back at all, although there is always another message.
          self.receive(on<"never">() >> [] {}, after(5ms) >> [] {});
          self.kill(babbler);
        }, {.mailbox = {.stash = Bytes::gib(8)}}) == Reason::normal());
}

TEST_CASE("after zero looks at all that was sent before, however much that is", "[receive][otp][receive_zero]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("sender", +[](Self& self) {
    self.receive(on<"go">() >> [] {});
    for (int n = 0; n < 1500; ++n) self.send("tester", "n", n);
    self.send("other", "sent", true);
    waits(self);
  });
  self.spawn("other", +[](Self& self) {
    self.receive(on<"sent">() >> [] {});
    self.send("tester", "sent", true);
    waits(self);
  });
  self.send("sender", "go", true);
  next<bool, "sent">(self);
  CHECK(self.receive(on<"n">([](int n) { return n == 1499; }) >> [](int n) { return n; }, after(0s) >> [] { return -1; }) ==
        1499);
}

TEST_CASE("a negative time-out is an error", "[receive][otp][after_errors][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK_THROWS_AS(self.receive(on<"n">() >> [] {}, after(-1ns) >> [] {}), std::invalid_argument);
  CHECK_THROWS_AS(self.receive_any(-1ns), std::invalid_argument);
  CHECK_THROWS_AS(self.sleep(-1ns), std::invalid_argument);
  CHECK_THROWS_AS(self.send_after(-1ns, self.pid(), {{"n", 1}}), std::invalid_argument);
  CHECK_THROWS_AS(self.send_every(0ns, self.pid(), {{"n", 1}}), std::invalid_argument);
  CHECK_THROWS_AS(self.with_timeout(-1ns, [] {}, [] {}), std::invalid_argument);
}

// ---- the rest of receiving -------------------------------------------------------------------------------------------

TEST_CASE("receive_any takes the oldest message of any kind, and consumes it", "[receive]") {
  // cl-muproc's muproc-receive returns the same message again and again.
  LiveSystem system;
  Self& self = system.self();
  self.send(self.pid(), "n", 1);
  self.send<Quote>(self.pid(), [](Quote::Builder quote) { quote.setQty(2); });
  self.send(self.pid(), "n", 3);
  CHECK(self.receive_any().mumsg()["n"].as<int>() == 1);
  CHECK(self.receive_any().as<Quote>().getQty() == 2);
  CHECK(self.receive_any(0s)->mumsg()["n"].as<int>() == 3);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a message outlives the next ones when it was taken as a value", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("echo", echo);
  std::vector<Message> kept;
  for (int n = 0; n < 100; ++n) {
    self.send("echo", "n", n, "text", std::string(static_cast<std::size_t>(n) * 100, 'x'));
    kept.push_back(self.receive_any());
  }
  for (int n = 0; n < 100; ++n) {
    const auto fields = kept[static_cast<std::size_t>(n)].mumsg();
    CHECK(fields["n"].as<int>() == n);
    CHECK(fields["text"].as<std::string_view>().size() == static_cast<std::size_t>(n) * 100);
  }
}

TEST_CASE("otherwise takes anything, notices of the system too", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn_monitor("a", Code(+[](Self&) {}));
  CHECK(self.receive(otherwise >> [](const Message& message) { return message.mumsg()["name"].as<std::string>(); }) ==
        "a");
  self.send<Quote>(self.pid(), [](Quote::Builder) {});
  CHECK(self.receive(otherwise >> [](const Message& message) { return message.is<Quote>(); }));
}

TEST_CASE("a typed message is matched by its type and its guard", "[receive][typed]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("trader", +[](Self& self) {
    for (int qty = -1; qty <= 1; ++qty)
      self.send<Quote>("tester", [&](Quote::Builder quote) {
        quote.setSymbol("VOD.L");
        quote.setPrice(101.5);
        quote.setQty(qty);
      });
    waits(self);
  });
  const Pid trader = self.find("trader");
  self.receive(on<Quote>([](Quote::Reader quote) { return quote.getQty() > 0; }) >> [&](From from, Quote::Reader quote) {
    CHECK(from == trader);
    CHECK(std::string(quote.getSymbol().cStr()) == "VOD.L");
    CHECK(quote.getPrice() == 101.5);
    CHECK(quote.getQty() == 1);
  }, or_fail("a quote"));
  CHECK(self.unmatched_count() == 2);
}

TEST_CASE("a copy of a typed message can be sent on", "[send][typed]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("relay", +[](Self& self) {
    self.receive(on<Quote>() >> [&](From from, Quote::Reader quote) { self.send<Quote>(from, quote); });
    waits(self);
  });
  self.send<Quote>("relay", [](Quote::Builder quote) { quote.setSymbol("BT.L"); });
  self.receive(on<Quote>() >> [](Quote::Reader quote) { CHECK(std::string(quote.getSymbol().cStr()) == "BT.L"); },
               or_fail("the copy"));
}

TEST_CASE("values of every kind travel between processes as they were", "[send][value]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("echo", echo);
  const Mumsg all{{"nil", nullptr},
                  {"bool", true},
                  {"int", std::numeric_limits<std::int64_t>::min()},
                  {"float", -0.25},
                  {"symbol", Symbol("VOD.L")},
                  {"text", std::string("with \0 inside", 13)},
                  {"data", Data{std::byte{0}, std::byte{255}}},
                  {"list", List{1, "two", List{3, nullptr}}},
                  {"mumsg", Mumsg{{"a", 1}, {"b", Mumsg{{"c", "d"}}}}},
                  {"pid", self.pid()},
                  {"reason", Reason::linked("x", self.pid(), Reason::signal(11, true))}};
  self.send("echo", all);
  Mumsg expected = all;
  expected.set("echoed by", self.find("echo"));
  CHECK(self.receive_any().mumsg().value() == expected);
}

TEST_CASE("a field that is there with nil is there", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  self.send(self.pid(), "answer", nullptr);
  CHECK(next<"answer">(self).is_nil());
}

TEST_CASE("a guard that throws ends the muproc", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    self.receive(on<"n">([](int n) -> bool { throw std::runtime_error("guard " + std::to_string(n)); }) >> [] {});
  });
  self.send(pid, "n", 7);
  CHECK(reason_of(self, ref) == Reason::exception("std::runtime_error", "guard 7"));
}

TEST_CASE("handlers may receive in turn, and the message in hand is the innermost", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(self.message() == nullptr);
  self.send(self.pid(), "outer", 1);
  self.send(self.pid(), "inner", 2);
  const int sum = self.receive(on<"outer">() >> [&](int outer) {
    CHECK(self.message()->mumsg().has("outer"));
    const int inner = self.receive(on<"inner">() >> [&](int n) {
      CHECK(self.message()->mumsg().has("inner"));
      return n;
    });
    CHECK(self.message()->mumsg()["outer"].as<int>() == outer);
    return outer + inner;
  });
  CHECK(sum == 3);
  CHECK(self.message() == nullptr);
}

TEST_CASE("discard drops all that waits, looked at or not", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("sender", +[](Self& self) {
    for (int n = 0; n < 10; ++n) self.send("tester", "n", n);
    self.send("tester", "sent", true);
    waits(self);
  });
  next<bool, "sent">(self);
  CHECK(self.unmatched_count() == 10);
  self.send("sender", "cmd", "return");
  CHECK(self.discard_all() >= 10);
  CHECK(self.unmatched_count() == 0);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a message's age is the time since it was sent", "[receive]") {
  LiveSystem system;
  Self& self = system.self();
  const auto before = std::chrono::steady_clock::now();
  self.spawn("sender", +[](Self& self) {
    self.send("tester", "n", 1);
    waits(self);
  });
  self.sleep(20ms);
  self.receive(on<"n">() >> [&] {
    const auto age = self.message()->age();
    CHECK(age > 0ns);
    CHECK(age <= std::chrono::steady_clock::now() - before);
  }, or_fail("the message"));
  self.send(self.pid(), "n", 2);
  self.sleep(10ms);
  self.receive(on<"n">() >> [&] { CHECK(self.message()->age() >= 10ms); });
}

TEST_CASE("references are unique", "[tags]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("other", +[](Self& self) {
    List refs;
    for (int i = 0; i < 1000; ++i) refs.push_back(static_cast<std::int64_t>(self.make_ref().bits));
    self.send("tester", "refs", refs);
    waits(self);
  });
  std::vector<std::int64_t> all;
  for (const Value& ref : next<List, "refs">(self)) all.push_back(ref.as<std::int64_t>());
  for (int i = 0; i < 1000; ++i) all.push_back(static_cast<std::int64_t>(self.make_ref().bits));
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
  const std::string a = gensym("CH-"), b = gensym("CH-");
  CHECK(a != b);
  CHECK(a.substr(0, 3) == "CH-");
}

// ---- what does not fit -----------------------------------------------------------------------------------------------

TEST_CASE("a message larger than the limit is refused with both sizes, and nothing is sent", "[send][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          try {
            self.send("tester", "data", Data(2'000'000));
            MUST(!"sent");
          } catch (const MessageTooLarge& error) {
            self.send("tester", "error", error.what());
          }
          try {
            self.send(self.pid(), "data", Data(2'000'000));
            MUST(!"sent");
          } catch (const MessageTooLarge&) {
          }
        }, {.mailbox = {.max_message = Bytes::mib(1)}}) == Reason::normal());
  CHECK_THAT((next<std::string, "error">(self)), Contains("max_message"));
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a value that is nested too deeply is refused where it is sent, and its sender lives", "[send][bad-input]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(play(self, "a", +[](Self& self) {
          const auto nested = [](int depth) {
            Value value("innermost");
            for (int level = 0; level < depth; ++level) value = level % 2 ? Value(List{value}) : Value(Mumsg{{"inner", value}});
            return value;
          };
          self.send("tester", "deep", nested(64));
          self.send("tester", "deep", nested(64), "weight", Data(200'000));
          try {
            self.send("tester", "deep", nested(65));
            MUST(!"sent");
          } catch (const ValueError&) {
          }
          self.exit(nested(62));
        }).is(Reason::Kind::exit));
  for (int i = 0; i < 2; ++i) {
    int depth = 0;
    for (Value value = next<"deep">(self); value.kind() != Value::Kind::text; ++depth)
      value = value.kind() == Value::Kind::list ? value.as<List>()[0] : value.as<Mumsg>()["inner"];
    CHECK(depth == 64);
  }
  const Reason unspeakable = play(self, "b", +[](Self& self) {
    Value value(1);
    for (int level = 0; level < 1000; ++level) value = List{value};
    self.exit(value);
  });
  CHECK(unspeakable.name() == "muproc::ValueError");
}

TEST_CASE("a full stash is an error at its owner, and what it holds stays", "[receive][stash]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("a", +[](Self& self) {
    bool full = false;
    try {
      self.receive(on<"never">() >> [] {});
    } catch (const StashFull& error) {
      full = true;
      MUST(std::string(error.what()).find("stash") != std::string::npos);
    }
    MUST(full);
    const auto waiting = self.unmatched_count();
    MUST(waiting > 0);
    // It stays full until something is taken; what comes meanwhile waits in its channel, and none is lost.
    for (int i = 0; i < 3; ++i) {
      try {
        self.receive(on<"never">() >> [] {}, after(0s) >> [] {});
        MUST(!"room");
      } catch (const StashFull&) {
      }
    }
    MUST(self.unmatched_count() == waiting);
    for (std::uint64_t i = 0; i < 2000; ++i) self.receive(on<"n">() >> [&](std::uint64_t n) { MUST(n == i); });
  }, {.mailbox = {.stash = Bytes::kib(64)}});
  for (int n = 0; n < 2000; ++n) self.send(pid, "n", n);
  CHECK(reason_of(self, ref) == Reason::normal());
}
