// Clauses against messages: what matches, and what a handler gets.
#include <muproc/match.hpp>

#include <muproc/self.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>

#include "support/catch.hpp"
#include "support/mailboxes.hpp"
#include "support/printing.hpp"

using namespace muproc;
using namespace muproc::literals;
using muproc::test::Mailboxes;
using muproc::test::Party;

namespace {

struct Pair {
  Pair() { world.open(alice, bob); }

  Message hears(const Mumsg& mumsg) {
    REQUIRE(alice.send(bob, mumsg));
    return *bob.pull();
  }

  Mailboxes world;
  Party& alice = world.muproc();
  Party& bob = world.muproc();
};

/// What `receive` does with one message: runs the first clause that takes it, and says which it was, or -1.
template <class... C>
int first_match(const Message& message, C&&... clauses) {
  int which = 0, matched = -1;
  const auto look = [&]<class Pattern, class Handler>(detail::Clause<Pattern, Handler>& clause) {
    typename Pattern::Bound bound{};
    if (matched < 0 && clause.pattern.template match<Handler>(message, bound)) {
      matched = which;
      (void)clause.pattern.run(clause.handler, message, bound), void();
    }
    ++which;
  };
  (look(clauses), ...);
  return matched;
}

template <class Clause>
bool matches(const Message& message, Clause&& clause) {
  return first_match(message, clause) == 0;
}

constexpr auto nothing = [] {};

}  // namespace

TEST_CASE("a clause matches a mumsg that has its fields, whatever else it has", "[match]") {
  Pair pair;
  const auto message = pair.hears({{"cmd", "square"_sym}, {"x", 3}, {"extra", nullptr}});
  CHECK(matches(message, on<"cmd">() >> nothing));
  CHECK(matches(message, on<"cmd", "x">() >> nothing));
  CHECK(matches(message, on<"x", "cmd">() >> nothing));
  CHECK_FALSE(matches(message, on<"cmd", "y">() >> nothing));
  CHECK_FALSE(matches(message, on<"y">() >> nothing));
}

TEST_CASE("a field that is there with nil is there", "[match]") {
  Pair pair;
  const auto message = pair.hears({{"terminated", nullptr}});
  CHECK(matches(message, on<"terminated">() >> nothing));
  CHECK(matches(message, on<"terminated">(is(nullptr)) >> nothing));
  CHECK(matches(message, on<"terminated">() >> [](const Value& value) { CHECK(value.is_nil()); }));
  CHECK_FALSE(matches(message, on<"terminated">() >> [](Pid) {}));
}

TEST_CASE("the handler gets the sender, if it wants it, and then the first fields", "[match]") {
  Pair pair;
  const auto message = pair.hears({{"cmd", "square"_sym}, {"x", 3}});
  std::string seen;
  CHECK(matches(message, on<"cmd", "x">() >> [&](From from, Symbol cmd, double x) {
    CHECK(from == pair.alice.pid());
    seen = cmd.name + ' ' + std::to_string(static_cast<int>(x));
  }));
  CHECK(seen == "square 3");
  CHECK(matches(message, on<"x", "cmd">() >> [&](int x) { CHECK(x == 3); }));
  CHECK(matches(message, on<"cmd", "x">() >> [&](From from) { CHECK(from == pair.alice.pid()); }));
  CHECK(matches(message, on<"cmd">() >> [&](std::string_view cmd) { CHECK(cmd == "square"); }));
}

TEST_CASE("a clause whose handler's types do not fit does not match", "[match]") {
  Pair pair;
  const auto message = pair.hears({{"i", 300}, {"r", 1.5}, {"t", "text"}, {"b", true}, {"p", Pid(0, 1, 1)}});
  CHECK(matches(message, on<"i">() >> [](int) {}));
  CHECK(matches(message, on<"i">() >> [](double i) { CHECK(i == 300); }));
  CHECK_FALSE(matches(message, on<"i">() >> [](std::uint8_t) {}));
  CHECK_FALSE(matches(message, on<"i">() >> [](bool) {}));
  CHECK_FALSE(matches(message, on<"i">() >> [](std::string) {}));
  CHECK(matches(message, on<"r">() >> [](float r) { CHECK(r == 1.5f); }));
  CHECK_FALSE(matches(message, on<"r">() >> [](int) {}));
  CHECK(matches(message, on<"t">() >> [](Symbol t) { CHECK(t == "text"); }));
  CHECK(matches(message, on<"t">() >> [](const std::string& t) { CHECK(t == "text"); }));
  CHECK_FALSE(matches(message, on<"t">() >> [](Pid) {}));
  CHECK(matches(message, on<"b">() >> [](bool b) { CHECK(b); }));
  CHECK_FALSE(matches(message, on<"b">() >> [](int) {}));
  CHECK(matches(message, on<"p">() >> [](Pid p) { CHECK(p == Pid(0, 1, 1)); }));
  CHECK(matches(message, on<"t">() >> [](const FieldView& t) { CHECK(t.kind() == Value::Kind::text); }));
}

