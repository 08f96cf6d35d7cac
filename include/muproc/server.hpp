// The generic server: a class whose member functions others call across processes.
//
//     struct Counter {
//       explicit Counter(std::int64_t start);        // a `Self&` before it, if the server wants one
//       std::int64_t add(std::int64_t n);
//       void reset();
//       void terminate(const Reason&);               // optional, as are linked_exit(Pid, Reason), handle_info(const Message&)
//     };
//     inline constexpr Call<&Counter::add> add{"add"};
//     inline constexpr Cast<&Counter::reset> reset{"reset"};
//
//     Pid server = start_server<Counter>(self, "counter", {add, reset}, std::int64_t{10});
//     std::int64_t v = add(self, "counter", 5);      // waits for the answer, five seconds at most; throws CallError
//     v = add.within(2s)(self, "counter", 5);
//     reset(self, "counter");                        // does not wait
//
// The server's messages are handled one at a time, in the order in which they came. It ends when its handler throws, when
// it is told to exit, when a linked one ends and it does not trap exits, by `stop` or by `exit_after_handler`. Whatever
// the way, `terminate(reason)` runs exactly once, if there is one, and then the destructor; `terminate` may use the
// runtime although an exit is pending.
//
// - A call's handler that throws: the caller gets the error, the server ends with it.
// - A cast's handler that throws: the server ends.
// - The constructor throws: the name is free again before the starter hears of it.
// - A server that traps exits hears of the ends of linked ones, and of exit signals (then the pid is nil), through
//   `linked_exit`; without that, they end it. Its supervisor's `shutdown` always ends it.
// - Anything else goes to `handle_info`; without that, it is logged and dropped.
//
// What arguments and results may be: see carry.hpp. They are checked: a call carries a hash of its name and one of its
// signature, so a client and a server of different versions get an error that says so, and nothing worse.
//
// Erlang: gen_server. cl-muproc: cl-muproc.generic-server.
#pragma once

#include <kj/exception.h>

#include <muproc/carry.hpp>
#include <muproc/self.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace muproc {

/// A call that brought no value.
struct CallError : Error {
  enum class Kind {
    noproc,   ///< nobody is there
    timeout,  ///< no answer in time; one that comes later never reaches the mailbox
    down,     ///< the server ended before it answered: `reason`
    error,    ///< the server's handler threw, or knows no such call: `reason` is exception{type, what}
  };
  CallError(Kind call_kind, const std::string& text, Reason why)
      : Error(text), kind(call_kind), reason(std::move(why)) {}
  Kind kind;
  Reason reason;
};

inline constexpr std::chrono::seconds k_call_timeout{5};

