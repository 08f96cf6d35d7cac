#include "risk.hpp"

#include "book.hpp"
#include "insist.hpp"
#include "ledger.hpp"
#include "settings.hpp"

namespace trading {

using namespace muproc;

namespace {

/// A twentieth off is a slip of the finger. (Compared so that no number, however wild, overflows.)
bool is_near(Cents limit, const Top& top) { return limit >= top.bid - top.bid / 20 && limit <= top.ask + top.ask / 20; }

}  // namespace

bool Risk::allows(const Order& order) {
  if (!is_word(order.strategy) || !is_word(order.symbol)) return false;
  const auto top = insist(self_, [&] { return top_of_book(self_, order.symbol); });
  if (!top || !is_near(order.limit, *top)) return false;
  if (order.quantity < -most_shares_ || order.quantity > most_shares_) return false;
  const Holdings holdings = insist(self_, [&] { return holdings_in_ledger(self_, order.strategy); });
  const std::int64_t then = holdings.shares_of(order.symbol) + order.quantity;
  return then >= -most_shares_ && then <= most_shares_;
}

static void risk(Self& self) { serve<Risk>(self, {risk_allows}, number(self, "most_shares")); }
MUPROC_ENTRY(risk)

}  // namespace trading
