#include "auditor.hpp"

#include "exchange.hpp"
#include "gateway.hpp"
#include "insist.hpp"
#include "ledger.hpp"
#include "settings.hpp"
#include "strategy.hpp"

namespace trading {

using namespace muproc;

namespace {

std::vector<Execution> executions_in(Statement::Reader statement) {
  std::vector<Execution> executions;
  executions.reserve(statement.getTrades().size());
  for (const auto trade : statement.getTrades()) executions.push_back(read(trade));
  return executions;
}

}  // namespace

/// Asks in the order that balance.hpp tells of.
Report Auditor::balance() {
  Books books;
  for (const std::string& strategy : strategies_)
    books.strategies[strategy] = insist(self_, [&] { return holdings_of(self_, strategy); });
  insist(self_, [&] { flush_orders(self_); });
  const auto ledger = insist(self_, [&] { return statement_of_ledger(self_); });
  const auto exchange = insist(self_, [&] { return statement_of_exchange(self_); });
  books.ledger = executions_in(ledger);
  books.open_orders = ledger->getOpen();
  books.exchange = executions_in(exchange);
  books.orders = insist(self_, [&] { return count_orders(self_); });
  return compare(books);
}

void Auditor::handle_info(const Message& message) {
  if (!message.is_mumsg()) return;
  const auto cmd = message.mumsg().find("cmd");
  if (!cmd || !cmd->equals("balance")) return;
  const Report report = balance();
  List differences(report.differences.begin(), report.differences.end());
  self_.send(message.from(), "balanced", report.balanced, "settled", report.settled, "executions", report.executions,
             "under_way", report.under_way, "differences", differences, "table", report.table);
}

static void auditor(Self& self) { serve<Auditor>(self, {balance}, words(self, "strategies")); }
MUPROC_ENTRY(auditor)

}  // namespace trading