namespace detail {

// ---- signatures ----

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

template <class Handler>
struct Method;
template <class S, class R, class... P>
struct Method<R (S::*)(P...)> {
  using Server = S;
  using Parameters = std::tuple<P...>;
  using Arguments = std::tuple<std::remove_cvref_t<P>...>;
  using Result = std::remove_cvref_t<R>;
};
template <class S, class R, class... P>
struct Method<R (S::*)(P...) const> : Method<R (S::*)(P...)> {};
template <class S, class R, class... P>
struct Method<R (S::*)(P...) noexcept> : Method<R (S::*)(P...)> {};
template <class S, class R, class... P>
struct Method<R (S::*)(P...) const noexcept> : Method<R (S::*)(P...)> {};

template <class T>
inline constexpr bool k_is_view = std::is_same_v<T, std::string_view>;

/// What a result is at the caller: text that the server merely points to is the caller's own.
template <class R>
using ReceivedResult = std::conditional_t<k_is_view<R>, std::string, R>;

template <class T, class Out>
constexpr void describe_argument(Out& out) {
  if constexpr (std::is_void_v<T>) out.add("nothing");
  else if constexpr (k_is_view<T>) out.add("text");
  else describe<T>(out);
}

template <class M, class Out>
constexpr void describe_signature(Out& out) {
  out.add("(");
  [&]<class... A>(std::type_identity<std::tuple<A...>>) {
    bool first = true;
    ((out.add(std::exchange(first, false) ? "" : ", "), describe_argument<A>(out)), ...);
  }(std::type_identity<typename M::Arguments>{});
  out.add(") -> ");
  describe_argument<typename M::Result>(out);
}

template <class M>
constexpr std::uint64_t signature_hash() {
  SignatureHash hash;
  describe_signature<M>(hash);
  return hash.value;
}
template <class M>
std::string signature_text() {
  SignatureText text;
  describe_signature<M>(text);
  return text.value;
}

template <class M>
constexpr bool can_be_carried() {
  return []<class... P, class... A>(std::type_identity<std::tuple<P...>>, std::type_identity<std::tuple<A...>>) {
    static_assert((... && !(std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>>)),
                  "a handler's parameter is a reference to what it may change: changes do not travel back");
    static_assert((... && (k_is_view<A> || Carriable<A>)),
                  "a handler's parameter is of a type that cannot be carried in a message: specialise muproc::Carry");
    using R = typename M::Result;
    static_assert(std::is_void_v<R> || k_is_view<R> || Carriable<R>,
                  "a handler's result is of a type that cannot be carried in a message: specialise muproc::Carry");
    return true;
  }(std::type_identity<typename M::Parameters>{}, std::type_identity<typename M::Arguments>{});
}

// ---- one argument or result on its way ----

/// Keeps what a FieldArgument refers to.
template <class T>
class Given {
  static constexpr bool k_simple = std::is_arithmetic_v<T> || k_is_view<T> || std::is_same_v<T, std::string> ||
                                   std::is_same_v<T, Symbol> || std::is_same_v<T, Data> || std::is_same_v<T, Pid> ||
                                   std::is_same_v<T, Value>;

 public:
  explicit Given(const T& object) : kept_(convert(object)) {}
  FieldArgument argument() const {
    if constexpr (std::is_same_v<T, Data>) {
      return FieldArgument(std::span<const std::byte>(kept_));
    } else {
      return FieldArgument(kept_);
    }
  }

 private:
  using Kept = std::conditional_t<k_simple, const T&, Value>;
  static Kept convert(const T& object) {
    if constexpr (k_simple) {
      return object;
    } else {
      return give<T>(object);
    }
  }
  Kept kept_;
};

template <class T>
T take_field(const FieldView& field) {
  if constexpr (k_is_view<T> || (PlainValue<T> && !std::is_enum_v<T>)) {
    return field.as<T>();
  } else {
    return take<T>(field.value());
  }
}

// ---- the client's side ----

struct Answered {
  Message message;  // what the value is read from
  FieldView value;
};

/// What identifies a handler in a request.
struct RequestHead {
  std::string_view name;
  std::uint64_t signature = 0;
  std::string (*describe)() = nullptr;
};

Answered call(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments,
              std::chrono::nanoseconds limit);
void cast(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments);
/// What came back does not fit, although the signatures agree.
[[noreturn]] void bad_answer(const RequestHead& head, Address server, const char* what);
[[noreturn]] void no_default_server(std::string_view name);

template <class Send, class... A>
decltype(auto) with_arguments(Send&& send, const A&... arguments) {
  return [&](const Given<A>&... given) -> decltype(auto) {
    const std::array<FieldArgument, sizeof...(A)> fields{given.argument()...};
    return send(std::span<const FieldArgument>(fields));
  }(Given<A>(arguments)...);
}

class Stub {
 public:
  constexpr std::string_view name() const { return name_; }

 protected:
  constexpr Stub(const char* name, const char* default_server) : name_(name), default_server_(default_server) {}
  Address default_server() const {
    if (!default_server_) no_default_server(name_);
    return default_server_;
  }

 private:
  const char* name_;
  const char* default_server_;
};

template <auto Handler, class Arguments = typename Method<decltype(Handler)>::Arguments>
class CallStub;

template <auto Handler, class... A>
class CallStub<Handler, std::tuple<A...>> : public Stub {
  using M = Method<decltype(Handler)>;
  static_assert(can_be_carried<M>());

 public:
  using Result = ReceivedResult<typename M::Result>;

