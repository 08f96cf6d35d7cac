// mubench: what muproc costs, in multiples of what two cores need to hand a cache line to and fro.
//
// Each row is measured in rounds, and right before each round the floor is measured anew, so that both see the same
// machine. Values are medians over the rounds. Processes are real, pinned to two cores; payloads are written and read.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <regex>
#include <stdexcept>

#include "bench/floor.hpp"
#include "bench/live.hpp"
#include "bench/peers.hpp"
#include "bench/plot.hpp"
#include "bench/report.hpp"

namespace muproc::bench {
namespace {

struct Options {
  std::string filter;
  int rounds = 15;
  std::vector<unsigned> cores{0, 1};
  std::string peers, plot;
  std::vector<std::string> from;
  bool as_json = false, as_markdown = false, check = false, list = false, growth = false;
};

Rows all_rows(Live& live, const Options& options) {
  Rows rows;
  if (options.growth) {
    add_growth(rows, live);
    return rows;
  }
  rows.push_back({.name = "floor", .unit = "ns", .round = [&live] { return round_of(measure_floor(live.cores())); }});
  for (auto* add : {add_round_trips, add_sleepers, add_streams, add_large_messages, add_calls, add_births, add_restarts, add_restart_rate,
                    add_trees, add_memory})
    add(rows, live);
  if (!options.peers.empty()) add_peers(rows, live.cores(), options.peers);
  return rows;
}

Result measure(const Row& row, Cores cores, int rounds) {
  std::vector<Measured> measured;
  for (int i = 0; i < std::min(rounds, row.most_rounds); ++i) {
    Histogram floor = measure_floor(cores);
    measured.push_back({row.round(), std::move(floor)});
  }
  return summary(row, measured);
}

Report measure(const Options& options) {
  if (options.cores.size() != 2 || options.cores[0] == options.cores[1])
    throw std::invalid_argument("--cores wants two different cores, such as 0,1");
  const Cores cores{options.cores[0], options.cores[1]};
  Live live(cores);
  const std::regex filter(options.filter);
  Report report;
  for (const auto& row : all_rows(live, options)) {
    if (!std::regex_search(row.name, filter)) continue;
    if (options.list) {
      std::printf("%s\n", row.name.c_str());
      continue;
    }
    std::fprintf(stderr, "mubench: %s\n", row.name.c_str());
    report.results.push_back(measure(row, cores, options.rounds));
  }
  compare_rows(report.results);
  report.machine = this_machine(cores);
  return report;
}

/// What several runs have measured, as if it were one.
Report read(const std::vector<std::string>& paths) {
  Report all;
  for (const auto& path : paths) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path);
    Report report = from_json(std::string(std::istreambuf_iterator<char>(file), {}));
    all.machine = report.machine;
    std::move(report.results.begin(), report.results.end(), std::back_inserter(all.results));
  }
  compare_rows(all.results);
  return all;
}

int run(const Options& options) {
  const Report report = options.from.empty() ? measure(options) : read(options.from);
  if (options.list) return 0;
  std::cout << (options.as_json ? json(report) : options.as_markdown ? markdown(report) : table(report)) << std::flush;
  if (!options.plot.empty() && !(std::ofstream(options.plot) << percentile_plot(report) << std::flush))
    throw std::runtime_error("cannot write " + options.plot);
  return options.check && !report.passes() ? 1 : 0;
}

}  // namespace
}  // namespace muproc::bench

int main(int argc, char** argv) {
  using namespace muproc::bench;
  Options options;
  bool serving = false;
  unsigned ballast = 0;
  CLI::App app("What muproc costs, in multiples of the floor: two cores that hand a cache line to and fro.");
  app.add_option("--filter", options.filter, "Only rows whose name matches this regular expression");
  app.add_option("--rounds", options.rounds, "How often each row is measured, each time beside the floor")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--cores", options.cores, "The two cores to run on")->delimiter(',')->capture_default_str();
  app.add_option("--peers", options.peers, "Also measure the peers whose clients are in this folder (tools/bench.sh builds them)");
  app.add_option("--from", options.from, "Show what the --json of earlier runs said, and measure nothing");
  app.add_option("--plot", options.plot, "Also write how latencies are spread to this file, as an SVG");
  auto* as_json = app.add_flag("--json", options.as_json, "JSON instead of a table (tests/bench/report.capnp says what is in it)");
  app.add_flag("--markdown", options.as_markdown, "The table of docs/benchmarks.md")->excludes(as_json);
  app.add_flag("--check", options.check, "Exit with 1 when a bar is missed");
  app.add_flag("--growth", options.growth, "Instead of the usual rows, those of docs/performance.md: how costs grow");
  app.add_flag("--list", options.list, "Only the names of the rows");
  app.add_flag("--serve", serving)->group("");  // be the broker: what mubench starts for itself
  app.add_option("--ballast", ballast)->group("");  // with so many MiB
  CLI11_PARSE(app, argc, argv);
  try {
    return serving ? serve(ballast) : run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mubench: %s\n", error.what());
  } catch (const kj::Exception& error) {
    std::fprintf(stderr, "mubench: %s\n", error.getDescription().cStr());
  } catch (const muproc::ExitSignal& signal) {
    std::fprintf(stderr, "mubench: ended: %s\n", to_string(signal.reason).c_str());
  }
  return 1;
}
