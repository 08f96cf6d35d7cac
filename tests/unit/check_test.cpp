// What `mubroker check` prints, and the API's trees as systems.
#include "broker/check.hpp"

#include <stdexcept>
#include <string>

#include <muproc/supervision.hpp>

#include "broker/config.hpp"
#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;

namespace {

void worker(Self&) {}

std::string described(const std::string& config) {
  ConfigResult result = parse_config(config, "/etc/muproc/test.toml");
  INFO(result.report);
  REQUIRE(result.system);
  return '\n' + describe(*result.system);
}

// Why the tree is refused.
std::string refused(const Supervisor& tree) {
  try {
    flatten("x", tree);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "it is not";
}

}  // namespace

TEST_CASE("a config that is right is shown as its tree, one line a node, in start order", "[config][check]") {
  CHECK(described(R"(
[supervisor.root]
strategy = "rest_for_one"
auto_shutdown = "any_significant"
children = ["store", "workers", "ui"]
[supervisor.workers]
limit = { restarts = 10, within = "1m" }
children = ["w"]
[muproc.store]
module = "./libstore.so"
entry = "store"
stop = "250ms"
[muproc.w]
exec = ["worker", "--fast"]
stop = "kill"
replicas = 2
[muproc.ui]
exec = ["./ui"]
plain = true
restart = "transient"
stop = "forever"
significant = true
)") == R"(
test
└─ root  rest_for_one, limit 1 in 5s, auto_shutdown any_significant
   ├─ store  permanent, stop 250ms, /etc/muproc/libstore.so:store
   ├─ workers  one_for_one, limit 10 in 1m, permanent, stop forever
   │  ├─ w.0  permanent, stop kill, program worker --fast
   │  └─ w.1  permanent, stop kill, program worker --fast
   └─ ui  transient, stop forever, significant, plain program /etc/muproc/ui
)");
}

TEST_CASE("a tree from the API is the same system as one from a config", "[api][check]") {
  const SystemSpec system =
      flatten("super-3", supervisor(one_for_one, {2, 5s},
                                    {{"ch-1", module("libsuper.so", "super_child"), {.args = {{"n", 1}}, .stop = kill}},
                                     {"ch-2", exec({"./decoder", "--fast"}), {.restart = transient, .stop = 10s}},
                                     {"inner",
                                      supervisor(one_for_all, {3, 1min}, {{"ch-3.1", worker}, {"ch-3.2", worker}}),
                                      {.restart = temporary}}}));
  CHECK('\n' + describe(system) == R"(
super-3
└─ root  one_for_one, limit 2 in 5s
   ├─ ch-1  permanent, stop kill, libsuper.so:super_child
   ├─ ch-2  transient, stop 10s, program ./decoder --fast
   └─ inner  one_for_all, limit 3 in 1m, temporary, stop forever
      ├─ ch-3.1  permanent, stop 5s, function
      └─ ch-3.2  permanent, stop 5s, function
)");
  CHECK(system.muprocs.at("ch-1").args == Mumsg{{"n", 1}});
}

TEST_CASE("a tree from the API with two nodes of one name, or with senseless significance, is refused",
          "[api][otp][child_specs]") {
  CHECK(refused(supervisor(one_for_one, {}, {{"a", worker}, {"a", worker}})) ==
        "supervision tree: two children are named \"a\"");
  CHECK(refused(supervisor(one_for_one, {}, {{"root", worker}})) ==
        "supervision tree: two children are named \"root\"");
  CHECK(refused(supervisor(one_for_one, {}, {{"", worker}})) == "supervision tree: a child has no name");
  CHECK(refused(supervisor(one_for_one, {}, {{"a", worker, {.significant = true}}}, any_significant)) ==
        "supervision tree: \"a\" cannot be significant: it is permanent, so it never ends for good");
  CHECK(refused(supervisor(one_for_one, {}, {{"a", worker, {.restart = transient, .significant = true}}})) ==
        "supervision tree: \"a\" cannot be significant: its supervisor's auto_shutdown is \"never\"");
}
