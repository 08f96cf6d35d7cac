// What there is to be shown: the latest sample, the last minutes, and who is tagged. Pages draw it and never change it.
#pragma once

#include <chrono>
#include <set>
#include <unordered_map>

#include "tools/common/sampler.hpp"
#include "tools/mutop/columns.hpp"
#include "tools/mutop/history.hpp"

namespace muproc::mutop {

class Model {
 public:
  void update(tools::Sample next);

  bool is_empty() const { return !sample_.now; }
  const tools::Sample& sample() const { return sample_; }
  const tools::Snapshot& now() const { return *sample_.now; }
  const History& history() const { return history_; }
  /// Of the muproc at that place of the snapshot.
  Subject subject(std::size_t index) const;
  /// The latest restart of the one in that slot; the maximum when none is known.
  std::chrono::nanoseconds since_restart(const tools::MuprocView& muproc) const;

  /// By incarnation: what was tagged is gone when it has ended.
  std::set<Pid> tagged;

 private:
  struct Restarts {
    std::uint32_t count = 0;
    std::chrono::nanoseconds at = std::chrono::nanoseconds::min();
  };
  tools::Sample sample_;
  History history_;
  std::unordered_map<std::uint32_t, Restarts> restarts_;  // by slot
};

}  // namespace muproc::mutop
