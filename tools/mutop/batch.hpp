// A refresh as text for people, or as one line of JSON for scripts: mutop -b. The JSON's fields are part of mutop's interface:
// docs/mutop.md.
#pragma once

#include <string>

#include "tools/mutop/model.hpp"

namespace muproc::mutop {

/// One object on one line, with its newline.
std::string json_of(const Model& model);

/// The header and a table of all muprocs, in tree order.
std::string text_of(const Model& model);

}  // namespace muproc::mutop
