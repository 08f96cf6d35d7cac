// Muprocs `feed-paris` and `feed-amsterdam`: what shares cost, as a random walk. Like real feeds, they send nonsense
// at times: a market that is locked (one buys and sells for the same price), a price of nothing.
//
// Plain muprocs with a loop. While the day is open a feed publishes a quote each period; a member of the group without
// room for it misses it, and nobody waits.
#include <muproc/groups.hpp>
#include <muproc/muproc.hpp>

#include <algorithm>

#include "day.hpp"
#include "quotes.hpp"
#include "settings.hpp"

namespace trading {

using namespace muproc;

namespace {

class Walk {
 public:
  Walk(std::vector<std::string> symbols, std::mt19937_64 random) : random_(random) {
    for (std::string& symbol : symbols) shares_.push_back({std::move(symbol)});
  }

  void next(Quote::Builder quote) {
    Share& share = shares_[random_() % shares_.size()];
    share.price = std::max<Cents>(share.price + one_of(-10, 10), 1000);
    const Cents half_spread = one_in(300) ? 0 : one_of(1, 3);
    quote.setSymbol(share.symbol.c_str());
    quote.setNumber(++share.quotes);
    quote.setBid(one_in(500) ? 0 : share.price - half_spread);
    quote.setAsk(share.price + half_spread);
    quote.setSize(one_of(1, 25));
  }

 private:
  struct Share {
    std::string symbol;
    Cents price = 10000;
    std::int64_t quotes = 0;
  };
  std::int64_t one_of(std::int64_t from, std::int64_t to) {
    return std::uniform_int_distribution<std::int64_t>(from, to)(random_);
  }
  bool one_in(unsigned count) { return random_() % count == 0; }

  std::mt19937_64 random_;
  std::vector<Share> shares_;
};

void feed(Self& self) {
  Walk walk(words(self, "symbols"), randomness(self));
  bool open = false;
  join(self, k_day);
  self.send_every(std::chrono::milliseconds(number(self, "period_ms")), self.pid(), {{"tick", true}});
  const auto tick = [&] {
    if (open) (void)try_publish<Quote>(self, k_quotes, [&](Quote::Builder quote) { walk.next(quote); });
  };
  for (;;) self.receive(hears_phase(self, open), on<"tick">() >> tick);
}

}  // namespace

MUPROC_ENTRY(feed)

}  // namespace trading
