// The state machine: a server whose answer to an event depends on the state that it is in.
//
//     enum class Door { locked, open };
//
//     struct Lock {                                     // what can be asked of it: names and types, no bodies
//       void button(int digit);
//       int code_length();
//     };
//     inline constexpr Cast<&Lock::button> button{"button"};
//     inline constexpr Call<&Lock::code_length> code_length{"code_length"};
//
//     class CodeLock : public StateMachine<Door> {
//      public:
//       explicit CodeLock(std::string code) : code_(std::move(code)) {}      // a `Self&` before it, if it wants one
//
//       Table table() {
//         using enum Door;
//         return {locked,                                                    // where it begins
//                 {in(locked, entry           >> [this] { typed_.clear(); },
//                             on(button)      >> [this](int digit) { return press(digit); },
//                             event_timeout   >> repeat_state()),
//                  in(open,   entry           >> keep_state().start(state_timeout, 10s),
//                             on(button)      >> postpone(),
//                             state_timeout   >> to(locked)),
//                  always(    on(code_length) >> [this] { return static_cast<int>(code_.size()); })}};
//       }
//
//      private:
//       Next press(int digit) {
//         typed_ += std::to_string(digit);
//         if (typed_ == code_) return to(Door::open);
//         return keep_state().start(event_timeout, 5s);
//       }
//       std::string code_, typed_;
//     };
//
//     Pid lock = start_state_machine<CodeLock>(self, "lock", "1234");
//     button(self, "lock", 1);
//     int n = code_length(self, "lock");
//
// **Rows** are tried in the order in which they stand; the first one whose state and event fit is it. What its handler
// takes: of machines whose states are types the state, then From and, of a call, ReplyTo, each if wanted; then the
// event's arguments, all or the first ones. It is a lambda, a member function of the machine or of the state, or simply
// what is to be done.
//
// **States** are the values of an enum, or types that carry what is known in that state only:
// `class CodeLock : public StateMachine<Locked, Open>`, with `in<Locked>(on(button) >> [](Locked& locked, int digit) {…})`
// and `to(Open{…})`. The state is the type then: going to a state of the same type is no change of state.
//
// **What happens next**, in this order: the state changes; `entry` of the new state runs; if the state changed, the
// timeout of the old one is cancelled, and what was postponed is there again, oldest first; what was inserted comes
// before that; timeouts start. Then the next event: what was inserted, what was postponed, what came from outside. A
// timeout of zero comes before anything from outside.
//
// - `entry` also runs at the start and at `repeat_state`. It can set timeouts and stop, nothing else.
// - A call whose row does not answer is answered later, through ReplyTo, or when the postponed event is handled. One
//   without a result is answered as soon as its row has run.
// - A handler that throws ends the machine; the caller of a call gets the error.
// - A call for which the state has no row is answered with an error, a cast or message is logged and dropped: the
//   machine lives. Its own timeouts and insertions must have their rows: without, it ends.
// - Exits, `stop` and `terminate(const Reason&)` are as in the generic server. One that traps exits hears of them in a row
//   `on<"terminated", "reason">`; without that row they end it.
// - Views among a handler's parameters (text, readers) live until it returns.
//
// Erlang: gen_statem, with state_enter; `state_functions` as well as `handle_event_function`. cl-muproc has none.
#pragma once

#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <muproc/detail/state_row.hpp>
#include <muproc/server.hpp>

namespace muproc {

/// An event that a machine has from nobody but itself: `.insert(connected, 3)`, `on(connected) >> [](int n) {…}`. Its
/// arguments never leave the process, so they may be of any copyable type. Erlang: {next_event, internal, …}.
template <class... A>
class Internal {
 public:
  constexpr explicit Internal(const char* name) : name_(name) {}
  constexpr std::string_view name() const { return name_; }

 private:
  const char* name_;
};

/// What is to be done after an event. Made by a StateMachine's `to`, `keep_state`, `repeat_state`, `postpone`, `stop`, and
/// completed: `to(open).start(state_timeout, 10s).insert(opened)`.
template <class State>
class Next {
  using Change = detail::Decision::TimerChange;

