// The out-of-line half of event_manager.hpp: the manager, which is a state machine of one state. What it does not know
// itself is an event for its handlers, or a call of one.
#include <muproc/event_manager.hpp>

#include <muproc/detail/child.hpp>

#include <algorithm>
#include <deque>
#include <list>

#include "behaviours/request.hpp"
#include "runtime/failure.hpp"
#include "runtime/runtime.hpp"
#include "wire/codec.hpp"
#include "wire/server.capnp.h"

namespace muproc {
namespace detail {

/// What the manager itself is asked. What went wrong with a handler is no error of the manager: it is in the answer.
/// Its functions are declared only, so it stands outside the unnamed namespace, where clang wants them defined.
struct ManagerRequests {
  std::optional<Reason> add_handler(Mumsg handler);
  std::optional<Reason> swap_handler(std::string old, Mumsg handler);
  bool delete_handler(std::string id);
  std::vector<std::string> which_handlers();
  void sync_notify(Mumsg event);
};

namespace {

constexpr Call<&ManagerRequests::add_handler> k_add_handler{"event_manager.add_handler"};
constexpr Call<&ManagerRequests::swap_handler> k_swap_handler{"event_manager.swap_handler"};
constexpr Call<&ManagerRequests::delete_handler> k_delete_handler{"event_manager.delete_handler"};
constexpr Call<&ManagerRequests::which_handlers> k_which_handlers{"event_manager.which_handlers"};
constexpr Call<&ManagerRequests::sync_notify> k_sync_notify{"event_manager.sync_notify"};

// ---- handlers' code --------------------------------------------------------------------------------------------------

std::vector<HandlerFactory>& registered_factories() {
  static std::vector<HandlerFactory> factories;
  return factories;
}

Mumsg travelling(const HandlerOnItsWay& handler, bool supervised) {
  const CodeLocation at = locate(reinterpret_cast<const void*>(handler.factory));
  const auto* build_id = reinterpret_cast<const std::byte*>(at.build_id.data());
  return {{"id", handler.id},     {"build_id", Data(build_id, build_id + at.build_id.size())},
          {"offset", at.offset},  {"module", at.module},
          {"args", handler.args}, {"supervised", supervised}};
}

/// Throws Error. An address that nobody registered is not called, whoever sent it.
HandlerFactory factory_of(const Mumsg& handler) {
  const Data build_id = handler["build_id"].as<Data>();
  const void* address = resolve(reinterpret_cast<const std::uint8_t*>(build_id.data()), build_id.size(),
                                handler["offset"].as<std::uint64_t>());
  const std::string module = handler["module"].as<std::string>();
  if (!address) throw Error("its code lies in " + module + ", which is not loaded in the manager's process");
  const auto& known = registered_factories();
  const auto at = std::find_if(known.begin(), known.end(), [&](HandlerFactory factory) {
    return reinterpret_cast<const void*>(factory) == address;
  });
  if (at == known.end()) throw Error("what lies there in " + module + " is no handler");
  return *at;
}

// ---- one handler -----------------------------------------------------------------------------------------------------

/// A handler in its place.
class Installed {
 public:
  /// `owner` may be none, and `monitor` is of it.
  Installed(std::string handler_id, HandlerParts parts, Pid its_owner, Ref its_monitor)
      : id(std::move(handler_id)), owner(its_owner), monitor(its_monitor), parts_(std::move(parts)) {
    for (const auto& row : parts_.rows) {
      const bool is_call = row->event == Row::Event::call;
      if (!is_call && row->event != Row::Event::cast) continue;
      // Its calls go to it alone, by its id.
      names_.push_back(is_call ? id + '/' + std::string(row->name) : std::string(row->name));
      requests_.add({names_.back(), is_call, row->signature, row->arity, row->describe});
      request_rows_.push_back(row.get());
    }
  }

  HandlerParts& parts() { return parts_; }

  /// The row for an event and its arguments, or null. A call that must wait for everybody's handling is an event too.
  Row* find(const Message& message, Asked& asked) const {
    if (!message.is<wire::Request>()) {
      for (const auto& row : parts_.rows)
        if (row->event == Row::Event::message && row->wants(message)) return row.get();
      return nullptr;
    }
    return find_request(message, false, asked);
  }
  Row* find_call(const Message& message, Asked& asked) const { return find_request(message, true, asked); }
  Decision run(Row& row, const Happening& happening) { return row.run(*parts_.handler, happening); }

  std::string id;
  Pid owner;
  Ref monitor;

 private:
  /// Throws Refused, but null where it has no such request.
  Row* find_request(const Message& message, bool is_call, Asked& asked) const {
    try {
      asked = requests_.read(message, is_call);
      return request_rows_[asked.index];
    } catch (const Refused& refused) {
      if (refused.is(k_no_such_call)) return nullptr;
      throw;
    }
  }

