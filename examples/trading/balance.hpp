// Do the books balance? Three parties keep books of their own: the exchange and the ledger, each in a file that it
// alone writes, and each strategy in its memory. They balance when
//
//   1. each execution in the ledger is the exchange's, word for word,
//   2. a strategy's executions in the ledger have the numbers 1, 2, 3, …: none is missing, none is there twice,
//   3. each strategy owns, to the share and the cent, what the first n executions of the ledger make, when it has heard
//      of n, and
//   4. the exchange has executed nothing but orders that are in the ledger.
//
// That holds at any moment, also while everybody is being killed, if the strategies are asked first, then the ledger,
// then the exchange, and then the ledger how many orders it has: an order is entered in the ledger, executed by the
// exchange, settled in the ledger and heard of by its strategy, in this order. The books are *settled* when moreover
// nothing is under way: all three have the same executions, and no order is open. Then the sums agree too.
//
// When no more quotes come, books that are settled stay so: the auditor asks the gateway, too, after the strategies,
// whether it has seen all orders through.
//
// Pure code: from books to a report.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "holdings.hpp"

namespace trading {

struct Books {
  std::map<std::string, Holdings> strategies;  // by name
  std::vector<Execution> ledger;               // of each strategy in the order of their numbers
  std::vector<Execution> exchange;
  std::int64_t open_orders = 0;                // in the ledger
  std::map<std::string, std::int64_t> orders;  // in the ledger, afterwards: how many of each strategy
};

struct Report {
  bool balanced = false;
  bool settled = false;
  std::int64_t executions = 0;  // in the ledger
  std::int64_t under_way = 0;   // executions that somebody has still to hear of, and open orders
  std::vector<std::string> differences;
  std::string table;
};

Report compare(const Books& books);

}  // namespace trading