 public:
  /// The event is handled again after the next change of state (this one included). Erlang: postpone.
  Next& postpone() & { return decision_.postponed = true, *this; }
  Next&& postpone() && { return std::move(postpone()); }

  /// Starts a timeout, anew if it runs. `content` is what its row's handler may take. Zero: before anything that has not
  /// been received yet. std::chrono::nanoseconds::max(): cancels. Throws std::invalid_argument when negative.
  template <class Content = std::nullptr_t>
  Next& start(detail::TimerPattern timeout, std::chrono::nanoseconds after, const Content& content = {}) & {
    if (after.count() < 0) throw std::invalid_argument("a negative time-out");
    return add({Change::What::start, std::move(timeout.timer), after, value_of(content)});
  }
  template <class Content = std::nullptr_t>
  Next&& start(detail::TimerPattern timeout, std::chrono::nanoseconds after, const Content& content = {}) && {
    return std::move(start(std::move(timeout), after, content));
  }
  /// Changes its content, not its time; one that does not run is started with zero. Erlang: {…, update, Content}.
  template <class Content>
  Next& update(detail::TimerPattern timeout, const Content& content) & {
    return add({Change::What::update, std::move(timeout.timer), {}, value_of(content)});
  }
  template <class Content>
  Next&& update(detail::TimerPattern timeout, const Content& content) && {
    return std::move(update(std::move(timeout), content));
  }
  /// Harmless when it does not run.
  Next& cancel(detail::TimerPattern timeout) & { return add({Change::What::cancel, std::move(timeout.timer)}); }
  Next&& cancel(detail::TimerPattern timeout) && { return std::move(cancel(std::move(timeout))); }

  /// An event that comes before all others; several in the order in which they were inserted. Erlang: next_event.
  template <class... A, class... Given>
  Next& insert(const Internal<A...>& event, Given&&... arguments) & {
    return add<std::tuple<A...>>(detail::Inserted::Kind::internal, event.name(), std::forward<Given>(arguments)...);
  }
  template <auto Handler, class... Given>
  Next& insert(const Cast<Handler>& cast, Given&&... arguments) & {
    return add<detail::KeptArguments<typename detail::RequestShape<Handler, false>::Arguments>>(
        detail::Inserted::Kind::cast, cast.name(), std::forward<Given>(arguments)...);
  }
  template <class Event, class... Given>
  Next&& insert(const Event& event, Given&&... arguments) && {
    return std::move(insert(event, std::forward<Given>(arguments)...));
  }

  /// For the table: what was decided; the machine is told the state.
  template <class Model>
  detail::Decision decide(detail::StatefulMachine<Model>& machine) && {
    if (state_) machine.decide_on(*std::move(state_));
    return std::move(decision_);
  }

 private:
  template <class... S>
  friend class StateMachine;
  friend class EventHandler;
  using Move = detail::Decision::Move;

  Next() = default;
  explicit Next(State state) : state_(std::move(state)) { decision_.move = Move::change; }
  explicit Next(Move move) { decision_.move = move; }

  Next& add(Change change) { return decision_.timers.push_back(std::move(change)), *this; }
  template <class Content, class... Given>
  Next& add(detail::Inserted::Kind kind, std::string_view name, Given&&... arguments) {
    static_assert(std::is_constructible_v<Content, Given...>, "the event takes other arguments");
    decision_.inserted.push_back(
        {kind, name, &typeid(Content), std::make_shared<const Content>(std::forward<Given>(arguments)...)});
    return *this;
  }
  template <class Content>
  static Value value_of(const Content& content) {
    if constexpr (std::is_same_v<Content, std::nullptr_t>)
      return {};
    else
      return detail::give<detail::Travelling<Content>>(content);
  }

