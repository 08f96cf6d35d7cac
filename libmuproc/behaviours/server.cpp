// The out-of-line half of server.hpp: requests and answers, and the server's loop.
#include <muproc/server.hpp>

#include <muproc/detail/child.hpp>

#include <algorithm>
#include <optional>

#include "runtime/arguments.hpp"
#include "runtime/failure.hpp"
#include "runtime/runtime.hpp"
#include "sys/clock.hpp"
#include "wire/server.capnp.h"

namespace muproc {
namespace detail {
namespace {

// What is asked of every server. No handler's key is 0 or 1 unless its name were chosen for that.
constexpr std::uint64_t k_started_key = 0;
constexpr std::uint64_t k_stop_key = 1;

constexpr std::uint64_t argument_key(unsigned index) { return index + 1; }
constexpr std::size_t k_most_arguments = 16;

std::string to_string(Address address) {
  return address.is_name() ? std::string(address.name()) : muproc::to_string(address.pid());
}

class Lease {
 public:
  explicit Lease(Runtime& runtime) : runtime_(runtime), lease_(runtime.lease()) {}
  ~Lease() { runtime_.give_back(lease_); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ScratchLease& operator*() { return *lease_; }
  capnp::MessageBuilder& builder() { return lease_->builder(); }

 private:
  Runtime& runtime_;
  ScratchLease* lease_;
};

void write_request(wire::Request::Builder to, std::string_view name, std::uint64_t key, std::uint64_t signature,
                   std::span<const FieldArgument> arguments) {
  put([&](unsigned size) { return to.initName(size); }, name);
  to.setKey(key);
  to.setSignature(signature);
  auto fields = to.initFields(static_cast<unsigned>(arguments.size()));
  for (unsigned i = 0; i < arguments.size(); ++i) {
    fields[i].setKey(argument_key(i));
    write(fields[i], arguments[i]);
  }
}

// ---- the client's side -----------------------------------------------------------------------------------------------

std::string call_text(std::string_view name, Address server) {
  return "call of " + std::string(name) + " at " + to_string(server) + ": ";
}

/// The type of the error that says that a signature differs; its text is the server's.
constexpr const char* k_other_signature = "muproc::OtherSignature";
constexpr const char* k_no_such_call = "muproc::NoSuchCall";
constexpr const char* k_bad_argument = "muproc::BadArgument";

std::string error_text(const RequestHead& head, const Reason& error) {
  if (error.name() == k_other_signature && head.describe)
    return "the server's is " + error.what() + ", the caller's " + std::string(head.name) + head.describe() +
           ": they were built from different versions";
  return error.name() + (error.what().empty() ? "" : ": " + error.what());
}

Message ask(Self& self, Address server, const RequestHead& head, std::uint64_t key,
            std::span<const FieldArgument> arguments, std::chrono::nanoseconds limit) {
  Runtime& runtime = Runtime::of(self);
  const auto fail = [&](CallError::Kind kind, const std::string& why, Reason reason) -> CallError {
    return {kind, call_text(head.name, server) + why, std::move(reason)};
  };
  const auto now = sys::monotonic();
  const auto deadline = limit < std::chrono::nanoseconds::max() - now ? std::optional(now + limit) : std::nullopt;

  std::uint64_t ref;
  try {
    const Pid target = runtime.resolve(server);
    if (target == self.pid()) throw std::logic_error(call_text(head.name, server) + "a server cannot call itself");
    Lease lease(runtime);
    write_request(lease.builder().initRoot<wire::Request>(), head.name, key, head.signature, arguments);
    ref = runtime.begin_call(target, *lease, capnp::typeId<wire::Request>());
  } catch (const NoSuchName& nobody) {
    throw fail(CallError::Kind::noproc, nobody.what(), Reason::noproc());
  }

  Runtime::Reply reply = runtime.await(ref, deadline);
  switch (reply.outcome) {
    case Runtime::Reply::Outcome::value: return std::move(reply.message);
    case Runtime::Reply::Outcome::error: {
      const Reason error = wire::read(reply.message.as<wire::Reason>());
      throw fail(CallError::Kind::error, error_text(head, error), error);
    }
    case Runtime::Reply::Outcome::down:
      if (reply.reason.is(Reason::Kind::noproc))
        throw fail(CallError::Kind::noproc, "it has ended", std::move(reply.reason));
      throw fail(CallError::Kind::down, "it ended meanwhile: " + muproc::to_string(reply.reason),
                 std::move(reply.reason));
    case Runtime::Reply::Outcome::timeout: break;
  }
  throw fail(CallError::Kind::timeout, "no answer in time", {});
}

}  // namespace

Answered call(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments,
              std::chrono::nanoseconds limit) {
  Answered answered{ask(self, server, head, field_key(head.name), arguments, limit), {}};
  const std::uint64_t key = argument_key(0);
  if (!answered.message.is_mumsg() || !answered.message.mumsg().find_all(&key, &answered.value, 1))
    bad_answer(head, server, "it holds no value");
  return answered;
}

void cast(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments) {
  Runtime& runtime = Runtime::of(self);
  Lease lease(runtime);
  write_request(lease.builder().initRoot<wire::Request>(), head.name, field_key(head.name), head.signature, arguments);
  runtime.send(server, *lease, capnp::typeId<wire::Request>(), {}, Message::Kind::cast, 0);
}

void bad_answer(const RequestHead& head, Address server, const char* what) {
  throw CallError(CallError::Kind::error, call_text(head.name, server) + "an answer that does not fit: " + what,
                  Reason::exception("muproc::ValueError", what));
}

void no_default_server(std::string_view name) {
  throw std::logic_error(std::string(name) + " has no default server: say which one is meant");
}

const List& expect_list(const Value& value, std::size_t size) {
  const auto* list = std::get_if<List>(&value.variant());
  if (!list) throw ValueError("a value of kind " + std::string(to_string(value.kind())) + ", where a list was expected");
  if (list->size() != size)
    throw ValueError("a list of " + std::to_string(list->size()) + ", where " + std::to_string(size) +
                     " values were expected");
  return *list;
}

// ---- answers ---------------------------------------------------------------------------------------------------------

void Answer::value(const FieldArgument& value) {
  Runtime& runtime = Runtime::of(self_);
  Lease lease(runtime);
  auto field = lease.builder().initRoot<wire::Mumsg>().initFields(1)[0];
  field.setKey(argument_key(0));
  write(field, value);
  runtime.send(to_, *lease, capnp::typeId<wire::Mumsg>(), {}, Message::Kind::reply, ref_);
}

void Answer::error(const Reason& reason) {
  Runtime& runtime = Runtime::of(self_);
  Lease lease(runtime);
  wire::write(lease.builder().initRoot<wire::Reason>(), reason);
  runtime.send(to_, *lease, capnp::typeId<wire::Reason>(), {}, Message::Kind::error, ref_);
}

// ---- the server's loop -----------------------------------------------------------------------------------------------

namespace {

/// One run of a server, from the end of its constructor to the end of `terminate`.
class ServerRun {
 public:
  ServerRun(Self& self, std::span<const Handler> handlers, const std::string& port, void* server,
            const ServerHooks& hooks)
      : self_(self), server_(server), hooks_(hooks), port_(port.empty() ? self.name() : port), outer_(current) {
    for (const Handler& handler : handlers) {
      const Known known{field_key(handler.name), handler.is_call, handler.name, &handler.facts()};
      if (find(known.key, known.is_call))
        throw std::invalid_argument("a server has two handlers named \"" + std::string(handler.name) + '"');
      if (known.facts->arity > k_most_arguments)
        throw std::invalid_argument("a handler takes at most " + std::to_string(k_most_arguments) + " arguments");
      handlers_.push_back(known);
    }
    current = this;
  }
  ~ServerRun() { current = outer_; }
  ServerRun(const ServerRun&) = delete;
  ServerRun& operator=(const ServerRun&) = delete;

