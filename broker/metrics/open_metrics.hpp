// A system's numbers as OpenMetrics text, which Prometheus and its like read. The names are listed in docs/metrics.md and
// do not change. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/metrics/sample.hpp"

namespace muproc::broker {

inline constexpr std::string_view k_open_metrics_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";

std::string open_metrics(SystemNumbers numbers);

/// For the documentation's test: each metric family's name, type, unit ("" for none) and help.
struct MetricFamily {
  std::string_view name, type, unit, help;
};
std::vector<MetricFamily> metric_families();

}  // namespace muproc::broker
