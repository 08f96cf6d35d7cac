// Generic servers `momentum`, `reversion` and `dice`: each has an idea, and what came of it.
//
// A strategy that comes back knows nothing; it computes what it owns from the ledger, one execution after another. Of
// an order that it gave right before its death it hears as late as possible and as soon as needed: either the ledger
// has it by then, or it becomes the answer to the next order, which has the same number, or it is found when the
// strategy looks into the ledger again, which it does now and then.
#pragma once

#include <muproc/muproc.hpp>

#include <memory>

#include "holdings.hpp"
#include "idea.hpp"

namespace trading {

class Strategy {
 public:
  Strategy(muproc::Self& self, std::unique_ptr<Idea> idea);

  /// What it believes to own.
  Holdings holdings() const { return holdings_; }
  /// Nothing new when it knows of it already.
  void learn(const Execution& execution);
  /// Quotes, and its own word that it is time to look into the ledger.
  void handle_info(const muproc::Message& message);

 private:
  void trade(const Wish& wish, const std::string& symbol);
  void look_into_ledger();

  muproc::Self& self_;
  std::unique_ptr<Idea> idea_;
  Holdings holdings_;
};

inline constexpr muproc::Call<&Strategy::holdings> holdings_of{"holdings"};
inline constexpr muproc::Cast<&Strategy::learn> tell_strategy{"learn"};

}  // namespace trading
