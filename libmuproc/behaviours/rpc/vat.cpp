// The Vat: a KJ event loop that sleeps where `receive` does, and the connections that live in it.
#include <muproc/rpc.hpp>

#include <capnp/rpc-twoparty.h>
#include <kj/time.h>

#include <map>
#include <tuple>
#include <vector>

#include "behaviours/request.hpp"
#include "behaviours/rpc/stream.hpp"
#include "runtime/runtime.hpp"
#include "sys/clock.hpp"
#include "wire/rpc.capnp.h"

namespace muproc::rpc {

using detail::Runtime;

namespace {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"  // nobody deletes one through its base
/// A timer whose delays begin when they are asked for. KJ's own begin when the loop last looked at the clock, so they would be
/// early by what was computed since.
class Timer final : public kj::Timer {
 public:
  static kj::TimePoint current() { return kj::systemPreciseMonotonicClock().now(); }
  kj::TimePoint now() const override { return current(); }
  kj::Promise<void> atTime(kj::TimePoint time) override { return due_.atTime(time); }
  kj::Promise<void> afterDelay(kj::Duration delay) override { return due_.atTime(current() + delay); }

  kj::Maybe<kj::TimePoint> next() { return due_.nextEvent(); }
  void fire() { due_.advanceTo(current()); }

 private:
  kj::TimerImpl due_{current()};
};

/// Where the event loop sleeps.
class Port final : public kj::EventPort {
 public:
  explicit Port(Runtime& runtime) : runtime_(runtime) {}

  bool wait() override {
    std::optional<Runtime::Time> deadline;
    KJ_IF_MAYBE (next, timer_.next()) {
      const kj::TimePoint at = Timer::current();
      const auto left = *next > at ? (*next - at) / kj::NANOSECONDS : 0;
      deadline = sys::monotonic() + Runtime::Time(left);
    }
    take_turn(deadline);
    return false;
  }
  bool poll() override {
    take_turn(Runtime::Time(0));
    return false;
  }

  kj::Timer& timer() { return timer_; }
  /// What messages that are no RPC go to, from now on; until then they wait.
  void on_message(std::function<void(const Message&)> function) { on_message_ = std::move(function); }

 private:
  void take_turn(std::optional<Runtime::Time> deadline) {
    runtime_.wait_for_routed(on_message_ && runtime_.unmatched() > 0 ? Runtime::Time(0) : deadline);
    timer_.fire();
    if (!on_message_) return;
    while (const auto message = runtime_.receive_any(Runtime::Time(0))) on_message_(*message);
  }

  Runtime& runtime_;
  Timer timer_;
  std::function<void(const Message&)> on_message_;
};

#pragma GCC diagnostic pop

/// A connection with one other muproc.
struct Connection {
  using Rpc = capnp::RpcSystem<capnp::rpc::twoparty::VatId>;

  Connection(Runtime& runtime, Pid peer, std::uint64_t number, kj::Maybe<capnp::Capability::Client> bootstrap)
      : stream(runtime, peer, number, bootstrap == nullptr),
        network(stream, bootstrap == nullptr ? capnp::rpc::twoparty::Side::CLIENT : capnp::rpc::twoparty::Side::SERVER),
        rpc(make(network, kj::mv(bootstrap))) {}

  static Rpc make(capnp::TwoPartyVatNetwork& network, kj::Maybe<capnp::Capability::Client> bootstrap) {
    KJ_IF_MAYBE (served, bootstrap) { return capnp::makeRpcServer(network, kj::mv(*served)); }
    return capnp::makeRpcClient(network);
  }

  Stream stream;
  capnp::TwoPartyVatNetwork network;
  Rpc rpc;
};

}  // namespace

class Vat::Impl final : Runtime::Router, kj::TaskSet::ErrorHandler {
 public:
  explicit Impl(Self& self)
      : self_(self), runtime_(Runtime::of(self)), port_(runtime_), loop_(port_), scope_(loop_), tasks_(kj::heap<kj::TaskSet>(static_cast<kj::TaskSet::ErrorHandler&>(*this))) {
    runtime_.route(capnp::typeId<wire::RpcFrame>(), this);
  }
  ~Impl() noexcept {
    if (Runtime::current() == &runtime_) runtime_.route(0, nullptr);
    tasks_ = nullptr;
    for (auto& [key, connection] : connections_) connection->stream.say_goodbye();
    connections_.clear();
  }

  Self& self() { return self_; }
  Port& port() { return port_; }
  kj::WaitScope& scope() { return scope_; }
  std::size_t connections() const { return connections_.size(); }

