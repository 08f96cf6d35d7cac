// A module whose loading takes until there is a file: $MUPROC_RUNTIME_DIR/gate.
#include <muproc/muproc.hpp>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace {
struct Gate {
  Gate() {
    const std::string gate = std::string(std::getenv("MUPROC_RUNTIME_DIR")) + "/gate";
    while (::access(gate.c_str(), F_OK) != 0) ::usleep(1000);
  }
} gate;
}  // namespace

void passes_the_gate(muproc::Self&) {}
MUPROC_ENTRY(passes_the_gate)
