// Durations and sizes as people write them.
#include "broker/units.hpp"

#include <string>
#include <variant>

#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;

namespace {

std::chrono::nanoseconds duration(std::string_view text) {
  const auto parsed = parse_duration(text);
  INFO(text);
  REQUIRE(std::holds_alternative<std::chrono::nanoseconds>(parsed));
  return std::get<std::chrono::nanoseconds>(parsed);
}
Bytes size(std::string_view text) {
  const auto parsed = parse_size(text);
  INFO(text);
  REQUIRE(std::holds_alternative<Bytes>(parsed));
  return std::get<Bytes>(parsed);
}
bool is_no_duration(std::string_view text) { return std::holds_alternative<UnitError>(parse_duration(text)); }
bool is_no_size(std::string_view text) { return std::holds_alternative<UnitError>(parse_size(text)); }

}  // namespace

TEST_CASE("durations have a unit, may have a fraction, and may be put together", "[config][units]") {
  CHECK(duration("5s") == 5s);
  CHECK(duration("250ms") == 250ms);
  CHECK(duration("1.5s") == 1500ms);
  CHECK(duration("2m") == 2min);
  CHECK(duration("1h") == 1h);
  CHECK(duration("1d") == 24h);
  CHECK(duration("100us") == 100us);
  CHECK(duration("100µs") == 100us);
  CHECK(duration("7ns") == 7ns);
  CHECK(duration("0s") == 0s);
  CHECK(duration("1m30s") == 90s);
  CHECK(duration("36500d") == 24h * 36500);
}

TEST_CASE("what is no duration is refused", "[config][units]") {
  for (const char* text : {"", "5", "s", "-5s", "+5s", " 5s", "5 s", "5s ", "1e3s", "5.s", ".5s", "5S", "5sec", "inf",
                           "nan", "1h30", "36501d", "99999999999999999999999999h", "0x10s"})
    CHECK(is_no_duration(text));
}

TEST_CASE("sizes have a binary or a decimal unit", "[config][units]") {
  CHECK(size("0") == Bytes{0});
  CHECK(size("1B") == Bytes{1});
  CHECK(size("256KiB") == Bytes::kib(256));
  CHECK(size("1.5GiB") == Bytes::mib(1536));
  CHECK(size("2TiB") == Bytes::gib(2048));
  CHECK(size("64MB") == Bytes{64'000'000});
  CHECK(size("1kB") == Bytes{1000});
  CHECK(size("1KB") == Bytes{1000});
}

TEST_CASE("what is no size is refused", "[config][units]") {
  for (const char* text : {"", "5", "KiB", "-1KiB", "1 KiB", "1KiB ", "1kib", "1K", "1KiB1B", "99999999999TiB", "1e3B"})
    CHECK(is_no_size(text));
}

TEST_CASE("durations and sizes are printed in their shortest exact form", "[config][units]") {
  for (const char* text : {"5s", "250ms", "1.5s", "2m", "1h", "7ns", "90s", "36h", "1d", "1.5ms", "1234567ns"})
    CHECK(to_string(duration(text)) == text);
  for (const char* text : {"0B", "1B", "256KiB", "1536MiB", "1000B", "3TiB"}) CHECK(to_string(size(text)) == text);
}
