#include "bench/report.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <initializer_list>

namespace muproc::bench {
namespace {

template <class... A>
std::string format(const char* form, A... arguments) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, form, arguments...);
  return buffer;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

/// Three digits, and a unit that suits it.
std::string duration(double ns) {
  static constexpr struct {
    double ns;
    const char* unit;
  } k_units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
  for (const auto& [size, unit] : k_units)
    if (ns >= 10 * size || (ns >= size && size > 1e3)) return format("%.*f %s", ns >= 100 * size ? 0 : ns >= 10 * size ? 1 : 2, ns / size, unit);
  return format("%.0f ns", ns);
}

std::string quantity(double value, const std::string& unit) {
  if (const auto ns = ns_per(unit)) return duration(value * *ns);
  if (unit == "msg/s") return format("%.2f M/s", value / 1e6);
  return format("%.*f ", value >= 100 ? 0 : 2, value) + unit;
}

std::string bar_text(const Verdict& verdict, const std::string& unit) {
  const Bar& bar = verdict.bar;
  const auto times = [](double value) { return format("%.2f x ", value); };
  const auto text = [&](double value) {
    switch (bar.on) {
      case Bar::On::value: return quantity(value, unit);
      case Bar::On::ratio: return times(value) + "floor";
      case Bar::On::mean_ratio: return times(value) + "floor (mean)";
      case Bar::On::beside: return times(value) + "beside";
      case Bar::On::tail: return times(value) + "p50 (p99.9)";
      case Bar::On::other: return times(value) + bar.other;
    }
    return std::string();
  };
  std::string out = (bar.side == Bar::Side::at_most ? "<= " : ">= ") + text(bar.limit);
  if (!verdict.measured) return out + ": not measured";
  if (bar.on != Bar::On::value && bar.on != Bar::On::ratio) out += format(": %.2f", *verdict.measured);
  return out + (verdict.passes() ? "" : " MISSED");
}

std::optional<double> measure(const Bar& bar, const Result& result) {
  switch (bar.on) {
    case Bar::On::value: return result.value;
    case Bar::On::ratio: return result.floor ? std::optional(result.floor->ratio) : std::nullopt;
    case Bar::On::mean_ratio: return result.floor ? std::optional(result.floor->mean_ratio) : std::nullopt;
    case Bar::On::beside: return result.beside ? std::optional(result.beside->ratio) : std::nullopt;
    case Bar::On::tail: return result.laps ? std::optional(result.laps->p999 / result.laps->p50) : std::nullopt;
    case Bar::On::other: break;
  }
  return std::nullopt;
}

std::vector<Point> points_of(const Histogram& laps) {
  std::vector<Point> points;
  if (laps.empty()) return points;
  // As many as are left above each: the tail is drawn as finely as the body.
  for (double left = 1; left * static_cast<double>(laps.count()) >= 1 && points.size() < 80; left /= 1.25)
    points.push_back({1 - left, static_cast<double>(laps.at(1 - left))});
  points.push_back({1 - 1 / (2 * static_cast<double>(laps.count())), static_cast<double>(laps.max())});
  return points;
}

template <class Field>
double median_of(const std::vector<Measured>& rounds, Field field) {
  std::vector<double> values;
  for (const auto& measured : rounds) values.push_back(field(measured));
  return median(std::move(values));
}

LapSummary laps_of(const std::vector<Measured>& rounds) {
  const auto at = [&](double q) {
    return median_of(rounds, [&](const Measured& measured) { return static_cast<double>(measured.round.laps.at(q)); });
  };
  LapSummary laps{median_of(rounds, [](const Measured& measured) { return measured.round.laps.mean(); }),
                  median_of(rounds, [](const Measured& measured) { return measured.round.laps.median(); }), at(0.9), at(0.99), at(0.999), 0};
  for (const auto& measured : rounds) laps.max = std::max(laps.max, static_cast<double>(measured.round.laps.max()));
  return laps;
}

std::string optional_times(double value) { return value > 0 ? format("%.2f", value) : "-"; }

std::string joined_bars(const Result& result, const char* between) {
  std::string out;
  for (const auto& verdict : result.bars) out += (out.empty() ? "" : between) + bar_text(verdict, result.unit);
  return out;
}

std::string beside_text(const Result& result) {
  return result.beside ? format("%.2f x %s", result.beside->ratio, result.beside->what.c_str()) : "";
}

std::string row_text(std::initializer_list<std::string> cells) {
  std::string out = "|";
  for (const auto& cell : cells) out += ' ' + cell + " |";
  return out + '\n';
}

}  // namespace

