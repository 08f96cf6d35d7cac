// Asking across the tree: whoever is asked may be dead just now, and will be back.
//
// The principle of the house: who stands behind another in the supervisor `desk` is ended and restarted with it, and
// has no code for the other's death. Who asks somebody elsewhere in the tree insists. So only what may be asked twice
// is asked like this: those calls are such that a second one changes nothing, and brings the same answer.
#pragma once

#include <muproc/muproc.hpp>

#include <chrono>

namespace trading {

/// `ask()`'s value, as soon as there is one. What the server itself throws is thrown here: asking again would not help.
template <class Ask>
auto insist(muproc::Self& self, Ask&& ask) {
  for (;; self.sleep(std::chrono::milliseconds(2))) {
    try {
      return ask();
    } catch (const muproc::CallError& error) {
      if (error.kind == muproc::CallError::Kind::error) throw;
    }
  }
}

}  // namespace trading
