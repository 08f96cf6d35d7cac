// What was measured: what the rounds of a row come to, as a table for people, as JSON for programs, and as a table for the
// documentation.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/row.hpp"

namespace muproc::bench {

/// In ns; medians over the rounds, and the largest of all.
struct LapSummary {
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0;
};
struct InFloors {
  double ns = 0;          // of the floor
  double ratio = 0;       // of the medians
  double mean_ratio = 0;  // of the means; 0 where the row has no laps
};
struct Beside {
  std::string what;
  double ratio = 0;
};
struct Point {
  double quantile = 0, ns = 0;
};
struct Verdict {
  Bar bar;
  std::optional<double> measured = {};  // nothing: the other row was not measured
  bool passes() const {
    return !measured || (bar.side == Bar::Side::at_most ? *measured <= bar.limit : *measured >= bar.limit);
  }
};

struct Result {
  std::string name, unit;
  double value = 0;  // median over the rounds
  int rounds = 0;
  std::optional<LapSummary> laps = {};
  std::optional<InFloors> floor = {};
  std::optional<Beside> beside = {};
  std::vector<Verdict> bars = {};
  std::vector<Point> distribution = {};  // of all laps of all rounds

  bool passes() const;
};

struct Machine {
  std::string cpu, kernel, date;
  std::vector<unsigned> cores;
};
Machine this_machine(Cores cores);

struct Report {
  Machine machine;
  std::vector<Result> results;

  bool passes() const;
};

/// A round, and the floor right before it.
struct Measured {
  Round round;
  Histogram floor;
};
Result summary(const Row& row, const std::vector<Measured>& rounds);
/// Judges the bars that compare rows with each other: to be called when all have been measured.
void compare_rows(std::vector<Result>& results);

std::string table(const Report& report);
/// The table and what it was measured on, as docs/benchmarks.md has it.
std::string markdown(const Report& report);
std::string json(const Report& report);
/// The counterpart of `json`. Throws kj::Exception for what is not such a report.
Report from_json(std::string_view text);

}  // namespace muproc::bench
