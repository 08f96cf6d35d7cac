// The clauses of `receive`.
//
//     on<"cmd", "x">(is("square"), anything) >> [&](From from, Symbol, double x) { … }
//     on<"n">([](int n) { return n % 2 == 0; }) >> [&](int n) { … }
//     on<Quote>([](Quote::Reader q) { return q.getQty() > 0; }) >> [&](From from, Quote::Reader q) { … }
//     on_bytes >> [&](From from, std::span<const std::byte> bytes) { … }
//     after(5s) >> [&] { … }
//     otherwise >> [&](const Message& message) { … }
//
// `on<"a", "b">` matches a mumsg that has both fields (nil counts as there), whose first fields fit the types of the
// handler's parameters, and whose guards hold. A guard for each field in turn (`is(value)`, `anything`, or a predicate
// of that field), or one predicate of the first fields, or of nothing. Guards must not have side effects.
// The handler takes, if it wants, the sender first, then the first k fields.
// Erlang: a receive clause. cl-muproc: a clause of mumsg-receive.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <muproc/message.hpp>

namespace muproc {

namespace detail {

template <std::size_t N>
struct FixedString {
  char text[N];
  constexpr FixedString(const char (&from)[N]) { std::copy_n(from, N, text); }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

// ---- what a callable takes and gives ----

template <class F>
struct Signature : Signature<decltype(&std::remove_cvref_t<F>::operator())> {};
template <class R, class... A>
struct Signature<R (*)(A...)> {
  using Result = R;
  using Arguments = std::tuple<std::remove_cvref_t<A>...>;
};
template <class R, class... A>
struct Signature<R(A...)> : Signature<R (*)(A...)> {};
template <class R, class C, class... A>
struct Signature<R (C::*)(A...)> : Signature<R (*)(A...)> {};
template <class R, class C, class... A>
struct Signature<R (C::*)(A...) const> : Signature<R (*)(A...)> {};
template <class R, class C, class... A>
struct Signature<R (C::*)(A...) noexcept> : Signature<R (*)(A...)> {};
template <class R, class C, class... A>
struct Signature<R (C::*)(A...) const noexcept> : Signature<R (*)(A...)> {};

template <class F>
using ResultOf = typename Signature<F>::Result;
template <class F>
using ArgumentsOf = typename Signature<F>::Arguments;
template <class F>
inline constexpr std::size_t k_arity = std::tuple_size_v<ArgumentsOf<F>>;

template <class Tuple>
struct TakesFrom : std::false_type {};
template <class... Rest>
struct TakesFrom<std::tuple<From, Rest...>> : std::true_type {};

/// Do the fields fit the types of a callable's parameters, past the first `Skip`?
template <class Tuple, std::size_t Skip>
bool fields_fit(const FieldView* fields) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return (... && fields[I].fits<std::tuple_element_t<I + Skip, Tuple>>());
  }(std::make_index_sequence<std::tuple_size_v<Tuple> - Skip>{});
}

template <class Tuple, std::size_t Skip, class F, class... Before>
decltype(auto) call_with_fields(F& function, const FieldView* fields, Before... before) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) -> decltype(auto) {
    return function(before..., fields[I].as<std::tuple_element_t<I + Skip, Tuple>>()...);
  }(std::make_index_sequence<std::tuple_size_v<Tuple> - Skip>{});
}

// ---- guards ----

struct AnythingGuard {
  bool operator()(const FieldView&) const { return true; }
};

template <class T>
struct IsGuard {
  T value;
  bool operator()(const FieldView& field) const { return field.equals(value); }
};

template <class G>
inline constexpr bool k_field_guard = false;
template <>
inline constexpr bool k_field_guard<AnythingGuard> = true;
template <class T>
inline constexpr bool k_field_guard<IsGuard<T>> = true;

template <class Guard>
bool guard_holds(const Guard& guard, const FieldView* fields) {
  if constexpr (k_field_guard<Guard>) {
    return guard(*fields);
  } else {
    using Arguments = ArgumentsOf<Guard>;
    return fields_fit<Arguments, 0>(fields) && call_with_fields<Arguments, 0>(guard, fields);
  }
}

// ---- patterns ----

template <class Guards, FixedString... Names>
struct FieldPattern {
  static constexpr unsigned k_count = sizeof...(Names);
  static constexpr std::array<std::uint64_t, k_count> k_keys{field_key(Names.view())...};
  static constexpr std::uint64_t k_bits = (field_bit(field_key(Names.view())) | ... | 0);
  Guards guards;

