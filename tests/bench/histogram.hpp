// How often each duration was seen, to three digits, in little memory however many there are: a histogram in the manner of
// HdrHistogram, which Debian does not have as a library.
//
// A value below 2048 has a bucket of its own; above that each doubling is cut into 1024 buckets, so that a bucket is never
// wider than a thousandth of what it holds. A histogram travels between processes, and from the peers' clients, as text: a
// line "VALUE COUNT" for each bucket that is not empty.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace muproc::bench {

class Histogram {
 public:
  static constexpr std::uint64_t k_largest = (std::uint64_t{1} << 50) - 1;  // thirteen days in ns; what is more counts as that

  void record(std::uint64_t value, std::uint64_t times = 1);
  void add(const Histogram& other);

  bool empty() const { return count_ == 0; }
  std::uint64_t count() const { return count_; }
  /// The smallest value that at least a part `q`, 0 to 1, of all are not above; 0 when there are none.
  std::uint64_t at(double q) const;
  /// The median, as one finds it in grouped data. A machine's clock may tick in steps of 10 ns, and laps then fall on two or
  /// three values only: how many on each tells more than which one the middle is.
  double median() const;
  std::uint64_t max() const { return at(1); }
  double mean() const;

  std::string text() const;
  /// The counterpart of `text`; the order of the lines does not matter. Throws std::invalid_argument with the line that is none.
  static Histogram parse(std::string_view text);

 private:
  static std::size_t bucket_of(std::uint64_t value);
  static std::uint64_t middle_of(std::size_t bucket);

  std::vector<std::uint64_t> counts_;  // as far as the largest value seen
  std::uint64_t count_ = 0;
};

}  // namespace muproc::bench
