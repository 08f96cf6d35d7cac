// Generic server `gateway`: the one way to the exchange. It sees each order through: allowed, entered, executed,
// settled.
//
// It remembers nothing between two orders. If it is killed in the middle of one, its replacement finds in the ledger
// that the order is ours and not done, and does the rest: the exchange knows whether it has executed it already.
#pragma once

#include <muproc/muproc.hpp>

#include <optional>

#include "orders.hpp"

namespace trading {

class Gateway {
 public:
  explicit Gateway(muproc::Self& self);

  /// What became of the order with this strategy and number: of the one that came first, if there were several. Nothing
  /// when risk forbids it, or its number is not the next one; then it was never given.
  std::optional<Execution> submit(const Order& order);
  /// Returns when all orders that came before have been seen through, also those of strategies that are dead by now.
  void flush() {}

 private:
  Execution see_through(const Order& order);
  void tell_its_strategy(const Execution& execution);

  muproc::Self& self_;
};

inline constexpr muproc::Call<&Gateway::submit> submit_order{"submit", "gateway"};
inline constexpr muproc::Call<&Gateway::flush> flush_orders{"flush", "gateway"};

}  // namespace trading
