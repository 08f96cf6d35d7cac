#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "bench/histogram.hpp"
#include "support/catch.hpp"

using Catch::Matchers::Contains;

namespace muproc::bench {

TEST_CASE("an empty histogram has nothing at any quantile", "[bench]") {
  const Histogram none;
  CHECK(none.empty());
  CHECK(none.at(0.5) == 0);
  CHECK(none.median() == 0);
  CHECK(none.mean() == 0);
  CHECK(none.text().empty());
}

TEST_CASE("a histogram tells small values exactly", "[bench]") {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 1000; ++value) histogram.record(value);
  CHECK(histogram.count() == 1000);
  CHECK(histogram.at(0) == 1);
  CHECK(histogram.at(0.5) == 500);
  CHECK(histogram.at(0.99) == 990);
  CHECK(histogram.at(0.999) == 999);
  CHECK(histogram.max() == 1000);
  CHECK(histogram.mean() == 500.5);
}

TEST_CASE("a histogram tells values of any size to a thousandth", "[bench]") {
  for (std::uint64_t value = 1; value < Histogram::k_largest; value += value / 7 + 1) {
    Histogram histogram;
    histogram.record(value);
    const double error = std::abs(static_cast<double>(histogram.max()) - static_cast<double>(value)) / static_cast<double>(value);
    CAPTURE(value);
    CHECK(error <= 0.001);
  }
}

TEST_CASE("a histogram's quantiles are those of the sorted samples", "[bench]") {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latencies(6, 1.5);
  std::vector<std::uint64_t> samples;
  Histogram histogram;
  for (int i = 0; i < 50'000; ++i) {
    samples.push_back(static_cast<std::uint64_t>(latencies(random)) + 1);
    histogram.record(samples.back());
  }
  std::sort(samples.begin(), samples.end());
  for (const double q : {0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto expected = static_cast<double>(samples[static_cast<std::size_t>(std::ceil(q * 50'000)) - 1]);
    CAPTURE(q);
    CHECK(static_cast<double>(histogram.at(q)) == Approx(expected).epsilon(0.001));
  }
}

TEST_CASE("what is larger than all that a histogram holds counts as its largest", "[bench]") {
  Histogram histogram;
  histogram.record(~std::uint64_t{0});
  CHECK(static_cast<double>(histogram.max()) == Approx(static_cast<double>(Histogram::k_largest)).epsilon(0.001));
}

TEST_CASE("a histogram's median lies between the ticks of a coarse clock", "[bench]") {
  Histogram histogram;
  SECTION("as many below as above") {
    histogram.record(110, 500);
    histogram.record(120, 500);
    CHECK(histogram.median() == Approx(115));
  }
  SECTION("nearer to where more are") {
    histogram.record(110, 250);
    histogram.record(120, 750);
    CHECK(histogram.median() == Approx(115 + 10.0 / 3));
  }
  SECTION("a lone value is itself") {
    histogram.record(110, 3);
    CHECK(histogram.median() == 110);
  }
  SECTION("an outlier does not widen its neighbour") {
    histogram.record(110, 10);
    histogram.record(120, 1000);
    histogram.record(5000, 10);
    CHECK(histogram.median() > 115);
    CHECK(histogram.median() < 125);
  }
}

TEST_CASE("histograms of several rounds add up to that of all", "[bench]") {
  Histogram a, b, both;
  for (std::uint64_t value = 10; value < 100'000; value += 13) {
    (value % 2 ? a : b).record(value);
    both.record(value);
  }
  a.add(b);
  CHECK(a.text() == both.text());
  CHECK(a.count() == both.count());
}

TEST_CASE("a histogram survives its text", "[bench]") {
  Histogram histogram;
  histogram.record(5, 2);
  histogram.record(1'234'567);
  histogram.record(9'876'543'210, 3);
  const Histogram copy = Histogram::parse(histogram.text());
  CHECK(copy.text() == histogram.text());
  CHECK(copy.count() == 6);
  CHECK(Histogram::parse("7 1\n3 2").count() == 3);
}

TEST_CASE("what is no histogram's text is refused by the line that is wrong", "[bench]") {
  CHECK_THROWS_WITH(Histogram::parse("5 1\nerror: no such file\n"), Contains("error: no such file"));
  CHECK_THROWS_AS(Histogram::parse("5\n"), std::invalid_argument);
  CHECK_THROWS_AS(Histogram::parse("5 1 2\n"), std::invalid_argument);
  CHECK_THROWS_AS(Histogram::parse("-5 1\n"), std::invalid_argument);
}

}  // namespace muproc::bench
