// Generic server `ledger`: what we know of our orders. It is the one place where that is kept; what strategies own is
// computed from it whenever one of them comes back.
//
// An order is ours when its line is in the ledger's file, and done when the line of its execution is. Each is written
// once, however often one asks for it. A strategy's orders have the numbers 1, 2, 3, … without a gap.
#pragma once

#include <muproc/muproc.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "holdings.hpp"
#include "lines.hpp"

namespace trading {

class Ledger {
 public:
  struct Entry {
    Order order;
    std::optional<Execution> execution;
  };

  explicit Ledger(const std::filesystem::path& file);

  std::optional<Entry> find(const std::string& strategy, std::int64_t number) const;
  /// Enters an order. When one of that number is there already, that one is what counts: it is returned. Nothing when its
  /// number is not the next one.
  std::optional<Entry> accept(const Order& order);
  /// Enters what became of an order. Throws std::invalid_argument when that contradicts what is there: then somebody is
  /// wrong, and the day is over.
  void settle(const Execution& execution);

  /// Orders without an execution.
  std::vector<Order> open_orders() const;
  /// Executions of a strategy, in the order of their numbers, which are above `after`.
  std::vector<Execution> executions(const std::string& strategy, std::int64_t after) const;
  Holdings holdings(const std::string& strategy) const;
  /// How many orders there are of each strategy.
  std::map<std::string, std::int64_t> orders() const;
  void statement(Statement::Builder to) const;

 private:
  struct Account {
    std::vector<Entry> entries;  // the order with the number n is entry n - 1
    Holdings holdings;
  };
  Entry& entry(const std::string& strategy, std::int64_t number);
  void enter(const Order& order);
  void enter(const Execution& execution);

  Lines lines_;
  std::map<std::string, Account> accounts_;  // by strategy
};

inline constexpr muproc::Call<&Ledger::find> find_order{"find", "ledger"};
inline constexpr muproc::Call<&Ledger::accept> accept_order{"accept", "ledger"};
inline constexpr muproc::Call<&Ledger::settle> settle_order{"settle", "ledger"};
inline constexpr muproc::Call<&Ledger::open_orders> open_orders{"open_orders", "ledger"};
inline constexpr muproc::Call<&Ledger::executions> executions_of{"executions", "ledger"};
inline constexpr muproc::Call<&Ledger::holdings> holdings_in_ledger{"holdings", "ledger"};
inline constexpr muproc::Call<&Ledger::orders> count_orders{"orders", "ledger"};
inline constexpr muproc::Call<&Ledger::statement> statement_of_ledger{"statement", "ledger"};

}  // namespace trading
