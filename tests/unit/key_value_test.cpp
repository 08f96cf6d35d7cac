// Mumsgs as people type them, and as they are printed.
#include "tools/common/key_value.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <muproc/reason.hpp>

#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::tools;
using namespace std::string_literals;

namespace {

Mumsg fields(std::vector<std::string> words) { return parse_fields(words); }
/// The value of x in `x=TEXT`.
Value typed(const std::string& text) { return fields({"x" + text})["x"]; }
Value value(const std::string& text) { return typed("=" + text); }

std::string complaint(std::vector<std::string> words) {
  try {
    const Mumsg mumsg = parse_fields(words);
    return "no complaint: " + to_string(mumsg);
  } catch (const KeyValueError& failure) {
    return failure.what();
  }
}

Data bytes(std::initializer_list<int> values) {
  Data data;
  for (int value : values) data.push_back(static_cast<std::byte>(value));
  return data;
}

/// Is printed, read again, and the same.
void check_round_trip(const Mumsg& mumsg) {
  std::vector<std::string> words;  // a shell would see one word for each field
  for (const auto& [name, value] : mumsg) words.push_back(format(Mumsg{{name, value}}));
  INFO(format(mumsg));
  CHECK(parse_fields(words) == mumsg);
}

}  // namespace

TEST_CASE("a value without a type is what it looks like", "[key_value]") {
  CHECK(value("3") == Value(3));
  CHECK(value("-3") == Value(-3));
  CHECK(value("9223372036854775807") == Value(std::numeric_limits<std::int64_t>::max()));
  CHECK(value("3.5") == Value(3.5));
  CHECK(value("-1e3") == Value(-1000.0));
  CHECK(value("3.0") == Value(3.0));
  CHECK(value("true") == Value(true));
  CHECK(value("false") == Value(false));
  CHECK(value("nil") == Value());
  CHECK(value("text") == Value("text"));
  CHECK(value(":square") == Value(Symbol("square")));
  CHECK(value("<0.3.1>") == Value(Pid(0, 3, 1)));
  CHECK(value("<<00fF>>") == Value(bytes({0, 255})));
  CHECK(value("<<>>") == Value(Data{}));
}

TEST_CASE("what looks like nothing else is text, as it stands", "[key_value]") {
  for (const char* text :
       {"",       "two words", "a=b",  "a,b", "x[1]", "007", "1.",    ".",      "-",           "1e",
        "+3",     "1.2.3",     "0x10", "Nil", "inf",  "nan", "<0.3>", "<0.3.1", "<99999.3.1>", "<<0>>",
        "<<xy>>", "<>",        "a\"b", "ä",   "1 2"}) {
    INFO(text);
    CHECK(value(text) == Value(text));
  }
}

TEST_CASE("quotes make text of anything, and know escapes", "[key_value]") {
  CHECK(value(R"("3")") == Value("3"));
  CHECK(value(R"("")") == Value(""));
  CHECK(value(R"("a\"b\\c\nd\re\tf")") == Value("a\"b\\c\nd\re\tf"));
  CHECK(value(R"("\x00\xfF")") == Value("\0\xff"s));
  CHECK(value(R"(:"two words")") == Value(Symbol("two words")));
}

TEST_CASE("lists and mumsgs nest", "[key_value]") {
  CHECK(value("[]") == Value(List{}));
  CHECK(value("[1,2,x]") == Value(List{1, 2, "x"}));
  CHECK(value("[ 1 , two words , :three, [nil], {} ]") ==
        Value(List{1, "two words", Symbol("three"), List{Value()}, Mumsg{}}));
  CHECK(value("{a=1,b=2}") == Value(Mumsg{{"a", 1}, {"b", 2}}));
  CHECK(value(R"({ a = 1 , b:text = 2, "c d"=[1], e= {f=nil} })") ==
        Value(Mumsg{{"a", 1}, {"b", "2"}, {"c d", List{1}}, {"e", Mumsg{{"f", Value()}}}}));
  CHECK(value(R"(["a,b", "c]", "}"])") == Value(List{"a,b", "c]", "}"}));
}

TEST_CASE("a type that is said is the value's type", "[key_value]") {
  CHECK(typed(":int=3") == Value(3));
  CHECK(typed(":int=007") == Value(7));
  CHECK(typed(":int=0x2a") == Value(42));
  CHECK(typed(":float=3") == Value(3.0));
  CHECK(std::isinf(typed(":float=-inf").as<double>()));
  CHECK(typed(":text=3") == Value("3"));
  CHECK(typed(":text=[x") == Value("[x"));
  CHECK(typed(":text=:x") == Value(":x"));
  CHECK(typed(R"(:text="3 4")") == Value("3 4"));
  CHECK(typed(":text=") == Value(""));
  CHECK(typed(":symbol=square") == Value(Symbol("square")));
  CHECK(typed(":symbol=:square") == Value(Symbol("square")));
  CHECK(typed(":symbol=3") == Value(Symbol("3")));
  CHECK(typed(":bool=true") == Value(true));
  CHECK(typed(":nil=") == Value());
  CHECK(typed(":data=00ff") == Value(bytes({0, 255})));
  CHECK(typed(":data=") == Value(Data{}));
  CHECK(typed(":pid=0.3.1") == Value(Pid(0, 3, 1)));
  CHECK(typed(":pid=nil") == Value(Pid()));
  CHECK(typed(":list=[1]") == Value(List{1}));
  CHECK(typed(":mumsg={a=1}") == Value(Mumsg{{"a", 1}}));
}

TEST_CASE("fields keep their order, and names may be quoted", "[key_value]") {
  CHECK(fields({}) == Mumsg{});
  CHECK(format(fields({"cmd=:square", "x=3", R"("two words"=2.0)"})) == R"(cmd=:square x=3 "two words"=2.0)");
}

