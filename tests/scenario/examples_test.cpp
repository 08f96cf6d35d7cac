// Each example, launched as a user would launch it.
#include "support/catch.hpp"
#include "support/paths.hpp"
#include "support/process.hpp"
#include "support/sanitizer.hpp"
#include "support/waiting.hpp"

#include <algorithm>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

using namespace muproc::test;

namespace {

Process launch(const std::string& config) {
  return Process::program({bin_dir() + "/mubroker", "run", examples_dir() + "/" + config},
                          {{"MUPROC_MODULE_PATH", module_dir()},
                           // A sanitizer reports a crash and exits; the decoder is to die of it.
                           {"ASAN_OPTIONS", "handle_segv=0"},
                           {"TSAN_OPTIONS", "halt_on_error=1 handle_segv=0"}});
}

/// Of each match the first group.
std::vector<std::string> all_matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at) found.push_back((*at)[1]);
  return found;
}

}  // namespace

TEST_CASE("the area client prints its squares and the system ends in order", "[examples]") {
  Process broker = launch("area/area.toml");
  CHECK(broker.wait() == 0);
  const std::string output = broker.output();
  const std::regex line(R"(The square of (\d+) is (\d+)\.)");
  int lines = 0;
  for (std::sregex_iterator at(output.begin(), output.end(), line), end; at != end; ++at, ++lines) {
    const int number = std::stoi((*at)[1]);
    CHECK(std::stoi((*at)[2]) == number * number);
  }
  CHECK(lines == 10);
  nobody_is_left();
}

TEST_CASE("a parent that traps exits restarts its child three times and then gives up", "[examples]") {
  Process broker = launch("failure/failure.toml");
  CHECK(broker.wait() == 0);
  const std::string output = broker.output();
  CHECK(all_matches(output, R"((CH-\S+) terminated - restarting\.\.\.)").size() == 3);
  CHECK(output.find("Too many restarts -- terminating.") != std::string::npos);
  CHECK(output.find("too-many-restarts") != std::string::npos);
  nobody_is_left();
}

TEST_CASE("a decoder that crashes costs its client just the frames that crash it", "[examples]") {
  Process broker = launch("decoder/decoder.toml");
  CHECK(broker.wait() == 0);
  const std::string output = broker.output();
  CHECK(all_matches(output, R"(frame (\d+): the decoder is down: signal SIGSEGV)") ==
        std::vector<std::string>{"13", "26", "39", "52", "65", "78", "91"});
  CHECK(output.find("93 frames decoded, 0 wrong, 7 crashed the decoder") != std::string::npos);
  nobody_is_left();
}

TEST_CASE("in a strict sandbox the decoder does all that it did, and dies of the same frames", "[examples][sandbox]") {
  if (!k_ends_in_a_sandbox) return;
  Process broker = launch("decoder/strict.toml");
  CHECK(broker.wait() == 0);
  const std::string output = broker.output();
  CHECK(all_matches(output, R"(frame (\d+): the decoder is down: signal SIGSEGV)") ==
        std::vector<std::string>{"13", "26", "39", "52", "65", "78", "91"});
  CHECK(output.find("93 frames decoded, 0 wrong, 7 crashed the decoder") != std::string::npos);
  nobody_is_left();
}

TEST_CASE("the book of prices calls its watcher back and answers what was pipelined", "[examples][rpc]") {
  Process broker = launch("rpc/rpc.toml");
  CHECK(broker.wait() == 0);
  const std::string output = broker.output();
  CHECK(all_matches(output, R"(VOD\.L is now at (\S+))") == std::vector<std::string>{"101.5", "102", "99.25"});
  CHECK(output.find("the quote says 99.25") != std::string::npos);
  CHECK(output.find("nobody has set a price") != std::string::npos);
  nobody_is_left();
}

TEST_CASE("the ledger crashes again and again and books every deposit but those that it had in hand", "[examples][keep]") {
  Process broker = launch("ledger/ledger.toml");
  CHECK(broker.wait() == 0);
  const std::string output = broker.output();
  CHECK(output.find("2000 deposits were sent: 1992 are booked, 8 were dropped in hand.") != std::string::npos);
  const auto dropped = all_matches(output, "in its hand was \"(deposit)\" from teller-[12]");
  CHECK(dropped.size() == 8);
  nobody_is_left();
}
