// The last minutes, for lines and plots: a value for each refresh.
#pragma once

#include <cstddef>
#include <unordered_map>
#include <vector>

#include <muproc/pid.hpp>

#include "tools/common/sampler.hpp"

namespace muproc::mutop {

/// The last k_length values.
class Series {
 public:
  static constexpr std::size_t k_length = 300;
  void add(double value);
  /// Oldest first.
  std::vector<double> values() const;
  double latest() const { return size_ == 0 ? 0 : ring_[(next_ + k_length - 1) % k_length]; }
  double highest() const;

 private:
  std::vector<float> ring_;
  std::size_t next_ = 0, size_ = 0;
};

struct MuprocSeries {
  Series rate;      // messages received a second
  Series depth;     // messages waiting in its channels
  Series cpu;       // percent
  Series resident;  // bytes
};

class History {
 public:
  void add(const tools::Sample& sample);
  const Series& messages() const { return messages_; }
  /// Null when nothing is known of it.
  const MuprocSeries* of(Pid pid) const;

 private:
  Series messages_;
  std::unordered_map<Pid, MuprocSeries> muprocs_;
};

}  // namespace muproc::mutop
