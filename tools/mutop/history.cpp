#include "tools/mutop/history.hpp"

#include <algorithm>

namespace muproc::mutop {

void Series::add(double value) {
  if (ring_.size() < k_length && next_ == ring_.size()) ring_.push_back(0);
  ring_[next_] = static_cast<float>(value);
  next_ = (next_ + 1) % k_length;
  size_ = std::min(size_ + 1, k_length);
}

std::vector<double> Series::values() const {
  std::vector<double> values;
  for (std::size_t i = 0; i < size_; ++i) values.push_back(ring_[(next_ + k_length - size_ + i) % k_length]);
  return values;
}

double Series::highest() const {
  const auto all = values();
  return all.empty() ? 0 : *std::max_element(all.begin(), all.end());
}

void History::add(const tools::Sample& sample) {
  if (sample.span <= std::chrono::nanoseconds(0)) return;
  messages_.add(sample.messages);
  for (std::size_t i = 0; i < sample.now->muprocs.size(); ++i) {
    const tools::MuprocView& muproc = sample.now->muprocs[i];
    if (!muproc.pid || muproc.is_supervisor()) continue;
    MuprocSeries& series = muprocs_[muproc.pid];
    series.rate.add(sample.muprocs[i].received);
    series.depth.add(static_cast<double>(muproc.mailbox.waiting));
    series.cpu.add(sample.muprocs[i].cpu.value_or(0));
    series.resident.add(static_cast<double>(sample.muprocs[i].resident.value_or(0)));
  }
  std::erase_if(muprocs_, [&](const auto& entry) { return !sample.now->find(entry.first); });
}

const MuprocSeries* History::of(Pid pid) const {
  const auto found = muprocs_.find(pid);
  return found == muprocs_.end() ? nullptr : &found->second;
}

}  // namespace muproc::mutop
