// What somebody owns after so many executions: shares and cash, from nothing at all.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "orders.hpp"

namespace trading {

struct Holdings {
  std::int64_t executions = 0;  // of a strategy also the number of the last one
  Cents cash = 0;
  std::map<std::string, std::int64_t> shares;  // by symbol

  void add(const Execution& execution) {
    ++executions;
    cash -= execution.quantity * execution.price;
    if (execution.quantity != 0) shares[execution.symbol] += execution.quantity;
  }
  void add(const Holdings& other) {
    executions += other.executions;
    cash += other.cash;
    for (const auto& [symbol, count] : other.shares) shares[symbol] += count;
  }
  std::int64_t shares_of(const std::string& symbol) const {
    const auto found = shares.find(symbol);
    return found == shares.end() ? 0 : found->second;
  }
  friend bool operator==(const Holdings&, const Holdings&) = default;
};

}  // namespace trading
