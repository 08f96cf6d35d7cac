#include "bench/report.hpp"

#include <sys/utsname.h>

#include <cstdio>
#include <fstream>

namespace muproc::bench {
namespace {

template <class... A>
std::string format(const char* form, A... arguments) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, form, arguments...);
  return buffer;
}

std::string number(double value, const std::string& unit) {
  if (unit == "msg/s") return format("%.2f M", value / 1e6);
  if (unit == "ns") return format("%.0f", value);
  return format("%.2f", value);
}

std::string optional_number(const std::optional<double>& value, const std::string& unit) {
  return value ? number(*value, unit) : "-";
}

std::string bar_text(const Result& result) {
  if (!result.bar) return "";
  const char* side = result.bar->side == Bar::Side::at_most ? "<=" : ">=";
  if (result.bar->on == Bar::On::ratio) return format("%s %.1f x floor", side, result.bar->limit);
  return std::string(side) + ' ' + number(result.bar->limit, result.unit) + ' ' + result.unit;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= ' ') out += c;
  }
  return out + '"';
}

std::string json_number(const std::optional<double>& value) { return value ? format("%.6g", *value) : "null"; }

}  // namespace

std::string table(const std::vector<Result>& results) {
  std::string out = format("%-16s %12s %-6s %8s %10s %10s %8s  %s\n", "", "median", "", "x floor", "p90", "p99", "rounds", "bar");
  for (const auto& result : results) {
    out += format("%-16s %12s %-6s %8s %10s %10s %8d  %s%s\n", result.name.c_str(), number(result.value, result.unit).c_str(),
                  result.unit.c_str(), result.ratio ? format("%.2f", *result.ratio).c_str() : "-",
                  optional_number(result.p90, result.unit).c_str(), optional_number(result.p99, result.unit).c_str(),
                  result.rounds, bar_text(result).c_str(), result.passes() ? "" : "  MISSED");
  }
  return out;
}

std::string json(const std::vector<Result>& results, Cores cores) {
  utsname kernel{};
  ::uname(&kernel);
  std::string out = "{\n  \"machine\": {\"cpu\": " + quoted(cpu_model()) + ", \"kernel\": " + quoted(kernel.release) +
                    format(", \"cores\": [%u, %u]},\n  \"rows\": [", cores.first, cores.second);
  bool first = true;
  for (const auto& result : results) {
    out += std::string(first ? "" : ",") + "\n    {\"name\": " + quoted(result.name) + ", \"unit\": " + quoted(result.unit) +
           ", \"median\": " + json_number(result.value) + ", \"p90\": " + json_number(result.p90) +
           ", \"p99\": " + json_number(result.p99) + ", \"floor_ns\": " + json_number(result.floor) +
           ", \"ratio\": " + json_number(result.ratio) + format(", \"rounds\": %d", result.rounds);
    if (result.bar)
      out += std::string(", \"bar\": {\"on\": ") + (result.bar->on == Bar::On::ratio ? "\"ratio\"" : "\"median\"") + ", " +
             (result.bar->side == Bar::Side::at_most ? "\"at_most\": " : "\"at_least\": ") + json_number(result.bar->limit) +
             ", \"passes\": " + (result.passes() ? "true" : "false") + '}';
    out += '}';
    first = false;
  }
  return out + "\n  ]\n}\n";
}

}  // namespace muproc::bench
