// The examples of state machines, launched as a user would launch them.
#include "support/catch.hpp"
#include "support/paths.hpp"
#include "support/process.hpp"
#include "support/waiting.hpp"

#include <string>

using namespace muproc::test;

namespace {

std::string output_of(const std::string& config) {
  Process broker = Process::program({bin_dir() + "/mubroker", "run", examples_dir() + "/" + config},
                                    {{"MUPROC_MODULE_PATH", module_dir()}});
  CHECK(broker.wait() == 0);
  const std::string output = broker.output();
  nobody_is_left();
  return output;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE(
    "the code lock opens at the right digits, locks after a while or when told to, and keeps what was typed meanwhile",
    "[examples][machine]") {
  const std::string output = output_of("code_lock/code_lock.toml");
  CHECK(count(output, "The code has 4 digits.") == 1);
  CHECK(count(output, "Opened 0 times with the wrong code.") == 1);
  CHECK(count(output, "The door is open.") == 2);
  CHECK(count(output, "The door is locked.") == 2);
  CHECK(count(output, "Opened 2 times in all.") == 1);
}

TEST_CASE("a session whose parties are killed at random loses no order and doubles none", "[examples][machine]") {
  const std::string output = output_of("fix_session/fix_session.toml");
  CHECK(count(output, "initiator: 150 orders said, 150 heard by the other, none lost, none doubled") == 1);
  CHECK(count(output, "acceptor: 150 orders said, 150 heard by the other, none lost, none doubled") == 1);
}
