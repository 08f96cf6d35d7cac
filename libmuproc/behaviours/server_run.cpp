#include "behaviours/server_run.hpp"

#include "runtime/failure.hpp"
#include "runtime/runtime.hpp"
#include "wire/server.capnp.h"

namespace muproc::detail {

thread_local ServerRun* ServerRun::current_ = nullptr;

ServerRun& ServerRun::in_charge(const Self& self) {
  if (ServerRun* run = of(self)) return *run;
  throw std::logic_error("only in a server: in its constructor, its handlers, its other members");
}

ServerRun::ServerRun(Self& self, std::span<const Handler> handlers, const std::string& port, bool starter_asks)
    : self_(self), port_(port.empty() ? self.name() : port), starter_asks_(starter_asks), outer_(current_) {
  for (const Handler& handler : handlers) {
    const HandlerFacts& facts = handler.facts();
    requests_.add({handler.name, handler.is_call, facts.signature, facts.arity, facts.describe});
    handlers_.push_back(&facts);
  }
  current_ = this;
}

/// Whatever ends the loop, `terminate` runs once. What it throws is then why the server ended.
void ServerRun::run(void* server, const ServerHooks& hooks) {
  server_ = server;
  hooks_ = hooks;
  std::exception_ptr failure;
  try {
    self_.ready();
    if (starter_asks_) answer_starter();
    loop();
  } catch (...) {
    end = reason_of_current_exception();
    failure = std::current_exception();
  }
  over_ = true;
  terminate(*end);
  if (failure) std::rethrow_exception(failure);
  if (!end->is_normal()) self_.exit(*end);
}

/// The constructor has returned: its starter hears so before anything that the constructor wants to be continued with.
void ServerRun::answer_starter() {
  for (bool answered = false; !answered && self_.alive(self_.parent());) {
    self_.receive(on<wire::Request>([](wire::Request::Reader request) { return request.getId() == k_started_id; }) >>
                      [&](From from, wire::Request::Reader) {
                        Answer(self_, from, self_.message()->ref()).nothing();
                        answered = true;
                      },
                  after(std::chrono::milliseconds(200)) >> [] {});
  }
}

void ServerRun::loop() {
  Runtime& runtime = Runtime::of(self_);
  while (!end) {
    if (continuations.empty()) {
      wait_for_message();
    } else {
      runtime.check();
      const auto work = std::move(continuations.front());
      continuations.pop_front();
      work();
    }
  }
}

void ServerRun::wait_for_message() {
  auto take = otherwise >> [this](const Message& message) { handle(message); };
  if (idle) {
    self_.receive(take, after(*idle) >> [this] { handle_timeout(); });
  } else {
    self_.receive(take);
  }
}

void ServerRun::terminate(const Reason& reason) {
  if (!hooks_.terminate) return;
  const Runtime::ExitsHeld held(Runtime::of(self_));
  hooks_.terminate(server_, reason);
}

void ServerRun::handle(const Message& message) {
  if (message.kind() == Message::Kind::call) return handle_call(message);
  if (message.kind() == Message::Kind::cast) return handle_cast(message);
  if (handle_exit(message)) return;
  handle_other(message);
}

void ServerRun::handle_call(const Message& message) {
  Answer answer(self_, message.from(), message.ref());
  try {
    const Asked asked = requests_.read(message, true);
    switch (asked.what) {
      case Asked::What::request: handlers_[asked.index]->run(server_, asked.arguments, &answer); break;
      case Asked::What::started: answer.nothing(); break;
      case Asked::What::stop: end = *asked.stop; break;  // the answer is our end
    }
  } catch (...) {
    answer_failure(answer);
  }
}

void ServerRun::handle_cast(const Message& message) {
  const auto drop = [&](const char* type, const std::string& what) {
    self_.log().warn("dropped a cast of {}: {}: {}", to_string(message.from()), type, what);
  };
  try {
    const Asked asked = requests_.read(message, false);
    handlers_[asked.index]->run(server_, asked.arguments, nullptr);
  } catch (const Refused& refused) {
    drop(refused.type, refused.what);
  } catch (const BadArgument& bad) {
    drop(k_bad_argument, bad.what());
  }
}

/// The end of a linked one, or an exit signal, at a server that traps exits. False when it is something else.
bool ServerRun::handle_exit(const Message& message) {
  const auto heard = read_exit(message);
  if (!heard) return false;
  if (hooks_.linked_exit && !heard->is_shutdown()) {
    hooks_.linked_exit(server_, heard->pid, heard->reason);
  } else {
    end = heard->as_own_end();
  }
  return true;
}

void ServerRun::handle_other(const Message& message) {
  if (hooks_.handle_info) return hooks_.handle_info(server_, message);
  self_.log().warn("dropped a message of {}: {}", to_string(message.from()), describe(message));
}

void ServerRun::handle_timeout() {
  if (hooks_.handle_timeout) return hooks_.handle_timeout(server_);
  end = Reason::normal();
}

// ---- its door in server.hpp ------------------------------------------------------------------------------------------

ServerLoop::ServerLoop(Self& self, std::span<const Handler> handlers, const std::string& port, bool starter_asks)
    : run_(std::make_unique<ServerRun>(self, handlers, port, starter_asks)) {}
ServerLoop::~ServerLoop() = default;
void ServerLoop::run(void* server, const ServerHooks& hooks) { run_->run(server, hooks); }

}  // namespace muproc::detail