  Result operator()(Self& self, Address server, const A&... arguments) const {
    const RequestHead head{name(), signature_hash<M>(), &signature_text<M>};
    return with_arguments(
        [&](std::span<const FieldArgument> fields) -> Result {
          [[maybe_unused]] const Answered answer = call(self, server, head, fields, limit_);
          if constexpr (!std::is_void_v<Result>) {
            try {
              return take_field<Result>(answer.value);
            } catch (const ValueError& error) {
              bad_answer(head, server, error.what());
            }
          }
        },
        arguments...);
  }
  Result operator()(Self& self, const A&... arguments) const { return (*this)(self, default_server(), arguments...); }

 protected:
  constexpr CallStub(const char* name, const char* default_server, std::chrono::nanoseconds limit)
      : Stub(name, default_server), limit_(limit) {}
  std::chrono::nanoseconds limit_;
};

}  // namespace detail

/// A call of a server's member function: `add(self, server, arguments…)` is the handler's result. The server is a pid or
/// a name; it may be left out when the stub names a default one. Throws CallError. cl-muproc: a call handler's client
/// functions NAME* and NAME.
template <auto Handler>
class Call : public detail::CallStub<Handler> {
 public:
  constexpr explicit Call(const char* name, const char* default_server = nullptr)
      : detail::CallStub<Handler>(name, default_server, k_call_timeout) {}
  /// The same with another limit of time; std::chrono::nanoseconds::max() is none.
  constexpr Call within(std::chrono::nanoseconds limit) const {
    Call other = *this;
    other.limit_ = limit;
    return other;
  }
};

namespace detail {

template <auto Handler, class Arguments = typename Method<decltype(Handler)>::Arguments>
class CastStub;

template <auto Handler, class... A>
class CastStub<Handler, std::tuple<A...>> : public Stub {
  using M = Method<decltype(Handler)>;
  static_assert(can_be_carried<M>());

 public:
  void operator()(Self& self, Address server, const A&... arguments) const {
    const RequestHead head{name(), signature_hash<M>(), &signature_text<M>};
    with_arguments([&](std::span<const FieldArgument> fields) { cast(self, server, head, fields); }, arguments...);
  }
  void operator()(Self& self, const A&... arguments) const { (*this)(self, default_server(), arguments...); }

 protected:
  using Stub::Stub;
};

}  // namespace detail

/// The same without an answer: sent, and that is all. To the dead: dropped. Throws NoSuchName when nobody has that name.
/// cl-muproc: a cast handler's client functions.
template <auto Handler>
class Cast : public detail::CastStub<Handler> {
 public:
  constexpr explicit Cast(const char* name, const char* default_server = nullptr)
      : detail::CastStub<Handler>(name, default_server) {}
};

namespace detail {

// ---- the server's side ----

/// Where a call's value goes.
class Answer {
 public:
  Answer(Self& self, Pid to, std::uint64_t ref) : self_(self), to_(to), ref_(ref) {}
  void value(const FieldArgument& value);
  void nothing() { value(nullptr); }
  void error(const Reason& reason);

