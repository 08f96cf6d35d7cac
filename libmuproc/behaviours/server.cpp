// Births and ends of generic servers: the out-of-line half of server.hpp.
#include <muproc/server.hpp>

#include <muproc/detail/child.hpp>
#include <muproc/detail/names.hpp>

#include "behaviours/call.hpp"
#include "behaviours/server_run.hpp"

namespace muproc {
namespace detail {

/// How one ends that declines to start: a supervisor knows it too.
static Reason declined() { return Reason::exit(Symbol(k_ignore)); }

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

Mumsg server_args(std::span<const Handler> handlers, const std::string& port, List constructor_args, bool starter_asks) {
  List list;
  for (const Handler& handler : handlers)
    list.push_back(Mumsg{{"name", handler.name},
                         {"call", handler.is_call},
                         {"facts", location_value(reinterpret_cast<const void*>(handler.facts))}});
  return {{"handlers", std::move(list)},
          {"port", port},
          {"starter_asks", starter_asks},
          {"args", std::move(constructor_args)}};
}

ServerArgs::ServerArgs(const Mumsg& args)
    : port_(args["port"].as<std::string>()),
      starter_asks_(args["starter_asks"].as<bool>()),
      constructor_args_(args["args"]) {
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
    ask(self, server, {"start", k_started_id}, {}, limit);
  } catch (const CallError& error) {
    if (error.kind == CallError::Kind::timeout) self.kill(server);
    // The notice of the monitor, which was set before the server's first instruction, knows the true reason.
    const Reason reason = self.receive(
        on<"terminated", "reason", "ref">(anything, anything, is(static_cast<std::int64_t>(monitor.bits))) >>
        [](Value, Reason why) { return why; });
    if (reason == declined()) return nil_pid;
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
    detail::ask(self, server, {"stop", detail::k_stop_id}, {&argument, 1}, limit);
  } catch (const CallError& error) {
    if (error.kind != CallError::Kind::down) throw;
    if (error.reason == reason) return;
    if (!error.reason.is(Reason::Kind::exception)) throw;
    throw CallError(CallError::Kind::error, error.what(), error.reason);
  }
}

void ignore_start(Self& self) {
  detail::ServerRun::in_charge(self);
  if (self.parent()) self.unlink(self.parent());
  self.exit(detail::declined());
}

void exit_after_handler(Self& self, Reason reason) {
  detail::ServerRun::in_charge(self).end = std::move(reason);
}
void exit_after_handler(Self& self, Value reason) { exit_after_handler(self, Reason::exit(std::move(reason))); }
void stay_after_handler(Self& self) { detail::ServerRun::in_charge(self).end.reset(); }

void continue_with(Self& self, std::function<void()> work) {
  detail::ServerRun::in_charge(self).continuations.push_back(std::move(work));
}

void idle_timeout(Self& self, std::optional<std::chrono::nanoseconds> quiet) {
  if (quiet && quiet->count() <= 0) throw std::invalid_argument("an idle time-out must be positive");
  detail::ServerRun::in_charge(self).idle = quiet;
}

const std::string& server_port(const Self& self) { return detail::ServerRun::in_charge(self).port(); }

}  // namespace muproc
