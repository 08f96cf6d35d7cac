// `Sender`: how another thread of a muproc sends in the muproc's name.
//
// A `Self` belongs to one thread. A thread that a muproc starts (a reader of a device, a worker pool's) gets a Sender:
//
//     std::jthread reader([sender = self.sender()]() mutable {
//       while (auto tick = read_feed()) sender.send("book", "price", tick->price);
//     });
//
// It has a segment and channels of its own, so the threads share nothing and wait for nobody; receivers see the muproc as
// `from`. What one Sender sends to one receiver stays in order; between the muproc and its Senders the order is causal, as
// between any two muprocs. The muproc's end is told after everything that its Senders had sent.
//
// A Sender belongs to the thread that sends first with it (another that uses it gets a std::logic_error). It joins the
// system then, under the name "MUPROC.sender-N", and leaves it when it is destroyed or with the process. Only sending is
// done here: what comes back goes to the muproc. If the process dies at any line here, what was committed arrives.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

#include <muproc/self.hpp>

namespace muproc {

class Sender {
 public:
  Sender(Sender&&) noexcept;
  Sender& operator=(Sender&&) noexcept;
  ~Sender();

  /// In whose name it sends.
  Pid pid() const;

  /// As Self::send, of fields, a Mumsg or a struct. Throws what that throws; ExitSignal when the muproc or the system has
  /// ended meanwhile.
  template <class... Message>
  void send(Address to, Message&&... message) {
    self().send(to, std::forward<Message>(message)...);
  }
  template <class T, class Build>
    requires(capnp::kind<T>() == capnp::Kind::STRUCT)
  void send(Address to, Build&& build) {
    self().template send<T>(to, std::forward<Build>(build));
  }
  /// As Self::try_send: false, with nothing sent, when there is no room now.
  template <class... Message>
  [[nodiscard]] bool try_send(Address to, Message&&... message) {
    return self().try_send(to, std::forward<Message>(message)...);
  }
  template <class T, class Build>
    requires(capnp::kind<T>() == capnp::Kind::STRUCT)
  [[nodiscard]] bool try_send(Address to, Build&& build) {
    return self().template try_send<T>(to, std::forward<Build>(build));
  }
  /// As Self::send_within: false, with nothing sent, when there was no room within `limit`.
  template <class... Message>
  [[nodiscard]] bool send_within(std::chrono::nanoseconds limit, Address to, Message&&... message) {
    return self().send_within(limit, to, std::forward<Message>(message)...);
  }
  template <class T, class Build>
    requires(capnp::kind<T>() == capnp::Kind::STRUCT)
  [[nodiscard]] bool send_within(std::chrono::nanoseconds limit, Address to, Build&& build) {
    return self().template send_within<T>(limit, to, std::forward<Build>(build));
  }

 private:
  friend class Self;
  struct Impl;
  explicit Sender(std::unique_ptr<Impl> impl);
  Self& self();

  std::unique_ptr<Impl> impl_;
};

}  // namespace muproc
