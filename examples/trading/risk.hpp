// Generic server `risk`: may an order be given? It remembers nothing: what a strategy owns it asks the ledger, what a
// share costs the book, so it can be wrong for no longer than they are.
#pragma once

#include <muproc/muproc.hpp>

#include "orders.hpp"

namespace trading {

class Risk {
 public:
  /// A strategy owns, or owes, at most so many shares of one kind.
  Risk(muproc::Self& self, std::int64_t most_shares) : self_(self), most_shares_(most_shares) {}

  bool allows(const Order& order);

 private:
  muproc::Self& self_;
  std::int64_t most_shares_;
};

inline constexpr muproc::Call<&Risk::allows> risk_allows{"allows", "risk"};

}  // namespace trading
