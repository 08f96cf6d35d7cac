#include "tools/mutop/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace muproc::mutop {
namespace {

using namespace std::chrono;

// Of eight: what of a column is filled, from nothing to all.
constexpr std::array<std::string_view, 9> k_eighths = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<std::string_view, 9> k_ascii_eighths = {" ", "_", "_", ".", "-", "-", "=", "+", "#"};

std::string scaled(double value, double step, std::string_view units) {
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) value /= step, ++unit;
  if (unit == 0) return fmt::format("{:.0f}{}", value, units[0] == ' ' ? "" : units.substr(0, 1));
  return value < 99.95 ? fmt::format("{:.1f}{}", value, units[unit]) : fmt::format("{:.0f}{}", value, units[unit]);
}

/// The last `width` values, of 1; missing ones come first and are 0.
std::vector<double> scaled_to_highest(const std::vector<double>& values, int width) {
  const auto wanted = static_cast<std::size_t>(std::max(width, 0));
  std::vector<double> last(wanted, 0.0);
  const std::size_t taken = std::min(wanted, values.size());
  std::copy(values.end() - static_cast<std::ptrdiff_t>(taken), values.end(),
            last.end() - static_cast<std::ptrdiff_t>(taken));
  const double highest = last.empty() ? 0 : *std::max_element(last.begin(), last.end());
  for (double& value : last) value = highest > 0 ? std::max(value, 0.0) / highest : 0;
  return last;
}

}  // namespace

std::string short_count(double count) {
  if (!(count > 0)) return "0";
  count = std::min(count, 999e18);
  if (count < 9.95 && count != std::floor(count)) return fmt::format("{:.1f}", count);
  return scaled(count, 1000, " kMGTPE");
}

std::string short_bytes(double bytes) {
  if (!(bytes > 0)) return "0";
  return scaled(std::min(bytes, 999e18), 1024, "BKMGTPE");
}

std::string short_percent(double percent) {
  if (!(percent > 0)) return "0.0";
  return percent < 99.95 ? fmt::format("{:.1f}", percent) : fmt::format("{:.0f}", std::min(percent, 99999.0));
}

std::string short_time(nanoseconds time) {
  const double s = std::max(duration<double>(time).count(), 0.0);
  if (s < 0.0009995) return fmt::format("{:.0f}us", s * 1e6);
  if (s < 0.9995) return fmt::format("{:.0f}ms", s * 1e3);
  if (s < 9.95) return fmt::format("{:.1f}s", s);
  const auto whole = static_cast<std::int64_t>(s);
  if (whole < 100) return fmt::format("{}s", whole);
  if (whole < 6000) return fmt::format("{}m", whole / 60);
  if (whole < 86400) return fmt::format("{}h{:02}", whole / 3600, whole / 60 % 60);
  return fmt::format("{}d", std::min<std::int64_t>(whole / 86400, 9999));
}

std::string fill_bar(double fill, double high_water, int width, bool ascii) {
  const int inside = std::max(width - 2, 2);
  const auto cells = [inside](double part) { return static_cast<int>(std::ceil(std::clamp(part, 0.0, 1.0) * inside)); };
  const int filled = cells(fill), highest = cells(high_water);
  std::string bar = "[";
  for (int cell = 1; cell <= inside; ++cell)
    bar += cell <= filled ? (ascii ? "#" : "█") : cell == highest ? (ascii ? "^" : "▏") : " ";
  return bar + "]";
}

std::string sparkline(const std::vector<double>& values, int width, bool ascii) {
  std::string line;
  for (const double value : scaled_to_highest(values, width))
    line += (ascii ? k_ascii_eighths : k_eighths)[static_cast<std::size_t>(std::ceil(value * 8))];
  return line;
}

std::vector<std::string> plot(const std::vector<double>& values, int width, int height, bool ascii) {
  std::vector<std::string> lines(static_cast<std::size_t>(std::max(height, 0)));
  for (const double value : scaled_to_highest(values, width)) {
    const auto eighths = static_cast<int>(std::ceil(value * 8 * height));
    for (int line = 0; line < height; ++line)
      lines[static_cast<std::size_t>(line)] +=
          (ascii ? k_ascii_eighths
                 : k_eighths)[static_cast<std::size_t>(std::clamp(eighths - 8 * (height - 1 - line), 0, 8))];
  }
  return lines;
}

}  // namespace muproc::mutop
