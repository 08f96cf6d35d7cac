// The tools' JSON: wire/json.hpp.
#pragma once

#include "wire/json.hpp"

namespace muproc::tools {

using wire::JsonWriter;

}  // namespace muproc::tools
