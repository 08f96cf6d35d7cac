// One control socket, seen from the broker: a child's, an outsider's or a tool's.
//
// It never blocks: what the kernel does not take waits here, but not without end: whoever asks and does not read is shut
// out when too much waits for it, as one who sends nonsense. Whoever sends nonsense loses its connection; what that
// means for its process is decided by `when_lost`. A connection belongs to a muproc (then it is that muproc's system
// lane, and each frame is announced in the directory) or to a tool, which has no pid.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>

#include <muproc/pid.hpp>

#include "broker/loop.hpp"
#include "shm/directory.hpp"
#include "wire/control.capnp.h"
#include "wire/frame.hpp"

namespace muproc::broker {

using ConnectionId = std::uint64_t;

/// Builds one FromBroker.
class Message {
 public:
  explicit Message(std::uint64_t id = 0) : root_(builder_.initRoot<wire::FromBroker>()) { root_.setId(id); }
  wire::FromBroker::Builder* operator->() { return &root_; }
  capnp::MessageBuilder& builder() { return builder_; }

 private:
  capnp::word first_[128]{};
  capnp::MallocMessageBuilder builder_{kj::arrayPtr(first_, 128)};
  wire::FromBroker::Builder root_;
};

class Connection {
 public:
  static constexpr std::size_t k_most_waiting = std::size_t{128} << 20;  // as FrameSocket::cost_waiting counts

  struct Handlers {
    std::function<void(Connection&, wire::Frame&)> frame;
    std::function<void(Connection&)> closed;                               // the peer has closed its end
    std::function<void(Connection&, const std::string& what)> nonsense;    // it breaks the protocol; nothing more is read
  };

  Connection(ConnectionId id, Loop& loop, sys::UniqueFd socket, Handlers handlers);

  ConnectionId id() const { return id_; }
  /// The muproc that it belongs to, or nil.
  Pid owner() const { return owner_; }
  /// From now on every frame is announced in that muproc's slot, and wakes it.
  void become_lane_of(Pid owner, shm::Directory& directory, int eventfd);

  void send(Message& message, std::initializer_list<int> fds = {});
  /// Handles all that has been received, now: before its sender is declared dead.
  void read_all();
  /// Says and hears no more.
  void close();
  bool is_closed() const { return is_closed_; }
  int sender_os_pid() const { return socket_.sender_os_pid(); }

  bool is_attached = false;  // an outsider or a tool has introduced itself
  ucred peer{};              // of an outsider or a tool
  Pid speaks_for;            // made for a thread of that muproc, which will attach as its Sender

 private:
  void announce();
  void flush();
  void flush_later();
  void shut_out();

  ConnectionId id_;
  Loop& loop_;
  wire::FrameSocket socket_;
  Handlers handlers_;
  Watch watch_, shutting_out_;
  bool is_closed_ = false;

  Pid owner_;
  shm::Directory* directory_ = nullptr;
  int eventfd_ = -1;
  std::uint64_t said_ = 0;       // frames, written or waiting
  std::uint64_t announced_ = 0;  // in the directory
  std::uint64_t woken_for_ = 0;  // frames that were written when the owner was last woken
};

}  // namespace muproc::broker
