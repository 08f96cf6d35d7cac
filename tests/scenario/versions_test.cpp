// A client and a server whose modules were built from different versions of one interface.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using Catch::Matchers::Contains;

namespace {

std::filesystem::path config_of(const std::string& server_version) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("muproc-versions-" + std::to_string(::getpid()) + "-" + server_version + ".toml");
  std::ofstream(path) << "[system]\nname = \"versions\"\n[supervisor.root]\n"
                         "children = [\"ledger\", \"old\", \"new\"]\n"
                         "[muproc.ledger]\nmodule = \"" + module_dir() + "/libledger_" + server_version + ".so\"\nentry = \"ledger\"\n"
                         "[muproc.old]\nmodule = \"" + module_dir() + "/libledger_v1.so\"\nentry = \"bookkeeper\"\n"
                         "[muproc.new]\nmodule = \"" + module_dir() + "/libledger_v2.so\"\nentry = \"bookkeeper\"\n";
  return path;
}

}  // namespace

TEST_CASE("a client and a server of modules built from different versions say so to each other", "[server][version]") {
  const std::string version = GENERATE("v1", "v2");
  const auto config = config_of(version);
  LiveSystem system(config);
  Self& self = system.self();
  const Pid server = wait_for_name(self, "ledger");
  const std::string same = version == "v1" ? "old" : "new", other = version == "v1" ? "new" : "old";

  self.send(same, "cmd", "post");
  CHECK(next<std::int64_t, "value">(self) == 5);
  self.send(other, "cmd", "post");
  CHECK_THAT((next<std::string, "error">(self)), Contains("post((text, int)) -> int") &&
                                                    Contains("post((text, int, text)) -> int") &&
                                                    Contains("different versions"));
  // What has not changed works on.
  self.send(other, "cmd", "balance");
  CHECK(next<std::int64_t, "value">(self) == 5);
  self.send("new", "cmd", "close");
  CHECK_THAT((next<std::string, "error">(self)), Contains("knows no call \"close\""));
  CHECK(self.find("ledger") == server);
  std::filesystem::remove(config);
}