 private:
  Self& self_;
  Pid to_;
  std::uint64_t ref_;
};

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

template <class S, auto Handler>
void run_handler(void* server, [[maybe_unused]] const FieldView* fields, Answer* answer) {
  using M = Method<decltype(Handler)>;
  using Result = typename M::Result;
  auto arguments = take_arguments<typename M::Arguments>(fields);
  auto invoke = [&]<class... P, std::size_t... I>(std::type_identity<std::tuple<P...>>,
                                                  std::index_sequence<I...>) -> decltype(auto) {
    return (static_cast<S*>(server)->*Handler)(static_cast<P&&>(std::get<I>(arguments))...);
  };
  using Parameters = typename M::Parameters;
  constexpr std::type_identity<Parameters> types;
  constexpr auto indices = std::make_index_sequence<std::tuple_size_v<Parameters>>{};
  if constexpr (std::is_void_v<Result>) {
    invoke(types, indices);
    if (answer) answer->nothing();
  } else {
    const auto& result = invoke(types, indices);
    if (answer) answer->value(Given<Result>(result).argument());
  }
}

// Hidden: each module has its own, so that its address lies in the module that uses it.
template <class S, auto Handler>
[[gnu::visibility("hidden")]] const HandlerFacts& facts_of() {
  using M = Method<decltype(Handler)>;
  static constexpr HandlerFacts facts{signature_hash<M>(), std::tuple_size_v<typename M::Arguments>,
                                      &run_handler<S, Handler>, &signature_text<M>};
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
  HandlerOf(const Call<M>& call) : Handler{call.name(), true, &facts_of<S, M>} {
    static_assert(std::is_base_of_v<typename Method<decltype(M)>::Server, S>, "a call of another server");
  }
  template <auto M>
  HandlerOf(const Cast<M>& cast) : Handler{cast.name(), false, &facts_of<S, M>} {
    static_assert(std::is_base_of_v<typename Method<decltype(M)>::Server, S>, "a cast of another server");
  }
};

/// The optional members of a server.
struct ServerHooks {
  void (*terminate)(void* server, const Reason& reason) = nullptr;
  void (*linked_exit)(void* server, Pid ended, const Reason& reason) = nullptr;
  void (*handle_info)(void* server, const Message& message) = nullptr;
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
  return hooks;
}

/// The loop. Returns when the server was stopped in order; throws what ended it otherwise.
void run_server(Self& self, std::span<const Handler> handlers, const std::string& port, void* server,
                const ServerHooks& hooks);

template <class S, class... Args>
concept ServerFrom = std::is_constructible_v<S, Args...> || std::is_constructible_v<S, Self&, Args...>;

template <class S, class... Args>
void serve(Self& self, std::span<const Handler> handlers, const std::string& port_name, Args&&... args) {
  const Port port = port_name.empty() ? Port() : self.register_port(port_name);
  if constexpr (std::is_constructible_v<S, Self&, Args...>) {
    S server(self, std::forward<Args>(args)...);
    run_server(self, handlers, port_name, &server, hooks_of<S>());
  } else {
    S server(std::forward<Args>(args)...);
    run_server(self, handlers, port_name, &server, hooks_of<S>());
  }
}

/// A server's code, port and constructor arguments as the args of the muproc that is to become it, and back.
Mumsg server_args(std::span<const Handler> handlers, const std::string& port, List constructor_args);
class ServerArgs {
 public:
  explicit ServerArgs(const Mumsg& args);
  std::span<const Handler> handlers() const { return handlers_; }
  const std::string& port() const { return port_; }
  const Value& constructor_args() const { return constructor_args_; }

 private:
  std::vector<std::string> names_;
  std::vector<Handler> handlers_;
  std::string port_;
  Value constructor_args_;
};

/// How a constructor's argument travels: literals and views as text.
template <class T>
using Travelling = std::conditional_t<std::is_convertible_v<T, std::string_view> && !std::is_same_v<std::decay_t<T>, Symbol>,
                                      std::string, std::decay_t<T>>;

template <class S, class... Args>
[[gnu::visibility("hidden")]] void run_spawned_server(Self& self) {
  const ServerArgs start(self.args());
  std::apply([&](Args&&... args) { serve<S>(self, start.handlers(), start.port(), std::move(args)...); },
             take_all<std::tuple<Args...>>(start.constructor_args()));
}

template <class S>
std::vector<Handler> handlers_of(std::initializer_list<HandlerOf<S>> interface) {
  return {interface.begin(), interface.end()};
}

Pid start_server(Self& self, std::string_view name, Function function, SpawnOptions options);

template <class... Args>
List travelling_args(const Args&... args) {
  static_assert((... && Carriable<Travelling<Args>>),
                "an argument of the server's constructor is of a type that cannot be carried in a message: specialise "
                "muproc::Carry for it");
  return List{give<Travelling<Args>>(Travelling<Args>(args))...};
}

}  // namespace detail

/// What a server S answers to: `{add, reset}`, its Calls and Casts.
template <class S>
using Interface = std::initializer_list<detail::HandlerOf<S>>;

/// As SpawnOptions, but `args` and `ready_timeout`: the constructor's arguments are given by themselves, and a server is
/// ready when its constructor has returned.
struct ServerOptions {
  std::string port = {};  ///< a port name to register, besides the muproc's own name
  Mumsg bindings = {};
  bool link = false;
  bool trap_exits = false;
  std::string error_stream = {};
  Stop stop = std::chrono::seconds(5);
  std::chrono::nanoseconds ready_timeout = std::chrono::seconds(10);
  MailboxSizes mailbox = {};