TEST_CASE("fields of every kind reach the handler as values", "[match]") {
  Pair pair;
  const Data data{std::byte{1}, std::byte{2}};
  const Reason reason = Reason::linked("x", Pid(0, 9, 1), Reason::exit("done"));
  const auto message = pair.hears({{"data", data},
                                   {"list", List{1, "two"}},
                                   {"mumsg", Mumsg{{"y", 1}}},
                                   {"struct", StructValue{7, {1, 2}}},
                                   {"reason", reason}});
  int seen = 0;
  CHECK(matches(message, on<"data">() >> [&](Data got) { seen += got == data; }));
  CHECK(matches(message, on<"list">() >> [&](List got) { seen += got == List{1, "two"}; }));
  CHECK(matches(message, on<"mumsg">() >> [&](Mumsg got) { seen += got == Mumsg{{"y", 1}}; }));
  CHECK(matches(message, on<"struct">() >> [&](StructValue got) { seen += got == StructValue{7, {1, 2}}; }));
  CHECK(matches(message, on<"reason">() >> [&](Reason got) { seen += got == reason; }));
  CHECK(seen == 5);
  CHECK(message.mumsg()["struct"].structure_type() == 7);
  CHECK(message.mumsg()["list"].structure_type() == 0);
}

TEST_CASE("a field is compared with text, also with a literal", "[match]") {
  Pair pair;
  const auto message = pair.hears({{"cmd", "square"_sym}, {"t", "text"}, {"b", true}});
  CHECK(message.mumsg()["cmd"].equals("square"));
  CHECK_FALSE(message.mumsg()["cmd"].equals("sum"));
  CHECK(message.mumsg()["t"].equals(std::string("text")));
  CHECK_FALSE(message.mumsg()["b"].equals("text"));
}

TEST_CASE("a guard for each field in turn", "[match][guard]") {
  Pair pair;
  const auto message = pair.hears({{"cmd", "square"_sym}, {"x", 3}});
  CHECK(matches(message, on<"cmd">(is("square")) >> nothing));
  CHECK(matches(message, on<"cmd", "x">(is("square"), anything) >> nothing));
  CHECK(matches(message, on<"cmd", "x">(anything, is(3)) >> nothing));
  CHECK(matches(message, on<"cmd", "x">(is("square"), [](int x) { return x > 2; }) >> nothing));
  CHECK_FALSE(matches(message, on<"cmd">(is("sum")) >> nothing));
  CHECK_FALSE(matches(message, on<"cmd", "x">(is("square"), is(4)) >> nothing));
  CHECK_FALSE(matches(message, on<"cmd", "x">(is("square"), [](int x) { return x > 3; }) >> nothing));
}

TEST_CASE("one predicate speaks of the first fields, or of none", "[match][guard]") {
  Pair pair;
  const auto message = pair.hears({{"a", 1}, {"b", 2}});
  CHECK(matches(message, on<"a", "b">([](int a, int b) { return a < b; }) >> nothing));
  CHECK_FALSE(matches(message, on<"a", "b">([](int a, int b) { return a > b; }) >> nothing));
  CHECK(matches(message, on<"a", "b">([](int a) { return a == 1; }) >> nothing));
  bool open = false;
  CHECK_FALSE(matches(message, on<"a">([&] { return open; }) >> nothing));
  open = true;
  CHECK(matches(message, on<"a">([&] { return open; }) >> nothing));
}

TEST_CASE("a predicate whose types do not fit does not hold, and is not called", "[match][guard]") {
  Pair pair;
  const auto message = pair.hears({{"a", "text"}});
  CHECK_FALSE(matches(message, on<"a">([](int) -> bool { throw std::logic_error("called"); }) >> nothing));
}

TEST_CASE("a guard that throws lets its exception through", "[match][guard]") {
  Pair pair;
  const auto message = pair.hears({{"a", 1}});
  CHECK_THROWS_AS(matches(message, on<"a">([](int) -> bool { throw std::logic_error("no"); }) >> nothing), std::logic_error);
}

