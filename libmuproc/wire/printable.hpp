// Text that others wrote, made fit to be shown: names, reasons, messages and lines of output may hold any bytes.
#pragma once

#include <string>
#include <string_view>

namespace muproc::wire {

/// The text as valid UTF-8: what is none becomes U+FFFD.
std::string valid_utf8(std::string_view text);
bool is_valid_utf8(std::string_view text);
/// True when it is valid UTF-8 without control characters.
bool is_printable(std::string_view text);
/// For a terminal: valid UTF-8 on one line, control characters as `\n` or `\x1b`, so that no escape sequence gets through.
std::string printable(std::string_view text);

/// Appends it as a JSON string, in quotes. Always valid: text that is no UTF-8 is mended. Control characters are escaped,
/// those of Unicode's second block too: JSON is also read on terminals.
void append_json_text(std::string& to, std::string_view text);

}  // namespace muproc::wire
