// The server's side of a call or cast: from a request's fields to the member function, and from its result to the answer.
#pragma once

#include <kj/exception.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <muproc/call.hpp>
#include <muproc/reply_to.hpp>

namespace muproc::detail {

/// An argument that does not fit; the caller's mistake, so the server lives.
struct BadArgument : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What the code knows of one handler. It is asked for by a function, whose address can travel to another process.
struct HandlerFacts {
  std::uint64_t signature;
  unsigned arity;
  void (*run)(void* server, const FieldView* arguments, Answer* answer);
  std::string (*describe)();
};
using FactsFunction = const HandlerFacts& (*)();

template <class Arguments>
Arguments take_arguments(const FieldView* fields) {
  try {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return Arguments{take_field<std::tuple_element_t<I, Arguments>>(fields[I])...};
    }(std::make_index_sequence<std::tuple_size_v<Arguments>>{});
  } catch (const ValueError& error) {
    throw BadArgument(error.what());
  } catch (const kj::Exception& malformed) {
    throw BadArgument(malformed.getDescription().cStr());
  }
}

/// `answer` is null for a cast.
template <class S, auto Handler, class Shape>
void run_handler(void* server, [[maybe_unused]] const FieldView* fields, [[maybe_unused]] Answer* answer) {
  using Result = typename Shape::Result;
  auto arguments = take_arguments<typename Shape::Arguments>(fields);
  const auto invoke = [&](auto&& handler) -> decltype(auto) {
    return [&]<class... P, std::size_t... I>(std::type_identity<std::tuple<P...>>,
                                             std::index_sequence<I...>) -> decltype(auto) {
      return handler(static_cast<P&&>(std::get<I>(arguments))...);
    }(std::type_identity<typename Shape::Parameters>{},
      std::make_index_sequence<std::tuple_size_v<typename Shape::Parameters>>{});
  };
  S& target = *static_cast<S*>(server);
  const auto plainly = [&](auto&&... values) -> decltype(auto) {
    return (target.*Handler)(std::forward<decltype(values)>(values)...);
  };
  if constexpr (Shape::k_replies_later) {
    invoke([&](auto&&... values) {
      (target.*Handler)(ReplyTo<Result>(*answer), std::forward<decltype(values)>(values)...);
    });
  } else if constexpr (Shape::k_builds_result) {
    auto build = [&](typename Result::Builder to) {
      invoke([&](auto&&... values) { (target.*Handler)(std::forward<decltype(values)>(values)..., to); });
    };
    answer->value(StructGiven<Result>(build).argument());
  } else if constexpr (std::is_void_v<Result>) {
    invoke(plainly);
    if (answer) answer->nothing();
  } else if constexpr (Struct<Result>) {
    answer->value(StructGiven<Result>(invoke(plainly)).argument());
  } else {
    const auto& result = invoke(plainly);
    answer->value(Given<Result>(result).argument());
  }
}

// Hidden: each module has its own, so that its address lies in the module that uses it.
template <class S, auto Handler, class Shape>
[[gnu::visibility("hidden")]] const HandlerFacts& facts_of() {
  static constexpr HandlerFacts facts{signature_hash<Shape>(), std::tuple_size_v<typename Shape::Arguments>,
                                      &run_handler<S, Handler, Shape>, &signature_text<Shape>};
  return facts;
}

struct Handler {
  std::string_view name;
  bool is_call;
  FactsFunction facts;
};

/// A Call or Cast as a handler of server S.
template <class S>
struct HandlerOf : Handler {
  template <auto M>
  HandlerOf(const Call<M>& call) : Handler{call.name(), true, &facts_of<S, M, CallShape<decltype(M)>>} {
    static_assert(std::is_base_of_v<typename CallShape<decltype(M)>::Server, S>, "a call of another server");
  }
  template <auto M>
  HandlerOf(const Cast<M>& cast) : Handler{cast.name(), false, &facts_of<S, M, CastShape<decltype(M)>>} {
    static_assert(std::is_base_of_v<typename CastShape<decltype(M)>::Server, S>, "a cast of another server");
  }
};

/// The optional members of a server.
struct ServerHooks {
  void (*terminate)(void* server, const Reason& reason) = nullptr;
  void (*linked_exit)(void* server, Pid ended, const Reason& reason) = nullptr;
  void (*handle_info)(void* server, const Message& message) = nullptr;
  void (*handle_timeout)(void* server) = nullptr;
};

template <class S>
constexpr ServerHooks hooks_of() {
  ServerHooks hooks;
  if constexpr (requires(S& server, const Reason& reason) { server.terminate(reason); }) {
    hooks.terminate = [](void* server, const Reason& reason) { static_cast<S*>(server)->terminate(reason); };
  } else {
    static_assert(!requires { &S::terminate; }, "terminate must be public and take (const Reason&)");
  }
  if constexpr (requires(S& server, const Reason& reason) { server.linked_exit(Pid(), reason); }) {
    hooks.linked_exit = [](void* server, Pid ended, const Reason& reason) {
      static_cast<S*>(server)->linked_exit(ended, reason);
    };
  } else {
    static_assert(!requires { &S::linked_exit; }, "linked_exit must be public and take (Pid, Reason)");
  }
  if constexpr (requires(S& server, const Message& message) { server.handle_info(message); }) {
    hooks.handle_info = [](void* server, const Message& message) { static_cast<S*>(server)->handle_info(message); };
  } else {
    static_assert(!requires { &S::handle_info; }, "handle_info must be public and take (const Message&)");
  }
  if constexpr (requires(S& server) { server.handle_timeout(); }) {
    hooks.handle_timeout = [](void* server) { static_cast<S*>(server)->handle_timeout(); };
  } else {
    static_assert(!requires { &S::handle_timeout; }, "handle_timeout must be public and take nothing");
  }
  return hooks;
}

}  // namespace muproc::detail
