// JSON, tables and text as the tools print them.
#include <capnp/compat/json.h>
#include <capnp/message.h>

#include <limits>
#include <string>

#include <muproc/reason.hpp>

#include "support/catch.hpp"
#include "tools/common/json.hpp"
#include "tools/common/table.hpp"
#include "tools/common/text.hpp"
#include "tools/common/to_json.hpp"

using namespace muproc;
using namespace muproc::tools;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

std::string json(const Value& value) {
  JsonWriter writer;
  write_value(writer, value);
  return writer.take();
}

/// As another JSON implementation reads it.
std::string read_by_capnp(const std::string& json) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<capnp::JsonValue>();
  capnp::JsonCodec().decodeRaw(kj::arrayPtr(json.data(), json.size()), root);
  return root.isString() ? std::string(root.asReader().getString().begin(), root.asReader().getString().size())
                         : "no string";
}

}  // namespace

TEST_CASE("JSON has an element on each line, indented", "[tools][json]") {
  JsonWriter writer;
  writer.begin_object().field("name", "ch-1").field("restarts", 2).field("up", true).field("last", nullptr);
  writer.key("ports").begin_array().value("a").value(2.5).end_array().key("none").begin_array().end_array();
  writer.end_object();
  CHECK(writer.take() ==
        "{\n  \"name\": \"ch-1\",\n  \"restarts\": 2,\n  \"up\": true,\n  \"last\": null,\n  \"ports\": [\n    "
        "\"a\",\n    2.5\n  ],\n"
        "  \"none\": []\n}");
}

TEST_CASE("JSON that is not complete cannot be taken, nor closed twice", "[tools][json]") {
  JsonWriter writer;
  writer.begin_object();
  CHECK_THROWS_AS(writer.take(), std::logic_error);
  CHECK_THROWS_AS(writer.end_array(), std::logic_error);
  writer.key("k");
  CHECK_THROWS_AS(writer.end_object(), std::logic_error);
  writer.value(1).end_object();
  CHECK_THROWS_AS(writer.end_object(), std::logic_error);
}

TEST_CASE("any bytes make valid JSON text", "[tools][json]") {
  CHECK(json("a\"b\\c\n\r\t\x01\x7f\x1b") == R"("a\"b\\c\n\r\t\u0001\u007f\u001b")");
  CHECK(json("\0"s) == R"("\u0000")");
  CHECK(json("ä😀") == "\"ä😀\"");
  CHECK(json("a\xff"s + "b") == "\"a\ufffdb\"");
  CHECK(json("\xed\xa0\x80") == "\"\ufffd\"");  // a lone surrogate
  CHECK(json("\xc3") == "\"\ufffd\"");          // cut off
  CHECK(json("\xc2\x9b") == R"("\u009b")");
  std::string all;
  for (int c = 0x20; c < 0x7f; ++c) all += static_cast<char>(c);  // JsonCodec 0.9 misreads the hex digits a to f
  all += "\n\r\t\x01\x19";
  CHECK(read_by_capnp(json(all)) == all);
}

TEST_CASE("values are JSON as scripts expect them", "[tools][json]") {
  CHECK(json({}) == "null");
  CHECK(json(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(json(2.5) == "2.5");
  CHECK(json(1e300) == "1e+300");
  CHECK(json(std::numeric_limits<double>::infinity()) == "\"inf\"");
  CHECK(json(Symbol("square")) == "\"square\"");
  CHECK(json(Pid(0, 3, 1)) == "\"<0.3.1>\"");
  CHECK(json(Pid()) == "null");
  CHECK(json(Data{std::byte{0}, std::byte{255}}) == "\"00ff\"");
  CHECK(json(List{1, Mumsg{{"a", nullptr}}}) == "[\n  1,\n  {\n    \"a\": null\n  }\n]");
  CHECK(json(Reason::exit("done")) == R"("exit: \"done\"")");
  CHECK(json(StructValue{0xabc, {1, 2}}) == "{\n  \"type_id\": \"0xabc\",\n  \"bytes\": 16\n}");
}

TEST_CASE("no escape sequence reaches a terminal", "[tools]") {
  CHECK(printable("a\x1b[31m\nb\x7f") == R"(a\x1b[31m\nb\x7f)");
  CHECK(printable("\xc2\x9b"
                  "31m") == R"(\x9b31m)");  // CSI as one character
  CHECK(printable("\xff") == "\ufffd");
  CHECK(printable("ä") == "ä");
}

TEST_CASE("a table is as wide as its widest cells", "[tools]") {
  Table table({"NAME", ">N", "LAST"});
  table.add({"ä", "10", "x"});
  table.add({"long-name", "1", ""});
  CHECK(table.text() == "NAME        N  LAST\nä          10  x\nlong-name   1\n");
}

TEST_CASE("durations are short", "[tools]") {
  CHECK(short_duration(0s) == "0ms");
  CHECK(short_duration(250ms) == "250ms");
  CHECK(short_duration(5s) == "5s");
  CHECK(short_duration(12345ms) == "12.3s");
  CHECK(short_duration(60s) == "1m");
  CHECK(short_duration(312s) == "5m12s");
  CHECK(short_duration(2h + 3min) == "2h03m");
  CHECK(short_duration(97h) == "4d01h");
}
