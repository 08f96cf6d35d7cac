// The talk's three supervision trees, written in C++ by a program that is its own broker. As configs they are
// super-1.toml, super-2.toml and super-3.toml.
//
// Usage: super_api super-1|super-2|super-3
#include <muproc/muproc.hpp>
#include <muproc/system.hpp>

#include <cstdio>
#include <string>

#include "super.hpp"

using namespace muproc;
using namespace std::chrono_literals;

namespace {

/// A supervised super_child.
Child supervised(const std::string& name, const std::string& period, Stop stop) {
  return {name, super_child, {.args = {{"period", period}, {"symbol", name}}, .stop = stop}};
}

Supervisor super_1() {
  return supervisor(one_for_one, {2, 5s}, {supervised("ch-1", "3s", kill),  //
                                           supervised("ch-2", "2s", kill)});
}

Supervisor super_2() {
  return supervisor(one_for_all, {2, 5s}, {supervised("ch-1", "3s", kill),  //
                                           supervised("ch-2", "2s", 10s)});
}

Supervisor super_3() {
  const Supervisor inner = supervisor(one_for_one, {2, 5s}, {supervised("ch-3.1", "3s", kill),  //
                                                             supervised("ch-3.2", "2s", kill)});
  const Supervisor all = supervisor(one_for_all, {2, 5s}, {supervised("ch-1", "3s", kill),  //
                                                           supervised("ch-2", "2s", 10s),   //
                                                           {"inner", inner, {.restart = permanent, .stop = 5s}}});
  return supervisor(one_for_one, {2, 5s}, {{"all", all, {.restart = permanent, .stop = 77s}}});
}

}  // namespace

int main(int argc, char** argv) {
  const std::string which = argc == 2 ? argv[1] : "";
  if (which == "super-1") return System(which, super_1()).run();
  if (which == "super-2") return System(which, super_2()).run();
  if (which == "super-3") return System(which, super_3()).run();
  std::fprintf(stderr, "Usage: %s super-1|super-2|super-3\n", argv[0]);
  return 2;
}
