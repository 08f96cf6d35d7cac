#include "wire/suggest.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace muproc::wire {

namespace {

// Case and the choice of dash are no difference worth counting.
std::string folded(std::string_view word) {
  std::string out(word);
  for (char& c : out) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// Letters to insert, drop, replace or swap with their neighbour to get from a to b (optimal string alignment).
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      const std::size_t differs = a[i - 1] == b[j - 1] ? 0 : 1;
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + differs});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> candidates) {
  const std::string sought = folded(word);
  std::size_t best = sought.size() < 3 ? 1 : std::max<std::size_t>(1, std::min<std::size_t>(3, sought.size() / 3));
  std::optional<std::string_view> found;
  for (std::string_view candidate : candidates) {
    const std::size_t distance = edits(sought, folded(candidate));
    if (distance > best || distance >= candidate.size() || (found && distance == best)) continue;
    best = distance;
    found = candidate;
  }
  return found;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
  const auto found = nearest(word, candidates);
  return found ? "; did you mean " + in_quotes(*found) + '?' : std::string();
}

std::string quoted_list(std::span<const std::string_view> words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += in_quotes(words[i]);
  }
  return out;
}

std::string in_quotes(std::string_view word) { return '"' + std::string(word) + '"'; }

}  // namespace muproc::wire
