// The state machine whose states are types.
#include <variant>

#include "support/messages.capnp.h"
#include "support/telling_machine.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

// ---- states that are types -------------------------------------------------------------------------------------------

namespace {

struct Closed {
  std::string typed;
  void event(const std::string& digits) { typed += digits; }
};
struct Opened {
  int times;
};
struct Broken {};

class Safe : public StateMachine<Closed, Opened, Broken> {
 public:
  explicit Safe(Self& self) : self_(self) {}
  Table table() {
    return {Closed{"0"},
            {in<Closed>(entry            >> [this](Closed& closed, const State& previous) {
                          self_.send(self_.parent(), "saw", "closed from " + std::to_string(previous.index()));
                          closed.typed += ':';
                        },
                        on(event)        >> &Closed::event,
                        on(number)       >> [](Closed& closed, From, int n) {
                          return reply(static_cast<int>(closed.typed.size()) + n, n < 0 ? to(Closed{}) : to(Opened{n}));
                        },
                        on<"info">()     >> [](Closed& closed, const std::string& word) { closed.typed = word; },
                        on<Quote>()      >> [](Closed& closed, Quote::Reader quote) {
                          closed.typed = std::to_string(quote.getQty());
                        }),
             in<Opened>(entry            >> keep_state().start(state_timeout, 0s, 3),
                        state_timeout    >> [](Opened& opened, int content) { opened.times += content; },
                        on(number)       >> [](const Opened& opened, ReplyTo<int> caller, int) { caller(opened.times); },
                        on(event)        >> to(Closed{"again"}),
                        otherwise        >> &Safe::breaks),
             always(on(trace)            >> &Safe::where)}};
  }

 private:
  Next breaks(const Message& message) { return message.mumsg().has("break") ? to(Broken{}) : keep_state(); }
  Trace where() {
    return {std::holds_alternative<Closed>(state()) ? "closed " + std::get<Closed>(state()).typed
            : std::holds_alternative<Opened>(state()) ? "opened"
                                                      : "broken"};
  }
  Self& self_;
};

}  // namespace

TEST_CASE("a state can be a type, which holds what is known in that state only", "[machine][types]") {
  LiveSystem system;
  Self& self = system.self();
  start_state_machine<Safe>(self, "m");
  CHECK(words(self, 1) == Trace{"closed from 0"});
  event(self, "m", "1");
  event(self, "m", "2");
  CHECK(trace(self, "m") == Trace{"closed 0:12"});
  self.send("m", "info", "abc");
  CHECK(trace(self, "m") == Trace{"closed abc"});
  self.send<Quote>("m", [](Quote::Builder quote) { quote.setQty(77); });
  CHECK(trace(self, "m") == Trace{"closed 77"});
  CHECK(number(self, "m", -1) == 1);
  CHECK(trace(self, "m") == Trace{"closed "});  // the same state with other contents: not entered
  CHECK(number(self, "m", 4) == 4);
  CHECK(trace(self, "m") == Trace{"opened"});
  CHECK(number(self, "m", 0) == 7);
  event(self, "m", "");
  CHECK(words(self, 1) == Trace{"closed from 1"});
  CHECK(trace(self, "m") == Trace{"closed again:"});
  number(self, "m", 1);
  self.send("m", "break", true);
  CHECK(trace(self, "m") == Trace{"broken"});
  CHECK_THAT(call_error([&] { number(self, "m", 1); }).what(), Contains("in state Broken"));
}