  detail::Decision decision_;
  std::optional<State> state_;
};

/// A call's answer and what is to be done after it: `return reply(count_, to(open))`.
template <class R, class State>
struct Replied {
  R value;
  muproc::Next<State> next;
};

// ---- the left sides of rows, besides those of `receive` ----

/// A call or cast.
template <auto Handler>
auto on(const Call<Handler>& call) {
  return detail::RequestPattern<detail::RequestShape<Handler, true>, true>{call.name()};
}
template <auto Handler>
auto on(const Cast<Handler>& cast) {
  return detail::RequestPattern<detail::RequestShape<Handler, false>, false>{cast.name()};
}
/// An event of the machine's own.
template <class... A>
auto on(const Internal<A...>& event) {
  return detail::InternalPattern<A...>{event.name()};
}

/// What a state machine derives from, publicly; `States` are one enum, or the types of its states. It has a member
/// function `Table table()`, called once, after the constructor; optional is `terminate(const Reason&)`.
template <class... States>
class StateMachine : public detail::StatefulMachine<detail::StateModel<States...>> {
  using Model = detail::StateModel<States...>;

 public:
  using State = typename Model::State;
  using Next = muproc::Next<State>;

  /// Where it begins (a state, or `to(state)` with what else is to be done), and its rows.
  class Table {
   public:
    Table(State initial, std::initializer_list<detail::Rows> rows) : Table(Next(std::move(initial)), rows) {}
    Table(Next start_with, std::initializer_list<detail::Rows> groups) : start(std::move(start_with)) {
      for (const detail::Rows& group : groups) rows.insert(rows.end(), group.begin(), group.end());
    }
    Next start;
    detail::Rows rows;
  };

  /// The state it is in; not before `table` has been called. A std::variant when states are types.
  const State& state() const { return this->current(); }

 protected:
  // -- rows

  /// Rows of one state: `in(locked, entry >> …, on(button) >> …)`, `in<Locked>(…)`.
  template <class... Clauses>
    requires(sizeof...(States) == 1 && (std::is_enum_v<States> && ...))
  static detail::Rows in(State state, Clauses&&... clauses) {
    return rows_of(Model::number(state), std::forward<Clauses>(clauses)...);
  }
  /// Rows of several: `in({locked, open}, …)`.
  template <class... Clauses>
    requires(sizeof...(States) == 1 && (std::is_enum_v<States> && ...))
  static detail::Rows in(std::initializer_list<State> states, const Clauses&... clauses) {
    detail::Rows rows;
    for (const State state : states)
      for (auto& row : rows_of(Model::number(state), clauses...)) rows.push_back(std::move(row));
    return rows;
  }
  template <class S, class... Clauses>
    requires(Model::template k_is_state<S>)
  static detail::Rows in(Clauses&&... clauses) {
    static_assert((... && detail::k_fits_state<Model, S, std::remove_cvref_t<Clauses>>),
                  "a handler takes another state than the one whose row it stands in");
    return rows_of(Model::template number_of<S>(), std::forward<Clauses>(clauses)...);
  }
  /// Rows of every state. Erlang: all state events, handle_common.
  template <class... Clauses>
  static detail::Rows always(Clauses&&... clauses) {
    static_assert((... && detail::k_fits_state<Model, void, std::remove_cvref_t<Clauses>>),
                  "a handler takes one state, and its row stands for all");
    return rows_of(std::nullopt, std::forward<Clauses>(clauses)...);
  }

  /// On entering the state; the handler may take the state before it. Erlang: a state enter call.
  static constexpr detail::EntryPattern entry{};
  /// The state has lasted so long: cancelled by a change of state.
  static inline const detail::TimerPattern state_timeout{{detail::TimerName::Kind::state}};
  /// No event has come for so long: cancelled by any event.
  static inline const detail::TimerPattern event_timeout{{detail::TimerName::Kind::event}};
  /// One with a name, which lasts until it is over or cancelled. Erlang: a generic timeout.
  static detail::TimerPattern timeout(std::string_view name) {
    return {{detail::TimerName::Kind::named, std::string(name)}};
  }

  // -- what is to be done

  static Next to(State state) { return Next(std::move(state)); }
  /// Erlang: keep_state.
  static Next keep_state() { return Next(); }
  /// Stays in the state, and enters it again.
  static Next repeat_state() { return Next(Next::Move::repeat); }
  static Next postpone() { return keep_state().postpone(); }
  /// Ends the machine, after `terminate`.
  static Next stop(Reason reason = Reason::normal()) {
    Next next(Next::Move::stop);
    next.decision_.reason = std::move(reason);
    return next;
  }
  static Next stop(Value reason) { return stop(Reason::exit(std::move(reason))); }
  template <class R>
  static Replied<R, State> reply(R value, Next next = keep_state()) {
    return {std::move(value), std::move(next)};
  }

