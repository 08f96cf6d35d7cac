// One run of a generic server, from before its constructor to the end of `terminate`.
#pragma once

#include <muproc/server.hpp>

#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "behaviours/request.hpp"

namespace muproc::detail {

class ServerRun {
 public:
  ServerRun(Self& self, std::span<const Handler> handlers, const std::string& port, bool starter_asks);
  ~ServerRun() { current_ = outer_; }
  ServerRun(const ServerRun&) = delete;
  ServerRun& operator=(const ServerRun&) = delete;

  void run(void* server, const ServerHooks& hooks);

  /// The server that runs in this muproc, or null.
  static ServerRun* of(const Self& self) { return current_ && &current_->self_ == &self ? current_ : nullptr; }
  /// The same; throws std::logic_error when there is none.
  static ServerRun& in_charge(const Self& self);

  const std::string& port() const { return port_; }
  /// True from when the server is over in a muproc that ends with it.
  bool muproc_ends() const { return over_ && starter_asks_; }

  // What a server's members ask for.
  std::optional<Reason> end;  // how it is to end when the handler has returned
  std::deque<std::function<void()>> continuations;
  std::optional<std::chrono::nanoseconds> idle;

 private:
  void answer_starter();
  void loop();
  void wait_for_message();
  void handle(const Message& message);
  void handle_call(const Message& message);
  void handle_cast(const Message& message);
  bool handle_exit(const Message& message);
  void handle_other(const Message& message);
  void handle_timeout();
  void terminate(const Reason& reason);

  // What is meant by `exit_after_handler` and the like, without being told.
  static thread_local ServerRun* current_;

  Self& self_;
  void* server_ = nullptr;
  ServerHooks hooks_;
  std::string port_;
  bool starter_asks_;
  bool over_ = false;
  ServerRun* outer_;
  RequestTable requests_;
  std::vector<const HandlerFacts*> handlers_;  // of the requests
};

}  // namespace muproc::detail