  HandlerParts parts_;
  std::deque<std::string> names_;
  RequestTable requests_;
  std::vector<Row*> request_rows_;
};

// ---- the manager -----------------------------------------------------------------------------------------------------

class EventManager : public StateMachine<Only> {
 public:
  explicit EventManager(Self& self) : self_(self) {}

  Table table() {
    return {Only::state,
            {always(
                on(k_add_handler) >> [this](From from, const Mumsg& handler) { return add(from, handler); },
                on(k_swap_handler) >> [this](From from, const std::string& old,
                                             const Mumsg& handler) { return swap(from, old, handler); },
                on(k_delete_handler) >> [this](const std::string& id) { return leave(id, Reason::normal()); },
                on(k_which_handlers) >> &EventManager::ids,
                on(k_sync_notify) >>
                    [this](const Mumsg& event) {
                      Message message = Runtime::of(self_).make_message(event);
                      Runtime::of(self_).handle(message, [&] { tell_all(message); });
                    },
                on<"terminated", "reason", "name", "ref">() >> &EventManager::owner_ended)}};
  }

  void terminate(const Reason& reason) {
    const bool orderly = reason.is_normal() || reason.is(Reason::Kind::shutdown);
    while (!handlers_.empty()) leave(handlers_.begin(), reason, orderly ? Reason::shutdown() : reason);
  }

 private:
  using Place = std::list<Installed>::iterator;

  Place find(const std::string& id) {
    return std::find_if(handlers_.begin(), handlers_.end(), [&](const Installed& handler) { return handler.id == id; });
  }

  std::vector<std::string> ids() const {
    std::vector<std::string> all;
    for (const Installed& handler : handlers_) all.push_back(handler.id);
    return all;
  }

  /// Why it could not be added.
  std::optional<Reason> add(From from, const Mumsg& handler) {
    return failure_of([&] { install(from, handler, nullptr); });
  }

  void install(From from, const Mumsg& handler, const Value* state) {
    const std::string id = handler["id"].as<std::string>();
    require_free(id);
    const HandlerFactory factory = factory_of(handler);
    // The monitor comes first: whatever ends the owner while the handler comes to be is known by its own reason then.
    const Pid owner = handler["supervised"].as<bool>() ? Pid(from) : Pid();
    const Ref monitor = owner ? self_.monitor(owner) : Ref();
    try {
      HandlerParts parts = factory(self_, handler["args"]);
      if (state && parts.take_over) parts.take_over(*parts.handler, *state);
      handlers_.emplace_back(id, std::move(parts), owner, monitor);
    } catch (...) {
      if (owner) self_.demonitor(monitor, true);
      throw;
    }
  }

  void require_free(const std::string& id) {
    if (find(id) != handlers_.end()) throw NameTaken("there is a handler \"" + id + '"');
  }

  std::optional<Reason> swap(From from, const std::string& old, const Mumsg& handler) {
    return failure_of([&] {
      const std::string id = handler["id"].as<std::string>();
      if (id != old) require_free(id);
      const Place at = find(old);
      if (at == handlers_.end()) return install(from, handler, nullptr);
      Value state;
      HandlerParts& parts = at->parts();
      if (parts.hand_over) guarded(old, "hand_over", [&] { state = parts.hand_over(*parts.handler); });
      const Reason swapped = Reason::exit(List{Symbol("swapped"), id, Value(Pid(from))});
      leave(at, swapped, swapped);
      install(from, handler, &state);
    });
  }

  bool leave(const std::string& id, const Reason& reason) {
    const Place at = find(id);
    if (at == handlers_.end()) return false;
    leave(at, reason, reason);
    return true;
  }

  /// Takes it out, has it terminate, and tells its owner.
  Place leave(Place at, const Reason& reason, const std::optional<Reason>& owner_hears) {
    std::list<Installed> leaving;
    const Place next = std::next(at);
    leaving.splice(leaving.begin(), handlers_, at);
    Installed& handler = leaving.front();
    HandlerParts& parts = handler.parts();
    if (parts.terminate) guarded(handler.id, "terminate", [&] { parts.terminate(*parts.handler, reason); });
    if (handler.owner) {
      self_.demonitor(handler.monitor, true);
      if (owner_hears)
        self_.send(handler.owner, "handler_exit", handler.id, "reason", *owner_hears, "manager", self_.pid());
    }
    return next;
  }

  void owner_ended(Pid owner, const Reason& reason, const std::string& name, std::int64_t ref) {
    const Place at = std::find_if(handlers_.begin(), handlers_.end(), [&](const Installed& handler) {
      return handler.owner && handler.monitor.bits == static_cast<std::uint64_t>(ref);
    });
    if (at == handlers_.end()) return tell_all(*self_.message());  // a monitor that a handler has set
    leave(at, Reason::linked(name, owner, reason), std::nullopt);
  }

