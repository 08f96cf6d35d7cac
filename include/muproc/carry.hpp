// How C++ values travel: as values of a mumsg.
//
// A generic server's arguments and results are ordinary C++ types. `Carry<T>` says what a T is on the way: numbers, text,
// data, pids and the like are what they are; a duration is its count; an optional is its value or nil; sequences, sets,
// tuples and plain structs are lists; a map is a list of pairs. What cannot be carried does not compile. A type of one's
// own that is no plain struct (of at most sixteen members) is taught by a specialisation with the same three members:
//
//     template <> struct muproc::Carry<Price> {
//       static Value give(const Price& price) { return price.cents(); }
//       static Price take(const Value& value) { return Price::of_cents(value.as<std::int64_t>()); }
//       template <class Out> static constexpr void describe(Out& out) { out.add("Price"); }
//     };
//
// `describe` is the type's word in a signature: two programs understand each other when the words are the same.
#pragma once

#include <array>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <muproc/reason.hpp>
#include <muproc/value.hpp>

namespace muproc {

template <class T>
struct Carry;

template <class T>
concept Carriable = requires(const T& object, const Value& value) {
  { Carry<T>::give(object) } -> std::convertible_to<Value>;
  { Carry<T>::take(value) } -> std::same_as<T>;
};

namespace detail {

/// Travels as the signed integer of the same bits, and so is a type of its own in signatures.
template <class T>
inline constexpr bool k_is_wide_unsigned = std::is_unsigned_v<T> && std::is_integral_v<T> && sizeof(T) == 8;

/// The word of a type that Value knows by itself; empty for others. An enum is its number; text and symbols fit each
/// other, so they have one word.
template <class T>
constexpr std::string_view value_word() {
  if constexpr (std::is_same_v<T, bool>) return "bool";
  else if constexpr (std::is_enum_v<T>) return value_word<std::underlying_type_t<T>>();
  else if constexpr (k_is_wide_unsigned<T>) return "uint64";
  else if constexpr (std::is_integral_v<T>) return "int";
  else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) return "float";
  else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, Symbol>) return "text";
  else if constexpr (std::is_same_v<T, Data>) return "data";
  else if constexpr (std::is_same_v<T, Pid>) return "pid";
  else if constexpr (std::is_same_v<T, Value>) return "any";
  else if constexpr (std::is_same_v<T, Mumsg>) return "mumsg";
  else if constexpr (std::is_same_v<T, StructValue>) return "struct";
  else if constexpr (std::is_same_v<T, Reason>) return "reason";
  else return {};
}

template <class T>
concept PlainValue = !value_word<T>().empty();

template <class T>
concept SequenceLike = !PlainValue<T> && !requires { typename T::mapped_type; } &&
                       requires(T list, typename T::value_type item) { list.insert(list.end(), item); };
template <class T>
concept MapLike = !PlainValue<T> && requires(T map, typename T::key_type key, typename T::mapped_type value) {
  map.emplace(key, value);
  map.size();
};
template <class T>
concept TupleLike = !PlainValue<T> && requires { std::tuple_size<T>::value; };

// ---- plain structs ----

struct AnyMember {
  template <class T>
  operator T() const;
};
template <class T, std::size_t n>
constexpr bool made_of() {
  return []<std::size_t... I>(std::index_sequence<I...>) { return requires { T{(static_cast<void>(I), AnyMember{})...}; }; }
  (std::make_index_sequence<n>{});
}
inline constexpr std::size_t k_most_members = 16;
/// How many members a plain struct has; 0 when it is none or has too many.
template <class T, std::size_t n = k_most_members>
constexpr std::size_t member_count() {
  if constexpr (n == 0 || made_of<T, k_most_members + 1>()) return 0;
  else if constexpr (made_of<T, n>()) return n;
  else return member_count<T, n - 1>();
}
template <class T>
concept PlainStruct = std::is_aggregate_v<T> && !PlainValue<T> && !TupleLike<T> && !SequenceLike<T> && !MapLike<T> &&
                      !std::is_array_v<T> && (member_count<T>() > 0);

