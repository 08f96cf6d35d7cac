// mubench: what muproc costs, in multiples of what two cores need to hand a cache line to and fro.
//
// Each row is measured in rounds, and right before each round the floor is measured anew, so that both see the same
// machine. Values are medians over the rounds. Processes are real, pinned to two cores; payloads are written and read.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <regex>
#include <stdexcept>

#include "bench/floor.hpp"
#include "bench/live.hpp"
#include "bench/report.hpp"

namespace muproc::bench {
namespace {

/// The floor itself, as a row.
class Floor : public Row {
 public:
  explicit Floor(Cores cores) : cores_(cores) {}
  std::string name() const override { return "floor"; }
  std::string unit() const override { return "ns"; }
  std::optional<double> in_ns(double value) const override { return value; }
  Round round() override { return measure_floor(cores_); }

 private:
  Cores cores_;
};

Result measure(Row& row, Cores cores, int rounds) {
  std::vector<double> values, p90, p99, floors, ratios;
  rounds = std::min(rounds, row.most_rounds());
  for (int i = 0; i < rounds; ++i) {
    const double floor = measure_floor(cores).value;
    const Round round = row.round();
    values.push_back(round.value);
    if (round.p90) p90.push_back(*round.p90);
    if (round.p99) p99.push_back(*round.p99);
    if (const auto ns = row.in_ns(round.value)) {
      floors.push_back(floor);
      ratios.push_back(*ns / floor);
    }
  }
  Result result{row.name(), row.unit(), median(values), {}, {}, {}, {}, row.bar(), rounds};
  if (!p90.empty()) result.p90 = median(p90);
  if (!p99.empty()) result.p99 = median(p99);
  if (!ratios.empty()) {
    result.floor = median(floors);
    result.ratio = median(ratios);
  }
  return result;
}

struct Options {
  std::string filter;
  int rounds = 15;
  std::vector<unsigned> cores{0, 1};
  bool as_json = false;
  bool check = false;
};

int run(const Options& options) {
  if (options.cores.size() != 2 || options.cores[0] == options.cores[1])
    throw std::invalid_argument("--cores wants two different cores, such as 0,1");
  const Cores cores{options.cores[0], options.cores[1]};
  Live live(cores);
  std::vector<RowPtr> rows;
  rows.push_back(std::make_unique<Floor>(cores));
  for (auto* make : {make_rtt_typed, make_rtt_mumsg, make_stream_typed, make_restart_zygote, make_memory_idle,
                     make_cpu_idle, make_memory_14})
    rows.push_back(make(live));

  const std::regex filter(options.filter);
  std::vector<Result> results;
  for (const auto& row : rows) {
    if (!std::regex_search(row->name(), filter)) continue;
    std::fprintf(stderr, "mubench: %s\n", row->name().c_str());
    results.push_back(measure(*row, cores, options.rounds));
  }
  std::fputs((options.as_json ? json(results, cores) : table(results)).c_str(), stdout);
  const bool passed = std::all_of(results.begin(), results.end(), [](const Result& result) { return result.passes(); });
  return options.check && !passed ? 1 : 0;
}

}  // namespace
}  // namespace muproc::bench

int main(int argc, char** argv) {
  using namespace muproc::bench;
  Options options;
  bool serving = false;
  CLI::App app("What muproc costs, in multiples of the floor: two cores that hand a cache line to and fro.");
  app.add_option("--filter", options.filter, "Only rows whose name matches this regular expression");
  app.add_option("--rounds", options.rounds, "How often each row is measured, each time beside the floor")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--cores", options.cores, "The two cores to run on")->delimiter(',')->capture_default_str();
  app.add_flag("--json", options.as_json, "JSON instead of a table");
  app.add_flag("--check", options.check, "Exit with 1 when a bar is missed");
  app.add_flag("--serve", serving)->group("");  // be the broker: what mubench starts for itself
  CLI11_PARSE(app, argc, argv);
  try {
    return serving ? serve() : run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mubench: %s\n", error.what());
  } catch (const muproc::ExitSignal& signal) {
    std::fprintf(stderr, "mubench: ended: %s\n", to_string(signal.reason).c_str());
  }
  return 1;
}
