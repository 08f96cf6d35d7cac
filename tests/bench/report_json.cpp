// The report as JSON, by way of report.capnp.
#include <capnp/compat/json.h>
#include <capnp/message.h>

#include "bench/report.capnp.h"
#include "bench/report.hpp"

namespace muproc::bench {
namespace {

using On = schema::Bar::On;

constexpr std::pair<Bar::On, On> k_on[] = {{Bar::On::value, On::VALUE},   {Bar::On::ratio, On::RATIO},
                                           {Bar::On::mean_ratio, On::MEAN_RATIO}, {Bar::On::beside, On::BESIDE},
                                           {Bar::On::tail, On::TAIL},     {Bar::On::other, On::OTHER}};

On to_schema(Bar::On on) {
  for (const auto& [ours, theirs] : k_on)
    if (ours == on) return theirs;
  KJ_FAIL_REQUIRE("a bar on nothing that is known");
}

Bar::On from_schema(On on) {
  for (const auto& [ours, theirs] : k_on)
    if (theirs == on) return ours;
  KJ_FAIL_REQUIRE("a bar on nothing that is known");
}

void write(schema::Bar::Builder to, const Verdict& verdict) {
  to.setOn(to_schema(verdict.bar.on));
  to.setAtMost(verdict.bar.side == Bar::Side::at_most);
  to.setLimit(verdict.bar.limit);
  if (!verdict.bar.other.empty()) to.setOther(verdict.bar.other);
  if (verdict.measured) {
    to.initMeasured().setValue(*verdict.measured);
    to.getMeasured().setPasses(verdict.passes());
  }
}

void write(schema::Laps::Builder to, const LapSummary& laps) {
  to.setMean(laps.mean);
  to.setP50(laps.p50);
  to.setP90(laps.p90);
  to.setP99(laps.p99);
  to.setP999(laps.p999);
  to.setMax(laps.max);
}

void write(schema::Row::Builder to, const Result& result) {
  to.setName(result.name);
  to.setUnit(result.unit);
  to.setMedian(result.value);
  to.setRounds(static_cast<unsigned>(result.rounds));
  if (result.laps) write(to.initLaps(), *result.laps);
  if (result.floor) {
    auto floor = to.initFloor();
    floor.setNs(result.floor->ns);
    floor.setRatio(result.floor->ratio);
    floor.setMeanRatio(result.floor->mean_ratio);
  }
  if (result.beside) {
    to.initBeside().setWhat(result.beside->what);
    to.getBeside().setRatio(result.beside->ratio);
  }
  if (!result.bars.empty()) {
    auto bars = to.initBars(static_cast<unsigned>(result.bars.size()));
    for (unsigned i = 0; i < bars.size(); ++i) write(bars[i], result.bars[i]);
  }
  if (!result.distribution.empty()) {
    auto points = to.initDistribution(static_cast<unsigned>(result.distribution.size()));
    for (unsigned i = 0; i < points.size(); ++i) {
      points[i].setQuantile(result.distribution[i].quantile);
      points[i].setNs(result.distribution[i].ns);
    }
  }
}

Verdict read(schema::Bar::Reader from) {
  Verdict verdict{{from_schema(from.getOn()), from.getAtMost() ? Bar::Side::at_most : Bar::Side::at_least, from.getLimit(),
                   from.getOther().cStr()}};
  if (from.hasMeasured()) verdict.measured = from.getMeasured().getValue();
  return verdict;
}

Result read(schema::Row::Reader from) {
  Result result{from.getName().cStr(), from.getUnit().cStr(), from.getMedian(), static_cast<int>(from.getRounds())};
  if (from.hasLaps()) {
    const auto laps = from.getLaps();
    result.laps = {laps.getMean(), laps.getP50(), laps.getP90(), laps.getP99(), laps.getP999(), laps.getMax()};
  }
  if (from.hasFloor()) result.floor = {from.getFloor().getNs(), from.getFloor().getRatio(), from.getFloor().getMeanRatio()};
  if (from.hasBeside()) result.beside = {from.getBeside().getWhat().cStr(), from.getBeside().getRatio()};
  for (const auto bar : from.getBars()) result.bars.push_back(read(bar));
  for (const auto point : from.getDistribution()) result.distribution.push_back({point.getQuantile(), point.getNs()});
  return result;
}

}  // namespace

std::string json(const Report& report) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::Report>();
  auto machine = to.initMachine();
  machine.setCpu(report.machine.cpu);
  machine.setKernel(report.machine.kernel);
  machine.setDate(report.machine.date);
  auto cores = machine.initCores(static_cast<unsigned>(report.machine.cores.size()));
  for (unsigned i = 0; i < cores.size(); ++i) cores.set(i, report.machine.cores[i]);
  auto rows = to.initRows(static_cast<unsigned>(report.results.size()));
  for (unsigned i = 0; i < rows.size(); ++i) write(rows[i], report.results[i]);

  capnp::JsonCodec codec;
  codec.setPrettyPrint(true);
  codec.setHasMode(capnp::HasMode::NON_NULL);
  return codec.encode(to.asReader()).cStr() + std::string("\n");
}

Report from_json(std::string_view text) {
  capnp::JsonCodec codec;
  capnp::MallocMessageBuilder message;
  auto from = message.initRoot<schema::Report>();
  codec.decode(kj::arrayPtr(text.data(), text.size()), from);
  const auto machine = from.getMachine().asReader();
  Report report{{machine.getCpu().cStr(), machine.getKernel().cStr(), machine.getDate().cStr(), {}}, {}};
  for (const unsigned core : machine.getCores()) report.machine.cores.push_back(core);
  for (const auto row : from.getRows().asReader()) report.results.push_back(read(row));
  return report;
}

}  // namespace muproc::bench
