// The keys and what they do: for the page behind F1, and for docs/mutop.md, which a test holds to it.
#pragma once

#include <span>
#include <string_view>

#include "tools/mutop/boxes.hpp"

namespace muproc::mutop {

struct KeyHelp {
  std::string_view keys;
  std::string_view what;
};
std::span<const KeyHelp> key_table();

TextLines help_lines(bool allows_actions);

}  // namespace muproc::mutop
