// What the type of a server's member function says: which parameters travel, what comes back, and the words by which two
// programs find out that they mean the same by a handler's name.
//
// Three kinds of parameters do not travel as values:
// - `T::Reader` of a Cap'n Proto struct: built in the message by the caller, read there by the handler.
// - a first parameter ReplyTo<R>, of a call: the handler answers through it, now or later; the result is R.
// - a last parameter `T::Builder`, of a call: the result is a T, which the handler builds in the answer itself.
#pragma once

#include <capnp/common.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <muproc/carry.hpp>
#include <muproc/message.hpp>

namespace muproc {

template <class R>
class ReplyTo;

namespace detail {

// ---- kinds of types ----

template <class T>
concept StructBuilder = requires { typename T::Builds; } && capnp::kind<typename T::Builds>() == capnp::Kind::STRUCT;
/// The struct itself.
template <class T>
concept Struct = capnp::kind<T>() == capnp::Kind::STRUCT;

/// Read in place, for the time of the handler: text and bytes.
template <class T>
inline constexpr bool k_is_view = std::is_same_v<T, std::string_view> || std::is_same_v<T, std::span<const std::byte>>;

template <class T>
concept Argument = Carriable<T> || k_is_view<T> || StructReader<T>;

// ---- words ----

/// FNV-1a over a signature's words.
struct SignatureHash {
  std::uint64_t value = 0xcbf29ce484222325;
  constexpr void add(std::string_view word) {
    for (char c : word) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
};
struct SignatureText {
  std::string value;
  void add(std::string_view word) { value += word; }
};

/// "@0xf0e1…", as schemas have it: structs of one id understand each other, whatever fields were added meanwhile.
template <class Out>
constexpr void describe_struct(std::uint64_t type_id, Out& out) {
  char word[19] = {'@', '0', 'x'};
  for (int i = 0; i < 16; ++i) word[3 + i] = "0123456789abcdef"[type_id >> (60 - 4 * i) & 15];
  out.add(std::string_view(word, sizeof word));
}

template <class T, class Out>
constexpr void describe_argument(Out& out) {
  if constexpr (std::is_void_v<T>) out.add("nothing");
  else if constexpr (std::is_same_v<T, std::string_view>) out.add("text");
  else if constexpr (k_is_view<T>) out.add("data");
  else if constexpr (StructReader<T>) describe_struct(capnp::typeId<typename T::Reads>(), out);
  else if constexpr (Struct<T>) describe_struct(capnp::typeId<T>(), out);
  else describe<T>(out);
}

// ---- shapes ----

template <class Handler>
struct Method;
template <class S, class R, class... P>
struct Method<R (S::*)(P...)> {
  using Server = S;
  using Result = R;
  using Parameters = std::tuple<P...>;
};
template <class S, class R, class... P>
struct Method<R (S::*)(P...) const> : Method<R (S::*)(P...)> {};
template <class S, class R, class... P>
struct Method<R (S::*)(P...) noexcept> : Method<R (S::*)(P...)> {};
template <class S, class R, class... P>
struct Method<R (S::*)(P...) const noexcept> : Method<R (S::*)(P...)> {};

template <class T>
struct ReplyOf {
  static constexpr bool k_is = false;
};
template <class R>
struct ReplyOf<ReplyTo<R>> {
  static constexpr bool k_is = true;
  using Result = R;
};

template <class Tuple, std::size_t from, class Indices>
struct SliceOf;
template <class Tuple, std::size_t from, std::size_t... I>
struct SliceOf<Tuple, from, std::index_sequence<I...>> {
  using Type = std::tuple<std::tuple_element_t<from + I, Tuple>...>;
};
template <class Tuple, std::size_t from, std::size_t count>
using Slice = typename SliceOf<Tuple, from, std::make_index_sequence<count>>::Type;

template <class Tuple>
struct DecayedOf;
template <class... P>
struct DecayedOf<std::tuple<P...>> {
  using Type = std::tuple<std::remove_cvref_t<P>...>;
};

template <class P>
constexpr bool changes_what_it_gets() {
  return std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>>;
}

template <class Parameters, class Result>
struct ShapeCheck;
template <class... P, class Result>
struct ShapeCheck<std::tuple<P...>, Result> {
  static_assert((... && !changes_what_it_gets<P>()),
                "a handler's parameter is a reference to what it may change: changes do not travel back");
  static_assert((... && Argument<std::remove_cvref_t<P>>),
                "a handler's parameter is of a type that cannot be carried in a message: specialise muproc::Carry");
  static_assert(std::is_void_v<Result> || Argument<Result> || Struct<Result>,
                "a handler's result is of a type that cannot be carried in a message: specialise muproc::Carry");
  static constexpr bool k_ok = true;
};

/// How a handler is called: its parameters that travel, as it declares them and as values, and its result: void, a value,
/// or a Cap'n Proto struct (the struct itself, not its reader).
template <class Handler>
class CallShape {
  using M = Method<Handler>;
  using All = typename M::Parameters;
  static constexpr std::size_t k_count = std::tuple_size_v<All>;
  static constexpr bool replies_later() {
    if constexpr (k_count == 0) return false;
    else return ReplyOf<std::remove_cvref_t<std::tuple_element_t<0, All>>>::k_is;
  }
  static constexpr bool builds_result() {
    if constexpr (k_count == 0) return false;
    else return StructBuilder<std::remove_cvref_t<std::tuple_element_t<k_count - 1, All>>>;
  }
  static constexpr auto result() {
    using R = std::remove_cvref_t<typename M::Result>;
    if constexpr (replies_later()) {
      return std::type_identity<typename ReplyOf<std::remove_cvref_t<std::tuple_element_t<0, All>>>::Result>{};
    } else if constexpr (builds_result()) {
      return std::type_identity<typename std::remove_cvref_t<std::tuple_element_t<k_count - 1, All>>::Builds>{};
    } else if constexpr (StructReader<R>) {
      return std::type_identity<typename R::Reads>{};
    } else {
      return std::type_identity<R>{};
    }
  }

