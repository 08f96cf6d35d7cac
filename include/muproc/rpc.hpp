// Cap'n Proto's own RPC between muprocs: an `interface` of a schema, its generated client and server classes, over our
// mailboxes.
//
//     void bookserver(Self& self) { rpc::serve<BookImpl>(self); }          // class BookImpl : public Book::Server
//
//     rpc::Vat vat(self);
//     Book::Client book = vat.connect<Book>("bookserver");
//     auto request = book.priceRequest();
//     request.setSymbol("VOD.L");
//     double price = request.send().wait(vat.wait_scope()).getPrice();
//
// A Vat is this muproc as a party of Cap'n Proto's RPC. It brings a KJ event loop, which sleeps where `receive` does: a
// `wait` is a series of runtime calls, so exit signals and timers act in it, and other messages stay for a later
// `receive`. Everything that the stock two-party protocol has works: many calls in flight, promise pipelining,
// capabilities as arguments and results (callbacks), streaming.
//
// - A server that ends breaks its clients' promises with a DISCONNECTED kj::Exception that names it and says why; so does
//   a client's end for its callbacks. A replacement is a new server: connect again.
// - What a server method throws reaches the caller as a kj::Exception, and the server lives.
// - Sending waits while the receiver's channel is full, and the event loop with it; it takes in what arrives meanwhile.
// - A message is copied once, by its sender; its receiver reads it where it arrived, as every message.
// - Descriptors cannot be sent.
//
// Everything here belongs to the muproc's thread, which must have no other KJ event loop. Promises and clients must be
// gone before their Vat. Link muproc::rpc.
#pragma once

#include <capnp/capability.h>
#include <kj/async.h>
#include <kj/memory.h>
#include <kj/timer.h>

#include <functional>
#include <memory>
#include <utility>

#include <muproc/message.hpp>
#include <muproc/self.hpp>

namespace muproc::rpc {

class Vat {
 public:
  /// Throws kj::Exception when this thread has an event loop already, std::logic_error when this muproc has a Vat.
  explicit Vat(Self& self);
  /// Says goodbye to all that are connected: their promises break.
  ~Vat();
  Vat(const Vat&) = delete;
  Vat& operator=(const Vat&) = delete;

  /// What `promise.wait` wants.
  kj::WaitScope& wait_scope();
  /// Of this event loop: `vat.timer().timeoutAfter(5 * kj::SECONDS, promise)`.
  kj::Timer& timer();

  /// The bootstrap capability of a muproc that serves one. Returns at once; all that goes wrong later breaks the promises
  /// of calls. Throws NoSuchName when nobody has that name. Of one that serves nothing, calls wait until it does.
  template <class Interface>
  typename Interface::Client connect(Address server) {
    return connect_any(server).castAs<Interface>();
  }
  capnp::Capability::Client connect_any(Address server);

  /// Offers a capability to whoever connects, or has connected already.
  void serve(capnp::Capability::Client bootstrap);

  /// Serves until this muproc is told to end; leaves by ExitSignal. Messages that are no RPC go to `handle_info`; without
  /// that they are logged and dropped, and the end of a linked one ends this one too.
  [[noreturn]] void run(std::function<void(const Message&)> handle_info = {});

  /// How many connections there are, either way.
  std::size_t connections() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// This muproc as a server of the interface that Server implements: constructs it from the arguments, and serves until
/// told to end.
template <class Server, class... Args>
[[noreturn]] void serve(Self& self, Args&&... args) {
  Vat vat(self);
  vat.serve(kj::heap<Server>(std::forward<Args>(args)...));
  vat.run();
}

}  // namespace muproc::rpc
