#include "strategy.hpp"

#include <muproc/groups.hpp>

#include "gateway.hpp"
#include "insist.hpp"
#include "ledger.hpp"
#include "quotes.hpp"
#include "settings.hpp"

namespace trading {

using namespace muproc;
using namespace std::chrono_literals;

Strategy::Strategy(Self& self, std::unique_ptr<Idea> idea) : self_(self), idea_(std::move(idea)) {
  look_into_ledger();
  join(self, k_quotes);
  self.send_every(200ms, self.pid(), {{"look", "ledger"}});
}

void Strategy::handle_info(const Message& message) {
  if (message.is<Quote>()) {
    const auto quote = message.as<Quote>();
    if (const auto wish = idea_->look(quote)) trade(*wish, quote.getSymbol());
  } else if (message.from() == self_.pid()) {
    look_into_ledger();
  }
}

/// Without the gateway there is no going on: its supervisor ends the strategies with it, and so does a CallError.
void Strategy::trade(const Wish& wish, const std::string& symbol) {
  const Order order{self_.name(), holdings_.executions + 1, symbol, wish.quantity, wish.limit};
  if (const auto execution = submit_order(self_, order)) learn(*execution);
}

void Strategy::look_into_ledger() {
  const auto news = insist(self_, [&] { return executions_of(self_, self_.name(), holdings_.executions); });
  for (const Execution& execution : news) learn(execution);
}

void Strategy::learn(const Execution& execution) {
  if (execution.number == holdings_.executions + 1) holdings_.add(execution);
}

// ---- the three ------------------------------------------------------------------------------------------------------

static void run(Self& self, std::unique_ptr<Idea> idea) {
  serve<Strategy>(self, {holdings_of, tell_strategy}, std::move(idea));
}

static void run_momentum(Self& self) { run(self, momentum()); }
static void run_reversion(Self& self) { run(self, reversion()); }
static void run_dice(Self& self) { run(self, dice(randomness(self))); }
MUPROC_ENTRY(run_momentum)
MUPROC_ENTRY(run_reversion)
MUPROC_ENTRY(run_dice)

}  // namespace trading