  SpawnOptions spawn_options(Mumsg args) const {
    return {.args = std::move(args),
            .bindings = bindings,
            .link = link,
            .trap_exits = trap_exits,
            .error_stream = error_stream,
            .stop = stop,
            .ready_timeout = ready_timeout,
            .mailbox = mailbox};
  }
};

/// Spawns a muproc that is a server S, constructed there from the arguments. Returns when the constructor has returned.
/// Throws StartFailed, with the constructor's exception as its reason, NameTaken, Error as spawn does. (Linked to a
/// server that fails to start, a starter that does not trap exits ends with it.) Erlang: gen_server:start.
template <class S, class... Args>
Pid start_server(Self& self, std::string_view name, Interface<S> interface, const ServerOptions& options,
                 const Args&... args) {
  static_assert(detail::ServerFrom<S, detail::Travelling<Args>...>, "the server has no constructor for these arguments");
  return detail::start_server(self, name, &detail::run_spawned_server<S, detail::Travelling<Args>...>,
                              options.spawn_options(detail::server_args(detail::handlers_of<S>(interface), options.port,
                                                                        detail::travelling_args(args...))));
}
template <class S, class... Args>
  requires(sizeof...(Args) == 0 ||
           !std::is_same_v<std::remove_cvref_t<std::tuple_element_t<0, std::tuple<Args..., void>>>, ServerOptions>)
Pid start_server(Self& self, std::string_view name, Interface<S> interface, const Args&... args) {
  return start_server<S>(self, name, interface, ServerOptions{}, args...);
}

/// The same as a supervisor's child: `supervisor(one_for_one, {2, 5s}, {server_child<Counter>("counter", {add}, {}, 10)})`.
template <class S, class... Args>
Child server_child(std::string name, Interface<S> interface, ChildOptions options, const Args&... args) {
  static_assert(detail::ServerFrom<S, detail::Travelling<Args>...>, "the server has no constructor for these arguments");
  options.args = detail::server_args(detail::handlers_of<S>(interface), {}, detail::travelling_args(args...));
  return Child(std::move(name), &detail::run_spawned_server<S, detail::Travelling<Args>...>, std::move(options));
}

/// Turns the calling muproc into a server: returns when it was stopped in order. cl-muproc: muproc-generic-start.
template <class S, class... Args>
void serve(Self& self, Interface<S> interface, Args&&... args) {
  static_assert(detail::ServerFrom<S, Args...>, "the server has no constructor for these arguments");
  detail::serve<S>(self, detail::handlers_of<S>(interface), {}, std::forward<Args>(args)...);
}
/// The same with a port name, which is registered as long as the server lives.
template <class S, class... Args>
void serve_as(Self& self, const std::string& port, Interface<S> interface, Args&&... args) {
  static_assert(detail::ServerFrom<S, Args...>, "the server has no constructor for these arguments");
  detail::serve<S>(self, detail::handlers_of<S>(interface), port, std::forward<Args>(args)...);
}

/// Asks a server to end, and waits until it has: its `terminate` has run, and its name is free. Throws CallError: `error`
/// with what `terminate` threw, `noproc`, `down` when it ended otherwise, `timeout` when it takes longer than `limit`.
/// Erlang: gen_server:stop. cl-muproc: muproc-generic-stop.
void stop(Self& self, Address server, Reason reason = Reason::normal(),
          std::chrono::nanoseconds limit = std::chrono::nanoseconds::max());

/// In a server's handler: the server ends with this reason when the handler has returned, and has answered.
/// cl-muproc: muproc-exit-after-handler.
void exit_after_handler(Self& self, Reason reason);
void exit_after_handler(Self& self, Value reason);
/// Takes that back.
void stay_after_handler(Self& self);

/// In a server: the port name that it was given, else the muproc's name. cl-muproc: *muproc-generic-server-port-name*.
const std::string& server_port(const Self& self);

}  // namespace muproc