 private:
  template <class... Clauses>
  static detail::Rows rows_of(std::optional<std::int64_t> state, Clauses&&... clauses) {
    detail::Rows rows{detail::make_row<Model>(std::forward<Clauses>(clauses))...};
    for (auto& row : rows) row->state = state;
    return rows;
  }
};

namespace detail {

template <class M>
void run_machine(Self& self, M& machine) {
  auto table = machine.table();
  void (*terminate)(MachineBase&, const Reason&) = nullptr;
  if constexpr (requires(const Reason& reason) { machine.terminate(reason); }) {
    terminate = [](MachineBase& base, const Reason& reason) { static_cast<M&>(base).terminate(reason); };
  } else {
    static_assert(
        !requires { &M::terminate; }, "terminate must be public and take (const Reason&)");
  }
  run_machine(self, static_cast<MachineBase&>(machine), std::move(table.rows), std::move(table.start).decide(machine),
              terminate);
}

template <class M, class... Args>
void serve_machine(Self& self, const std::string& port_name, Args&&... args) {
  const Port port = port_name.empty() ? Port() : self.register_port(port_name);
  if constexpr (std::is_constructible_v<M, Self&, Args...>) {
    M machine(self, std::forward<Args>(args)...);
    run_machine(self, machine);
  } else {
    M machine(std::forward<Args>(args)...);
    run_machine(self, machine);
  }
}

inline Mumsg machine_args(const std::string& port, List constructor_args) {
  return {{"port", port}, {"args", std::move(constructor_args)}};
}

template <class M, class... Args>
[[gnu::visibility("hidden")]] void run_spawned_machine(Self& self) {
  const Mumsg args = self.args();
  std::apply([&](Args&&... each) { serve_machine<M>(self, args["port"].as<std::string>(), std::move(each)...); },
             take_all<std::tuple<Args...>>(args["args"]));
}

}  // namespace detail

/// Spawns a muproc that is a machine M, constructed there from the arguments. Returns when its initial state has been
/// entered. Throws StartFailed, with the exception of the constructor or the entry as its reason, NameTaken, Error as
/// spawn does. Erlang: gen_statem:start.
template <class M, class... Args>
Pid start_state_machine(Self& self, std::string_view name, const ServerOptions& options, const Args&... args) {
  static_assert(detail::ServerFrom<M, detail::Travelling<Args>...>,
                "the machine has no constructor for these arguments");
  return detail::start_server(
      self, name, &detail::run_spawned_machine<M, detail::Travelling<Args>...>,
      options.spawn_options(detail::machine_args(options.port, detail::travelling_args(args...))));
}
template <class M, class... Args>
  requires(sizeof...(Args) == 0 ||
           !std::is_same_v<std::remove_cvref_t<std::tuple_element_t<0, std::tuple<Args..., void>>>, ServerOptions>)
Pid start_state_machine(Self& self, std::string_view name, const Args&... args) {
  return start_state_machine<M>(self, name, ServerOptions{}, args...);
}

/// The same as a supervisor's child, which is ready when its initial state has been entered:
/// `supervisor(one_for_one, {2, 5s}, {state_machine_child<CodeLock>("lock", {}, "1234")})`.
template <class M, class... Args>
Child state_machine_child(std::string name, ChildOptions options, const Args&... args) {
  static_assert(detail::ServerFrom<M, detail::Travelling<Args>...>,
                "the machine has no constructor for these arguments");
  options.args = detail::machine_args({}, detail::travelling_args(args...));
  options.ready_on = ReadyOn::call;
  return Child(std::move(name), &detail::run_spawned_machine<M, detail::Travelling<Args>...>, std::move(options));
}

/// Turns the calling muproc into a machine: returns when it was stopped in order. Erlang: gen_statem:enter_loop.
template <class M, class... Args>
void run_state_machine(Self& self, Args&&... args) {
  static_assert(detail::ServerFrom<M, Args...>, "the machine has no constructor for these arguments");
  detail::serve_machine<M>(self, {}, std::forward<Args>(args)...);
}

}  // namespace muproc