  capnp::Capability::Client connect(Address server) {
    const Pid peer = runtime_.resolve(server);
    for (auto& [key, connection] : connections_)
      if (key.peer == peer && key.opened_here) return bootstrap_of(*connection);
    return bootstrap_of(add({peer, runtime_.make_ref(), true}, nullptr));
  }

  void serve(capnp::Capability::Client bootstrap) {
    bootstrap_ = kj::mv(bootstrap);
    for (Message& frame : std::exchange(not_served_yet_, {})) deliver(std::move(frame));
  }

 private:
  struct Key {
    Pid peer;
    std::uint64_t number;
    bool opened_here;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  Connection& add(const Key& key, kj::Maybe<capnp::Capability::Client> bootstrap) {
    auto connection = std::make_unique<Connection>(runtime_, key.peer, key.number, kj::mv(bootstrap));
    Connection& added = *connection;
    connections_[key] = std::move(connection);
    tasks_->add(added.network.onDisconnect().then([this, key] { connections_.erase(key); }));
    return added;
  }

  static capnp::Capability::Client bootstrap_of(Connection& connection) {
    capnp::MallocMessageBuilder message;
    auto id = message.initRoot<capnp::rpc::twoparty::VatId>();
    id.setSide(capnp::rpc::twoparty::Side::SERVER);
    return connection.rpc.bootstrap(id);
  }

  // Router:
  void deliver(Message frame) override {
    wire::RpcFrame::Reader contents;
    bool is_goodbye = false;
    try {
      contents = frame.as<wire::RpcFrame>();
      is_goodbye = contents.getSegments().size() == 0;
    } catch (const kj::Exception& malformed) {
      self_.log().error("dropped a malformed message of {}: {}", to_string(frame.from()), malformed.getDescription().cStr());
      return;
    }
    const Key key{frame.from(), contents.getConnection(), !contents.getToServer()};
    auto found = connections_.find(key);
    if (found == connections_.end()) {
      // Of one that has ended here already; what has not been served yet waits.
      if (!contents.getToServer()) return;
      KJ_IF_MAYBE (bootstrap, bootstrap_) {
        if (!contents.getOpens()) return;
        add(key, *bootstrap);
        found = connections_.find(key);
      } else {
        not_served_yet_.push_back(std::move(frame));
        return;
      }
    }
    Stream& stream = found->second->stream;
    if (is_goodbye) {
      stream.end_of_input(nullptr);
    } else {
      stream.deliver(std::move(frame));
    }
  }
  void ended(Pid peer, const Reason& reason) override {
    for (auto& [key, connection] : connections_)
      if (key.peer == peer)
        connection->stream.end_of_input(disconnected(to_string(peer) + " has ended: " + to_string(reason)));
    std::erase_if(not_served_yet_, [&](const Message& frame) { return frame.from() == peer; });
  }
  bool has_work() const override { return loop_.isRunnable(); }
  // ErrorHandler:
  void taskFailed(kj::Exception&& exception) override {
    self_.log().warn("an RPC connection: {}", exception.getDescription().cStr());
  }

  Self& self_;
  Runtime& runtime_;
  Port port_;
  mutable kj::EventLoop loop_;
  kj::WaitScope scope_;
  kj::Own<kj::TaskSet> tasks_;
  kj::Maybe<capnp::Capability::Client> bootstrap_;
  std::vector<Message> not_served_yet_;
  std::map<Key, std::unique_ptr<Connection>> connections_;
};

Vat::Vat(Self& self) : impl_(std::make_unique<Impl>(self)) {}
Vat::~Vat() = default;

kj::WaitScope& Vat::wait_scope() { return impl_->scope(); }
kj::Timer& Vat::timer() { return impl_->port().timer(); }
capnp::Capability::Client Vat::connect_any(Address server) { return impl_->connect(server); }
void Vat::serve(capnp::Capability::Client bootstrap) { impl_->serve(kj::mv(bootstrap)); }
std::size_t Vat::connections() const { return impl_->connections(); }

void Vat::run(std::function<void(const Message&)> handle_info) {
  Self& self = impl_->self();
  impl_->port().on_message([&self, handle_info = std::move(handle_info)](const Message& message) {
    if (handle_info) return handle_info(message);
    if (const auto heard = detail::read_exit(message)) self.exit(heard->as_own_end());
    self.log().warn("dropped a message of {}: {}", to_string(message.from()), detail::describe(message));
  });
  kj::Promise<void>(kj::NEVER_DONE).wait(wait_scope());
  KJ_UNREACHABLE;
}

}  // namespace muproc::rpc
