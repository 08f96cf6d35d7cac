#include "chaos/house.hpp"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <system_error>

#include "chaos/shortage.hpp"
#include "support/paths.hpp"
#include "sys/error.hpp"

namespace muproc::test::chaos {
namespace {

constexpr uid_t k_nobody = 65534;
constexpr const char* k_setpriv = "/usr/bin/setpriv";

std::filesystem::path fresh_folder(uid_t owner) {
  auto path = (std::filesystem::temp_directory_path() / "muproc-chaos-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) sys::throw_errno("mkdtemp", path);
  if (owner != ::geteuid()) sys::check(::chown(path.c_str(), owner, owner), "chown", path);
  return path;
}

}  // namespace

House::House(const World& world) {
  const bool is_root = ::geteuid() == 0;
  const bool moves_out = is_root && ::access(k_setpriv, X_OK) == 0;
  is_an_ordinary_users_ = moves_out || !is_root;
  place_ = fresh_folder(moves_out ? k_nobody : ::geteuid());
  std::ofstream(place_ / "chaos.toml") << world.config();
  std::vector<std::string> command;
  if (moves_out) command = {k_setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL"};
  command.insert(command.end(), {bin_dir() + "/mubroker", "run", (place_ / "chaos.toml").string()});
  broker_.emplace(Process::program(std::move(command), {{"MUPROC_RUNTIME_DIR", place_.string()}, {"MUPROC_MODULE_PATH", module_dir()}}));
}

House::~House() {
  broker_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(place_, ignored);
}

std::vector<pid_t> House::servers(const std::string& comm) const { return children_of(os_pid(), comm); }

}  // namespace muproc::test::chaos
