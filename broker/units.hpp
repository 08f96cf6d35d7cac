// Durations and sizes as people write them: "5s", "1.5s", "1m30s", "250ms"; "256KiB", "1.5GiB", "64MB".
//
// A number without its unit is refused, since the reader of a config must not have to guess it. The one exception is a
// size of "0".
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <variant>

#include <muproc/bytes.hpp>

namespace muproc::broker {

/// What is wrong with a text, as a person is told: `has no unit; write "5s" or "5ms"`.
struct UnitError {
  std::string message;
};

/// Units: ns, us, ms, s, m, h, d. Never negative; at most 100 years.
std::variant<std::chrono::nanoseconds, UnitError> parse_duration(std::string_view text);

/// Units: B, KiB, MiB, GiB, TiB, and the decimal kB (or KB), MB, GB, TB.
std::variant<Bytes, UnitError> parse_size(std::string_view text);

/// The shortest exact form: "5s", "1.5s", "250ms", "2m", "1h".
std::string to_string(std::chrono::nanoseconds duration);
/// "256KiB", "1GiB", "1000B".
std::string to_string(Bytes size);

}  // namespace muproc::broker
