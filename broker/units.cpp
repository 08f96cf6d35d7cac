#include "broker/units.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>

namespace muproc::broker {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t size;
};

constexpr auto k_durations = std::to_array<Unit>({{"ns", 1},
                                                  {"us", 1'000},
                                                  {"µs", 1'000},
                                                  {"ms", 1'000'000},
                                                  {"s", 1'000'000'000},
                                                  {"m", 60'000'000'000},
                                                  {"h", 3'600'000'000'000},
                                                  {"d", 86'400'000'000'000}});
constexpr auto k_sizes = std::to_array<Unit>({{"B", 1},
                                              {"KiB", 1ull << 10},
                                              {"MiB", 1ull << 20},
                                              {"GiB", 1ull << 30},
                                              {"TiB", 1ull << 40},
                                              {"kB", 1'000},
                                              {"KB", 1'000},
                                              {"MB", 1'000'000},
                                              {"GB", 1'000'000'000},
                                              {"TB", 1'000'000'000'000}});

constexpr double k_longest = 100.0 * 365 * 86'400 * 1e9;  // ns; well inside 63 bits
constexpr double k_largest = 4611686018427387904.0;       // bytes; 2^62

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A decimal number without sign or exponent from the front of `text`, or empty.
std::optional<double> take_number(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && is_digit(text[length])) ++length;
  if (length == 0) return std::nullopt;
  if (length + 1 < text.size() && text[length] == '.' && is_digit(text[length + 1]))
    for (++length; length < text.size() && is_digit(text[length]);) ++length;
  const double number = std::strtod(std::string(text.substr(0, length)).c_str(), nullptr);
  text.remove_prefix(length);
  return number;
}

std::optional<std::uint64_t> take_unit(std::string_view& text, std::span<const Unit> units) {
  std::size_t length = 0;
  while (length < text.size() && !is_digit(text[length])) ++length;
  for (const Unit& unit : units) {
    if (unit.name != text.substr(0, length)) continue;
    text.remove_prefix(length);
    return unit.size;
  }
  return std::nullopt;
}

UnitError missing_unit(std::string_view example) { return {"has no unit; write for example " + std::string(example)}; }

}  // namespace

std::variant<std::chrono::nanoseconds, UnitError> parse_duration(std::string_view text) {
  constexpr std::string_view example = R"("5s" or "250ms")";
  double total = 0;
  std::string_view rest = text;
  do {
    const auto number = take_number(rest);
    if (!number) return UnitError{"is not a duration; write for example " + std::string(example)};
    if (rest.empty()) return missing_unit(example);
    const auto unit = take_unit(rest, k_durations);
    if (!unit) return UnitError{"has an unknown unit; the units are ns, us, ms, s, m, h and d"};
    total += *number * static_cast<double>(*unit);
  } while (!rest.empty());
  if (total > k_longest) return UnitError{"is too long; 100 years are the most"};
  return std::chrono::nanoseconds(std::llround(total));
}

std::variant<Bytes, UnitError> parse_size(std::string_view text) {
  constexpr std::string_view example = R"("256KiB" or "1GiB")";
  std::string_view rest = text;
  const auto number = take_number(rest);
  if (!number) return UnitError{"is not a size; write for example " + std::string(example)};
  if (rest.empty() && *number == 0) return Bytes{};
  if (rest.empty()) return missing_unit(example);
  const auto unit = take_unit(rest, k_sizes);
  if (!unit || !rest.empty())
    return UnitError{"has an unknown unit; the units are B, KiB, MiB, GiB, TiB, kB, MB, GB and TB"};
  const double bytes = *number * static_cast<double>(*unit);
  if (bytes > k_largest) return UnitError{"is too large"};
  return Bytes{static_cast<std::uint64_t>(std::llround(bytes))};
}

std::string to_string(std::chrono::nanoseconds duration) {
  using namespace std::chrono_literals;
  constexpr std::array<std::pair<std::chrono::nanoseconds, const char*>, 6> units{
      {{24h, "d"}, {1h, "h"}, {1min, "m"}, {1s, "s"}, {1ms, "ms"}, {1us, "us"}}};
  if (duration == 0ns) return "0s";
  for (const auto& [unit, name] : units) {
    if (duration % unit == 0ns) return std::to_string(duration / unit) + name;
    const bool reads_well_with_a_point = unit <= 1s && duration > unit && duration % (unit / 10) == 0ns;
    if (reads_well_with_a_point)
      return std::to_string(duration / unit) + '.' + std::to_string(duration % unit / (unit / 10)) + name;
  }
  return std::to_string(duration.count()) + "ns";
}

std::string to_string(Bytes size) {
  constexpr std::array<std::pair<std::uint64_t, const char*>, 4> units{
      {{1ull << 40, "TiB"}, {1ull << 30, "GiB"}, {1ull << 20, "MiB"}, {1ull << 10, "KiB"}}};
  for (const auto& [unit, name] : units)
    if (size.count != 0 && size.count % unit == 0) return std::to_string(size.count / unit) + name;
  return std::to_string(size.count) + 'B';
}

}  // namespace muproc::broker
