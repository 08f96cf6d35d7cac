#include <kj/exception.h>

#include <algorithm>
#include <sstream>

#include "bench/report.hpp"
#include "support/catch.hpp"

using Catch::Matchers::Contains;

namespace muproc::bench {
namespace {

Histogram laps_at(std::uint64_t ns) {
  Histogram laps;
  laps.record(ns, 1000);
  return laps;
}

Measured lap_round(std::uint64_t ns, std::uint64_t floor) { return {round_of(laps_at(ns)), laps_at(floor)}; }
Measured rate_round(double rate) { return {{.value = rate}, laps_at(100)}; }

Row row(std::string unit, std::vector<Bar> bars = {}) { return {.name = "a/row", .unit = std::move(unit), .bars = std::move(bars)}; }

Report a_report() {
  Report report{{"A <CPU> | with \"quotes\"", "6.1", "2030-01-02 03:04", {2, 3}}, {}};
  report.results.push_back(summary(row("ns", {at_most(1.7, Bar::On::ratio), at_most(3, Bar::On::tail)}), {lap_round(150, 100)}));
  Row stream = row("msg/s", {at_least(2, "other/stream"), at_least(10, "nobody")});
  stream.name = "stream";
  report.results.push_back(summary(stream, {rate_round(15e6)}));
  Row other = row("msg/s");
  other.name = "other/stream";
  report.results.push_back(summary(other, {rate_round(10e6)}));
  compare_rows(report.results);
  return report;
}

}  // namespace

TEST_CASE("a row's value is the median of its rounds, and its ratio that of the quotients with the floors beside them", "[bench]") {
  const Result result = summary(row("ns"), {lap_round(200, 100), lap_round(600, 200), lap_round(400, 400)});
  CHECK(result.value == 400);
  REQUIRE(result.floor);
  CHECK(result.floor->ratio == 2);
  CHECK(result.floor->mean_ratio == 2);
  CHECK(result.floor->ns == 200);
  CHECK(result.rounds == 3);
  REQUIRE(result.laps);
  CHECK(result.laps->max == 600);
}

TEST_CASE("a rate is compared with the floor by the time of each", "[bench]") {
  const Result result = summary(row("msg/s"), {rate_round(5e6)});
  REQUIRE(result.floor);
  CHECK(result.floor->ratio == Approx(2));
  CHECK_FALSE(result.laps);
}

TEST_CASE("what is no time has no floor", "[bench]") {
  CHECK_FALSE(summary(row("MiB"), {rate_round(5)}).floor);
  Row difference = row("ns");
  difference.in_floors = false;
  CHECK_FALSE(summary(difference, {rate_round(5)}).floor);
}

TEST_CASE("a row is compared with what each of its rounds measured beside it", "[bench]") {
  Measured a = lap_round(200, 100), b = lap_round(300, 100), c = lap_round(900, 100);
  a.round.beside = 100;
  b.round.beside = 100;
  c.round.beside = 100;
  Row compared = row("ns", {at_most(2.5, Bar::On::beside)});
  compared.beside = "bare";
  const Result result = summary(compared, {a, b, c});
  REQUIRE(result.beside);
  CHECK(result.beside->ratio == 3);
  CHECK(result.beside->what == "bare");
  CHECK_FALSE(result.passes());
}

TEST_CASE("each kind of bar is held against what it is about", "[bench]") {
  Histogram long_tailed;
  long_tailed.record(100, 990);
  long_tailed.record(1000, 10);
  const auto passes = [&](Bar bar) { return summary(row("ns", {std::move(bar)}), {{round_of(long_tailed), laps_at(50)}}).passes(); };
  CHECK(passes(at_most(100)));
  CHECK_FALSE(passes(at_most(99)));
  CHECK_FALSE(passes(at_least(101)));
  CHECK(passes(at_most(2, Bar::On::ratio)));
  CHECK_FALSE(passes(at_most(1.9, Bar::On::ratio)));
  CHECK(passes(at_most(2.2, Bar::On::mean_ratio)));
  CHECK_FALSE(passes(at_most(2.1, Bar::On::mean_ratio)));
  CHECK(passes(at_most(10, Bar::On::tail)));
  CHECK_FALSE(passes(at_most(9.9, Bar::On::tail)));
}

TEST_CASE("a bar on another row is judged when that was measured too, and only then", "[bench]") {
  const Report report = a_report();
  const auto& bars = report.results.at(1).bars;
  CHECK(bars.at(0).measured == 1.5);
  CHECK_FALSE(bars.at(0).passes());
  CHECK_FALSE(bars.at(1).measured);
  CHECK(bars.at(1).passes());
  CHECK_FALSE(report.passes());
}

TEST_CASE("a distribution rises from its median to its largest", "[bench]") {
  Histogram laps;
  for (std::uint64_t ns = 1; ns <= 10'000; ++ns) laps.record(ns);
  const Result result = summary(row("ns"), {{round_of(laps), laps_at(50)}});
  REQUIRE(result.distribution.size() > 10);
  for (std::size_t i = 1; i < result.distribution.size(); ++i) {
    CHECK(result.distribution[i - 1].quantile < result.distribution[i].quantile);
    CHECK(result.distribution[i - 1].ns <= result.distribution[i].ns);
  }
  CHECK(result.distribution.back().ns == Approx(10'000).epsilon(0.001));
}

TEST_CASE("a report survives its JSON", "[bench]") {
  const Report report = a_report();
  const Report copy = from_json(json(report));
  CHECK(json(copy) == json(report));
  CHECK(markdown(copy) == markdown(report));
  CHECK(table(copy) == table(report));
  CHECK(copy.machine.cores == std::vector<unsigned>{2, 3});
  CHECK_FALSE(copy.passes());
}

TEST_CASE("a report's JSON leaves out what there is not", "[bench]") {
  const std::string text = json(a_report());
  CHECK_THAT(text, Contains("\"median\": 15000000"));
  CHECK_THAT(text, !Contains("beside\": {"));
  CHECK_THAT(text, !Contains("null"));
}

TEST_CASE("what is no report is refused", "[bench]") {
  CHECK_THROWS_AS(from_json("{\"rows\": 7}"), kj::Exception);
  CHECK_THROWS_AS(from_json("no JSON"), kj::Exception);
}

TEST_CASE("the table for people has a line for each row, and says which bars are missed", "[bench]") {
  const std::string text = table(a_report());
  CHECK(std::count(text.begin(), text.end(), '\n') == 4);
  CHECK_THAT(text, Contains(">= 2.00 x other/stream: 1.50 MISSED"));
  CHECK_THAT(text, Contains("nobody: not measured"));
}

TEST_CASE("the table of the documentation has as many cells in each line", "[bench]") {
  std::istringstream lines(markdown(a_report()));
  int rows = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] != '|') continue;
    CAPTURE(line);
    CHECK(std::count(line.begin(), line.end(), '|') == 9);
    ++rows;
  }
  CHECK(rows == 5);
}

}  // namespace muproc::bench
