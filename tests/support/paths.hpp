// Where tests find what they run. Each place can be overridden by an environment variable of the name given.
#pragma once

#include <string>

namespace muproc::test {

std::string bin_dir();       // MUPROC_BIN_DIR: mubroker, muctl, mutop
std::string module_dir();    // MUPROC_MODULE_DIR: libarea.so and other modules
std::string examples_dir();  // MUPROC_EXAMPLES_DIR: area/area.toml and other configs
std::string docs_dir();      // MUPROC_DOCS_DIR: what documentation quotes, built

}  // namespace muproc::test