/// The members of a plain struct, as a tuple of references.
template <class T>
constexpr auto members(const T& object) {
  constexpr std::size_t n = member_count<T>();
  if constexpr (n == 1) {
    const auto& [a] = object;
    return std::tie(a);
  } else if constexpr (n == 2) {
    const auto& [a, b] = object;
    return std::tie(a, b);
  } else if constexpr (n == 3) {
    const auto& [a, b, c] = object;
    return std::tie(a, b, c);
  } else if constexpr (n == 4) {
    const auto& [a, b, c, d] = object;
    return std::tie(a, b, c, d);
  } else if constexpr (n == 5) {
    const auto& [a, b, c, d, e] = object;
    return std::tie(a, b, c, d, e);
  } else if constexpr (n == 6) {
    const auto& [a, b, c, d, e, f] = object;
    return std::tie(a, b, c, d, e, f);
  } else if constexpr (n == 7) {
    const auto& [a, b, c, d, e, f, g] = object;
    return std::tie(a, b, c, d, e, f, g);
  } else if constexpr (n == 8) {
    const auto& [a, b, c, d, e, f, g, h] = object;
    return std::tie(a, b, c, d, e, f, g, h);
  } else if constexpr (n == 9) {
    const auto& [a, b, c, d, e, f, g, h, i] = object;
    return std::tie(a, b, c, d, e, f, g, h, i);
  } else if constexpr (n == 10) {
    const auto& [a, b, c, d, e, f, g, h, i, j] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j);
  } else if constexpr (n == 11) {
    const auto& [a, b, c, d, e, f, g, h, i, j, k] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k);
  } else if constexpr (n == 12) {
    const auto& [a, b, c, d, e, f, g, h, i, j, k, l] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l);
  } else if constexpr (n == 13) {
    const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m);
  } else if constexpr (n == 14) {
    const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n);
  } else if constexpr (n == 15) {
    const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o);
  } else {
    const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = object;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
  }
}

// ---- lists ----

template <class References>
struct AsTuple;
template <class... T>
struct AsTuple<std::tuple<T...>> {
  using Type = std::tuple<std::remove_cvref_t<T>...>;
};

template <class T>
Value give(const T& object) {
  static_assert(Carriable<T>, "this type cannot be carried in a message: specialise muproc::Carry for it");
  return Carry<T>::give(object);
}
template <class T>
T take(const Value& value) {
  static_assert(Carriable<T>, "this type cannot be carried in a message: specialise muproc::Carry for it");
  return Carry<T>::take(value);
}

template <class Tuple>
List give_all(const Tuple& values) {
  return std::apply([](const auto&... value) { return List{detail::give(value)...}; }, values);
}

const List& expect_list(const Value& value, std::size_t size);  // throws ValueError

template <class Tuple>
Tuple take_all(const Value& value) {
  const List& list = expect_list(value, std::tuple_size_v<Tuple>);
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return Tuple{detail::take<std::tuple_element_t<I, Tuple>>(list[I])...};
  }(std::make_index_sequence<std::tuple_size_v<Tuple>>{});
}

template <class T, class Out>
constexpr void describe(Out& out) {
  Carry<T>::describe(out);
}
template <class Out>
constexpr void describe_number(std::intmax_t number, Out& out) {
  if (number >= 10) describe_number(number / 10, out);
  const char digit = static_cast<char>('0' + number % 10);
  out.add(std::string_view(&digit, 1));
}
template <class Tuple, class Out>
constexpr void describe_all(Out& out) {
  out.add("(");
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    ((out.add(I == 0 ? "" : ", "), Carry<std::tuple_element_t<I, Tuple>>::describe(out)), ...);
  }(std::make_index_sequence<std::tuple_size_v<Tuple>>{});
  out.add(")");
}

/// An empty optional is nil, so one of something that may itself be nil is wrapped.
template <class T>
inline constexpr bool k_may_be_nil = std::is_same_v<T, Value>;
template <class T>
inline constexpr bool k_may_be_nil<std::optional<T>> = true;

}  // namespace detail

