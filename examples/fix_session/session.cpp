#include "session.hpp"

namespace fix {

using namespace muproc;
using namespace std::chrono_literals;

Session::Session(Self& self, std::string peer, bool initiates, int orders, const std::string& journal)
    : self_(self), peer_(std::move(peer)), initiates_(initiates), orders_(orders), journal_(journal) {}

Session::Table Session::table() {
  using enum State;
  // clang-format off
  return {logged_out,
          {in(logged_out,              entry                >> [this] {
                                         return initiates_ && !finished_ ? keep_state().start(state_timeout, 0s) : keep_state();
                                       },
                                       state_timeout        >> to(logging_on),
                                       on(message)          >> &Session::accept),
           in(logging_on,              entry                >> [this] {
                                         asked_until_ = 0;
                                         send(Type::logon);
                                         return keep_state().start(state_timeout, k_patience);
                                       },
                                       state_timeout        >> repeat_state(),
                                       on(message)          >> &Session::log_on),
           in(established,             entry                >> keep_state().start(timeout("silence"), k_silence)
                                                                           .start(timeout("heartbeat"), k_heartbeat)
                                                                           .start(timeout("trade"), k_pace),
                                       timeout("silence")   >> to(testing),
                                       timeout("trade")     >> &Session::trade),
           in(testing,                 entry                >> [this] {
                                         send(Type::test_request);
                                         return keep_state().start(state_timeout, k_patience);
                                       },
                                       state_timeout        >> to(logged_out)),
           in(logging_out,             entry                >> [this] {
                                         send(Type::logout);
                                         return keep_state().start(state_timeout, k_patience);
                                       },
                                       state_timeout        >> to(logged_out)),
           in({established, testing},  timeout("heartbeat") >> [this] {
                                         send(Type::heartbeat);
                                         return keep_state().start(timeout("heartbeat"), k_heartbeat);
                                       }),
           in({established, testing, logging_out},
                                       on(message)          >> &Session::talk),
           always(                     timeout("silence")   >> keep_state(),
                                       timeout("heartbeat") >> keep_state(),
                                       timeout("trade")     >> keep_state(),
                                       on(report)           >> &Session::report_now)}};
  // clang-format on
}

// ---- what is said ----------------------------------------------------------------------------------------------------

void Session::send(Type type, const std::string& text, int until) {
  transmit({.type = type, .number = journal_.add_sent(text), .until = until, .text = text});
}

/// What does not arrive because nobody is there will be asked for.
void Session::transmit(Message message) {
  try {
    fix::message(self_, peer_, message);
  } catch (const NoSuchName&) {}
}

/// Orders as they were, and one mark for each run of messages that nobody wants to hear again.
void Session::send_again(int from) {
  for (int number = from, end = journal_.next_to_send(); number < end;) {
    const std::string& text = journal_.sent(number);
    int next = number + 1;
    if (text.empty()) {
      while (next < end && journal_.sent(next).empty()) ++next;
      transmit({.type = Type::gap_fill, .number = number, .again = true, .until = next});
    } else {
      transmit({.type = Type::order, .number = number, .again = true, .text = text});
    }
    number = next;
  }
}

Session::Next Session::trade() {
  const auto said = journal_.application_sent().size();
  if (said < static_cast<std::size_t>(orders_))
    send(Type::order, self_.name() + "'s order " + std::to_string(said + 1));
  if (initiates_ && all_done()) return to(State::logging_out);
  return keep_state().start(timeout("trade"), k_pace);
}

// ---- what is heard ---------------------------------------------------------------------------------------------------

bool Session::in_order(const Message& message) {
  const int next = journal_.next_to_receive();
  const int until = message.type == Type::gap_fill ? message.until : message.number + 1;
  if (until <= next) return false;  // received before
  if (message.number > next) {
    if (asked_until_ < message.number) {
      asked_until_ = message.number;
      send(Type::resend_request, {}, next);
    }
    return false;
  }
  for (int number = next; number < until; ++number) journal_.add_received(message.text);
  return true;
}

/// Logged out: the acceptor waits for the other to log on. What else comes will be asked for then.
Session::Next Session::accept(const Message& message) {
  if (initiates_ || message.type != Type::logon) return keep_state();
  asked_until_ = 0;
  send(Type::logon);
  in_order(message);
  return to(State::established);
}

/// The initiator waits for the other's logon. What else comes is of a session before, and will be asked for.
Session::Next Session::log_on(const Message& message) {
  if (message.type != Type::logon) return keep_state();
  in_order(message);
  return to(State::established);
}

Session::Next Session::talk(const Message& message) {
  if (message.type == Type::logon && !initiates_) return accept(message);  // the other has come back
  const bool is_next = in_order(message);
  switch (message.type) {
    case Type::test_request: send(Type::heartbeat); break;
    case Type::resend_request: send_again(message.until); break;
    case Type::logout:
      if (!is_next) break;
      if (!initiates_) send(Type::logout);
      finished_ = true;
      return to(State::logged_out);
    case Type::logon:
    case Type::heartbeat:
    case Type::gap_fill:
    case Type::order: break;
  }
  if (state() == State::logging_out) return keep_state();
  return to(State::established).start(timeout("silence"), k_silence);
}

// ---- how far it has come ---------------------------------------------------------------------------------------------

bool Session::all_done() const {
  const auto all = static_cast<std::size_t>(orders_);
  return journal_.application_sent().size() == all && journal_.application_received().size() == all;
}

Report Session::report_now() const {
  return {journal_.application_sent(), journal_.application_received(),
          state() == State::logged_out && (initiates_ ? finished_ : all_done())};
}

}  // namespace fix
