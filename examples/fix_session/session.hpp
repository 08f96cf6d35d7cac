// A session in the manner of FIX: two parties that exchange numbered messages and lose none, whatever becomes of either.
//
// - Each message has the next number of its sender. One that comes too early tells that others are missing: they are asked
//   for, and sent again, marked. One that was received before is ignored.
// - Who has nothing to say sends a heartbeat now and then. When nothing has come for longer than that, a test request asks
//   whether the other is there; without an answer the session is over, and whoever initiates logs on again.
// - The numbers live in a journal, so a party that was killed goes on where it was.
//
// Both parties are this machine; one initiates, the other accepts. Each has so many orders to say; when the initiator has
// said and heard all, it logs out.
#pragma once

#include <muproc/muproc.hpp>
#include <muproc/state_machine.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "journal.hpp"

namespace fix {

enum class Type { logon, heartbeat, test_request, resend_request, gap_fill, order, logout };

struct Message {
  Type type = Type::heartbeat;
  int number = 0;
  bool again = false;  // possibly received before
  int until = 0;       // of a resend_request: from which number; of a gap_fill: the number after the gap
  std::string text;
};

/// How far a party has come.
struct Report {
  std::vector<std::string> sent, received;
  bool logged_out = false;
};

/// What a party is told by the other, and asked by whoever looks after it.
struct Party {
  void message(const Message& message);
  Report report();
};
inline constexpr muproc::Cast<&Party::message> message{"message"};
inline constexpr muproc::Call<&Party::report> report{"report"};

enum class State { logged_out, logging_on, established, testing, logging_out };

class Session : public muproc::StateMachine<State> {
 public:
  Session(muproc::Self& self, std::string peer, bool initiates, int orders, const std::string& journal);
  Table table();

 private:
  static constexpr std::chrono::milliseconds k_heartbeat{50}, k_silence{150}, k_patience{150}, k_pace{2};

  Next accept(const Message& message);
  Next log_on(const Message& message);
  Next talk(const Message& message);
  Next trade();
  Report report_now() const;

  /// What a message says, once it is the next in order, or its session's business; and whether it is in order.
  bool in_order(const Message& message);
  void send(Type type, const std::string& text = {}, int until = 0);
  void transmit(Message message);
  void send_again(int from);
  bool all_done() const;

  muproc::Self& self_;
  const std::string peer_;
  const bool initiates_;
  const int orders_;
  Journal journal_;
  int asked_until_ = 0;  // numbers up to this one were asked for again
  bool finished_ = false;
};

}  // namespace fix
