#include "bench/histogram.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <stdexcept>

namespace muproc::bench {
namespace {

constexpr unsigned k_exact_bits = 11;                                      // values of so many bits are kept exactly
constexpr std::uint64_t k_half = std::uint64_t{1} << (k_exact_bits - 1);  // buckets to a doubling beyond them

std::uint64_t number(std::string_view& line, std::string_view whole) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (error != std::errc()) throw std::invalid_argument("no line of a histogram: " + std::string(whole));
  line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  return value;
}

}  // namespace

std::size_t Histogram::bucket_of(std::uint64_t value) {
  const auto bits = static_cast<unsigned>(std::bit_width(value));
  if (bits <= k_exact_bits) return value;
  const unsigned shift = bits - k_exact_bits;
  return shift * k_half + (value >> shift);
}

std::uint64_t Histogram::middle_of(std::size_t bucket) {
  if (bucket < 2 * k_half) return bucket;
  const std::uint64_t shift = bucket / k_half - 1;
  const std::uint64_t lowest = (bucket - shift * k_half) << shift;
  return lowest + (std::uint64_t{1} << shift) / 2;
}

void Histogram::record(std::uint64_t value, std::uint64_t times) {
  if (times == 0) return;
  const std::size_t bucket = bucket_of(std::min(value, k_largest));
  if (bucket >= counts_.size()) counts_.resize(bucket + 1);
  counts_[bucket] += times;
  count_ += times;
}

void Histogram::add(const Histogram& other) {
  if (other.counts_.size() > counts_.size()) counts_.resize(other.counts_.size());
  for (std::size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
}

std::uint64_t Histogram::at(double q) const {
  if (empty()) return 0;
  const auto wanted = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket)
    if ((seen += counts_[bucket]) >= wanted) return middle_of(bucket);
  return middle_of(counts_.size() - 1);
}

double Histogram::median() const {
  if (empty()) return 0;
  // The value in the middle stands for all from halfway to the one before it to halfway to the one after it.
  const double half = static_cast<double>(count_) / 2;
  double seen = 0, before = -1;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    if (counts_[bucket] == 0) continue;
    const auto here = static_cast<double>(middle_of(bucket)), times = static_cast<double>(counts_[bucket]);
    if (seen + times < half) {
      seen += times;
      before = here;
      continue;
    }
    std::size_t next = bucket + 1;
    while (next < counts_.size() && counts_[next] == 0) ++next;
    const double above = next < counts_.size() ? (static_cast<double>(middle_of(next)) - here) / 2 : -1;
    const double below = before >= 0 ? (here - before) / 2 : -1;
    // At either end, as wide as on the other side; a lone value, or one far from all others, is itself.
    double width = above < 0 ? below : below < 0 ? above : std::min(above, below);
    if (width < 0 || width > here / 20) width = 0;
    return here + width * (2 * (half - seen) / times - 1);
  }
  return static_cast<double>(max());
}

double Histogram::mean() const {
  double sum = 0;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket)
    sum += static_cast<double>(counts_[bucket]) * static_cast<double>(middle_of(bucket));
  return empty() ? 0 : sum / static_cast<double>(count_);
}

std::string Histogram::text() const {
  std::string out;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket)
    if (counts_[bucket] > 0) out += std::to_string(middle_of(bucket)) + ' ' + std::to_string(counts_[bucket]) + '\n';
  return out;
}

Histogram Histogram::parse(std::string_view text) {
  Histogram histogram;
  while (!text.empty()) {
    const std::string_view whole = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(whole.size() + 1, text.size()));
    std::string_view line = whole;
    const std::uint64_t value = number(line, whole), times = number(line, whole);
    if (!line.empty()) throw std::invalid_argument("no line of a histogram: " + std::string(whole));
    histogram.record(value, times);
  }
  return histogram;
}

}  // namespace muproc::bench
