// The module that docs/servers.md is, run as it stands there.
#include "support/catch.hpp"
#include "support/paths.hpp"
#include "support/process.hpp"

using namespace muproc::test;
using Catch::Matchers::Contains;

TEST_CASE("the page about servers runs as it says", "[docs]") {
  Process broker = Process::program({bin_dir() + "/mubroker", "run", docs_dir() + "/servers.toml"});
  CHECK(broker.wait() == 0);
  const std::string output = broker.output();
  CHECK_THAT(output, Contains("7 pears; no room for more pears"));
  CHECK_THAT(output, Contains("the stock closes: exception std::length_error"));
  CHECK_THAT(output, Contains("areas 9 and 0"));
  CHECK_THAT(output, Contains("got two, and the third has to wait"));
  CHECK_THAT(output, Contains("0 answered, 3 did not"));
  CHECK_THAT(output, Contains("the cache has 42"));
  CHECK_THAT(output, Contains("the cache: exit: \"nobody asks\""));
  CHECK_THAT(output, Contains("all of the page was run"));
  nobody_is_left();
}
