// Muproc `logger`: writes down each trade that the gateway tells of, for people to read. What happens while it is dead
// it misses, and nobody waits for it: the truth is in the ledger.
#include <muproc/groups.hpp>
#include <muproc/muproc.hpp>

#include "lines.hpp"
#include "orders.hpp"
#include "settings.hpp"

namespace trading {

using namespace muproc;

static void logger(Self& self) {
  Lines lines(state_folder(self) / "trades");
  join(self, k_trades);
  for (;;) self.receive(on<Trade>() >> [&](Trade::Reader trade) { lines.add(to_line(read(trade))); });
}
MUPROC_ENTRY(logger)

}  // namespace trading
