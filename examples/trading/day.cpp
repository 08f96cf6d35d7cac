#include "day.hpp"

#include <muproc/groups.hpp>
#include <muproc/muproc.hpp>

#include <chrono>
#include <cstdio>
#include <set>

#include "auditor.hpp"
#include "insist.hpp"
#include "lines.hpp"
#include "settings.hpp"

namespace trading {

using namespace muproc;
using namespace std::chrono_literals;
using Clock = std::chrono::system_clock;  // a day that is opened again tomorrow is over

namespace {

/// When the day ends. Its file has one line for the time, and another one when it is closed.
class Hours {
 public:
  Hours(const std::filesystem::path& file, std::chrono::seconds length) : lines_(file) {
    if (lines_.found().empty()) {
      end_ = Clock::now() + length;
      lines_.add(std::to_string(end_.time_since_epoch() / 1ns));
    } else {
      end_ = Clock::time_point(std::chrono::nanoseconds(std::stoll(lines_.found().front())));
      closed_ = lines_.found().size() > 1;
    }
  }
  const char* phase() const { return closed_ ? k_closed : k_open; }
  bool closed() const { return closed_; }
  Clock::duration left() const { return std::max<Clock::duration>(end_ - Clock::now(), 0ns); }
  void close() {
    if (!closed_) lines_.add(k_closed);
    closed_ = true;
  }

 private:
  Lines lines_;
  Clock::time_point end_;
  bool closed_ = false;
};

/// True when the day is over. What is wrong with the books stays wrong; what is under way comes to its end.
bool audited(Self& self) {
  const Report report = insist(self, [&] { return balance(self); });
  if (report.balanced && !report.settled) return false;
  std::printf("%s", report.table.c_str());
  for (const std::string& difference : report.differences) std::printf("WRONG: %s\n", difference.c_str());
  std::printf("%s The books are in %s.\n",
              report.balanced ? "The books balance: the exchange, the ledger and the strategies agree."
                              : "The books do NOT balance.",
              state_folder(self).c_str());
  return true;
}

void day(Self& self) {
  Hours hours(state_folder(self) / "day", std::chrono::seconds(number(self, "seconds")));
  std::set<Pid> unaware;  // that it is closed
  const auto tell = [&](Pid member) {
    if (hours.closed()) unaware.insert(member);
    self.send(member, "phase", Symbol(hours.phase()));
  };
  const auto close = [&] {
    if (hours.closed()) return;
    hours.close();
    self.log().info("the day is closed");
    for (const Pid member : members(self, k_day)) tell(member);
  };
  const auto close_and_answer = [&](From from) {
    close();
    self.send(from, "day", Symbol(hours.phase()));
  };
  bool over = false;
  const auto go_on = [&] {
    if (!hours.closed())
      close();
    else if (unaware.empty())
      over = audited(self);
  };

  const GroupMonitor monitor = monitor_group(self, k_day);
  for (const Pid member : monitor.members) tell(member);
  while (!over)
    self.receive(
        on<"joined">() >> [&](Pid member) { tell(member); }, on<"left">() >> [&](Pid member) { unaware.erase(member); },
        on<"heard">() >>
            [&](From from, Symbol phase) {
              if (phase.name == k_closed) unaware.erase(from);
            },
        on<"cmd">(is("close")) >> close_and_answer, after(hours.closed() ? 50ms : hours.left()) >> go_on);
}

}  // namespace

MUPROC_ENTRY(day)

}  // namespace trading
