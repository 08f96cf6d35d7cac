// The out-of-line half of state_machine.hpp: from an event to its row, and what follows from what the row decided.
#include <muproc/state_machine.hpp>

#include <deque>
#include <iterator>

#include "behaviours/machine_timers.hpp"
#include "behaviours/request.hpp"
#include "runtime/failure.hpp"
#include "runtime/runtime.hpp"
#include "sys/clock.hpp"

namespace muproc::detail {

std::string to_string(const TimerName& timer) {
  switch (timer.kind) {
    case TimerName::Kind::state: return "state_timeout";
    case TimerName::Kind::event: return "event_timeout";
    case TimerName::Kind::named: return "timeout \"" + timer.name + '"';
  }
  return {};
}

/// One run of a machine, from the end of `table` to the end of `terminate`.
class MachineRun {
 public:
  MachineRun(Self& self, MachineBase& machine, Rows rows);
  void run(Decision start, void (*terminate)(MachineBase&, const Reason&));

 private:
  using Time = std::chrono::nanoseconds;
  using Move = Decision::Move;

  /// An event inside the machine, which was inserted, postponed, or is a timeout. One from outside is none until it is
  /// postponed: it lies where it was received.
  struct Waiting {
    Message message = {};
    std::optional<Inserted> inserted = {};
    std::optional<MachineTimers::Expired> timeout = {};
  };

  void begin(Decision start);
  void step();
  bool receive_until(std::optional<Time> due);

  void handle(Waiting& event);
  void handle(const Inserted& event, Waiting& waiting);
  void handle(const MachineTimers::Expired& timeout, Waiting& waiting);
  void handle(const Message& message, Waiting* waiting);
  void handle_call(const Message& message, Waiting* waiting);
  void handle_cast(const Message& message, Waiting* waiting);
  void handle_other(const Message& message, Waiting* waiting);

  template <class Fits>
  Row* find(Row::Event event, Fits&& fits) const;
  Row* find_request(std::size_t index, Row::Event event) const;
  void run_row(Row& row, const Happening& happening, Waiting* waiting);
  void carry_out(Decision decision, Waiting* waiting);
  void postpone(Waiting* waiting);
  Decision enter();
  void drop(const Message& message, const std::string& why);
  std::string where() const { return "in state " + machine_.state_name(machine_.state_number()); }

