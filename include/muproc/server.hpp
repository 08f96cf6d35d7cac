// The generic server: a class whose member functions others call across processes.
//
//     struct Counter {
//       explicit Counter(std::int64_t start);        // a `Self&` before it, if the server wants one
//       std::int64_t add(std::int64_t n);
//       void reset();
//       void terminate(const Reason&);               // optional, as are linked_exit(Pid, const Reason&),
//     };                                             // handle_info(const Message&) and handle_timeout()
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
// runtime although an exit is pending, and what it throws becomes the reason.
//
// - A call's handler that throws: the caller gets the error, the server ends with it.
// - A cast's handler that throws: the server ends.
// - The constructor throws: the name is free again before the starter hears of it. It may decline: `ignore_start`.
// - A handler that takes a ReplyTo first answers later: see reply_to.hpp.
// - `continue_with` runs work after the handler, or the constructor, and before any later message.
// - `idle_timeout` has `handle_timeout()` called when no message has come for a while.
// - A server that traps exits hears of the ends of linked ones, and of exit signals (then the pid is nil), through
//   `linked_exit`; without that, they end it. Its supervisor's `shutdown` always ends it.
// - Anything else goes to `handle_info`; without that, it is logged and dropped.
//
// What arguments and results may be, and how clients call: call.hpp; calls in flight: request.hpp. They are checked: a
// request carries a hash of its name and one of its signature, so a client and a server of different versions get an error
// that says so, and nothing worse.
//
// Erlang: gen_server. cl-muproc: cl-muproc.generic-server.
#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <muproc/call.hpp>
#include <muproc/call_error.hpp>
#include <muproc/carry.hpp>
#include <muproc/detail/handler.hpp>
#include <muproc/reply_to.hpp>
#include <muproc/request.hpp>
#include <muproc/self.hpp>

namespace muproc {

namespace detail {

class ServerRun;

/// The loop of one server. It is there before the server's constructor, which may use what is for servers.
class ServerLoop {
 public:
  /// `starter_asks`: whoever spawned this server sends a request to learn whether its constructor has returned.
  ServerLoop(Self& self, std::span<const Handler> handlers, const std::string& port, bool starter_asks);
  ~ServerLoop();
  ServerLoop(const ServerLoop&) = delete;
  ServerLoop& operator=(const ServerLoop&) = delete;
  /// Returns when the server was stopped in order; throws what ended it otherwise.
  void run(void* server, const ServerHooks& hooks);

 private:
  std::unique_ptr<ServerRun> run_;
};

template <class S, class... Args>
concept ServerFrom = std::is_constructible_v<S, Args...> || std::is_constructible_v<S, Self&, Args...>;

template <class S, class... Args>
void serve(Self& self, std::span<const Handler> handlers, const std::string& port_name, bool starter_asks,
           Args&&... args) {
  const Port port = port_name.empty() ? Port() : self.register_port(port_name);
  ServerLoop loop(self, handlers, port_name, starter_asks);
  if constexpr (std::is_constructible_v<S, Self&, Args...>) {
    S server(self, std::forward<Args>(args)...);
    loop.run(&server, hooks_of<S>());
  } else {
    S server(std::forward<Args>(args)...);
    loop.run(&server, hooks_of<S>());
  }
}

/// A server's code, port and constructor arguments as the args of the muproc that is to become it, and back.
Mumsg server_args(std::span<const Handler> handlers, const std::string& port, List constructor_args,
                  bool starter_asks = false);
class ServerArgs {
 public:
  explicit ServerArgs(const Mumsg& args);
  std::span<const Handler> handlers() const { return handlers_; }
  const std::string& port() const { return port_; }
  bool starter_asks() const { return starter_asks_; }
  const Value& constructor_args() const { return constructor_args_; }

