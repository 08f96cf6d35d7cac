// Orders, and what becomes of them.
//
// An order is good for the moment: the exchange does what it can at once, and the rest is void. So each order has
// exactly one execution, maybe of no shares at all. Both are known by the strategy's name and the number that it gave
// the order, 1, 2, 3, …: whoever hears of an order again knows that it is the same one. That is what lets everybody
// here ask again when there was no answer.
#pragma once

#include <cstdint>
#include <string>

#include "trading.capnp.h"

namespace trading {

/// Money in whole cents: sums of it are exact.
using Cents = std::int64_t;

/// Members of this group hear of each execution as a Trade.
inline constexpr const char* k_trades = "trades";

struct Order {
  std::string strategy;
  std::int64_t number = 0;
  std::string symbol;
  std::int64_t quantity = 0;  // shares to buy, or (negative) to sell
  Cents limit = 0;            // not for more, or less, a share
};

struct Execution {
  std::string strategy;
  std::int64_t number = 0;
  std::string symbol;
  std::int64_t quantity = 0;  // shares bought, or (negative) sold
  Cents price = 0;            // a share

  friend bool operator==(const Execution&, const Execution&) = default;
};

/// Whether a name can stand in the books: some characters, and no blank among them.
bool is_word(const std::string& text);

// As a line of a file, words with blanks between them, and back. A name that is no word, or a line that is none of
// these, throws std::invalid_argument.
std::string to_line(const Order& order);
std::string to_line(const Execution& execution);
bool is_order(const std::string& line);
Order order_in(const std::string& line);
Execution execution_in(const std::string& line);

// As a message, and back.
void write(Trade::Builder to, const Execution& execution);
Execution read(Trade::Reader trade);

}  // namespace trading
