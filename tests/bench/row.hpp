// A row of the report: something that is measured in rounds, in turn with the floor.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bench/measure.hpp"

namespace muproc::bench {

/// What the value must be to be good enough. A bar on the ratio is one in multiples of the floor.
struct Bar {
  enum class On { value, ratio } on;
  enum class Side { at_most, at_least } side;
  double limit;
};

class Row {
 public:
  virtual ~Row() = default;
  virtual std::string name() const = 0;
  /// "ns", "msg/s", "ms", "MiB" …
  virtual std::string unit() const = 0;
  virtual std::optional<Bar> bar() const { return std::nullopt; }
  /// How many ns the value stands for, to be compared with the floor; nothing where that makes no sense.
  virtual std::optional<double> in_ns(double value) const = 0;
  virtual Round round() = 0;
  /// Some rows need no more than so many rounds.
  virtual int most_rounds() const { return 1000; }
};

using RowPtr = std::unique_ptr<Row>;

}  // namespace muproc::bench
