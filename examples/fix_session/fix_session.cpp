// Two parties of a session, and a referee who kills one or the other at random, and finds at the end that each has received
// all that the other has said, once and in order.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <random>

#include "session.hpp"

using namespace muproc;
using namespace std::chrono_literals;

namespace {

/// Of this run of the system: its broker is everybody's parent.
std::filesystem::path folder() {
  return std::filesystem::temp_directory_path() / ("muproc-fix-session-" + std::to_string(::getppid()));
}

void party(Self& self, const char* peer, bool initiates) {
  std::filesystem::create_directories(folder());
  run_state_machine<fix::Session>(self, peer, initiates, self.args()["orders"].as<int>(),
                                  (folder() / self.name()).string());
}

void initiator(Self& self) { party(self, "acceptor", true); }
void acceptor(Self& self) { party(self, "initiator", false); }

/// Once the party has logged out.
fix::Report last_report(Self& self, const char* name) {
  for (;; self.sleep(5ms)) {
    try {
      const fix::Report report = fix::report(self, name);
      if (report.logged_out) return report;
    } catch (const CallError&) {
      // It is on its way back.
    }
  }
}

void kill_at_random(Self& self, int kills) {
  std::mt19937 random{std::random_device{}()};
  for (int killed = 0; killed < kills;) {
    self.sleep(std::chrono::milliseconds(random() % 40));
    const Pid victim = self.find(random() % 2 ? "initiator" : "acceptor");
    if (!victim) continue;
    self.kill(victim);
    ++killed;
  }
}

void judge(const char* name, const std::vector<std::string>& said, const std::vector<std::string>& heard) {
  std::printf("%s: %zu orders said, %zu heard by the other, %s\n", name, said.size(), heard.size(),
              said == heard ? "none lost, none doubled" : "WRONG");
}

void referee(Self& self) {
  kill_at_random(self, self.args()["kills"].as<int>());
  const fix::Report initiator = last_report(self, "initiator");
  const fix::Report acceptor = last_report(self, "acceptor");
  judge("initiator", initiator.sent, acceptor.received);
  judge("acceptor", acceptor.sent, initiator.received);
  std::filesystem::remove_all(folder());
}

}  // namespace

MUPROC_ENTRY(initiator)
MUPROC_ENTRY(acceptor)
MUPROC_ENTRY(referee)
