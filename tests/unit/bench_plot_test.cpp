#include <algorithm>
#include <regex>
#include <sstream>
#include <stack>
#include <string>
#include <vector>

#include "bench/plot.hpp"
#include "support/catch.hpp"

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace muproc::bench {
namespace {

/// True when each tag is closed by its like, and nothing stands open at the end.
bool is_well_formed(const std::string& xml) {
  static const std::regex k_tag(R"(<(/?)([a-z]+)((?:\s[a-zA-Z0-9:-]+="[^"<&]*")*)(/?)>)");
  std::stack<std::string> open;
  std::size_t tags = 0;
  for (std::sregex_iterator tag(xml.begin(), xml.end(), k_tag), none; tag != none; ++tag, ++tags) {
    if ((*tag)[1].length() == 0 && (*tag)[4].length() == 0) open.push((*tag)[2]);
    if ((*tag)[1].length() == 0) continue;
    if (open.empty() || open.top() != (*tag)[2]) return false;
    open.pop();
  }
  return open.empty() && tags == static_cast<std::size_t>(std::count(xml.begin(), xml.end(), '<'));
}

std::vector<std::string> curves(const std::string& svg) {
  static const std::regex k_points(R"rx(<polyline [^>]*points="([^"]*)")rx");
  std::vector<std::string> all;
  for (std::sregex_iterator each(svg.begin(), svg.end(), k_points), none; each != none; ++each) all.push_back((*each)[1]);
  return all;
}

}  // namespace

TEST_CASE("a plot is a well-formed SVG document", "[bench]") {
  const std::string svg = percentile_plot("a title", {{"one", {{0, 100}, {0.5, 120}, {0.99, 400}, {0.9999, 20'000}}}});
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  CHECK_THAT(svg, Contains(">99.9 %<"));
  CHECK_THAT(svg, Contains(">100 ns<"));
  CHECK_THAT(svg, Contains(">10 us<"));
}

TEST_CASE("names in a plot cannot become markup", "[bench]") {
  const std::string svg = percentile_plot("a < b & c", {{"<script>\"x\"</script>", {{0, 1}, {0.9, 10}}}});
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, !Contains("<script"));
  CHECK_THAT(svg, Contains("a &lt; b &amp; c"));
}

TEST_CASE("a curve goes to the right, and up as time grows", "[bench]") {
  const std::string svg = percentile_plot("t", {{"one", {{0, 100}, {0.9, 200}, {0.999, 5'000}}}});
  std::istringstream points(curves(svg).at(0));
  double last_x = -1, last_y = 1e9, x, y;
  char comma;
  int count = 0;
  for (; points >> x >> comma >> y; ++count) {
    CHECK(x > last_x);
    CHECK(y < last_y);
    last_x = x;
    last_y = y;
  }
  CHECK(count == 3);
}

TEST_CASE("a series without points is left out, and a plot of none is still one", "[bench]") {
  CHECK(curves(percentile_plot("t", {{"none", {}}, {"one", {{0, 100}, {0.9, 200}}}})).size() == 2);  // the curve and its key
  CHECK(is_well_formed(percentile_plot("t", {})));
}

TEST_CASE("a value of zero, or a single one, does not spoil a plot", "[bench]") {
  const std::string svg = percentile_plot("t", {{"one", {{0, 0}, {1, 0}}}});
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, !Contains("nan"));
  CHECK_THAT(svg, !Contains("inf"));
}

TEST_CASE("a report's plot has a curve for each row whose laps are known", "[bench]") {
  Report report;
  report.results.push_back({.name = "rtt", .unit = "ns", .distribution = {{0, 100}, {0.9, 200}}});
  report.results.push_back({.name = "stream", .unit = "msg/s"});
  const std::string svg = percentile_plot(report);
  CHECK_THAT(svg, Contains(">rtt<"));
  CHECK_THAT(svg, !Contains(">stream<"));
}

}  // namespace muproc::bench
