// The tools' JSON: wire/json.hpp.
#pragma once

#include <string>

#include "wire/json.hpp"

namespace muproc::tools {

using wire::JsonWriter;

/// JsonWriter's lines as one: a newline in a text is escaped, so those that are there are only layout.
std::string on_one_line(const std::string& json);

}  // namespace muproc::tools