TEST_CASE("equality of fields: numbers by value, text and symbols by characters, reasons by their word", "[match][guard]") {
  Pair pair;
  const auto message = pair.hears({{"i", 3}, {"r", 3.0}, {"s", "x"_sym}, {"t", "x"}, {"e", Reason::exit("done")}, {"k", Reason::killed()}});
  CHECK(matches(message, on<"i", "r">(is(3), is(3)) >> nothing));
  CHECK(matches(message, on<"i", "r">(is(3.0), is(3.0)) >> nothing));
  CHECK_FALSE(matches(message, on<"i">(is(true)) >> nothing));
  CHECK(matches(message, on<"s", "t">(is("x"), is("x")) >> nothing));
  CHECK(matches(message, on<"s", "t">(is("x"_sym), is(std::string("x"))) >> nothing));
  CHECK(matches(message, on<"e", "k">(is("done"), is("killed")) >> nothing));
  CHECK(matches(message, on<"i">(is(Value(3))) >> nothing));
  CHECK_FALSE(matches(message, on<"i">(is(Value("3"))) >> nothing));
}

TEST_CASE("clauses are tried in order, and the first that matches takes the message", "[match]") {
  Pair pair;
  const auto message = pair.hears({{"n", 4}});
  CHECK(first_match(message, on<"n">([](int n) { return n % 2 == 1; }) >> nothing, on<"n">() >> nothing,
                    on<"n">([](int n) { return n == 4; }) >> nothing) == 1);
  CHECK(first_match(message, on<"m">() >> nothing, otherwise >> nothing) == 1);
  CHECK(first_match(message, on<"m">() >> nothing) == -1);
}

TEST_CASE("typed messages match by their type, and guards read them", "[match][typed]") {
  Pair pair;
  REQUIRE(pair.alice.send<wire::Structure>(pair.bob, [](auto message) { message.setTypeId(17); }));
  const auto message = *pair.bob.pull();
  CHECK(matches(message, on<wire::Structure>() >> nothing));
  CHECK(matches(message, on<wire::Structure>() >> [](wire::Structure::Reader it) { CHECK(it.getTypeId() == 17); }));
  CHECK(matches(message, on<wire::Structure>() >> [&](From from) { CHECK(from == pair.alice.pid()); }));
  CHECK(matches(message, on<wire::Structure>() >> [&](From from, wire::Structure::Reader it) {
    CHECK(from == pair.alice.pid());
    CHECK(it.getTypeId() == 17);
  }));
  CHECK(matches(message, on<wire::Structure>([](wire::Structure::Reader it) { return it.getTypeId() > 0; }) >> nothing));
  CHECK_FALSE(matches(message, on<wire::Structure>([](wire::Structure::Reader it) { return it.getTypeId() == 0; }) >> nothing));
  CHECK_FALSE(matches(message, on<wire::Reason>() >> nothing));
  CHECK_FALSE(matches(message, on<"words">() >> nothing));
  CHECK_THROWS_AS(message.mumsg(), ValueError);
  CHECK_THROWS_AS(message.as<wire::Reason>(), ValueError);
}

TEST_CASE("a mumsg is no typed message but its own", "[match][typed]") {
  Pair pair;
  const auto message = pair.hears({{"x", 1}});
  CHECK_FALSE(matches(message, on<wire::Structure>() >> nothing));
  CHECK(matches(message, otherwise >> [](const Message& it) { CHECK(it.is_mumsg()); }));
}

TEST_CASE("a message's fields can be asked for by name", "[match][mumsg]") {
  Pair pair;
  const auto message = pair.hears({{"x", 1}, {"y", "two"}});
  const auto mumsg = message.mumsg();
  CHECK(mumsg.size() == 2);
  CHECK(mumsg.has("x"));
  CHECK_FALSE(mumsg.has("z"));
  CHECK(mumsg["y"].as<std::string>() == "two");
  CHECK_THROWS_WITH(mumsg["z"], Catch::Matchers::Contains("\"z\""));
  CHECK_THROWS_AS(mumsg["y"].as<int>(), ValueError);
  CHECK(mumsg.value() == Mumsg{{"x", 1}, {"y", "two"}});
}

TEST_CASE("of two fields of one name, the first counts", "[match][hostile]") {
  Pair pair;
  REQUIRE(pair.alice.send<wire::Mumsg>(pair.bob, [](auto mumsg) {
    auto fields = mumsg.initFields(2);
    wire::write_named(fields[0], "x", 1);
    wire::write_named(fields[1], "x", 2);
  }));
  const auto message = *pair.bob.pull();
  CHECK(matches(message, on<"x">() >> [](int x) { CHECK(x == 1); }));
}

TEST_CASE("what a receive yields follows from its handlers", "[match]") {
  STATIC_REQUIRE(std::is_void_v<detail::Yield<void, void>::Type>);
  STATIC_REQUIRE(std::is_same_v<detail::Yield<int>::Type, int>);
  STATIC_REQUIRE(std::is_same_v<detail::Yield<int, double>::Type, double>);
  STATIC_REQUIRE(std::is_same_v<detail::Yield<int, void>::Type, std::optional<int>>);
}
