#include "ledger.hpp"

#include <algorithm>
#include <stdexcept>

#include "settings.hpp"

namespace trading {

using namespace muproc;

Ledger::Ledger(const std::filesystem::path& file) : lines_(file) {
  for (const std::string& line : lines_.found()) {
    if (is_order(line)) {
      enter(order_in(line));
    } else {
      enter(execution_in(line));
    }
  }
}

// ---- what is entered: first in the file, then in memory --------------------------------------------------------------

std::optional<Ledger::Entry> Ledger::accept(const Order& order) {
  if (auto known = find(order.strategy, order.number)) return known;
  const auto account = accounts_.find(order.strategy);
  const std::int64_t count = account == accounts_.end() ? 0 : std::ssize(account->second.entries);
  if (order.number != count + 1) return std::nullopt;
  lines_.add(to_line(order));
  enter(order);
  return Entry{order, std::nullopt};
}

void Ledger::settle(const Execution& execution) {
  const auto& known = entry(execution.strategy, execution.number).execution;
  if (known == execution) return;
  if (known) throw std::invalid_argument("another execution: " + to_line(execution));
  lines_.add(to_line(execution));
  enter(execution);
}

void Ledger::enter(const Order& order) {
  auto& entries = accounts_[order.strategy].entries;
  if (order.number != std::ssize(entries) + 1) throw std::invalid_argument("not the next order: " + to_line(order));
  entries.push_back({order, std::nullopt});
}

void Ledger::enter(const Execution& execution) {
  auto& known = entry(execution.strategy, execution.number).execution;
  if (known) throw std::invalid_argument("a second execution: " + to_line(execution));
  known = execution;
  accounts_[execution.strategy].holdings.add(execution);
}

Ledger::Entry& Ledger::entry(const std::string& strategy, std::int64_t number) {
  const auto account = accounts_.find(strategy);
  if (account == accounts_.end() || number < 1 || number > std::ssize(account->second.entries))
    throw std::invalid_argument("no such order: " + strategy + ' ' + std::to_string(number));
  return account->second.entries[static_cast<std::size_t>(number) - 1];
}

// ---- what is asked ---------------------------------------------------------------------------------------------------

std::optional<Ledger::Entry> Ledger::find(const std::string& strategy, std::int64_t number) const {
  const auto account = accounts_.find(strategy);
  if (account == accounts_.end() || number < 1 || number > std::ssize(account->second.entries)) return std::nullopt;
  return account->second.entries[static_cast<std::size_t>(number) - 1];
}

std::vector<Order> Ledger::open_orders() const {
  std::vector<Order> orders;
  for (const auto& [strategy, account] : accounts_)
    for (const Entry& entry : account.entries)
      if (!entry.execution) orders.push_back(entry.order);
  return orders;
}

std::vector<Execution> Ledger::executions(const std::string& strategy, std::int64_t after) const {
  std::vector<Execution> executions;
  const auto account = accounts_.find(strategy);
  if (account == accounts_.end()) return executions;
  const auto& entries = account->second.entries;
  for (auto at = static_cast<std::size_t>(std::max<std::int64_t>(after, 0)); at < entries.size(); ++at)
    if (entries[at].execution) executions.push_back(*entries[at].execution);
  return executions;
}

Holdings Ledger::holdings(const std::string& strategy) const {
  const auto account = accounts_.find(strategy);
  return account == accounts_.end() ? Holdings{} : account->second.holdings;
}

std::map<std::string, std::int64_t> Ledger::orders() const {
  std::map<std::string, std::int64_t> counts;
  for (const auto& [strategy, account] : accounts_) counts[strategy] = std::ssize(account.entries);
  return counts;
}

void Ledger::statement(Statement::Builder to) const {
  std::vector<const Execution*> executed;
  std::int64_t open = 0;
  for (const auto& [strategy, account] : accounts_)
    for (const Entry& entry : account.entries) {
      if (entry.execution)
        executed.push_back(&*entry.execution);
      else
        ++open;
    }
  auto trades = to.initTrades(static_cast<unsigned>(executed.size()));
  for (unsigned i = 0; i < executed.size(); ++i) write(trades[i], *executed[i]);
  to.setOpen(open);
}

static void ledger(Self& self) {
  serve<Ledger>(self,
                {find_order, accept_order, settle_order, open_orders, executions_of, holdings_in_ledger, count_orders,
                 statement_of_ledger},
                state_folder(self) / "ledger");
}
MUPROC_ENTRY(ledger)

}  // namespace trading
