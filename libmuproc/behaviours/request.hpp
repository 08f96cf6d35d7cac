// What a server is asked: a message read as one of the requests that it knows.
//
// The generic server and the state machine take their calls and casts from here. Nothing that a client sends ends a
// server: what cannot be carried out is a `Refused`, which is answered, or logged when nobody waits for an answer.
#pragma once

#include <muproc/server.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muproc::detail {

// What is asked of every server, in place of a `request_id`.
inline constexpr std::uint64_t k_started_id = 0;
inline constexpr std::uint64_t k_stop_id = 1;

inline constexpr std::size_t k_most_arguments = 16;

// The types of the errors that a request gets; of the first the text is the server's signature.
inline constexpr const char* k_other_signature = "muproc::OtherSignature";
inline constexpr const char* k_no_such_call = "muproc::NoSuchCall";
inline constexpr const char* k_no_row = "muproc::NoRow";  // of a state machine, in the state that it is in
inline constexpr const char* k_bad_argument = "muproc::BadArgument";

/// A request that cannot be carried out, in the words of the answer.
struct Refused {
  const char* type;
  std::string what;
  /// By what it says: the address of a literal is not the same in each translation unit.
  bool is(std::string_view other) const { return type == other; }
};

/// What was asked.
struct Asked {
  enum class What { started, stop, request } what = What::request;
  std::optional<Reason> stop;             // of a stop
  std::size_t index = 0;                  // of a request: which one
  const FieldView* arguments = nullptr;   // of it; until the table reads the next
};

/// The requests that a server knows.
class RequestTable {
 public:
  struct Request {
    std::string_view name;
    bool is_call;
    std::uint64_t signature;
    unsigned arity;
    std::string (*describe)();
  };

  /// Its index, counted from 0. Throws std::invalid_argument when there is one of that name, or when it takes too many
  /// arguments.
  std::size_t add(const Request& request);
  std::optional<std::size_t> find(std::string_view name, bool is_call) const;
  const Request& operator[](std::size_t index) const { return known_[index].request; }

  /// Throws Refused. The arguments live as long as the message, and until the next is read.
  Asked read(const Message& message, bool is_call) const;

 private:
  struct Known {
    std::uint64_t id;
    Request request;
  };

  std::vector<Known> known_;
  mutable std::array<FieldView, k_most_arguments> arguments_;
};

/// In a handler of whatever a call has thrown: what concerns the caller is answered; what ends the server too is answered,
/// and thrown on.
void answer_failure(Answer& answer);

/// The end of a linked one, or an exit signal (then the pid is nil), as one that traps exits hears of it.
struct HeardExit {
  Pid pid;
  std::string name;
  Reason reason;

  /// Its supervisor's word: it ends whoever hears it.
  bool is_shutdown() const { return !pid && reason.is(Reason::Kind::shutdown); }
  /// Why one that does nothing about it ends.
  Reason as_own_end() const { return pid ? Reason::linked(name, pid, reason) : reason; }
};
/// Nothing when the message is something else; the notice of a monitor too.
std::optional<HeardExit> read_exit(const Message& message);

/// A message that nobody wanted, for the log.
std::string describe(const Message& message);

}  // namespace muproc::detail
