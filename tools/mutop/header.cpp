#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tools/common/text.hpp"
#include "tools/mutop/app.hpp"
#include "tools/mutop/words.hpp"

namespace muproc::mutop {
namespace {

using namespace std::chrono_literals;
using shm::SlotState;

struct Tally {
  std::string_view word;
  std::uint32_t count = 0;
  Ink ink = Ink::plain;
};

/// How many are in each state; supervisors are no muprocs. The first is all of them.
std::array<Tally, 8> tally(const tools::Snapshot& now) {
  std::array<Tally, 8> tallies = {{{"muprocs", 0, Ink::strong},
                                   {"up", 0, Ink::good},
                                   {"starting"},
                                   {"stopping"},
                                   {"draining"},
                                   {"backing off", 0, Ink::warning},
                                   {"stopped", 0, Ink::faint},
                                   {"failed", 0, Ink::bad}}};
  for (const tools::MuprocView& muproc : now.muprocs) {
    if (muproc.is_supervisor()) continue;
    ++tallies[0].count;
    switch (muproc.state) {
      case SlotState::running: ++tallies[1].count; break;
      case SlotState::starting: ++tallies[2].count; break;
      case SlotState::stopping: ++tallies[3].count; break;
      case SlotState::draining: ++tallies[4].count; break;
      case SlotState::backing_off: ++tallies[5].count; break;
      case SlotState::free:
      case SlotState::stopped: ++tallies[6].count; break;
      case SlotState::failed: ++tallies[7].count; break;
    }
  }
  return tallies;
}

int draw_broker(Grid& grid, const tools::Snapshot& now, int column) {
  switch (now.broker) {
    case tools::BrokerState::running: return grid.put(0, column, fmt::format("broker {}", now.broker_os_pid));
    case tools::BrokerState::stopped:
      return grid.put(0, column, fmt::format("broker {} is STOPPED", now.broker_os_pid), Ink::warning);
    case tools::BrokerState::gone:
      return grid.put(0, column, "the system has ENDED: this is the last that was seen", Ink::bad);
  }
  return column;
}

std::uint64_t restarts_told(const World& world, const tools::Snapshot& now, std::chrono::nanoseconds within) {
  const std::int64_t begin = now.taken_wall_ns - within.count();
  const auto& events = world.events();
  return static_cast<std::uint64_t>(std::count_if(events.begin(), events.end(), [begin](const EventLine& event) {
    return event.kind == "restart" && event.wall_ns >= begin;
  }));
}

}  // namespace

void draw_header(Grid& grid, const Model& model, const World& world, bool is_paused) {
  const tools::Sample& sample = model.sample();
  const tools::Snapshot& now = *sample.now;
  int column = grid.put(0, 1, tools::printable(now.system), Ink::strong) + 2;
  column = draw_broker(grid, now, column) + 2;
  if (now.broker != tools::BrokerState::gone)
    column = grid.put(0, column, "up " + tools::short_duration(now.up_for)) + 2;
  if (is_paused) grid.put(0, column, "PAUSED: Z goes on", Ink::warning);

  column = 1;
  for (const Tally& each : tally(now))
    if (each.count > 0 || each.word == "muprocs")
      column = grid.put(1, column, fmt::format("{} {}", each.count, each.word), each.ink) + 2;
  // What we have seen, or more, if the broker has told of restarts before we looked.
  const auto in_minute = std::max(sample.restarts_last_minute, restarts_told(world, now, 1min)),
             in_hour = std::max(sample.restarts_last_hour, restarts_told(world, now, 1h));
  grid.put(1, column, fmt::format("restarts {} in 1m, {} in 1h", in_minute, in_hour),
           in_minute > 0 ? Ink::bad : Ink::plain);

  std::string sums = fmt::format("CPU {}%  RES {}  shared {}  {} msg/s ", short_percent(sample.cpu),
                                 short_bytes(static_cast<double>(sample.resident)),
                                 short_bytes(static_cast<double>(now.shared_bytes)), short_count(sample.messages));
  column = grid.put(2, 1, sums);
  const int width = grid.columns() - column - 1;
  if (width > 4) grid.put(2, column, sparkline(model.history().messages().values(), width, grid.ascii), Ink::busy);
}

}  // namespace muproc::mutop
