// Text that others wrote, made fit to be shown: names, reasons and messages may hold any bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace muproc::tools {

/// The text as valid UTF-8: what is none becomes U+FFFD.
std::string valid_utf8(std::string_view text);
/// True when it is valid UTF-8 without control characters.
bool is_printable(std::string_view text);
/// For a terminal: valid UTF-8 on one line, control characters as `\n` or `\x1b`, so that no escape sequence gets through.
std::string printable(std::string_view text);
/// How many columns a printable text takes, if each character takes one.
std::size_t columns(std::string_view text);

/// Two units at most: "250ms", "5s", "12.3s", "5m12s", "2h03m", "4d01h". Not negative.
std::string short_duration(std::chrono::nanoseconds duration);

}  // namespace muproc::tools
