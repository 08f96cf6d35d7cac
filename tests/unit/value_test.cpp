// Owned values and mumsgs.
#include <muproc/reason.hpp>
#include <muproc/value.hpp>

#include <cstdlib>
#include <limits>
#include <string>

#include "support/catch.hpp"
#include "support/printing.hpp"

using namespace muproc;
using namespace muproc::literals;
using Catch::Matchers::Contains;
using Kind = Value::Kind;

TEST_CASE("a value knows its kind", "[value]") {
  CHECK(Value().kind() == Kind::nil);
  CHECK(Value(nullptr).kind() == Kind::nil);
  CHECK(Value(true).kind() == Kind::boolean);
  CHECK(Value(7).kind() == Kind::integer);
  CHECK(Value(7u).kind() == Kind::integer);
  CHECK(Value(7.5f).kind() == Kind::real);
  CHECK(Value("text").kind() == Kind::text);
  CHECK(Value(std::string("text")).kind() == Kind::text);
  CHECK(Value(std::string_view("text")).kind() == Kind::text);
  CHECK(Value("square"_sym).kind() == Kind::symbol);
  CHECK(Value(Data{std::byte{1}}).kind() == Kind::data);
  CHECK(Value(List{1, "two"}).kind() == Kind::list);
  CHECK(Value(Mumsg{{"x", 1}}).kind() == Kind::mumsg);
  CHECK(Value(Pid(0, 1, 2)).kind() == Kind::pid);
  CHECK(Value(StructValue{1, {2}}).kind() == Kind::structure);
  CHECK(Value(Reason::killed()).kind() == Kind::reason);
}

TEST_CASE("an integer fits a double and any integer type that can hold it", "[value]") {
  CHECK(Value(300).as<int>() == 300);
  CHECK(Value(300).as<std::uint16_t>() == 300);
  CHECK(Value(300).as<double>() == 300.0);
  CHECK_FALSE(Value(300).get<std::uint8_t>());
  CHECK_FALSE(Value(-1).get<unsigned>());
  CHECK_FALSE(Value(1.0).get<int>());
  CHECK_FALSE(Value(1).get<bool>());
  CHECK_FALSE(Value(true).get<int>());
  CHECK(Value(std::numeric_limits<std::int64_t>::min()).as<std::int64_t>() == std::numeric_limits<std::int64_t>::min());
}

TEST_CASE("an integer that does not fit 64 signed bits is refused where it is made", "[value]") {
  CHECK_THROWS_AS(Value(std::numeric_limits<std::uint64_t>::max()), ValueError);
  CHECK(Value(std::uint64_t{1} << 62).as<std::uint64_t>() == std::uint64_t{1} << 62);
}

TEST_CASE("text and symbol fit each other", "[value]") {
  CHECK(Value("square").as<Symbol>() == "square");
  CHECK(Value("square"_sym).as<std::string>() == "square");
  CHECK(Value("square"_sym).as<std::string_view>() == "square");
  CHECK_FALSE(Value(1).get<std::string>());
  CHECK("square"_sym == std::string_view("square"));
  CHECK(Value("square") != Value("square"_sym));  // as values they are not the same
}

TEST_CASE("what does not fit is an error that names both", "[value]") {
  CHECK_THROWS_WITH(Value("x").as<int>(), Contains("kind text"));
  CHECK_THROWS_AS(Value("x").as<int>(), ValueError);
  CHECK_THROWS_WITH(Mumsg({{"x", 1}})["y"], Contains("\"y\""));
}

TEST_CASE("a mumsg keeps its fields in the order in which they were set, each name once", "[value][mumsg]") {
  Mumsg mumsg{{"b", 1}, {"a", 2}, {"b", 3}};
  CHECK(mumsg.size() == 2);
  CHECK(to_string(mumsg) == "{b: 3, a: 2}");
  mumsg.set("a", "text").set("c", nullptr);
  CHECK(to_string(mumsg) == "{b: 3, a: \"text\", c: nil}");
  CHECK(mumsg.has("c"));
  CHECK(mumsg["c"].is_nil());
  CHECK_FALSE(mumsg.has("d"));
  CHECK(mumsg.find("d") == nullptr);
  CHECK(Mumsg().empty());
}

TEST_CASE("values compare by kind and content", "[value]") {
  CHECK(Value(1) == Value(1));
  CHECK(Value(1) != Value(1.0));
  CHECK(Value(List{1, List{2}}) == Value(List{1, List{2}}));
  CHECK(Value(Mumsg{{"x", 1}}) != Value(Mumsg{{"x", 2}}));
  CHECK(Value(Mumsg{{"x", 1}, {"y", 2}}) != Value(Mumsg{{"y", 2}, {"x", 1}}));
  CHECK(Value(Reason::exit("done")) == Value(Reason::exit("done")));
  CHECK(Value(Reason::exit("done")) != Value(Reason::exit("not done")));
  CHECK(Value() == Value(nullptr));
}

TEST_CASE("values print as a person would write them", "[value]") {
  CHECK(to_string(Value()) == "nil");
  CHECK(to_string(Value(true)) == "true");
  CHECK(to_string(Value(-42)) == "-42");
  CHECK(to_string(Value(1.5)) == "1.5");
  CHECK(to_string(Value(0.1)) == "0.1");
  CHECK(to_string(Value(1e300)) == "1e+300");
  CHECK(to_string(Value(1.0 / 3)) == "0.3333333333333333");
  CHECK(to_string(Value("say \"hi\"\\\n")) == "\"say \\\"hi\\\"\\\\\\n\"");
  CHECK(to_string(Value("square"_sym)) == "square");
  CHECK(to_string(Value(Data(3))) == "<3 bytes>");
  CHECK(to_string(Value(List{})) == "[]");
  CHECK(to_string(Value(List{1, "two", List{3.5}})) == "[1, \"two\", [3.5]]");
  CHECK(to_string(Value(Mumsg{{"cmd", "square"_sym}, {"x", 3}})) == "{cmd: square, x: 3}");
  CHECK(to_string(Value(Pid(0, 3, 1))) == "<0.3.1>");
  CHECK(to_string(Value(Pid())) == "nil");
  CHECK(to_string(Value(StructValue{0xdeadbeef, {}})) == "<struct 0xdeadbeef>");
  CHECK(to_string(Value(Reason::exit("done"))) == "exit: \"done\"");
}

TEST_CASE("a real number prints with the fewest digits that read back as the same", "[value]") {
  for (double real : {0.1, 1.0 / 3, 1e-320, 123456789.123456789, -0.0, 2.0}) {
    const std::string text = to_string(Value(real));
    INFO(text);
    CHECK(std::strtod(text.c_str(), nullptr) == real);
  }
  CHECK(to_string(Value(2.0)) == "2");
  CHECK(to_string(Value(std::numeric_limits<double>::infinity())) == "inf");
}
