// The rows of a state machine's table with their types: what `on(button) >> handler` becomes.
//
// A handler takes, in this order and each only if it wants it: the state it is in (of machines whose states are types), the
// sender (From), of a call ReplyTo<R>; then the event's arguments: all of them, or the first ones, or none.
#pragma once

#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <muproc/detail/machine.hpp>
#include <muproc/match.hpp>
#include <muproc/reply_to.hpp>

namespace muproc {

template <class State>
class Next;
template <class R, class State>
struct Replied;

namespace detail {

// ---- states ----

/// What a machine's states are: the values of one enum, or types.
template <class... S>
struct StateModel {
  using State = std::variant<S...>;
  template <class T>
  static constexpr bool k_is_state = (std::is_same_v<T, S> || ...);
  static std::int64_t number(const State& state) { return static_cast<std::int64_t>(state.index()); }
  template <class T>
  static constexpr std::int64_t number_of() {
    std::int64_t at = 0;
    bool found = false;
    ((found = found || std::is_same_v<T, S>, at += found ? 0 : 1), ...);
    return at;
  }
  static std::string name(std::int64_t number) {
    constexpr std::string_view names[]{name_of<S>()...};
    return std::string(names[static_cast<std::size_t>(number)]);
  }

 private:
  template <class T>
  static constexpr std::string_view name_of() {
    std::string_view text =
        __PRETTY_FUNCTION__;  // "… [with T = ns::Locked; std::string_view = …]" or "… [T = ns::Locked]"
    text.remove_prefix(text.find("T = ") + 4);
    text = text.substr(0, text.find_first_of(";]"));
    return text.substr(text.rfind(':') + 1);
  }
};

template <class E>
  requires std::is_enum_v<E>
struct StateModel<E> {
  using State = E;
  template <class T>
  static constexpr bool k_is_state = false;
  static std::int64_t number(E state) { return static_cast<std::int64_t>(state); }
  static std::string name(std::int64_t number) {
    return [&]<std::int64_t... N>(std::integer_sequence<std::int64_t, N...>) {
      std::string_view found;
      ((N == number ? void(found = name_of<static_cast<E>(N)>()) : void()), ...);
      return found.empty() || found.front() == '(' ? std::to_string(number) : std::string(found);
    }
    (std::make_integer_sequence<std::int64_t, 32>{});
  }

 private:
  template <E value>
  static constexpr std::string_view name_of() {
    std::string_view text = __PRETTY_FUNCTION__;
    text.remove_prefix(text.find("value = ") + 8);
    text = text.substr(0, text.find_first_of(";]"));
    return text.front() == '(' ? text : text.substr(text.rfind(':') + 1);
  }
};

/// A machine with its state.
template <class Model>
class StatefulMachine : public MachineBase {
 public:
  using State = typename Model::State;
  State& current() { return *current_; }
  const State& current() const { return *current_; }
  /// Where it was before it entered the state that it is in; at the start that state itself.
  const State& previous() const { return previous_ ? *previous_ : *current_; }
  void decide_on(State next) { next_.emplace(std::move(next)); }

 private:
  std::int64_t state_number() const final { return Model::number(*current_); }
  std::int64_t next_state_number() const final { return Model::number(*next_); }
  std::string state_name(std::int64_t number) const final { return Model::name(number); }
  void take_next_state() final {
    if (current_ && Model::number(*current_) != Model::number(*next_)) previous_.emplace(std::move(*current_));
    current_.emplace(std::move(*next_));
    next_.reset();
  }