  void run();

  // The server whose handler is running in this thread: what `exit_after_handler` means, without being told.
  static thread_local ServerRun* current;
  static ServerRun& in_charge(const Self& self) {
    if (!current || &current->self_ != &self) throw std::logic_error("only in a server's handler");
    return *current;
  }

  std::optional<Reason> end;  // how it is to end when the handler has returned
  const std::string& port() const { return port_; }

 private:
  struct Known {
    std::uint64_t key;
    bool is_call;
    std::string_view name;
    const HandlerFacts* facts;
  };

  const Known* find(std::uint64_t key, bool is_call) const {
    for (const Known& known : handlers_)
      if (known.key == key && known.is_call == is_call) return &known;
    return nullptr;
  }

  struct Asked {
    std::uint64_t key = 0;
    Reason stop;                            // of a stop
    const HandlerFacts* handler = nullptr;  // of anything else but a start
    std::array<FieldView, k_most_arguments> arguments;
  };
  /// A request that cannot be carried out, in the words of the answer.
  struct Refused {
    const char* type;
    std::string what;
  };

  Asked read(const Message& message, bool is_call) const;
  void handle(const Message& message);
  void handle_call(const Message& message);
  void handle_cast(const Message& message);
  bool handle_exit(const Message& message);
  void handle_other(const Message& message);
  void terminate(const Reason& reason);