 public:
  using Server = typename M::Server;
  static constexpr bool k_replies_later = replies_later();
  static constexpr bool k_builds_result = builds_result();
  static_assert(!(k_replies_later && k_builds_result), "a handler answers through ReplyTo or through a Builder, not both");
  static_assert(!(k_replies_later || k_builds_result) || std::is_void_v<typename M::Result>,
                "a handler that answers through ReplyTo or a Builder returns nothing");
  using Result = typename decltype(result())::type;
  using Parameters = Slice<All, k_replies_later ? 1 : 0, k_count - (k_replies_later || k_builds_result ? 1 : 0)>;
  using Arguments = typename DecayedOf<Parameters>::Type;
  static constexpr bool k_checked = ShapeCheck<Parameters, Result>::k_ok;
};

template <class Handler>
struct CastShape {
  using Server = typename Method<Handler>::Server;
  static constexpr bool k_replies_later = false;
  static constexpr bool k_builds_result = false;
  using Result = void;
  using Parameters = typename Method<Handler>::Parameters;
  using Arguments = typename DecayedOf<Parameters>::Type;
  static constexpr bool k_checked = ShapeCheck<Parameters, void>::k_ok;
};

template <class Shape, class Out>
constexpr void describe_signature(Out& out) {
  out.add("(");
  [&]<class... A>(std::type_identity<std::tuple<A...>>) {
    bool first = true;
    ((out.add(std::exchange(first, false) ? "" : ", "), describe_argument<A>(out)), ...);
  }(std::type_identity<typename Shape::Arguments>{});
  out.add(") -> ");
  describe_argument<typename Shape::Result>(out);
}

template <class Shape>
constexpr std::uint64_t signature_hash() {
  SignatureHash hash;
  describe_signature<Shape>(hash);
  return hash.value;
}
template <class Shape>
std::string signature_text() {
  SignatureText text;
  describe_signature<Shape>(text);
  return text.value;
}

}  // namespace detail
}  // namespace muproc
