// How latencies are spread, as a picture: an SVG with the quantiles to the right, as finely towards 100 % as towards 0, and
// time upwards, both on logarithmic scales. Of use where a mean would hide the tail.
#pragma once

#include <string>
#include <vector>

#include "bench/report.hpp"

namespace muproc::bench {

struct Series {
  std::string name;
  std::vector<Point> points;  // by rising quantile
};

/// A whole SVG document. Series without points are left out.
std::string percentile_plot(const std::string& title, const std::vector<Series>& series);

/// The plot of all rows whose laps are known.
std::string percentile_plot(const Report& report);

}  // namespace muproc::bench
