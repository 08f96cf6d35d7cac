// A connection to a broker that never waits: what is asked is answered when the broker gets to it, or not at all.
//
// For programs with a loop of their own that must not hang when the broker is stopped or gone. When the connection is lost
// it is tried again, once a second; whoever waits for an answer then is told that there is none. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "wire/control.capnp.h"
#include "wire/frame.hpp"

namespace muproc::tools {

class BrokerLink {
 public:
  /// The reply, which is no error; or null, and why not.
  using Answer = std::function<void(const wire::FromBroker::Reader* reply, const std::string& failure)>;
  using Fill = std::function<void(wire::ToBroker::Builder)>;

  explicit BrokerLink(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// To be polled for what `events` says; -1 while there is no connection.
  int fd() const { return socket_ ? socket_.fd() : -1; }
  short events() const;
  /// Connects when it is time, writes what can be written, and hands out the answers that have come.
  void pump();
  /// Answers are handed out by `pump`; here only that there is no connection.
  void ask(const Fill& fill, Answer answer) { send(fill, std::move(answer), false); }
  /// The same for a question whose answer comes when something happens, and not before.
  void ask_for_news(const Fill& fill, Answer answer) { send(fill, std::move(answer), true); }
  /// Changes with each connection: what was asked for in an earlier one will not come.
  unsigned generation() const { return generation_; }
  /// False while there is no connection, or a question has waited for longer than a second.
  bool is_answering() const;

 private:
  struct Asked {
    Answer answer;
    std::chrono::steady_clock::time_point since;
    bool may_wait = false;  // until something happens
  };
  void connect();
  void take(wire::Frame frame);
  void lose(const std::string& why);
  void send(const Fill& fill, Answer answer, bool may_wait);

  std::filesystem::path folder_;
  wire::FrameSocket socket_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Asked> asked_;
  std::chrono::steady_clock::time_point next_try_{};
  unsigned generation_ = 0;
};

}  // namespace muproc::tools
