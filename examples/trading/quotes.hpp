// The last quote of each symbol, as members of the group "quotes" keep it.
//
// A quote that is older than what is known is passed over. Numbers begin anew with each life of a feed, so whoever
// keeps quotes begins anew with the feeds: see the supervisor `market`.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "orders.hpp"

namespace trading {

inline constexpr const char* k_quotes = "quotes";

struct Top {
  std::int64_t number = 0;
  Cents bid = 0, ask = 0;
  std::int64_t size = 0;
};

class Quotes {
 public:
  /// Feeds send nonsense at times; that is nobody's price.
  void take(Quote::Reader quote) {
    if (quote.getBid() <= 0 || quote.getAsk() < quote.getBid() || quote.getSize() <= 0) return;
    Top& top = tops_[quote.getSymbol()];
    if (quote.getNumber() > top.number) top = {quote.getNumber(), quote.getBid(), quote.getAsk(), quote.getSize()};
  }
  std::optional<Top> top(const std::string& symbol) const {
    const auto found = tops_.find(symbol);
    return found == tops_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  std::map<std::string, Top> tops_;
};

}  // namespace trading
