// Generic server `exchange`: stands in for the world outside. It executes orders against the last quote that it has
// seen, and keeps books of its own, which nobody else writes. At the end of the day they are what ours are held
// against.
//
// An order is executed when its line is in the exchange's file; until then nothing has happened. One that comes again,
// because the answer was lost with whoever waited for it, gets the execution that it had.
#pragma once

#include <muproc/muproc.hpp>

#include <map>
#include <string>
#include <utility>

#include "lines.hpp"
#include "quotes.hpp"

namespace trading {

class Exchange {
 public:
  Exchange(muproc::Self& self, const std::filesystem::path& file);

  Execution execute(const Order& order);
  void statement(Statement::Builder to) const;
  /// Quotes.
  void handle_info(const muproc::Message& message);

 private:
  Execution match(const Order& order) const;
  void remember(const Execution& execution);

  Lines lines_;
  std::map<std::pair<std::string, std::int64_t>, Execution> executions_;
  Quotes quotes_;
};

inline constexpr muproc::Call<&Exchange::execute> execute{"execute", "exchange"};
inline constexpr muproc::Call<&Exchange::statement> statement_of_exchange{"statement", "exchange"};

}  // namespace trading
