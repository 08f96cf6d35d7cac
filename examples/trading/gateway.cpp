#include "gateway.hpp"

#include <muproc/groups.hpp>

#include "exchange.hpp"
#include "insist.hpp"
#include "ledger.hpp"
#include "risk.hpp"
#include "strategy.hpp"

namespace trading {

using namespace muproc;

Gateway::Gateway(Self& self) : self_(self) {
  continue_with(self, [this] {
    for (const Order& order : insist(self_, [&] { return open_orders(self_); })) tell_its_strategy(see_through(order));
  });
}

std::optional<Execution> Gateway::submit(const Order& order) {
  auto entry = insist(self_, [&] { return find_order(self_, order.strategy, order.number); });
  if (!entry) {
    if (!risk_allows(self_, order)) return std::nullopt;
    entry = insist(self_, [&] { return accept_order(self_, order); });
    if (!entry) return std::nullopt;
  }
  return entry->execution ? *entry->execution : see_through(entry->order);
}

/// Of an order that is in the ledger. Whatever of this has been done before is not done again.
Execution Gateway::see_through(const Order& order) {
  const Execution execution = insist(self_, [&] { return execute(self_, order); });
  insist(self_, [&] { settle_order(self_, execution); });
  // For people to read; nobody waits for those who have no room for it.
  (void)try_publish<Trade>(self_, k_trades, [&](Trade::Builder trade) { write(trade, execution); });
  return execution;
}

/// One that has died since will find it in the ledger.
void Gateway::tell_its_strategy(const Execution& execution) {
  try {
    tell_strategy(self_, execution.strategy, execution);
  } catch (const NoSuchName&) {}
}

static void gateway(Self& self) { serve<Gateway>(self, {submit_order, flush_orders}); }
MUPROC_ENTRY(gateway)

}  // namespace trading