TEST_CASE("a word that is no field is named, with what is wrong with it", "[key_value]") {
  CHECK(complaint({"n=1", "square"}) == R"("square" is no NAME=VALUE: it has no "=")");
  CHECK(complaint({"=3"}) == R"(in =3: character 1 is "=" instead of a name)");
  CHECK(complaint({"n=1", "n=2"}) == R"(the name "n" comes twice)");
  CHECK(
      complaint({"n:itn=3"}) ==
      R"(in n:itn=3: there is no type "itn"; did you mean "int"? (types are nil, bool, int, float, symbol, text, data, list, mumsg, pid))");
  CHECK(complaint({"n:int=three"}) == R"(in n:int=three: "three" is no int)");
  CHECK(complaint({"n:bool=yes"}) == R"(in n:bool=yes: "yes" is no bool)");
  CHECK(complaint({"d:data=0"}) == R"(in d:data=0: "0" is no data)");
  CHECK(complaint({"p:pid=0.3"}) == R"(in p:pid=0.3: "0.3" is no pid)");
  CHECK(complaint({"l:list=x"}) == R"(in l:list=x: "x" is no list)");
  CHECK(complaint({"l:list={}"}) == R"(in l:list={}: it is said to be a list and is a mumsg)");
  CHECK(complaint({"n=9223372036854775808"}) ==
        "in n=9223372036854775808: 9223372036854775808 is beyond the range of an int (64 bits); text is written in "
        "quotes, or as "
        "NAME:text=9223372036854775808");
  CHECK_THAT(complaint({"x=1e999"}), Catch::Contains("beyond the range of a float"));
  CHECK(complaint({"s=:"}) == R"(in s=:: a symbol's name is missing after the ":")");
  CHECK(complaint({R"(s="x)"}) == R"(in s="x: the quote at character 3 is never closed)");
  CHECK_THAT(complaint({R"(s="x"y)"}), Catch::Contains(R"(character 6 is "y" behind the end of the value)"));
  CHECK_THAT(complaint({R"(s="\q")"}), Catch::Contains("the escape at character 4 is none of"));
  CHECK(complaint({"l=[1"}) == R"(in l=[1: it ends instead of a "," or "]")");
  CHECK(complaint({"l=[1,]"}) == R"(in l=[1,]: character 6 is "]" instead of a value; an empty text is written as "")");
  CHECK(complaint({"l=[1}"}) == R"(in l=[1}: character 5 is "}" instead of a "," or "]")");
  CHECK_THAT(complaint({"s=[WARN] full"}), Catch::Contains("as NAME:text=…"));
  CHECK(complaint({"m={a}"}) == R"(in m={a}: character 5 is "}" instead of a "=" after the name)");
  CHECK(complaint({"m={a=1,a=2}"}) == R"(in m={a=1,a=2}: "a" comes twice)");
}

TEST_CASE("a word cannot nest so deep that a receiver would refuse it", "[key_value]") {
  const auto nested = [](std::size_t depth) { return "l=" + std::string(depth, '[') + std::string(depth, ']'); };
  CHECK_NOTHROW(fields({nested(16)}));
  CHECK_THAT(complaint({nested(18)}), Catch::Contains("nests deeper than 16 levels"));
  CHECK_THAT(complaint({nested(1'000'000)}), Catch::Contains("nests deeper than 16 levels"));
}

TEST_CASE("a complaint never carries an escape sequence to the terminal", "[key_value]") {
  CHECK(complaint({"\x1b[31m"}) == R"("\x1b[31m" is no NAME=VALUE: it has no "=")");
}

TEST_CASE("what is printed is read back as the same", "[key_value]") {
  check_round_trip({{"a", 1}, {"b", 1.0}, {"c", -0.1}, {"d", true}, {"e", Value()}, {"f", Pid(0, 3, 1)}, {"g", Pid()}});
  check_round_trip({{"x", std::numeric_limits<double>::infinity()}, {"y", 1e300}, {"z", 5e-324}});
  for (const char* text : {"",      "plain",   "3",      "true", "nil", ":x",    "[1]",
                           "{a=1}", "<0.3.1>", "<<00>>", "a b",  "\"",  "\\",    "a\nb\x1b",
                           "ä",     "\xff",    "[",      ",",    "007", "1e999", "99999999999999999999"}) {
    check_round_trip({{"text", text}, {"symbol", Symbol(text)}, {text, 1}});
    check_round_trip({{"list", List{text, Symbol(text), Mumsg{{text, text}}}}});
  }
  check_round_trip({{"d", bytes({0, 10, 255})}, {"l", List{bytes({}), List{}, Mumsg{}}}});
}

TEST_CASE("structs and reasons are printed as text", "[key_value]") {
  CHECK(format(Mumsg{{"reason", Reason::exit("done")}}) == R"(reason="exit: \"done\"")");
  CHECK(format(Mumsg{{"q", StructValue{0xabc, {1}}}}) == R"(q="<struct 0xabc>")");
}

TEST_CASE("any bytes are read or refused, and what was read is printed and read again as the same",
          "[key_value][property]") {
  std::mt19937 random(20);
  const std::string alphabet = "ab=:,[]{}\"\\<>.0193-enx \n\xff";
  for (int round = 0; round < 20'000; ++round) {
    std::string word = "k=";
    for (auto size = random() % 14; size > 0; --size) word += alphabet[random() % alphabet.size()];
    Mumsg mumsg;
    try {
      mumsg = fields({word});
    } catch (const KeyValueError&) {
      continue;
    }
    check_round_trip(mumsg);
  }
}