template <detail::PlainValue T>
struct Carry<T> {
  static Value give(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return detail::give(static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (detail::k_is_wide_unsigned<T>) {
      return static_cast<std::int64_t>(value);
    } else {
      return value;
    }
  }
  static T take(const Value& value) {
    if constexpr (std::is_enum_v<T>) {
      return static_cast<T>(detail::take<std::underlying_type_t<T>>(value));
    } else if constexpr (detail::k_is_wide_unsigned<T>) {
      return static_cast<T>(value.as<std::int64_t>());
    } else {
      return value.as<T>();
    }
  }
  template <class Out>
  static constexpr void describe(Out& out) {
    out.add(detail::value_word<T>());
  }
};

template <Carriable T>
struct Carry<std::optional<T>> {
  static Value give(const std::optional<T>& value) {
    if (!value) return {};
    if constexpr (detail::k_may_be_nil<T>) return List{detail::give(*value)};
    return detail::give(*value);
  }
  static std::optional<T> take(const Value& value) {
    if (value.is_nil()) return std::nullopt;
    if constexpr (detail::k_may_be_nil<T>) return detail::take<T>(detail::expect_list(value, 1)[0]);
    return detail::take<T>(value);
  }
  template <class Out>
  static constexpr void describe(Out& out) {
    detail::describe<T>(out);
    out.add("?");
  }
};

template <detail::SequenceLike T>
  requires Carriable<typename T::value_type>
struct Carry<T> {
  using Item = typename T::value_type;
  static Value give(const T& items) {
    List list;
    list.reserve(items.size());
    for (const Item& item : items) list.push_back(detail::give<Item>(item));
    return list;
  }
  static T take(const Value& value) {
    T items;
    const List list = value.as<List>();
    if constexpr (requires { items.reserve(1); }) items.reserve(list.size());
    for (const Value& item : list) items.insert(items.end(), detail::take<Item>(item));
    return items;
  }
  template <class Out>
  static constexpr void describe(Out& out) {
    out.add("[");
    detail::describe<Item>(out);
    out.add("]");
  }
};

template <detail::MapLike T>
  requires(Carriable<typename T::key_type> && Carriable<typename T::mapped_type>)
struct Carry<T> {
  using Entry = std::pair<typename T::key_type, typename T::mapped_type>;
  static Value give(const T& map) {
    List list;
    list.reserve(map.size());
    for (const auto& entry : map) list.push_back(detail::give_all(entry));
    return list;
  }
  static T take(const Value& value) {
    T map;
    for (const Value& item : value.as<List>()) {
      auto [key, mapped] = detail::take_all<Entry>(item);
      map.emplace(std::move(key), std::move(mapped));
    }
    return map;
  }
  template <class Out>
  static constexpr void describe(Out& out) {
    out.add("{");
    detail::describe<typename T::key_type>(out);
    out.add(": ");
    detail::describe<typename T::mapped_type>(out);
    out.add("}");
  }
};

template <class Rep, class Period>
  requires(detail::value_word<Rep>() == "int" || detail::value_word<Rep>() == "float")
struct Carry<std::chrono::duration<Rep, Period>> {
  using T = std::chrono::duration<Rep, Period>;
  static Value give(const T& time) { return time.count(); }
  static T take(const Value& value) { return T(value.as<Rep>()); }
  template <class Out>
  static constexpr void describe(Out& out) {
    detail::describe<Rep>(out);
    out.add(" of ");
    detail::describe_number(Period::num, out);
    out.add("/");
    detail::describe_number(Period::den, out);
    out.add(" s");
  }
};

template <detail::TupleLike T>
struct Carry<T> {
  static Value give(const T& values) { return detail::give_all(values); }
  static T take(const Value& value) { return detail::take_all<T>(value); }
  template <class Out>
  static constexpr void describe(Out& out) {
    detail::describe_all<T>(out);
  }
};

template <detail::PlainStruct T>
struct Carry<T> {
  using Members = typename detail::AsTuple<decltype(detail::members(std::declval<const T&>()))>::Type;
  static Value give(const T& object) { return detail::give_all(detail::members(object)); }
  static T take(const Value& value) {
    return std::apply([](auto&&... member) { return T{std::move(member)...}; }, detail::take_all<Members>(value));
  }
  template <class Out>
  static constexpr void describe(Out& out) {
    detail::describe_all<Members>(out);
  }
};

}  // namespace muproc