  struct Bound {
    std::array<FieldView, k_count> fields;
  };

  template <class Handler>
  bool match(const Message& message, Bound& bound) const {
    using Arguments = ArgumentsOf<Handler>;
    constexpr std::size_t skip = TakesFrom<Arguments>::value ? 1 : 0;
    static_assert(std::tuple_size_v<Arguments> - skip <= k_count, "the handler takes more fields than the clause names");
    return message.may_have(k_bits) && message.is_mumsg() && message.mumsg().find_all(k_keys.data(), bound.fields.data(), k_count) &&
           fields_fit<Arguments, skip>(bound.fields.data()) && guards_hold(bound.fields.data());
  }

  template <class Handler>
  decltype(auto) run(Handler& handler, const Message& message, Bound& bound) const {
    using Arguments = ArgumentsOf<Handler>;
    if constexpr (TakesFrom<Arguments>::value) {
      return call_with_fields<Arguments, 1>(handler, bound.fields.data(), message.from());
    } else {
      return call_with_fields<Arguments, 0>(handler, bound.fields.data());
    }
  }

 private:
  bool guards_hold(const FieldView* fields) const {
    return std::apply(
        [&](const auto&... guard) {
          constexpr bool whole = sizeof...(guard) == 1;  // one predicate speaks of the first fields, or of none
          const FieldView* at = fields;
          return (... && guard_holds(guard, whole ? fields : at++));
        },
        guards);
  }
};

template <class T, class Guard>
struct TypedPattern {
  Guard guard;
  struct Bound {};

  template <class Handler>
  bool match(const Message& message, Bound&) const {
    if (!message.is<T>()) return false;
    message.check();
    if constexpr (std::is_same_v<Guard, AnythingGuard>) {
      return true;
    } else if constexpr (k_arity<Guard> == 0) {
      return guard();
    } else {
      return guard(message.as<T>());
    }
  }

  template <class Handler>
  decltype(auto) run(Handler& handler, const Message& message, Bound&) const {
    using Arguments = ArgumentsOf<Handler>;
    constexpr std::size_t arity = std::tuple_size_v<Arguments>;
    if constexpr (arity == 0) {
      return handler();
    } else if constexpr (!TakesFrom<Arguments>::value) {
      static_assert(arity == 1, "a handler of a typed clause takes (From, T::Reader), either, or nothing");
      return handler(message.as<T>());
    } else if constexpr (arity == 1) {
      return handler(message.from());
    } else {
      return handler(message.from(), message.as<T>());
    }
  }
};

struct BytesPattern {
  struct Bound {};
  template <class Handler>
  bool match(const Message& message, Bound&) const {
    if (!message.is_bytes()) return false;
    message.check();
    return true;
  }
  template <class Handler>
  decltype(auto) run(Handler& handler, const Message& message, Bound&) const {
    if constexpr (TakesFrom<ArgumentsOf<Handler>>::value) {
      return handler(message.from(), message.bytes());
    } else {
      return handler(message.bytes());
    }
  }
};

struct OtherwisePattern {
  struct Bound {};
  template <class Handler>
  bool match(const Message& message, Bound&) const {
    message.check();
    return true;
  }
  template <class Handler>
  decltype(auto) run(Handler& handler, const Message& message, Bound&) const {
    if constexpr (k_arity<Handler> == 0) {
      return handler();
    } else {
      return handler(message);
    }
  }
};

struct AfterPattern {
  std::chrono::nanoseconds delay;
};

template <class Pattern, class Handler>
struct Clause {
  Pattern pattern;
  Handler handler;
};

template <class C>
inline constexpr bool k_is_after = false;
template <class H>
inline constexpr bool k_is_after<Clause<AfterPattern, H>> = true;

template <class P>
concept ClausePattern = requires { typename P::Bound; } || std::is_same_v<P, AfterPattern>;

template <ClausePattern Pattern, class Handler>
Clause<Pattern, std::decay_t<Handler>> operator>>(Pattern pattern, Handler&& handler) {
  return {std::move(pattern), std::forward<Handler>(handler)};
}

// ---- what a receive yields ----

