// What many restarts leave in the broker: nothing. 1,000 of them here; MUPROC_TEST_RESTARTS=10000 makes it 10,000.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "support/catch.hpp"
#include "support/sanitizer.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

std::uint32_t restarts() {
  const char* asked = std::getenv("MUPROC_TEST_RESTARTS");
  return asked ? static_cast<std::uint32_t>(std::strtoul(asked, nullptr, 10)) : 1000;
}

/// Lets a child die until its supervisor gives up, which is after so many restarts.
void restart(Self& self, const std::string& name, std::uint32_t times) {
  const Pid sup = self.start_supervisor(name, supervisor(one_for_one, {times, 24h}, {{name + "-child", +[](Self& self) { self.exit("again"); }}}));
  const Ref ref = self.monitor(sup);
  REQUIRE(reason_of(self, ref) == Reason::shutdown());
  self.demonitor(self.monitor(self.pid()));  // an answer of the broker: by now it has cleared away what has ended
}

std::ptrdiff_t descriptors(pid_t os_pid) {
  const fs::directory_iterator fds("/proc/" + std::to_string(os_pid) + "/fd");
  return std::distance(begin(fds), end(fds));
}

/// Private memory in KiB.
long memory(pid_t os_pid) {
  std::ifstream status("/proc/" + std::to_string(os_pid) + "/status");
  for (std::string word; status >> word;)
    if (word == "RssAnon:") {
      long kib = 0;
      status >> kib;
      return kib;
    }
  return 0;
}

}  // namespace

TEST_CASE("restarts leave nothing in the broker, neither memory nor descriptors", "[broker][supervisor][endurance]") {
  LiveSystem system;
  Self& self = system.self();
  const pid_t broker = system.broker().os_pid();
  restart(self, "first", 300);  // by then everything has found its size
  const auto descriptors_before = descriptors(broker);
  const long memory_before = memory(broker);
  restart(self, "second", restarts());
  CHECK(descriptors(broker) == descriptors_before);
  // Each restart that left as little as 256 bytes would show.
  if (k_memory_is_ours) CHECK(memory(broker) - memory_before < 64 + static_cast<long>(restarts() / 4));
}

TEST_CASE("a restart loop keeps nobody waiting, and ends when the system is stopped", "[broker][supervisor][endurance]") {
  LiveSystem system(supervisor(one_for_one, {1'000'000, 1s}, {{"loop", +[](Self& self) { self.exit("again"); }}}));
  Self& self = system.self();
  for (int i = 0; i < 20; ++i) CHECK(self.spawn("other-" + std::to_string(i), +[](Self& self) { self.receive(on<"never">() >> [] {}); }));
  CHECK(system.stop() == 0);
}
