// "did you mean …?", for the broker and the tools alike.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muproc::wire {

/// The candidate that looks most like `word`, if one looks enough like it: a letter or two wrong, missing, too many or
/// swapped, or `-` for `_`, whatever the case. The first of equals.
std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> candidates);

/// `; did you mean "…"?`, or nothing.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

/// `"a", "b" or "c"`.
std::string quoted_list(std::span<const std::string_view> words);
/// `"word"`.
std::string in_quotes(std::string_view word);

}  // namespace muproc::wire
