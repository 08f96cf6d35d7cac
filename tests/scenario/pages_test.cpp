// The examples in the pages for those who come from Erlang or from cl-muproc, as they stand there.
#include <algorithm>
#include <string>

#include "support/page_blocks.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;

namespace {

void run_all(const std::string& page) {
  int count = 0;
  auto blocks = page_blocks();
  std::sort(blocks.begin(), blocks.end(), [](const PageBlock& a, const PageBlock& b) { return a.line < b.line; });
  for (const PageBlock& block : blocks) {
    if (block.page != page) continue;
    INFO("docs/" << page << ".md:" << block.line);
    LiveSystem system;
    CHECK(play(system.self(), "example", block.example) == Reason::normal());
    ++count;
  }
  CHECK(count > 0);
}

}  // namespace

TEST_CASE("the examples of groups do what they say", "[docs]") { run_all("groups"); }
TEST_CASE("the examples of tasks do what they say", "[docs]") { run_all("tasks"); }
TEST_CASE("the examples for those who come from cl-muproc do what they say", "[docs]") { run_all("from-cl-muproc"); }
TEST_CASE("the examples for those who come from Erlang do what they say", "[docs]") { run_all("from-erlang"); }
TEST_CASE("the examples of state machines in the documentation do what they say", "[docs]") { run_all("state-machines"); }
TEST_CASE("the examples of event managers in the documentation do what they say", "[docs]") { run_all("event-managers"); }
