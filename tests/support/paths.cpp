#include "support/paths.hpp"

#include <cstdlib>

namespace muproc::test {
namespace {

std::string from_environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value ? value : otherwise;
}

}  // namespace

std::string bin_dir() { return from_environment("MUPROC_BIN_DIR", MUPROC_BIN_DIR); }
std::string module_dir() { return from_environment("MUPROC_MODULE_DIR", MUPROC_MODULE_DIR); }
std::string examples_dir() { return from_environment("MUPROC_EXAMPLES_DIR", MUPROC_EXAMPLES_DIR); }
std::string docs_dir() { return from_environment("MUPROC_DOCS_DIR", MUPROC_DOCS_DIR); }

}  // namespace muproc::test
