// What stands behind the state machine's table, without its types: events, what a handler decides, rows.
//
// A row is one line of the table: in which state, at which event, what is done. `MachineRun` (behaviours/state_machine.cpp)
// finds the row for an event, runs it, and carries out what it decided; it knows a state as a number.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include <muproc/server.hpp>

namespace muproc::detail {

/// A timeout of a machine: it has one of its state, one of silence, and any number with names.
struct TimerName {
  enum class Kind : std::uint8_t { state, event, named } kind;
  std::string name = {};
  friend bool operator==(const TimerName&, const TimerName&) = default;
};
std::string to_string(const TimerName& timer);

/// An event that a machine inserts for itself.
struct Inserted {
  enum class Kind : std::uint8_t { internal, cast } kind;
  std::string_view name;
  const std::type_info* type;           // of its arguments, a tuple
  std::shared_ptr<const void> content;  // that tuple
};

/// What a handler decided, but for the next state itself.
struct Decision {
  enum class Move : std::uint8_t { keep, repeat, change, stop } move = Move::keep;
  bool postponed = false;
  Reason reason = {};  // of a stop
  struct TimerChange {
    enum class What : std::uint8_t { start, update, cancel } what;
    TimerName timer;
    std::chrono::nanoseconds after{};
    Value content = {};
  };
  std::vector<TimerChange> timers = {};
  std::vector<Inserted> inserted = {};
};

/// An event as a row sees it; which of these are there depends on the kind of the row.
struct Happening {
  const Message* message = nullptr;      // of calls, casts and other messages
  const FieldView* arguments = nullptr;  // of a call, or of a cast from outside
  Answer* answer = nullptr;              // of a call
  const void* content = nullptr;         // of what was inserted: the tuple of its arguments
  const Value* value = nullptr;          // of a timeout
};

class MachineBase;

/// One line of the table, for one event in one state, or in all.
class Row {
 public:
  enum class Event : std::uint8_t { entry, call, cast, internal, timeout, message };

  explicit Row(Event row_event) : event(row_event) {}
  virtual ~Row() = default;
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  /// Of a row for messages: does it want this one? What it found is for the `run` that follows.
  virtual bool wants(const Message&) { return true; }
  /// Throws what the handler throws; BadArgument before it runs.
  virtual Decision run(MachineBase& machine, const Happening& happening) = 0;

  Event event;
  std::optional<std::int64_t> state = {};  // none: in every state
  std::string_view name = {};              // of a call, a cast, an internal event
  const std::type_info* type = nullptr;    // of their arguments, a tuple
  std::uint64_t signature = 0;             // of a call or cast
  unsigned arity = 0;
  std::string (*describe)() = nullptr;
  std::optional<TimerName> timer = {};  // of a timeout
};
using Rows = std::vector<std::shared_ptr<Row>>;

/// A machine as its run sees it.
class MachineBase {
 public:
  MachineBase() = default;
  MachineBase(const MachineBase&) = delete;
  MachineBase& operator=(const MachineBase&) = delete;
  virtual ~MachineBase() = default;

 private:
  friend class MachineRun;
  /// The number of the state that it is in, and of the one that was decided on.
  virtual std::int64_t state_number() const = 0;
  virtual std::int64_t next_state_number() const = 0;
  /// What was decided on is now the state.
  virtual void take_next_state() = 0;
  virtual std::string state_name(std::int64_t number) const = 0;
  /// A call, cast or message that no row of the machine knows. True when it was taken care of, a call answered.
  virtual bool take_unknown(const Message&, Answer*) { return false; }
};

/// The loop, from the initial state, which is the machine's next one, to the end of `terminate`. Returns when it was
/// stopped in order; throws what ended it otherwise.
void run_machine(Self& self, MachineBase& machine, Rows rows, Decision start,
                 void (*terminate)(MachineBase& machine, const Reason& reason));

}  // namespace muproc::detail
