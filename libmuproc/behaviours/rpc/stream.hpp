// One RPC connection's stream of messages over mailboxes: what Cap'n Proto's two-party network reads from and writes to.
//
// Messages come in from the Vat, in the order in which they were sent; the end comes once, as the peer's goodbye or as its
// death, after all that it had sent.
#pragma once

#include <capnp/serialize-async.h>
#include <kj/async.h>
#include <kj/exception.h>

#include <cstdint>
#include <deque>
#include <string>

#include <muproc/message.hpp>
#include <muproc/pid.hpp>

namespace muproc::detail {
class Runtime;
}

namespace muproc::rpc {

// Nobody deletes one through its base, whose destructor is not virtual.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
class Stream final : public capnp::MessageStream {
 public:
  /// `opened_here`: this muproc is the client.
  Stream(detail::Runtime& runtime, Pid peer, std::uint64_t connection, bool opened_here)
      : runtime_(runtime), peer_(peer), connection_(connection), opened_here_(opened_here) {}

  // -- from the Vat
  void deliver(Message frame);
  /// Nothing more will come: the peer has said so (null), or it has ended.
  void end_of_input(kj::Maybe<kj::Exception> why);
  /// Says goodbye, once.
  void say_goodbye();

  // -- for the network
  kj::Promise<kj::Maybe<capnp::MessageReaderAndFds>> tryReadMessage(kj::ArrayPtr<kj::AutoCloseFd> fd_space,
                                                                    capnp::ReaderOptions options,
                                                                    kj::ArrayPtr<capnp::word> scratch) override;
  kj::Promise<void> writeMessage(kj::ArrayPtr<const int> fds,
                                 kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) override;
  kj::Promise<void> writeMessages(
      kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) override;
  kj::Maybe<int> getSendBufferSize() override { return nullptr; }
  kj::Promise<void> end() override;

 private:
  using Read = kj::Maybe<capnp::MessageReaderAndFds>;
  void send(kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments);
  bool satisfy(kj::PromiseFulfiller<Read>& reader);

  detail::Runtime& runtime_;
  Pid peer_;
  std::uint64_t connection_;
  bool opened_here_;
  bool said_something_ = false;
  bool said_goodbye_ = false;
  std::deque<Message> received_;
  bool ended_ = false;
  kj::Maybe<kj::Exception> why_ended_;
  kj::Own<kj::PromiseFulfiller<Read>> reading_;  // null, or a read that waits
  capnp::ReaderOptions options_;
};
#pragma GCC diagnostic pop

/// How RPC says that somebody is not there any more.
kj::Exception disconnected(const std::string& what);

}  // namespace muproc::rpc
