// A system's numbers as JSON, for the status page. Its fields are the page's affair, and may change with it. Pure.
#pragma once

#include <string>

#include "broker/metrics/sample.hpp"

namespace muproc::broker {

std::string status_json(const SystemNumbers& numbers);

}  // namespace muproc::broker