 private:
  std::vector<std::string> names_;
  std::vector<Handler> handlers_;
  std::string port_;
  bool starter_asks_;
  Value constructor_args_;
};

/// How a constructor's argument travels: literals and views as text.
template <class T>
using Travelling = std::conditional_t<std::is_convertible_v<T, std::string_view> && !std::is_same_v<std::decay_t<T>, Symbol>,
                                      std::string, std::decay_t<T>>;

template <class S, class... Args>
[[gnu::visibility("hidden")]] void run_spawned_server(Self& self) {
  const ServerArgs start(self.args());
  std::apply(
      [&](Args&&... args) { serve<S>(self, start.handlers(), start.port(), start.starter_asks(), std::move(args)...); },
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

/// Spawns a muproc that is a server S, constructed there from the arguments. Returns when the constructor has returned;
/// nil when it has declined (`ignore_start`). Throws StartFailed, with the constructor's exception as its reason,
/// NameTaken when somebody has the name already, Error as spawn does. (Linked to a server that fails to start, a starter
/// that does not trap exits ends with it.) Erlang: gen_server:start.
template <class S, class... Args>
Pid start_server(Self& self, std::string_view name, Interface<S> interface, const ServerOptions& options,
                 const Args&... args) {
  static_assert(detail::ServerFrom<S, detail::Travelling<Args>...>, "the server has no constructor for these arguments");
  return detail::start_server(self, name, &detail::run_spawned_server<S, detail::Travelling<Args>...>,
                              options.spawn_options(detail::server_args(detail::handlers_of<S>(interface), options.port,
                                                                        detail::travelling_args(args...), true)));
}
template <class S, class... Args>
  requires(sizeof...(Args) == 0 ||
           !std::is_same_v<std::remove_cvref_t<std::tuple_element_t<0, std::tuple<Args..., void>>>, ServerOptions>)
Pid start_server(Self& self, std::string_view name, Interface<S> interface, const Args&... args) {
  return start_server<S>(self, name, interface, ServerOptions{}, args...);
}

/// The same as a supervisor's child, whose start is done when the constructor has returned:
/// `supervisor(one_for_one, {2, 5s}, {server_child<Counter>("counter", {add}, {}, 10)})`.
template <class S, class... Args>
Child server_child(std::string name, Interface<S> interface, ChildOptions options, const Args&... args) {
  static_assert(detail::ServerFrom<S, detail::Travelling<Args>...>, "the server has no constructor for these arguments");
  options.args = detail::server_args(detail::handlers_of<S>(interface), {}, detail::travelling_args(args...));
  options.ready_on = ReadyOn::call;
  return Child(std::move(name), &detail::run_spawned_server<S, detail::Travelling<Args>...>, std::move(options));
}

/// Turns the calling muproc into a server: returns when it was stopped in order. cl-muproc: muproc-generic-start.
template <class S, class... Args>
void serve(Self& self, Interface<S> interface, Args&&... args) {
  static_assert(detail::ServerFrom<S, Args...>, "the server has no constructor for these arguments");
  detail::serve<S>(self, detail::handlers_of<S>(interface), {}, false, std::forward<Args>(args)...);
}
/// The same with a port name, which is registered as long as the server lives.
template <class S, class... Args>
void serve_as(Self& self, const std::string& port, Interface<S> interface, Args&&... args) {
  static_assert(detail::ServerFrom<S, Args...>, "the server has no constructor for these arguments");
  detail::serve<S>(self, detail::handlers_of<S>(interface), port, false, std::forward<Args>(args)...);
}

/// Asks a server to end, and waits until it has: its `terminate` has run, and its name is free. Throws CallError: `error`
/// with what `terminate` threw, `noproc`, `down` when it ended otherwise, `timeout` when it takes longer than `limit`.
/// Erlang: gen_server:stop. cl-muproc: muproc-generic-stop.
void stop(Self& self, Address server, Reason reason = Reason::normal(),
          std::chrono::nanoseconds limit = std::chrono::nanoseconds::max());

// ---- in a server: in its constructor, its handlers, its other members. Elsewhere these throw std::logic_error. ----------

/// In the constructor: declines to start, in order. Whoever started it gets a nil pid, and no link ends anybody; the name
/// is free. Erlang: init returns ignore.
[[noreturn]] void ignore_start(Self& self);

/// The server ends with this reason when the handler has returned, and has answered. cl-muproc:
/// muproc-exit-after-handler.
void exit_after_handler(Self& self, Reason reason);
void exit_after_handler(Self& self, Value reason);
/// Takes that back.
void stay_after_handler(Self& self);

/// Runs `work` when the handler or the constructor has returned, and before any later message is handled; several in turn.
/// What it throws ends the server. Erlang: {continue, …} and handle_continue.
void continue_with(Self& self, std::function<void()> work);

/// Calls the server's `handle_timeout()` after each `quiet` in which no message came, until it is set anew; nothing stops
/// it. A server without `handle_timeout` ends then, with the reason `normal`. Never early. Throws std::invalid_argument
/// unless the time is positive. Erlang: a callback's Timeout, which holds for one message only.
void idle_timeout(Self& self, std::optional<std::chrono::nanoseconds> quiet);

/// The port name that it was given, else the muproc's name. cl-muproc: *muproc-generic-server-port-name*.
const std::string& server_port(const Self& self);

}  // namespace muproc