template <class... T>
struct Yield {
  using Values = decltype(std::tuple_cat(
      std::declval<std::conditional_t<std::is_void_v<T>, std::tuple<>, std::tuple<std::optional<T>>>>()...));
  template <class Tuple>
  struct Common {
    using Type = void;
  };
  template <class... V>
    requires(sizeof...(V) > 0)
  struct Common<std::tuple<std::optional<V>...>> {
    using Type = std::common_type_t<V...>;
  };
  using Value = typename Common<Values>::Type;
  static constexpr bool k_some_void = (std::is_void_v<T> || ...);
  /// void when no handler gives a value; the common type; optional of it when some handlers give none.
  using Type = std::conditional_t<std::is_void_v<Value>, void,
                                  std::conditional_t<k_some_void, std::optional<Value>, Value>>;
};

template <class T>
struct OptionalOf {
  using Type = std::optional<T>;
};
template <>
struct OptionalOf<void> {
  using Type = char;
};

// ---- clauses as the receive loop sees them, without their types ----

struct ClauseTable {
  struct Entry {
    void* slot;
    bool (*match)(void* slot, const Message& message);
    void (*run)(void* slot, const Message& message, void* result);
  };
  const Entry* entries;
  std::size_t count;
  std::optional<std::chrono::nanoseconds> after;
};

template <class C, class Value>
struct ClauseSlot;

template <class Pattern, class Handler, class Value>
struct ClauseSlot<Clause<Pattern, Handler>, Value> {
  Clause<Pattern, Handler>* clause;
  typename Pattern::Bound bound = {};

  static bool match(void* slot, const Message& message) {
    auto* self = static_cast<ClauseSlot*>(slot);
    return self->clause->pattern.template match<Handler>(message, self->bound);
  }
  static void run(void* slot, const Message& message, void* result) {
    auto* self = static_cast<ClauseSlot*>(slot);
    if constexpr (std::is_void_v<ResultOf<Handler>>) {
      self->clause->pattern.run(self->clause->handler, message, self->bound);
    } else {
      static_cast<std::optional<Value>*>(result)->emplace(
          self->clause->pattern.run(self->clause->handler, message, self->bound));
    }
  }
};

template <class Handler, class Value>
struct ClauseSlot<Clause<AfterPattern, Handler>, Value> {
  Clause<AfterPattern, Handler>* clause;
};

}  // namespace detail

/// A clause for mumsgs that have these fields.
template <detail::FixedString... Names, class... Guards>
  requires(sizeof...(Names) > 0)
auto on(Guards... guards) {
  static_assert(sizeof...(Guards) <= std::max<std::size_t>(sizeof...(Names), 1), "more guards than fields");
  return detail::FieldPattern<std::tuple<Guards...>, Names...>{{std::move(guards)...}};
}

/// A clause for typed messages.
template <class T, class Guard = detail::AnythingGuard>
  requires(capnp::kind<T>() == capnp::Kind::STRUCT)
auto on(Guard guard = {}) {
  return detail::TypedPattern<T, Guard>{std::move(guard)};
}

/// A guard: the field equals this.
template <class T>
auto is(T value) {
  if constexpr (std::is_convertible_v<T, std::string_view> && !std::is_same_v<T, Value> && !std::is_null_pointer_v<T>) {
    return detail::IsGuard<std::string>{std::string(std::string_view(value))};
  } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    return detail::IsGuard<std::int64_t>{static_cast<std::int64_t>(value)};
  } else if constexpr (std::is_floating_point_v<T>) {
    return detail::IsGuard<double>{static_cast<double>(value)};
  } else {
    return detail::IsGuard<T>{std::move(value)};
  }
}

inline constexpr detail::AnythingGuard anything{};

/// When nothing has matched for this long; `after(0s)` scans what is there once. Never early. Throws
/// std::invalid_argument when negative. What is longer than nanoseconds can count never ends.
template <class Rep, class Period>
detail::AfterPattern after(std::chrono::duration<Rep, Period> delay) {
  using std::chrono::nanoseconds;
  using Seconds = std::chrono::duration<double>;
  if (Seconds(delay) >= Seconds(nanoseconds::max())) return {nanoseconds::max()};
  if (Seconds(delay) <= Seconds(nanoseconds::min())) return {nanoseconds::min()};
  return {std::chrono::duration_cast<nanoseconds>(delay)};
}

/// Matches bare bytes, which the handler takes as a std::span<const std::byte>, after the sender if it wants that.
/// Erlang: `Bytes when is_binary(Bytes)`.
inline constexpr detail::BytesPattern on_bytes{};

/// Matches anything.
inline constexpr detail::OtherwisePattern otherwise{};

}  // namespace muproc