  std::optional<State> current_, next_, previous_;
};

// ---- patterns: the left side of a row ----

struct EntryPattern {
  struct Bound {};
};
struct TimerPattern {
  struct Bound {};
  TimerName timer;
};
template <class Shape, bool is_call>
struct RequestPattern {
  struct Bound {};
  std::string_view name;
};
template <class... A>
struct InternalPattern {
  struct Bound {};
  std::string_view name;
};

// ---- requests: from a Call's or Cast's member function ----

template <auto Handler, bool is_call>
using RequestShape = std::conditional_t<is_call, CallShape<decltype(Handler)>, CastShape<decltype(Handler)>>;

/// Arguments that outlive the message that they came from.
template <class Arguments>
struct KeptOf;
template <class... A>
struct KeptOf<std::tuple<A...>> {
  using Type = std::tuple<ReceivedResult<A>...>;
};
template <class Arguments>
using KeptArguments = typename KeptOf<Arguments>::Type;

template <class Result, class T>
void answer_with(Answer& answer, T&& value) {
  if constexpr (Struct<Result>) {
    answer.value(StructGiven<Result>(std::forward<T>(value)).argument());
  } else if constexpr (std::is_same_v<Result, std::remove_cvref_t<T>>) {
    answer.value(Given<Result>(value).argument());
  } else {
    const Result result(std::forward<T>(value));
    answer.value(Given<Result>(result).argument());
  }
}

// ---- handlers: the right side ----

template <class T>
inline constexpr bool k_is_next = false;
template <class State>
inline constexpr bool k_is_next<Next<State>> = true;
template <class T>
inline constexpr bool k_is_replied = false;
template <class R, class State>
inline constexpr bool k_is_replied<Replied<R, State>> = true;
template <class T>
inline constexpr bool k_is_reply_to = false;
template <class R>
inline constexpr bool k_is_reply_to<ReplyTo<R>> = true;

template <class Handler>
struct ClassOf {
  using Type = void;
};
template <class F, class C>
struct ClassOf<F C::*> {
  using Type = C;
};

template <class Tuple, std::size_t i>
struct ElementOr {
  using Type = void;
};
template <class Tuple, std::size_t i>
  requires(i < std::tuple_size_v<Tuple>)
struct ElementOr<Tuple, i> {
  using Type = std::tuple_element_t<i, Tuple>;
};

/// What a handler takes before the event's arguments.
template <class Model, class Handler>
struct Lead {
  using Arguments = ArgumentsOf<Handler>;
  template <std::size_t i>
  using At = typename ElementOr<Arguments, i>::Type;
  static constexpr bool k_state = Model::template k_is_state<At<0>>;
  static constexpr bool k_from = std::is_same_v<At<k_state>, From>;
  static constexpr bool k_reply = k_is_reply_to<At<k_state + k_from>>;
  static constexpr std::size_t k_count = std::size_t{k_state} + k_from + k_reply;
  static constexpr std::size_t k_rest = std::tuple_size_v<Arguments> - k_count;

  /// The object of a member function, then what it takes first.
  static auto values(MachineBase& machine, const Happening& happening) {
    auto& holder = static_cast<StatefulMachine<Model>&>(machine);
    auto object = [&] {
      using C = typename ClassOf<Handler>::Type;
      if constexpr (std::is_void_v<C>)
        return std::tuple<>();
      else if constexpr (Model::template k_is_state<C>)
        return std::tuple<C&>(std::get<C>(holder.current()));
      else
        return std::tuple<C&>(static_cast<C&>(machine));
    };
    auto state = [&] {
      if constexpr (k_state)
        return std::tuple<At<0>&>(std::get<At<0>>(holder.current()));
      else
        return std::tuple<>();
    };
    auto from = [&] {
      if constexpr (k_from)
        return std::tuple<From>(happening.message ? happening.message->from() : From());
      else
        return std::tuple<>();
    };
    auto reply = [&] {
      if constexpr (k_reply)
        return std::tuple<At<k_state + k_from>>(At<k_state + k_from>(*happening.answer));
      else
        return std::tuple<>();
    };
    return std::tuple_cat(object(), state(), from(), reply());
  }
};

/// Calls it with the first of `arguments`, a tuple that has at least as many as it wants.
template <class Model, class Handler, class Arguments>
decltype(auto) call_handler(Handler& handler, MachineBase& machine, const Happening& happening, Arguments& arguments) {
  using L = Lead<Model, Handler>;
  static_assert(L::k_rest <= std::tuple_size_v<Arguments>, "the handler takes more arguments than the event has");
  return std::apply(
      [&]<class... T>(T&&... lead) -> decltype(auto) {
        return [&]<std::size_t... I>(std::index_sequence<I...>)->decltype(auto) {
          return std::invoke(handler, std::forward<T>(lead)..., std::get<I>(arguments)...);
        }
        (std::make_index_sequence<L::k_rest>{});
      },
      L::values(machine, happening));
}

/// Runs a handler and reads what it decided. `Result`: of a call, what it is to be answered with; void else.
template <class Model, class Result, bool replies, class Run>
Decision decided_by(MachineBase& machine, Answer* answer, Run&& run) {
  auto& holder = static_cast<StatefulMachine<Model>&>(machine);
  using Returned = std::remove_cvref_t<decltype(run())>;
  const auto answer_nothing = [&](bool postponed) {
    if constexpr (std::is_void_v<Result> && !replies)
      if (answer && !postponed) answer->nothing();
  };
  if constexpr (std::is_void_v<Returned>) {
    run();
    answer_nothing(false);
    return {};
  } else if constexpr (k_is_next<Returned>) {
    Decision decision = run().decide(holder);
    answer_nothing(decision.postponed);
    return decision;
  } else if constexpr (k_is_replied<Returned>) {
    auto replied = run();
    if (answer) answer_with<Result>(*answer, std::move(replied.value));
    return std::move(replied.next).decide(holder);
  } else {
    static_assert(!std::is_void_v<Result>, "a handler returns nothing, or what is to be done next");
    const Result& result = run();
    if (answer) answer_with<Result>(*answer, result);
    return {};
  }
}

// ---- rows ----

template <class Model, class Pattern, class Handler>
class RowOf;

template <class Handler>
inline constexpr bool k_is_constant = k_is_next<Handler>;

/// A constant decision for an event whose arguments do not matter.
template <class Model, class Handler>
Decision constant(MachineBase& machine, const Handler& next) {
  return Handler(next).decide(static_cast<StatefulMachine<Model>&>(machine));
}

template <class Model, class Handler>
class RowOf<Model, EntryPattern, Handler> : public Row {
 public:
  RowOf(EntryPattern, Handler handler) : Row(Event::entry), handler_(std::move(handler)) {}
  Decision run(MachineBase& machine, const Happening& happening) override {
    if constexpr (k_is_constant<Handler>) {
      return constant<Model>(machine, handler_);
    } else {
      std::tuple<const typename Model::State&> previous(static_cast<StatefulMachine<Model>&>(machine).previous());
      return decided_by<Model, void, false>(machine, nullptr, [&]() -> decltype(auto) {
        return call_handler<Model>(handler_, machine, happening, previous);
      });
    }
  }

