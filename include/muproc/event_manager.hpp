// The event manager: one muproc in which handlers of events live, added, removed and swapped while it runs.
//
//     struct Alarms {                                  // the events: names and types, no bodies
//       void raised(std::string what, int level);
//       int count();
//     };
//     inline constexpr Cast<&Alarms::raised> raised{"raised"};
//     inline constexpr Call<&Alarms::count> count{"count"};
//
//     class Worst : public EventHandler {              // lives in the manager's process
//      public:
//       explicit Worst(int from_level);                // a `Self&` (the manager's) before it, if it wants one
//       Events events() {
//         return {on(raised)    >> [this](const std::string& what, int level) { … },
//                 on<"report">() >> [this] { … },      // events may be messages of any kind
//                 on(count)     >> [this] { return count_; }};
//       }
//       void terminate(const Reason&);                 // optional, as are hand_over and take_over
//     };
//
//     start_event_manager(self, "alarms");
//     add_handler<Worst>(self, "alarms", "worst", 3);  // constructed there, from the argument 3
//     raised(self, "alarms", "fire", 5);               // to every handler that has a row for it
//     notify(self, "alarms", "report", true);
//     int n = handler_call("worst", count)(self, "alarms");
//
// Handlers hear of an event in the order in which they were added; one without a row for it does not. A handler leaves
// when it is deleted or swapped, when a row returns `remove_handler()`, when it throws, when its owner ends, or with the
// manager; each time its `terminate` runs, once. A handler that throws harms nobody else: it is removed, the manager
// and the other handlers go on. (But one that calls `self.exit` ends the manager: they are one muproc.)
//
// **Owners.** `add_sup_handler` makes its caller the handler's owner: when the owner ends, the handler is removed; when
// the handler leaves otherwise, the owner gets a message `handler_exit: id, reason: reason, manager: pid`. The reason is
// `normal` when it was deleted or left by itself, exit{["swapped", new id, who]} when somebody else swapped it, `shutdown`
// when the manager ended in order, else what it threw.
//
// A handler's code must be in the manager's process: in the module that the manager was started from, or in a library of
// it. It travels as (build id, offset), and only what was compiled as a handler there is taken.
//
// Erlang: gen_event. cl-muproc has none.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <muproc/state_machine.hpp>

namespace muproc {

namespace detail {
enum class Only { state };
}  // namespace detail

/// What a handler derives from, publicly. It has a member function `Events events()`, called once, after the constructor.
class EventHandler : public detail::StatefulMachine<detail::StateModel<detail::Only>> {
  using Model = detail::StateModel<detail::Only>;

 public:
  using Next = muproc::Next<detail::Only>;

  /// What it hears: rows as a state machine's, tried in their order: `on(cast)`, `on<"field">`, `on<T>`, `otherwise`; and
  /// what it can be asked: `on(call)`.
  class Events {
   public:
    template <class... Pattern, class... Handler>
    Events(detail::Clause<Pattern, Handler>... clauses) : rows{detail::make_row<Model>(std::move(clauses))...} {}
    detail::Rows rows;
  };