  Self& self_;
  void* server_;
  ServerHooks hooks_;
  std::string port_;
  ServerRun* outer_;
  std::vector<Known> handlers_;
};

thread_local ServerRun* ServerRun::current = nullptr;

/// Whatever ends the loop, `terminate` runs once. What it throws is then why the server ended.
void ServerRun::run() {
  std::exception_ptr failure;
  try {
    while (!end) self_.receive(otherwise >> [this](const Message& message) { handle(message); });
  } catch (...) {
    end = reason_of_current_exception();
    failure = std::current_exception();
  }
  terminate(*end);
  if (failure) std::rethrow_exception(failure);
  if (!end->is_normal()) self_.exit(*end);
}

void ServerRun::terminate(const Reason& reason) {
  if (!hooks_.terminate) return;
  const Runtime::ExitsHeld held(Runtime::of(self_));
  hooks_.terminate(server_, reason);
}

/// Throws Refused.
ServerRun::Asked ServerRun::read(const Message& message, bool is_call) const {
  if (!message.is<wire::Request>()) throw Refused{k_no_such_call, "a generic server answers to its handlers' stubs only"};
  try {
    message.check();
    const auto request = message.as<wire::Request>();
    const MumsgView arguments{capnp::AnyStruct::Reader(request)};  // a Request begins as a Mumsg does
    static constexpr auto keys = [] {
      std::array<std::uint64_t, k_most_arguments> all{};
      for (unsigned i = 0; i < k_most_arguments; ++i) all[i] = argument_key(i);
      return all;
    }();
    Asked asked;
    asked.key = request.getKey();
    const auto find_arguments = [&](unsigned count) {
      if (!arguments.find_all(keys.data(), asked.arguments.data(), count))
        throw Refused{k_bad_argument, "an argument is missing"};
    };
    if (is_call && asked.key == k_started_key) return asked;
    if (is_call && asked.key == k_stop_key) {
      find_arguments(1);
      asked.stop = asked.arguments[0].as<Reason>();
      return asked;
    }
    const Known* known = find(asked.key, is_call);
    if (!known)
      throw Refused{k_no_such_call, std::string("the server knows no ") + (is_call ? "call" : "cast") + " \"" +
                                        wire::string(request.getName()) + '"'};
    asked.handler = known->facts;
    if (request.getSignature() != asked.handler->signature)
      throw Refused{k_other_signature, std::string(known->name) + asked.handler->describe()};
    find_arguments(asked.handler->arity);
    return asked;
  } catch (const kj::Exception& malformed) {
    throw Refused{k_bad_argument, malformed.getDescription().cStr()};
  } catch (const ValueError& error) {
    throw Refused{k_bad_argument, error.what()};
  }
}

void ServerRun::handle(const Message& message) {
  if (message.kind() == Message::Kind::call) return handle_call(message);
  if (message.kind() == Message::Kind::cast) return handle_cast(message);
  if (!message.from() && message.is_mumsg() && handle_exit(message)) return;
  handle_other(message);
}

void ServerRun::handle_call(const Message& message) {
  Answer answer(self_, message.from(), message.ref());
  try {
    const Asked asked = read(message, true);
    if (asked.handler) {
      asked.handler->run(server_, asked.arguments.data(), &answer);
    } else if (asked.key == k_started_key) {
      answer.nothing();
    } else {
      end = asked.stop;  // the answer is our end
    }
  } catch (const Refused& refused) {
    answer.error(Reason::exception(refused.type, refused.what));
  } catch (const BadArgument& bad) {
    answer.error(Reason::exception(k_bad_argument, bad.what()));
  } catch (const ExitSignal&) {
    throw;  // the caller hears of our end
  } catch (const LimitExpired&) {
    throw;
  } catch (...) {
    answer.error(reason_of_current_exception());
    throw;
  }
}

void ServerRun::handle_cast(const Message& message) {
  const auto drop = [&](const char* type, const std::string& what) {
    self_.log().warn("dropped a cast of {}: {}: {}", to_string(message.from()), type, what);
  };
  try {
    const Asked asked = read(message, false);
    asked.handler->run(server_, asked.arguments.data(), nullptr);
  } catch (const Refused& refused) {
    drop(refused.type, refused.what);
  } catch (const BadArgument& bad) {
    drop(k_bad_argument, bad.what());
  }
}

/// The end of a linked one, or an exit signal, at a server that traps exits. False when it is something else.
bool ServerRun::handle_exit(const Message& message) {
  const auto fields = message.mumsg();
  const auto ended = fields.find("terminated");
  const auto why = fields.find("reason");
  if (!ended || !why || !why->fits<Reason>() || fields.has("ref")) return false;
  const Reason reason = why->as<Reason>();
  const Pid pid = ended->fits<Pid>() ? ended->as<Pid>() : nil_pid;
  if (!pid && reason.is(Reason::Kind::shutdown)) {
    end = reason;  // our supervisor's word
  } else if (hooks_.linked_exit) {
    hooks_.linked_exit(server_, pid, reason);
  } else {
    const auto name = fields.find("name");
    end = pid ? Reason::linked(name ? name->as<std::string>() : "", pid, reason) : reason;
  }
  return true;
}

void ServerRun::handle_other(const Message& message) {
  if (hooks_.handle_info) return hooks_.handle_info(server_, message);
  std::string text = "of a type that is unknown here";
  try {
    if (message.is_mumsg()) text = to_string(message.mumsg().value());
  } catch (const kj::Exception&) {
    text = "which is malformed";
  }
  self_.log().warn("dropped a message of {}: {}", to_string(message.from()), text);
}

}  // namespace

void run_server(Self& self, std::span<const Handler> handlers, const std::string& port, void* server,
                const ServerHooks& hooks) {
  ServerRun(self, handlers, port, server, hooks).run();
}

// ---- births ----------------------------------------------------------------------------------------------------------

namespace {

Value location_value(const void* address) {
  const CodeLocation at = locate(address);
  const auto* bytes = reinterpret_cast<const std::byte*>(at.build_id.data());
  return Mumsg{{"build_id", Data(bytes, bytes + at.build_id.size())}, {"offset", at.offset}, {"module", at.module}};
}

const void* address_at(const Mumsg& location) {
  const Data build_id = location["build_id"].as<Data>();
  const void* address = resolve(reinterpret_cast<const std::uint8_t*>(build_id.data()), build_id.size(),
                                location["offset"].as<std::uint64_t>());
  if (!address) throw Error("a server's handler lies in " + location["module"].as<std::string>() + ", which is not loaded");
  return address;
}

}  // namespace

Mumsg server_args(std::span<const Handler> handlers, const std::string& port, List constructor_args) {
  List list;
  for (const Handler& handler : handlers)
    list.push_back(Mumsg{{"name", handler.name},
                         {"call", handler.is_call},
                         {"facts", location_value(reinterpret_cast<const void*>(handler.facts))}});
  return {{"handlers", std::move(list)}, {"port", port}, {"args", std::move(constructor_args)}};
}

ServerArgs::ServerArgs(const Mumsg& args) : port_(args["port"].as<std::string>()), constructor_args_(args["args"]) {
  const List list = args["handlers"].as<List>();
  names_.reserve(list.size());
  for (const Value& value : list) {
    const Mumsg handler = value.as<Mumsg>();
    names_.push_back(handler["name"].as<std::string>());
    handlers_.push_back({names_.back(), handler["call"].as<bool>(),
                         reinterpret_cast<FactsFunction>(const_cast<void*>(address_at(handler["facts"].as<Mumsg>())))});
  }
}

Pid start_server(Self& self, std::string_view name, Function function, SpawnOptions options) {
  const auto limit = options.ready_timeout;
  const auto [server, monitor] = self.spawn_monitor(name, function, std::move(options));
  try {
    ask(self, server, {"start", 0, nullptr}, k_started_key, {}, limit);
  } catch (const CallError& error) {
    if (error.kind == CallError::Kind::timeout) self.kill(server);
    // The notice of the monitor, which was set before the server's first instruction, knows the true reason.
    const Reason reason = self.receive(
        on<"terminated", "reason", "ref">(anything, anything, is(static_cast<std::int64_t>(monitor.bits))) >>
        [](Value, Reason why) { return why; });
    throw StartFailed("the server " + std::string(name) + " did not start: " +
                          (error.kind == CallError::Kind::timeout ? "it took too long" : muproc::to_string(reason)),
                      reason);
  }
  self.demonitor(monitor, true);
  return server;
}

}  // namespace detail

// ---- for users -------------------------------------------------------------------------------------------------------

void stop(Self& self, Address server, Reason reason, std::chrono::nanoseconds limit) {
  const detail::FieldArgument argument(reason);
  try {
    detail::ask(self, server, {"stop", 0, nullptr}, detail::k_stop_key, {&argument, 1}, limit);
  } catch (const CallError& error) {
    if (error.kind != CallError::Kind::down) throw;
    if (error.reason == reason) return;
    if (!error.reason.is(Reason::Kind::exception)) throw;
    throw CallError(CallError::Kind::error, error.what(), error.reason);
  }
}

void exit_after_handler(Self& self, Reason reason) {
  detail::ServerRun::in_charge(self).end = std::move(reason);
}
void exit_after_handler(Self& self, Value reason) { exit_after_handler(self, Reason::exit(std::move(reason))); }
void stay_after_handler(Self& self) { detail::ServerRun::in_charge(self).end.reset(); }

const std::string& server_port(const Self& self) { return detail::ServerRun::in_charge(self).port(); }

}  // namespace muproc
