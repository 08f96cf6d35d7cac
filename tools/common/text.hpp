// Text that others wrote, made fit to be shown: names, reasons and messages may hold any bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "wire/printable.hpp"

namespace muproc::tools {

using wire::is_printable;
using wire::printable;
using wire::valid_utf8;

/// How many columns a printable text takes, if each character takes one.
std::size_t columns(std::string_view text);

/// Two units at most: "250ms", "5s", "12.3s", "5m12s", "2h03m", "4d01h". Not negative.
std::string short_duration(std::chrono::nanoseconds duration);

/// "2024-05-01 12:00:00.123456", where the tool runs. `wall_ns`: since 1970.
std::string local_time(std::int64_t wall_ns);

}  // namespace muproc::tools
