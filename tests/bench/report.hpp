// What was measured, as a table for people and as JSON for programs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/row.hpp"

namespace muproc::bench {

struct Result {
  std::string name, unit;
  double value = 0;                      // median over the rounds
  std::optional<double> p90, p99;        // medians too
  std::optional<double> floor, ratio;    // medians over the rounds of the floor beside each, and of the quotient
  std::optional<Bar> bar;
  int rounds = 0;

  bool passes() const {
    if (!bar) return true;
    const double measured = bar->on == Bar::On::ratio ? ratio.value_or(1e9) : value;
    return bar->side == Bar::Side::at_most ? measured <= bar->limit : measured >= bar->limit;
  }
};

std::string table(const std::vector<Result>& results);
std::string json(const std::vector<Result>& results, Cores cores);

}  // namespace muproc::bench