 private:
  Handler handler_;
};

template <class Model, class Handler>
class RowOf<Model, TimerPattern, Handler> : public Row {
 public:
  RowOf(TimerPattern pattern, Handler handler) : Row(Event::timeout), handler_(std::move(handler)) {
    timer = std::move(pattern.timer);
  }
  Decision run(MachineBase& machine, const Happening& happening) override {
    if constexpr (k_is_constant<Handler>) {
      return constant<Model>(machine, handler_);
    } else {
      using L = Lead<Model, Handler>;
      static_assert(L::k_rest <= 1, "a timeout has one content at most");
      auto content = [&] {
        if constexpr (L::k_rest == 0)
          return std::tuple<>();
        else
          return std::tuple(take<std::tuple_element_t<L::k_count, typename L::Arguments>>(*happening.value));
      }();
      return decided_by<Model, void, false>(machine, nullptr, [&]() -> decltype(auto) {
        return call_handler<Model>(handler_, machine, happening, content);
      });
    }
  }

 private:
  Handler handler_;
};

template <class Model, class... A, class Handler>
class RowOf<Model, InternalPattern<A...>, Handler> : public Row {
 public:
  RowOf(InternalPattern<A...> pattern, Handler handler) : Row(Event::internal), handler_(std::move(handler)) {
    name = pattern.name;
    type = &typeid(std::tuple<A...>);
  }
  Decision run(MachineBase& machine, const Happening& happening) override {
    if constexpr (k_is_constant<Handler>) {
      return constant<Model>(machine, handler_);
    } else {
      const auto& content = *static_cast<const std::tuple<A...>*>(happening.content);
      return decided_by<Model, void, false>(machine, nullptr, [&]() -> decltype(auto) {
        return call_handler<Model>(handler_, machine, happening, content);
      });
    }
  }

 private:
  Handler handler_;
};

template <class Model, class Shape, bool is_call, class Handler>
class RowOf<Model, RequestPattern<Shape, is_call>, Handler> : public Row {
  using Arguments = typename Shape::Arguments;
  using Result = std::conditional_t<is_call, typename Shape::Result, void>;

 public:
  RowOf(RequestPattern<Shape, is_call> pattern, Handler handler)
      : Row(is_call ? Event::call : Event::cast), handler_(std::move(handler)) {
    name = pattern.name;
    type = &typeid(KeptArguments<Arguments>);
    signature = signature_hash<Shape>();
    arity = std::tuple_size_v<Arguments>;
    describe = &signature_text<Shape>;
  }

  Decision run(MachineBase& machine, const Happening& happening) override {
    if constexpr (k_is_constant<Handler>) {
      Decision decision = constant<Model>(machine, handler_);
      if (is_call && !decision.postponed) {
        if constexpr (std::is_void_v<Result>)
          happening.answer->nothing();
        else if (decision.move != Decision::Move::stop)
          throw std::logic_error("the call " + std::string(name) + " has a result, and its row says none");
      }
      return decision;
    } else {
      using L = Lead<Model, Handler>;
      static_assert(is_call || !L::k_reply, "only calls are answered");
      if constexpr (L::k_reply)
        static_assert(std::is_same_v<typename L::template At<L::k_count - 1>, ReplyTo<Result>>,
                      "ReplyTo of another type than the call's result");
      using Returned = std::remove_cvref_t<ResultOf<Handler>>;
      static_assert(
          !is_call || std::is_void_v<Result> || L::k_reply || !(std::is_void_v<Returned> || k_is_next<Returned>),
          "a call is to be answered: return its result, or reply(result, next), or take ReplyTo");
      auto arguments = this->arguments(happening);
      return decided_by<Model, Result, L::k_reply>(machine, happening.answer, [&]() -> decltype(auto) {
        return call_handler<Model>(handler_, machine, happening, arguments);
      });
    }
  }