std::optional<double> ns_per(const std::string& unit) {
  if (unit == "ns") return 1;
  if (unit == "us") return 1e3;
  if (unit == "ms") return 1e6;
  if (unit == "s") return 1e9;
  return std::nullopt;
}

std::optional<double> in_ns(const Row& row, double value) {
  if (!row.in_floors) return std::nullopt;
  if (const auto ns = ns_per(row.unit)) return value * *ns;
  if (row.unit == "msg/s" || row.unit == "1/s") return 1e9 / value;
  return std::nullopt;
}

bool Result::passes() const {
  return std::all_of(bars.begin(), bars.end(), [](const Verdict& verdict) { return verdict.passes(); });
}

bool Report::passes() const {
  return std::all_of(results.begin(), results.end(), [](const Result& result) { return result.passes(); });
}

Machine this_machine(Cores cores) {
  utsname kernel{};
  ::uname(&kernel);
  const std::time_t now = std::time(nullptr);
  char date[32] = "";
  std::strftime(date, sizeof date, "%Y-%m-%d %H:%M", std::gmtime(&now));
  return {cpu_model(), kernel.release, date, {cores.first, cores.second}};
}

Result summary(const Row& row, const std::vector<Measured>& rounds) {
  Result result{row.name, row.unit, median_of(rounds, [](const Measured& m) { return m.round.value; }), static_cast<int>(rounds.size())};
  const bool has_laps = !rounds.front().round.laps.empty();
  if (has_laps) {
    result.laps = laps_of(rounds);
    Histogram all;
    for (const auto& measured : rounds) all.add(measured.round.laps);
    result.distribution = points_of(all);
  }
  if (in_ns(row, result.value)) {
    const auto floor = [](const Measured& m) { return m.floor.median(); };
    result.floor = {median_of(rounds, floor),
                    median_of(rounds, [&](const Measured& m) { return *in_ns(row, m.round.value) / floor(m); }),
                    median_of(rounds, [&](const Measured& m) { return m.round.laps.mean() / m.floor.mean(); })};
  }
  if (rounds.front().round.beside)
    result.beside = {row.beside, median_of(rounds, [](const Measured& m) { return m.round.value / m.round.beside.value_or(0); })};
  for (const auto& bar : row.bars) result.bars.push_back({bar, measure(bar, result)});
  return result;
}

void compare_rows(std::vector<Result>& results) {
  for (auto& result : results)
    for (auto& verdict : result.bars) {
      if (verdict.bar.on != Bar::On::other) continue;
      const auto other = std::find_if(results.begin(), results.end(), [&](const Result& r) { return r.name == verdict.bar.other; });
      if (other != results.end()) verdict.measured = result.value / other->value;
    }
}

std::string table(const Report& report) {
  std::string out = format("%-20s %11s %8s %8s %9s %9s %9s %9s %7s  %s\n", "", "median", "x floor", "(mean)", "p90", "p99", "p99.9", "max",
                           "rounds", "beside, and bars");
  for (const auto& result : report.results) {
    const auto lap = [&](double LapSummary::*field) { return result.laps ? duration((*result.laps).*field) : std::string("-"); };
    const InFloors floors = result.floor.value_or(InFloors());
    const std::string beside = beside_text(result), bars = joined_bars(result, "; ");
    out += format("%-20s %11s %8s %8s %9s %9s %9s %9s %7d  %s%s%s\n", result.name.c_str(), quantity(result.value, result.unit).c_str(),
                  optional_times(floors.ratio).c_str(), optional_times(floors.mean_ratio).c_str(), lap(&LapSummary::p90).c_str(),
                  lap(&LapSummary::p99).c_str(), lap(&LapSummary::p999).c_str(), lap(&LapSummary::max).c_str(), result.rounds,
                  beside.c_str(), beside.empty() || bars.empty() ? "" : "; ", bars.c_str());
  }
  return out;
}

std::string markdown(const Report& report) {
  std::string out = "Measured " + report.machine.date + " UTC on " + report.machine.cpu + ", Linux " + report.machine.kernel + ", cores";
  for (const unsigned core : report.machine.cores) out += ' ' + std::to_string(core);
  out += ".\n\n| row | median | × floor | p99 | p99.9 | max | beside | bar |\n|---|---|---|---|---|---|---|---|\n";
  for (const auto& result : report.results) {
    const auto lap = [&](double LapSummary::*field) { return result.laps ? duration((*result.laps).*field) : std::string(); };
    out += row_text({'`' + result.name + '`', quantity(result.value, result.unit),
                     result.floor ? format("%.2f", result.floor->ratio) : "", lap(&LapSummary::p99), lap(&LapSummary::p999),
                     lap(&LapSummary::max), beside_text(result), joined_bars(result, "<br>")});
  }
  return out;
}

}  // namespace muproc::bench
