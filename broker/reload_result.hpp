// What came of a reload, change by change.
#pragma once

#include <string>

#include "broker/spec_diff.hpp"

namespace muproc::broker {

struct ReloadResult {
  Change change;
  std::string error;  // empty: it was made
};

}  // namespace muproc::broker