 private:
  static Arguments arguments(const Happening& happening) {
    if (!happening.content) return take_arguments<Arguments>(happening.arguments);
    return std::apply([](const auto&... kept) { return Arguments{kept...}; },
                      *static_cast<const KeptArguments<Arguments>*>(happening.content));
  }
  Handler handler_;
};

/// A handler as the clauses of `receive` know them: without the state.
template <class R, class Arguments>
class Relay;
template <class R, class... A>
class Relay<R, std::tuple<A...>> {
 public:
  template <class Function>
  explicit Relay(Function& function)
      : context_(&function), call_([](void* context, const A&... arguments) -> R {
          return (*static_cast<Function*>(context))(arguments...);
        }) {}
  R operator()(const A&... arguments) const { return call_(context_, arguments...); }

 private:
  void* context_;
  R (*call_)(void* context, const A&... arguments);
};

template <class Tuple, bool drop_first>
struct WithoutFirst {
  using Type = Tuple;
};
template <class First, class... Rest>
struct WithoutFirst<std::tuple<First, Rest...>, true> {
  using Type = std::tuple<Rest...>;
};

/// A row for messages that are no calls and no casts: `on<"field", …>`, `on<T>`, `otherwise`.
template <class Model, class Pattern, class Handler>
class RowOf : public Row {
  template <class H>
  struct RelayOf {
    using Arguments =
        typename WithoutFirst<ArgumentsOf<H>,
                              Model::template k_is_state<typename ElementOr<ArgumentsOf<H>, 0>::Type>>::Type;
    using Type = Relay<ResultOf<H>, Arguments>;
  };
  struct NoHandler {
    void operator()() const {}
  };
  using H = std::conditional_t<k_is_constant<Handler>, NoHandler, Handler>;
  using R = typename RelayOf<H>::Type;

 public:
  RowOf(Pattern pattern, Handler handler)
      : Row(Event::message), pattern_(std::move(pattern)), handler_(std::move(handler)) {}

  bool wants(const Message& message) override { return pattern_.template match<R>(message, bound_); }

  Decision run(MachineBase& machine, const Happening& happening) override {
    if constexpr (k_is_constant<Handler>) {
      return constant<Model>(machine, handler_);
    } else {
      auto& holder = static_cast<StatefulMachine<Model>&>(machine);
      auto call = [&](const auto&... arguments) -> decltype(auto) {
        using C = typename ClassOf<H>::Type;
        using First = typename ElementOr<ArgumentsOf<H>, 0>::Type;
        const auto with_state = [&](auto&&... object) -> decltype(auto) {
          if constexpr (Model::template k_is_state<First>)
            return std::invoke(handler_, object..., std::get<First>(holder.current()), arguments...);
          else
            return std::invoke(handler_, object..., arguments...);
        };
        if constexpr (std::is_void_v<C>)
          return with_state();
        else if constexpr (Model::template k_is_state<C>)
          return with_state(std::get<C>(holder.current()));
        else
          return with_state(static_cast<C&>(machine));
      };
      R relay(call);
      return decided_by<Model, void, false>(
          machine, nullptr, [&]() -> decltype(auto) { return pattern_.run(relay, *happening.message, bound_); });
    }
  }

 private:
  Pattern pattern_;
  Handler handler_;
  typename Pattern::Bound bound_ = {};
};

/// Does a row's handler take no state but S? (void: none.)
template <class Model, class S, class Handler>
constexpr bool takes_no_state_but() {
  if constexpr (k_is_constant<Handler>) {
    return true;
  } else {
    using First = typename ElementOr<ArgumentsOf<Handler>, 0>::Type;
    using C = typename ClassOf<Handler>::Type;
    return (!Model::template k_is_state<First> || std::is_same_v<First, S>)&&(!Model::template k_is_state<C> ||
                                                                              std::is_same_v<C, S>);
  }
}
template <class Model, class S, class Clause>
inline constexpr bool k_fits_state = false;
template <class Model, class S, class Pattern, class Handler>
inline constexpr bool k_fits_state<Model, S, Clause<Pattern, Handler>> = takes_no_state_but<Model, S, Handler>();

template <class Model, class Pattern, class Handler>
std::shared_ptr<Row> make_row(Clause<Pattern, Handler> clause) {
  static_assert(!k_is_after<Clause<Pattern, Handler>>,
                "a machine's time is told by state_timeout, event_timeout, timeout");
  static_assert(!k_is_next<Handler> || std::is_same_v<Handler, Next<typename Model::State>>,
                "what this row decides is of another machine");
  return std::make_shared<RowOf<Model, Pattern, Handler>>(std::move(clause.pattern), std::move(clause.handler));
}

}  // namespace detail
}  // namespace muproc
