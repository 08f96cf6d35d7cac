#include "exchange.hpp"

#include <muproc/groups.hpp>

#include <algorithm>

#include "settings.hpp"

namespace trading {

using namespace muproc;

Exchange::Exchange(Self& self, const std::filesystem::path& file) : lines_(file) {
  for (const std::string& line : lines_.found()) remember(execution_in(line));
  join(self, k_quotes);
}

Execution Exchange::execute(const Order& order) {
  const auto found = executions_.find({order.strategy, order.number});
  if (found != executions_.end()) return found->second;
  const Execution execution = match(order);
  lines_.add(to_line(execution));
  remember(execution);
  return execution;
}

/// As much as the quote has, at its price, if the order accepts that.
Execution Exchange::match(const Order& order) const {
  Execution execution{order.strategy, order.number, order.symbol, 0, 0};
  const auto top = quotes_.top(order.symbol);
  if (!top) return execution;
  if (order.quantity > 0 && order.limit >= top->ask) {
    execution.quantity = std::min(order.quantity, top->size);
    execution.price = top->ask;
  } else if (order.quantity < 0 && order.limit <= top->bid) {
    execution.quantity = std::max(order.quantity, -top->size);
    execution.price = top->bid;
  }
  return execution;
}

void Exchange::remember(const Execution& execution) { executions_[{execution.strategy, execution.number}] = execution; }

void Exchange::statement(Statement::Builder to) const {
  auto trades = to.initTrades(static_cast<unsigned>(executions_.size()));
  unsigned i = 0;
  for (const auto& [id, execution] : executions_) write(trades[i++], execution);
}

void Exchange::handle_info(const Message& message) {
  if (message.is<Quote>()) quotes_.take(message.as<Quote>());
}

static void exchange(Self& self) {
  serve<Exchange>(self, {execute, statement_of_exchange}, state_folder(self) / "exchange");
}
MUPROC_ENTRY(exchange)

}  // namespace trading
