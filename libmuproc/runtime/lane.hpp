// The control connection to the broker: requests and their replies, and the system lane, on which the broker says in
// one order whatever it has to say.
//
// The broker counts its frames in the directory, so that a muproc without news makes no system call to know that.
#pragma once

#include <capnp/message.h>

#include <cstdint>
#include <deque>
#include <functional>

#include <muproc/reason.hpp>

#include "wire/control.capnp.h"
#include "wire/frame.hpp"

namespace muproc::detail {

class Lane {
 public:
  using Handler = std::function<void(wire::FromBroker::Reader, std::vector<sys::UniqueFd>& fds)>;

  /// The socket becomes non-blocking. `handler` gets all frames that are no replies.
  Lane(wire::FrameSocket socket, Handler handler);

  /// Frames that were read before there was a Lane count too.
  void count_received(std::uint64_t frames) { received_ += frames; }
  std::uint64_t received() const { return received_; }
  bool closed() const { return socket_.closed(); }
  int fd() const { return socket_.fd(); }

  /// Hands on all frames that are there. What the handler throws comes from here, and the frame is handed on once more the
  /// next time.
  void pump();
  /// Hands on so many frames, counted from the first: waits for those that the broker has not been able to write yet.
  void pump_to(std::uint64_t frames);
  /// Sends without waiting for a reply.
  void tell(capnp::MessageBuilder& message);
  /// Sends and waits for the reply, handing on what comes before it. Throws ExitSignal{broker_lost} when the broker has
  /// gone. An error reply is returned as it is.
  wire::Frame ask(capnp::MessageBuilder& message);

 private:
  void hand_on_all();
  void write_all();

  wire::FrameSocket socket_;
  Handler handler_;
  std::deque<wire::Frame> unheard_;
  std::uint64_t received_ = 0;
  std::uint64_t next_id_ = 0;
};

/// Throws what an error reply says, as the public error for it.
[[noreturn]] void throw_error(wire::Error::Reader error);
/// Throws when the reply is an error; returns it otherwise.
wire::FromBroker::Reader checked(wire::Frame& reply);

}  // namespace muproc::detail