  Self& self_;
  MachineBase& machine_;
  Rows rows_;
  RequestTable requests_;
  std::deque<Waiting> queue_;       // comes before all that was not received yet
  std::vector<Waiting> postponed_;  // until the state changes; oldest first
  std::uint64_t postponed_bytes_ = 0;
  MachineTimers timers_;
  std::optional<Reason> end_;
};

MachineRun::MachineRun(Self& self, MachineBase& machine, Rows rows)
    : self_(self), machine_(machine), rows_(std::move(rows)) {
  for (const auto& row : rows_) {
    const bool is_call = row->event == Row::Event::call;
    if (!is_call && row->event != Row::Event::cast) continue;
    if (const auto known = requests_.find(row->name, is_call)) {
      if (requests_[*known].signature != row->signature)
        throw std::invalid_argument("a machine's rows give \"" + std::string(row->name) + "\" two signatures");
    } else {
      requests_.add({row->name, is_call, row->signature, row->arity, row->describe});
    }
  }
}

// ---- its life --------------------------------------------------------------------------------------------------------

/// Whatever ends the loop, `terminate` runs once. What it throws is then why the machine ended.
void MachineRun::run(Decision start, void (*terminate)(MachineBase&, const Reason&)) {
  std::exception_ptr failure;
  try {
    begin(std::move(start));
    if (!end_) self_.ready();
    while (!end_) step();
  } catch (...) {
    end_ = reason_of_current_exception();
    failure = std::current_exception();
  }
  if (terminate) {
    const Runtime::ExitsHeld held(Runtime::of(self_));
    terminate(machine_, *end_);
  }
  if (failure) std::rethrow_exception(failure);
  if (!end_->is_normal()) self_.exit(*end_);
}

void MachineRun::begin(Decision start) {
  if (start.move != Move::change || start.postponed)
    throw std::logic_error("a machine begins in a state, with no event to postpone");
  machine_.take_next_state();
  start.move = Move::repeat;
  carry_out(std::move(start), nullptr);
}

/// Handles one event: what waits inside, a timeout, or what comes from outside.
void MachineRun::step() {
  Runtime::of(self_).check();  // there may be events inside for a long time
  if (!queue_.empty()) {
    Waiting event = std::move(queue_.front());
    queue_.pop_front();
    return handle(event);
  }
  auto timeout = timers_.take_zero();
  if (!timeout) {
    if (receive_until(timers_.next())) return;
    timeout = timers_.take_due(sys::monotonic());
  }
  if (!timeout) return;
  Waiting event{.timeout = std::move(timeout)};
  handle(event);
}

/// Waits for a message and handles it. False when nothing that was sent before `due` is left then.
bool MachineRun::receive_until(std::optional<Time> due) {
  struct Slot {
    MachineRun& run;
    std::optional<Time> due;
    static bool match(void* slot, const Message& message) {
      const auto& due = static_cast<Slot*>(slot)->due;
      if (due && sys::monotonic() - message.age() > *due) return false;  // it comes after the timeout
      message.check();
      return true;
    }
    static void handle(void* slot, const Message& message, void*) {
      static_cast<Slot*>(slot)->run.handle(message, nullptr);
    }
  } slot{*this, due};
  const ClauseTable::Entry entry{&slot, &Slot::match, &Slot::handle};
  const auto limit = due ? std::optional(std::max(*due - sys::monotonic(), Time(0))) : std::nullopt;
  return Runtime::of(self_).receive({&entry, 1, limit}, nullptr);
}

// ---- from an event to its row ----------------------------------------------------------------------------------------

template <class Fits>
Row* MachineRun::find(Row::Event event, Fits&& fits) const {
  const std::int64_t state = machine_.state_number();
  for (const auto& row : rows_)
    if (row->event == event && (!row->state || *row->state == state) && fits(*row)) return row.get();
  return nullptr;
}

Row* MachineRun::find_request(std::size_t index, Row::Event event) const {
  return find(event, [&](const Row& row) { return row.name == requests_[index].name; });
}

void MachineRun::handle(Waiting& event) {
  if (event.inserted) {
    handle(*event.inserted, event);
  } else if (event.timeout) {
    handle(*event.timeout, event);
  } else {
    Runtime::of(self_).handle(event.message, [&] { handle(event.message, &event); });
  }
}

void MachineRun::handle(const Inserted& event, Waiting& waiting) {
  const auto kind = event.kind == Inserted::Kind::internal ? Row::Event::internal : Row::Event::cast;
  Row* row = find(kind, [&](const Row& at) { return at.name == event.name && *at.type == *event.type; });
  if (!row)
    throw std::logic_error("the machine has no row for \"" + std::string(event.name) + "\", which it inserted, " +
                           where());
  const auto content = event.content;  // it may be inserted again
  run_row(*row, {.content = content.get()}, &waiting);
}

void MachineRun::handle(const MachineTimers::Expired& timeout, Waiting& waiting) {
  Row* row = find(Row::Event::timeout, [&](const Row& at) { return at.timer == timeout.timer; });
  if (!row) throw std::logic_error("the machine has no row for " + to_string(timeout.timer) + ' ' + where());
  run_row(*row, {.value = &timeout.content}, &waiting);
}

void MachineRun::handle(const Message& message, Waiting* waiting) {
  if (message.kind() == Message::Kind::call) return handle_call(message, waiting);
  if (message.kind() == Message::Kind::cast) return handle_cast(message, waiting);
  handle_other(message, waiting);
}

void MachineRun::handle_call(const Message& message, Waiting* waiting) {
  Answer answer(self_, message.from(), message.ref());
  try {
    const Asked asked = requests_.read(message, true);
    switch (asked.what) {
      case Asked::What::started: return answer.nothing();
      case Asked::What::stop: end_ = *asked.stop; return;  // the answer is our end
      case Asked::What::request: break;
    }
    Row* row = find_request(asked.index, Row::Event::call);
    if (!row)
      throw Refused{k_no_row, "the machine has no row for the call \"" + std::string(requests_[asked.index].name) +
                                  "\" " + where()};
    run_row(*row, {.message = &message, .arguments = asked.arguments, .answer = &answer}, waiting);
  } catch (const Refused& refused) {
    if (refused.is(k_no_such_call) && machine_.take_unknown(message, &answer)) return;
    answer_failure(answer);
  } catch (...) {
    answer_failure(answer);
  }
}

void MachineRun::handle_cast(const Message& message, Waiting* waiting) {
  try {
    const Asked asked = requests_.read(message, false);
    Row* row = find_request(asked.index, Row::Event::cast);
    if (!row)
      return drop(message, "no row for the cast \"" + std::string(requests_[asked.index].name) + "\" " + where());
    run_row(*row, {.message = &message, .arguments = asked.arguments}, waiting);
  } catch (const Refused& refused) {
    if (refused.is(k_no_such_call) && machine_.take_unknown(message, nullptr)) return;
    drop(message, std::string(refused.type) + ": " + refused.what);
  } catch (const BadArgument& bad) {
    drop(message, std::string(k_bad_argument) + ": " + bad.what());
  }
}

void MachineRun::handle_other(const Message& message, Waiting* waiting) {
  const auto heard = read_exit(message);
  if (heard && heard->is_shutdown()) {
    end_ = heard->reason;
  } else if (Row* row = find(Row::Event::message, [&](Row& at) { return at.wants(message); })) {
    run_row(*row, {.message = &message}, waiting);
  } else if (heard) {
    end_ = heard->as_own_end();
  } else if (!machine_.take_unknown(message, nullptr)) {
    drop(message, "no row for " + describe(message) + ' ' + where());
  }
}

void MachineRun::drop(const Message& message, const std::string& why) {
  self_.log().warn("dropped a message of {}: {}", to_string(message.from()), why);
}

// ---- what a row decided ----------------------------------------------------------------------------------------------

void MachineRun::run_row(Row& row, const Happening& happening, Waiting* waiting) {
  Decision decision = row.run(machine_, happening);
  timers_.cancel({TimerName::Kind::event});
  carry_out(std::move(decision), waiting);
}

void MachineRun::carry_out(Decision decision, Waiting* waiting) {
  if (decision.move == Move::stop) {
    end_ = std::move(decision.reason);
    return;
  }
  if (decision.postponed) postpone(waiting);

  const bool changed = decision.move == Move::change && machine_.next_state_number() != machine_.state_number();
  if (decision.move == Move::change) machine_.take_next_state();
  if (changed) timers_.cancel({TimerName::Kind::state});
  if (changed || decision.move == Move::repeat) {
    Decision entered = enter();
    if (entered.move == Move::stop) {
      end_ = std::move(entered.reason);
      return;
    }
    std::move(entered.timers.begin(), entered.timers.end(), std::back_inserter(decision.timers));
  }
  if (changed) {
    queue_.insert(queue_.begin(), std::move_iterator(postponed_.begin()), std::move_iterator(postponed_.end()));
    postponed_.clear();
    postponed_bytes_ = 0;
    Runtime::of(self_).set_postponed(0);
  }
  for (auto event = decision.inserted.rbegin(); event != decision.inserted.rend(); ++event)
    queue_.push_front({.inserted = std::move(*event)});
  for (auto& change : decision.timers) {
    switch (change.what) {
      case Decision::TimerChange::What::start:
        timers_.start(std::move(change.timer), change.after, std::move(change.content), sys::monotonic());
        break;
      case Decision::TimerChange::What::update:
        timers_.update(std::move(change.timer), std::move(change.content), sys::monotonic());
        break;
      case Decision::TimerChange::What::cancel: timers_.cancel(change.timer); break;
    }
  }
}

/// What is postponed takes room as what waits unmatched does, and has the same limit.
void MachineRun::postpone(Waiting* waiting) {
  Runtime& runtime = Runtime::of(self_);
  Waiting event = waiting ? std::move(*waiting) : Waiting{.message = runtime.keep_in_hand()};
  postponed_bytes_ += sizeof(Waiting) + event.message.root().targetSize().wordCount * sizeof(capnp::word);
  if (postponed_bytes_ > runtime.kit().stash_limit)
    throw StashFull("what is postponed " + where() + " is more than the stash's limit: " +
                    std::to_string(postponed_.size() + 1) + " events, " + std::to_string(postponed_bytes_) + " bytes");
  postponed_.push_back(std::move(event));
  runtime.set_postponed(postponed_.size());
}

/// The entry of the state that the machine is in now.
Decision MachineRun::enter() {
  Row* row = find(Row::Event::entry, [](const Row&) { return true; });
  if (!row) return {};
  Decision decision = row->run(machine_, {});
  if (decision.postponed || !decision.inserted.empty() || decision.move == Move::change ||
      decision.move == Move::repeat)
    throw std::logic_error("an entry can set timeouts and stop, nothing else: " + where());
  return decision;
}

void run_machine(Self& self, MachineBase& machine, Rows rows, Decision start,
                 void (*terminate)(MachineBase&, const Reason&)) {
  MachineRun(self, machine, std::move(rows)).run(std::move(start), terminate);
}

}  // namespace muproc::detail
