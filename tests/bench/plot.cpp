#include "bench/plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace muproc::bench {
namespace {

constexpr double k_width = 960, k_height = 540, k_left = 70, k_right = 200, k_top = 48, k_bottom = 52;
constexpr const char* k_colours[] = {"#333333", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8b5a2b"};
constexpr const char* k_dashes[] = {"", "6 3", "2 3", "9 3 2 3"};

template <class... A>
std::string format(const char* form, A... arguments) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, form, arguments...);
  return buffer;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  return out;
}

/// Where on the page a quantile and a time are.
class Scale {
 public:
  explicit Scale(const std::vector<Series>& series) {
    double lowest = std::numeric_limits<double>::max(), highest = 1;
    for (const auto& each : series)
      for (const auto& point : each.points) {
        lowest = std::min(lowest, std::max(point.ns, 1.0));
        highest = std::max(highest, point.ns);
        nines_ = std::max(nines_, nines(point.quantile));
      }
    bottom_ = std::floor(std::log10(std::min(lowest, highest)));
    top_ = std::max(bottom_ + 1, std::ceil(std::log10(highest)));
  }
  double x(double quantile) const { return k_left + nines(quantile) / nines_ * (k_width - k_left - k_right); }
  double y(double ns) const {
    return k_height - k_bottom - (std::log10(std::max(ns, 1.0)) - bottom_) / (top_ - bottom_) * (k_height - k_top - k_bottom);
  }
  int bottom() const { return static_cast<int>(bottom_); }
  int top() const { return static_cast<int>(top_); }
  double most_nines() const { return nines_; }

 private:
  /// 0 is none, 0.9 one, 0.99 two.
  static double nines(double quantile) { return -std::log10(std::max(1 - quantile, 1e-9)); }
  double nines_ = 1, bottom_ = 0, top_ = 1;
};

std::string line(double x1, double y1, double x2, double y2) {
  return format("  <line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>\n", x1, y1, x2, y2);
}
std::string label(double x, double y, const char* anchor, const std::string& text) {
  return format("  <text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor) + escaped(text) + "</text>\n";
}

std::string power_of_ten(int power) {
  static constexpr const char* k_units[] = {"ns", "us", "ms", "s"};
  const int unit = std::clamp(power / 3, 0, 3);
  return format("%.0f %s", std::pow(10, power - 3 * unit), k_units[unit]);
}

std::string axes(const Scale& scale) {
  std::string out;
  for (int power = scale.bottom(); power <= scale.top(); ++power) {
    const double y = scale.y(std::pow(10, power));
    out += line(k_left, y, k_width - k_right, y) + label(k_left - 8, y + 4, "end", power_of_ten(power));
  }
  for (int nines = 0; nines <= scale.most_nines(); ++nines) {
    const double quantile = 1 - std::pow(10, -nines), x = scale.x(quantile);
    out += line(x, k_top, x, k_height - k_bottom) +
           label(x, k_height - k_bottom + 18, "middle", format("%.*f %%", std::max(0, nines - 2), quantile * 100));
  }
  return out + label((k_left + k_width - k_right) / 2, k_height - 10, "middle", "of all are not above");
}

std::string curve(const Series& series, const Scale& scale, std::size_t index) {
  const char* colour = k_colours[index % std::size(k_colours)];
  const char* dash = k_dashes[index / std::size(k_colours) % std::size(k_dashes)];
  const std::string style = format("stroke=\"%s\" stroke-dasharray=\"%s\"", colour, dash);
  std::string out = "  <polyline " + style + " points=\"";
  for (const auto& point : series.points) out += format("%.1f,%.1f ", scale.x(point.quantile), scale.y(point.ns));
  out.back() = '"';
  const double y = k_top + 8 + 16 * static_cast<double>(index), x = k_width - k_right + 14;
  return out + "/>\n" + format("  <polyline %s points=\"%.1f,%.1f %.1f,%.1f\"/>\n", style.c_str(), x, y, x + 24, y) +
         label(x + 30, y + 4, "start", series.name);
}

}  // namespace

std::string percentile_plot(const std::string& title, const std::vector<Series>& all) {
  std::vector<Series> series;
  std::copy_if(all.begin(), all.end(), std::back_inserter(series), [](const Series& each) { return !each.points.empty(); });
  const double height = std::max(k_height, k_top + 16.0 * static_cast<double>(series.size()) + k_bottom);
  std::string out = format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" font-size=\"12\">\n",
                           k_width, height);
  out +=
      "  <style>.grid { stroke: #ddd } polyline { fill: none; stroke-width: 1.6 } text { fill: #333 }</style>\n"
      "  <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  out += "  <text x=\"" + format("%.0f", k_left) + "\" y=\"26\" font-size=\"15\">" + escaped(title) + "</text>\n";
  const Scale scale(series);
  out += axes(scale);
  for (std::size_t i = 0; i < series.size(); ++i) out += curve(series[i], scale, i);
  return out + "</svg>\n";
}

std::string percentile_plot(const Report& report) {
  std::vector<Series> series;
  for (const auto& result : report.results) series.push_back({result.name, result.distribution});
  return percentile_plot("Latency by quantile; " + report.machine.cpu + ", " + report.machine.date, series);
}

}  // namespace muproc::bench
