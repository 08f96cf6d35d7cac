#include "orders.hpp"

#include <spdlog/fmt/fmt.h>

#include <sstream>
#include <stdexcept>

namespace trading {
namespace {

constexpr const char* k_order = "order";
constexpr const char* k_execution = "execution";

const std::string& word(const std::string& text) {
  if (!is_word(text)) throw std::invalid_argument("\"" + text + "\" is no word, and cannot stand in the books");
  return text;
}

template <class T>
T read_line(const std::string& line, const char* kind, std::int64_t T::*last) {
  T read;
  std::string first, rest;
  std::istringstream words(line);
  words >> first >> read.strategy >> read.number >> read.symbol >> read.quantity >> read.*last;
  if (words.fail() || words >> rest || first != kind)
    throw std::invalid_argument("this is no " + std::string(kind) + ": " + line);
  return read;
}

}  // namespace

bool is_word(const std::string& text) { return !text.empty() && text.find_first_of(" \t\r\n\v\f") == text.npos; }

std::string to_line(const Order& order) {
  return fmt::format("{} {} {} {} {} {}", k_order, word(order.strategy), order.number, word(order.symbol),
                     order.quantity, order.limit);
}
std::string to_line(const Execution& execution) {
  return fmt::format("{} {} {} {} {} {}", k_execution, word(execution.strategy), execution.number,
                     word(execution.symbol), execution.quantity, execution.price);
}
bool is_order(const std::string& line) { return line.starts_with(std::string(k_order) + ' '); }
Order order_in(const std::string& line) { return read_line(line, k_order, &Order::limit); }
Execution execution_in(const std::string& line) { return read_line(line, k_execution, &Execution::price); }

void write(Trade::Builder to, const Execution& execution) {
  to.setStrategy(execution.strategy.c_str());
  to.setNumber(execution.number);
  to.setSymbol(execution.symbol.c_str());
  to.setQuantity(execution.quantity);
  to.setPrice(execution.price);
}
Execution read(Trade::Reader trade) {
  return {trade.getStrategy(), trade.getNumber(), trade.getSymbol(), trade.getQuantity(), trade.getPrice()};
}

}  // namespace trading