  /// What a handler's code throws, which is no end of the manager; its own exit is.
  template <class Function>
  std::optional<Reason> failure_of(Function&& function) {
    try {
      function();
      return std::nullopt;
    } catch (const BadArgument&) {
      throw;
    } catch (const ExitSignal&) {
      throw;
    } catch (const LimitExpired&) {
      throw;
    } catch (...) {
      return reason_of_current_exception();
    }
  }

  /// What a handler throws on its way out is logged: it leaves all the same.
  template <class Function>
  void guarded(const std::string& id, const char* what, Function&& function) {
    if (const auto failure = failure_of(function))
      self_.log().error("{} of handler {} threw {}", what, id, to_string(*failure));
  }

  // -- events

  bool take_unknown(const Message& message, Answer* answer) override {
    if (answer && message.is<wire::Request>()) {
      const auto name = wire::view(message.as<wire::Request>().getName());
      if (name.find('/') != std::string_view::npos) return call_one(message, *answer);
    }
    tell_all(message);
    if (answer) answer->nothing();
    return true;
  }

  bool call_one(const Message& message, Answer& answer) {
    for (Place at = handlers_.begin(); at != handlers_.end(); ++at) {
      try {
        Asked asked;
        Row* row = at->find_call(message, asked);
        if (!row) continue;
        run(at, *row, {.message = &message, .arguments = asked.arguments, .answer = &answer});
      } catch (const Refused& refused) {
        answer.error(Reason::exception(refused.type, refused.what));
      } catch (const BadArgument& bad) {
        answer.error(Reason::exception(k_bad_argument, bad.what()));
      }
      return true;
    }
    answer.error(Reason::exception(k_no_such_call, "the manager has no handler that knows the call \"" +
                                                       wire::string(message.as<wire::Request>().getName()) + '"'));
    return true;
  }

  void tell_all(const Message& message) {
    for (Place at = handlers_.begin(); at != handlers_.end();) {
      const auto drop = [&](const std::string& why) {
        self_.log().warn("handler {} did not get an event of {}: {}", at->id, to_string(message.from()), why);
        return std::next(at);
      };
      try {
        Asked asked;
        Row* row = at->find(message, asked);
        at = row ? run(at, *row, {.message = &message, .arguments = asked.arguments}) : std::next(at);
      } catch (const Refused& refused) {
        at = drop(std::string(refused.type) + ": " + refused.what);
      } catch (const BadArgument& bad) {
        at = drop(bad.what());
      }
    }
  }

  /// The place after it, or after where it was. Throws BadArgument before the handler has run.
  Place run(Place at, Row& row, const Happening& happening) {
    Decision decision;
    const auto failure = failure_of([&] {
      decision = at->run(row, happening);
      if (decision.move == Decision::Move::change || decision.move == Decision::Move::repeat || decision.postponed ||
          !decision.timers.empty() || !decision.inserted.empty())
        throw std::logic_error("a handler stays or leaves, and nothing else");
    });
    if (failure) {
      self_.log().error("handler {} is removed: {}", at->id, to_string(*failure));
      if (happening.answer) happening.answer->error(*failure);
      return leave(at, *failure, *failure);
    }
    if (decision.move == Decision::Move::stop) return leave(at, decision.reason, decision.reason);
    return std::next(at);
  }

  Self& self_;
  std::list<Installed> handlers_;
};

std::string to_string(Address address) {
  return address.is_name() ? std::string(address.name()) : muproc::to_string(address.pid());
}

void throw_if(const std::optional<Reason>& failed, std::string_view id, Address manager) {
  if (failed)
    throw CallError(CallError::Kind::error,
                    "handler " + std::string(id) + " at " + to_string(manager) + ": " + muproc::to_string(*failed),
                    *failed);
}

}  // namespace

HandlerRegistration::HandlerRegistration(HandlerFactory factory) { registered_factories().push_back(factory); }

void add_handler(Self& self, Address manager, HandlerOnItsWay handler, bool supervised) {
  throw_if(k_add_handler(self, manager, travelling(handler, supervised)), handler.id, manager);
}

void swap_handler(Self& self, Address manager, std::string_view old, HandlerOnItsWay handler, bool supervised) {
  throw_if(k_swap_handler(self, manager, std::string(old), travelling(handler, supervised)), handler.id, manager);
}

void sync_notify(Self& self, Address manager, const Mumsg& event) { k_sync_notify(self, manager, event); }

void run_event_manager(Self& self) { run_state_machine<EventManager>(self); }

}  // namespace detail

bool delete_handler(Self& self, Address manager, std::string_view id) {
  return detail::k_delete_handler(self, manager, std::string(id));
}

std::vector<std::string> which_handlers(Self& self, Address manager) { return detail::k_which_handlers(self, manager); }

}  // namespace muproc
