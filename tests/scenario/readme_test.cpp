// The README's first program, as it stands there.
#include "support/catch.hpp"
#include "support/paths.hpp"
#include "support/process.hpp"
#include "support/waiting.hpp"

using namespace muproc::test;

namespace {

Process mubroker(const std::string& config) { return Process::program({bin_dir() + "/mubroker", "run", config}); }

/// What muctl prints, once it succeeds.
std::string muctl(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{bin_dir() + "/muctl", "-s", "area"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  std::string output;
  wait_until("muctl " + arguments.front() + " to succeed", [&] {
    Process process = Process::program(argv);
    const bool succeeded = process.wait() == 0;
    output = process.output();
    return succeeded;
  });
  return output;
}

}  // namespace

TEST_CASE("the README's first program answers, comes back after a kill, and ends in order", "[docs]") {
  Process broker = mubroker(docs_dir() + "/area.toml");
  CHECK(muctl({"call", "areaserver", "cmd=square", "x=7"}).find("answer=49") != std::string::npos);
  muctl({"kill", "areaserver"});
  CHECK(muctl({"call", "areaserver", "cmd=sum"}).find("answer=0") != std::string::npos);
  CHECK(muctl({"tree"}).find("areaserver") != std::string::npos);
  muctl({"shutdown"});
  CHECK(broker.wait() == 0);
  nobody_is_left();
}
