// A server whose interface is a Cap'n Proto one, and a client that calls it, has itself called back, and pipelines: all over
// muproc's mailboxes.
#include <muproc/muproc.hpp>
#include <muproc/rpc.hpp>

#include <map>
#include <set>
#include <string>

#include "prices.capnp.h"

using namespace muproc;

// Generated server classes have no virtual destructors: kj::Own knows what it destroys.
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"

namespace {

class BookImpl final : public prices::Book::Server {
 public:
  kj::Promise<void> set(SetContext context) override {
    const std::string symbol = context.getParams().getSymbol();
    const double price = prices_[symbol] = context.getParams().getPrice();
    auto told = kj::heapArrayBuilder<kj::Promise<void>>(watchers_[symbol].size());
    for (prices::Watcher::Client* watcher : watchers_[symbol]) {
      auto request = watcher->changedRequest();
      request.setSymbol(symbol.c_str());
      request.setPrice(price);
      // A watcher that has died is none of the caller's business.
      told.add(request.send().ignoreResult().catch_([](kj::Exception&&) {}));
    }
    return kj::joinPromises(told.finish());
  }
  kj::Promise<void> price(PriceContext context) override {
    context.getResults().setPrice(price_of(context.getParams().getSymbol()));
    return kj::READY_NOW;
  }
  kj::Promise<void> watch(WatchContext context) override {
    const auto params = context.getParams();
    context.getResults().setSubscription(
        kj::heap<SubscriptionImpl>(watchers_[params.getSymbol()], params.getWatcher()));
    return kj::READY_NOW;
  }
  kj::Promise<void> open(OpenContext context) override {
    context.getResults().setQuote(kj::heap<QuoteImpl>(*this, context.getParams().getSymbol()));
    return kj::READY_NOW;
  }

 private:
  using Watchers = std::set<prices::Watcher::Client*>;

  class SubscriptionImpl final : public prices::Subscription::Server {
   public:
    SubscriptionImpl(Watchers& watchers, prices::Watcher::Client watcher) : watchers_(watchers), watcher_(kj::mv(watcher)) {
      watchers_.insert(&watcher_);
    }
    ~SubscriptionImpl() { watchers_.erase(&watcher_); }

   private:
    Watchers& watchers_;
    prices::Watcher::Client watcher_;
  };

  class QuoteImpl final : public prices::Quote::Server {
   public:
    QuoteImpl(BookImpl& book, kj::StringPtr symbol) : book_(book), symbol_(kj::heapString(symbol)) {}
    kj::Promise<void> price(PriceContext context) override {
      context.getResults().setPrice(book_.price_of(symbol_));
      return kj::READY_NOW;
    }

   private:
    BookImpl& book_;
    kj::String symbol_;
  };

  double price_of(kj::StringPtr symbol) const {
    const auto found = prices_.find(symbol.cStr());
    KJ_REQUIRE(found != prices_.end(), "nobody has set a price", symbol);
    return found->second;
  }

  std::map<std::string, double> prices_;
  std::map<std::string, Watchers> watchers_;
};

/// Says what it hears.
class Announcer final : public prices::Watcher::Server {
 public:
  explicit Announcer(Self& self) : self_(self) {}
  kj::Promise<void> changed(ChangedContext context) override {
    self_.log().info("{} is now at {}", context.getParams().getSymbol().cStr(), context.getParams().getPrice());
    return kj::READY_NOW;
  }

 private:
  Self& self_;
};

void set_price(rpc::Vat& vat, prices::Book::Client& book, const char* symbol, double price) {
  auto request = book.setRequest();
  request.setSymbol(symbol);
  request.setPrice(price);
  request.send().wait(vat.wait_scope());
}

}  // namespace

void book(Self& self) { rpc::serve<BookImpl>(self); }
MUPROC_ENTRY(book)

void trader(Self& self) {
  rpc::Vat vat(self);
  auto book = vat.connect<prices::Book>("book");

  auto watch = book.watchRequest();
  watch.setSymbol("VOD.L");
  watch.setWatcher(kj::heap<Announcer>(self));
  auto subscription = watch.send().wait(vat.wait_scope()).getSubscription();
  for (const double price : {101.5, 102.0, 99.25}) set_price(vat, book, "VOD.L", price);

  // A call of what the first call will give, sent before that is there: one trip for both.
  auto open = book.openRequest();
  open.setSymbol("VOD.L");
  const double price = open.send().getQuote().priceRequest().send().wait(vat.wait_scope()).getPrice();
  self.log().info("the quote says {}", price);

  auto unknown = book.priceRequest();
  unknown.setSymbol("BT.L");
  try {
    unknown.send().wait(vat.wait_scope());
  } catch (const kj::Exception& error) {
    self.log().info("the book says: {}", error.getDescription().cStr());
  }
}
MUPROC_ENTRY(trader)
