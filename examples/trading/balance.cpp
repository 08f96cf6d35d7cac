#include "balance.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>
#include <utility>

namespace trading {
namespace {

using Id = std::pair<std::string, std::int64_t>;

Id id_of(const Execution& execution) { return {execution.strategy, execution.number}; }

std::string words(const Holdings& holdings) {
  std::string text = fmt::format("heard of {} and owns {} cents", holdings.executions, holdings.cash);
  for (const auto& [symbol, count] : holdings.shares) text += fmt::format(", {} {}", count, symbol);
  return text;
}

Holdings sum_of(const std::vector<Execution>& executions) {
  Holdings sum;
  for (const Execution& execution : executions) sum.add(execution);
  return sum;
}

class Comparison {
 public:
  explicit Comparison(const Books& books) : books_(books) {}

  Report report() {
    compare_ledger_and_exchange();
    for (const auto& [strategy, holdings] : books_.strategies) compare_strategy(strategy, holdings);
    report_.executions = std::ssize(books_.ledger);
    report_.under_way += books_.open_orders;
    report_.balanced = report_.differences.empty();
    report_.settled = report_.balanced && report_.under_way == 0;
    return std::move(report_);
  }

 private:
  template <class... Arguments>
  void differ(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
    report_.differences.push_back(fmt::format(text, std::forward<Arguments>(arguments)...));
  }

  void compare_ledger_and_exchange() {
    std::map<Id, Execution> of_exchange;
    for (const Execution& execution : books_.exchange)
      if (!of_exchange.emplace(id_of(execution), execution).second)
        differ("the exchange has two of: {}", to_line(execution));
    std::map<std::string, std::int64_t> last;
    for (const Execution& execution : books_.ledger) {
      if (execution.number != ++last[execution.strategy])
        differ("the ledger has, where {} should be: {}", last[execution.strategy], to_line(execution));
      if (!books_.strategies.contains(execution.strategy))
        differ("nobody has given the order of: {}", to_line(execution));
      const auto found = of_exchange.extract(id_of(execution));
      if (!found)
        differ("the ledger has what the exchange has not: {}", to_line(execution));
      else if (found.mapped() != execution)
        differ("the ledger has: {}; the exchange: {}", to_line(execution), to_line(found.mapped()));
    }
    for (const auto& [id, execution] : of_exchange) {
      const auto orders = books_.orders.find(execution.strategy);
      if (orders == books_.orders.end() || execution.number < 1 || execution.number > orders->second)
        differ("the exchange has executed what was no order: {}", to_line(execution));
    }
    report_.under_way += std::ssize(of_exchange);
  }

  void compare_strategy(const std::string& strategy, const Holdings& holdings) {
    Holdings expected;
    std::int64_t in_ledger = 0;
    for (const Execution& execution : books_.ledger) {
      if (execution.strategy != strategy) continue;
      if (++in_ledger <= holdings.executions) expected.add(execution);
    }
    if (holdings != expected)
      differ("{} has {}; by the ledger, which has {} executions of it, it has {}", strategy, words(holdings), in_ledger,
             words(expected));
    report_.under_way += std::max<std::int64_t>(in_ledger - holdings.executions, 0);
  }

  const Books& books_;
  Report report_;
};

// ---- the table -------------------------------------------------------------------------------------------------------

std::string money(Cents cents) {
  const auto absolute = cents < 0 ? 0 - static_cast<std::uint64_t>(cents) : static_cast<std::uint64_t>(cents);
  return fmt::format("{}{}.{:02}", cents < 0 ? "-" : "", absolute / 100, absolute % 100);
}

std::string row(const std::string& name, const Holdings& holdings, const std::set<std::string>& symbols) {
  std::string text = fmt::format("{:<16}{:>9}", name, holdings.executions);
  for (const std::string& symbol : symbols) text += fmt::format("{:>9}", holdings.shares_of(symbol));
  return text + fmt::format("{:>16}\n", money(holdings.cash));
}

std::string table_of(const Books& books) {
  const Holdings exchange = sum_of(books.exchange), ledger = sum_of(books.ledger);
  Holdings strategies;
  for (const auto& [name, holdings] : books.strategies) strategies.add(holdings);
  std::set<std::string> symbols;
  for (const Holdings& holdings : {exchange, ledger, strategies})
    for (const auto& [symbol, count] : holdings.shares) symbols.insert(symbol);

  std::string text = fmt::format("{:<16}{:>9}", "", "orders");
  for (const std::string& symbol : symbols) text += fmt::format("{:>9}", symbol);
  text += fmt::format("{:>16}\n", "cash");
  for (const auto& [name, holdings] : books.strategies) text += row(name, holdings, symbols);
  return text + row("= strategies", strategies, symbols) + row("= ledger", ledger, symbols) +
         row("= exchange", exchange, symbols);
}

}  // namespace

Report compare(const Books& books) {
  Report report = Comparison(books).report();
  report.table = table_of(books);
  return report;
}

}  // namespace trading
