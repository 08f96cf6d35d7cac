// Where a task's code has to be.
#include <muproc/task.hpp>

#include "support/catch.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using Catch::Matchers::Contains;

TEST_CASE("a task whose code no zygote knows is an error that names the module, and nothing is left of it", "[task]") {
  // The broker is another program than this one, and no module of its config has the function.
  Process broker = Process::program({bin_dir() + "/mubroker", "run", docs_dir() + "/area.toml"});
  {
    std::optional<Attachment> self;
    wait_until("the system area to come up", [&] {
      try {
        self.emplace(attach("area"));
      } catch (const Error&) {
        // not yet
      }
      return self.has_value();
    });
    CHECK_THROWS_WITH(async(**self, [] { return 1; }), Contains("no zygote knows") && Contains("/proc/self/exe"));
    CHECK_THROWS_AS(async(**self, [] { return 1; }), StartFailed);
    CHECK_THROWS_AS(parallel_map(**self, std::vector<int>{1}, [](int n) { return n; }), StartFailed);
    CHECK((*self)->list("^task-").empty());
  }
  broker.signal(SIGTERM);
  CHECK(broker.wait() == 0);
  nobody_is_left();
}