 protected:
  static Next keep_handler() { return Next(); }
  /// The handler leaves. Erlang: remove_handler.
  static Next remove_handler() { return Next(Next::Move::stop); }
};

namespace detail {

/// A handler as the manager knows it.
struct HandlerParts {
  std::unique_ptr<EventHandler> handler;
  Rows rows;
  void (*terminate)(EventHandler& handler, const Reason& reason) = nullptr;
  Value (*hand_over)(EventHandler& handler) = nullptr;
  void (*take_over)(EventHandler& handler, const Value& state) = nullptr;
};
using HandlerFactory = HandlerParts (*)(Self& self, const Value& args);

template <class H, class... Args>
[[gnu::visibility("hidden")]] HandlerParts make_handler(Self& self, const Value& args) {
  static_assert(std::is_base_of_v<EventHandler, H>, "a handler derives publicly from muproc::EventHandler");
  auto made = std::apply(
      [&](Args&&... each) {
        if constexpr (std::is_constructible_v<H, Self&, Args...>)
          return std::make_unique<H>(self, std::move(each)...);
        else
          return std::make_unique<H>(std::move(each)...);
      },
      take_all<std::tuple<Args...>>(args));
  HandlerParts parts;
  parts.rows = made->events().rows;
  if constexpr (requires(H & handler, const Reason& reason) { handler.terminate(reason); })
    parts.terminate = [](EventHandler& handler, const Reason& reason) { static_cast<H&>(handler).terminate(reason); };
  if constexpr (requires(H & handler) { Value(handler.hand_over()); })
    parts.hand_over = [](EventHandler& handler) { return Value(static_cast<H&>(handler).hand_over()); };
  if constexpr (requires(H & handler, const Value& state) { handler.take_over(state); })
    parts.take_over = [](EventHandler& handler, const Value& state) { static_cast<H&>(handler).take_over(state); };
  parts.handler = std::move(made);
  return parts;
}

/// Made when a module is loaded, for each kind of handler that it adds anywhere: the manager runs no other code.
struct HandlerRegistration {
  explicit HandlerRegistration(HandlerFactory factory);
};
template <class H, class... Args>
struct [[gnu::visibility("hidden")]] RegisteredHandler {
  static inline const HandlerRegistration registration{&make_handler<H, Args...>};
};

/// A handler on its way to the manager.
struct HandlerOnItsWay {
  std::string_view id;
  HandlerFactory factory;
  List args;
};
template <class H, class... Args>
HandlerOnItsWay handler_on_its_way(std::string_view id, const Args&... args) {
  static_assert(ServerFrom<H, Travelling<Args>...>, "the handler has no constructor for these arguments");
  static_cast<void>(&RegisteredHandler<H, Travelling<Args>...>::registration);
  return {id, &make_handler<H, Travelling<Args>...>, travelling_args(args...)};
}

void add_handler(Self& self, Address manager, HandlerOnItsWay handler, bool supervised);
void swap_handler(Self& self, Address manager, std::string_view old, HandlerOnItsWay handler, bool supervised);
void sync_notify(Self& self, Address manager, const Mumsg& event);
void run_event_manager(Self& self);
[[gnu::visibility("hidden")]] inline void run_spawned_event_manager(Self& self) {
  const std::string name = self.args()["port"].as<std::string>();
  const Port port = name.empty() ? Port() : self.register_port(name);
  run_event_manager(self);
}

}  // namespace detail

// ---- managers --------------------------------------------------------------------------------------------------------

/// Spawns an event manager without handlers. Throws NameTaken, StartFailed. Erlang: gen_event:start. It is stopped by
/// muproc::stop.
inline Pid start_event_manager(Self& self, std::string_view name, const ServerOptions& options = {}) {
  return detail::start_server(self, name, &detail::run_spawned_event_manager,
                              options.spawn_options(detail::machine_args(options.port, {})));
}
/// The same as a supervisor's child.
inline Child event_manager_child(std::string name, ChildOptions options = {}) {
  options.args = detail::machine_args({}, {});
  options.ready_on = ReadyOn::call;
  return Child(std::move(name), &detail::run_spawned_event_manager, std::move(options));
}
/// Turns the calling muproc into an event manager: returns when it was stopped in order.
inline void run_event_manager(Self& self) { detail::run_event_manager(self); }

// ---- handlers --------------------------------------------------------------------------------------------------------

/// Adds a handler H, constructed in the manager's process from the arguments. Throws CallError: `error` with what the
/// constructor threw, or when there is one with that id, or when its code is not there; `noproc`, `down`, `timeout`.
template <class H, class... Args>
void add_handler(Self& self, Address manager, std::string_view id, const Args&... args) {
  detail::add_handler(self, manager, detail::handler_on_its_way<H>(id, args...), false);
}
/// The same, owned by the caller. Returns the ref of a monitor of the manager, whose death tells of the handler's too.
template <class H, class... Args>
[[nodiscard]] Ref add_sup_handler(Self& self, Address manager, std::string_view id, const Args&... args) {
  const Ref monitor = self.monitor(manager);
  try {
    detail::add_handler(self, manager, detail::handler_on_its_way<H>(id, args...), true);
  } catch (...) {
    self.demonitor(monitor, true);
    throw;
  }
  return monitor;
}
/// False when there is none with that id. Throws CallError.
bool delete_handler(Self& self, Address manager, std::string_view id);
/// Puts a handler in another one's place: the old one's `Value hand_over()` (or anything that a Value is made from) and
/// `terminate` run, then the new one's constructor and, with what was handed over, its `take_over(const Value&)`, each if it
/// has it. Where there is no old one it is an add_handler. Throws CallError as that does; the old one is gone then.
template <class H, class... Args>
void swap_handler(Self& self, Address manager, std::string_view old, std::string_view id, const Args&... args) {
  detail::swap_handler(self, manager, old, detail::handler_on_its_way<H>(id, args...), false);
}
/// The same, owned by the caller.
template <class H, class... Args>
[[nodiscard]] Ref swap_sup_handler(Self& self, Address manager, std::string_view old, std::string_view id,
                                   const Args&... args) {
  const Ref monitor = self.monitor(manager);
  try {
    detail::swap_handler(self, manager, old, detail::handler_on_its_way<H>(id, args...), true);
  } catch (...) {
    self.demonitor(monitor, true);
    throw;
  }
  return monitor;
}
/// Their ids, in the order in which they were added. Throws CallError.
std::vector<std::string> which_handlers(Self& self, Address manager);

// ---- events ----------------------------------------------------------------------------------------------------------

/// Tells all handlers, and does not wait. A cast can be called by itself just as well, and a message be sent.
template <auto Event, class... Args>
void notify(Self& self, Address manager, const Cast<Event>& event, const Args&... arguments) {
  event(self, manager, arguments...);
}
template <class... Rest>
void notify(Self& self, Address manager, std::string_view name, const Rest&... rest) {
  self.send(manager, name, rest...);
}
/// Returns when all handlers have handled it. Throws CallError.
template <auto Event, class... Args>
void sync_notify(Self& self, Address manager, const Cast<Event>& event, const Args&... arguments) {
  const std::string name(event.name());
  Call<Event>(name.c_str())(self, manager, arguments...);
}
template <class... Rest>
void sync_notify(Self& self, Address manager, std::string_view name, const Rest&... rest) {
  static_assert(sizeof...(Rest) % 2 == 1, "an event is names and values in turn");
  Mumsg event;
  const auto set = [&](const auto& again, std::string_view key, const auto& value, const auto&... more) -> void {
    event.set(std::string(key), Value(value));
    if constexpr (sizeof...(more) > 0) again(again, more...);
  };
  set(set, name, rest...);
  detail::sync_notify(self, manager, event);
}

/// A call of one handler: `handler_call("worst", count)(self, "alarms")`. Throws CallError. Erlang: gen_event:call.
template <auto Handler>
class HandlerCall {
 public:
  HandlerCall(std::string_view id, const Call<Handler>& call)
      : name_(std::string(id) + '/' + std::string(call.name())) {}
  HandlerCall within(std::chrono::nanoseconds limit) const {
    HandlerCall other = *this;
    other.limit_ = limit;
    return other;
  }
  template <class... Args>
  decltype(auto) operator()(Self& self, Address manager, const Args&... arguments) const {
    return Call<Handler>(name_.c_str()).within(limit_)(self, manager, arguments...);
  }

 private:
  std::string name_;
  std::chrono::nanoseconds limit_ = k_call_timeout;
};
template <auto Handler>
HandlerCall<Handler> handler_call(std::string_view id, const Call<Handler>& call) {
  return {id, call};
}

}  // namespace muproc
