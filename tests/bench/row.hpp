// A row of the report: something that is measured in rounds, in turn with the floor.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/measure.hpp"

namespace muproc::bench {

/// What a row must reach to be good enough.
struct Bar {
  enum class On {
    value,       // the row's value, in its unit
    ratio,       // in floors, by the medians
    mean_ratio,  // in floors, by the means
    beside,      // in multiples of what is measured beside it
    tail,        // p99.9 in multiples of p50
    other,       // in multiples of another row's value
  } on;
  enum class Side { at_most, at_least } side;
  double limit;
  std::string other = {};
};
inline Bar at_most(double limit, Bar::On on = Bar::On::value) { return {on, Bar::Side::at_most, limit}; }
inline Bar at_least(double limit, Bar::On on = Bar::On::value) { return {on, Bar::Side::at_least, limit}; }
inline Bar at_most(double times, std::string other) { return {Bar::On::other, Bar::Side::at_most, times, std::move(other)}; }
inline Bar at_least(double times, std::string other) { return {Bar::On::other, Bar::Side::at_least, times, std::move(other)}; }

struct Row {
  std::string name;
  std::string unit;  // "ns", "us", "ms", "s", "msg/s", "1/s", "MiB" …
  std::function<Round()> round;
  std::vector<Bar> bars = {};
  std::string beside = {};  // what it is compared with in each round; "bare", say
  int most_rounds = 1000;
  bool in_floors = true;    // no: the value is a difference, and floors say nothing of it
};
using Rows = std::vector<Row>;

/// How many ns one of a unit of time is; nothing for other units.
std::optional<double> ns_per(const std::string& unit);
/// For how many ns a row's value stands, so that floors can be counted: a time, or the time that each of so many a second takes.
std::optional<double> in_ns(const Row& row, double value);

}  // namespace muproc::bench
