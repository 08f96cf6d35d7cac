// Cap'n Proto's RPC between muprocs.
#include <muproc/rpc.hpp>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "support/messages.capnp.h"
#include "support/system_fixture.hpp"
#include "support/tally.capnp.h"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

// Generated server classes have no virtual destructors: kj::Own knows what it destroys.
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"

namespace {

bool is_shared(const void* address) {
  std::ifstream maps("/proc/self/maps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  for (std::string line; std::getline(maps, line);) {
    const auto begin = std::stoull(line, nullptr, 16);
    const auto end = std::stoull(line.substr(line.find('-') + 1), nullptr, 16);
    if (wanted >= begin && wanted < end) return line.find(" r--s ") != line.npos;
  }
  return false;
}

class TallyImpl final : public Tally::Server {
 public:
  explicit TallyImpl(Self* self = nullptr) : self_(self) {}

  kj::Promise<void> add(AddContext context) override {
    sum_ += context.getParams().getN();
    context.getResults().setSum(sum_);
    std::vector<kj::Promise<void>> told;
    for (Watcher::Client* watcher : watchers_) {
      auto request = watcher->changedRequest();
      request.setSum(sum_);
      told.push_back(request.send().ignoreResult().catch_([](kj::Exception&&) {}));
    }
    auto all = kj::heapArrayBuilder<kj::Promise<void>>(told.size());
    for (auto& one : told) all.add(kj::mv(one));
    return kj::joinPromises(all.finish());
  }
  kj::Promise<void> fail(FailContext context) override {
    KJ_FAIL_REQUIRE("it was asked to fail", context.getParams().getWhat());
  }
  kj::Promise<void> hold(HoldContext context) override {
    auto held = kj::newPromiseAndFulfiller<void>();
    held_.push_back(kj::mv(held.fulfiller));
    return held.promise.then([context]() mutable { context.getResults().setTally(kj::heap<TallyImpl>()); });
  }
  kj::Promise<void> release(ReleaseContext) override {
    for (auto& held : held_) held->fulfill();
    held_.clear();
    return kj::READY_NOW;
  }
  kj::Promise<void> watch(WatchContext context) override {
    context.getResults().setWatch(kj::heap<WatchImpl>(watchers_, context.getParams().getWatcher()));
    return kj::READY_NOW;
  }
  kj::Promise<void> watchers(WatchersContext context) override {
    context.getResults().setCount(static_cast<unsigned>(watchers_.size()));
    return kj::READY_NOW;
  }
  kj::Promise<void> addTo(AddToContext context) override {
    auto request = context.getParams().getTally().addRequest();
    request.setN(context.getParams().getN());
    return request.send().then([context](auto&& result) mutable { context.getResults().setSum(result.getSum()); });
  }
  kj::Promise<void> check(CheckContext context) override {
    const auto list = context.getParams().getList();
    bool right = true;
    for (unsigned i = 0; i < list.size(); ++i) right &= list[i] == i * 3ull;
    context.getResults().setRight(right);
    context.getResults().setIsShared(is_shared(capnp::AnyList::Reader(list).getRawBytes().begin()));
    return kj::READY_NOW;
  }
  kj::Promise<void> make(MakeContext context) override {
    const unsigned count = context.getParams().getCount();
    auto list = context.getResults().initList(count);
    for (unsigned i = 0; i < count; ++i) list.set(i, i * 3ull);
    return kj::READY_NOW;
  }
  kj::Promise<void> leave(LeaveContext) override {
    self_->schedule(0s, [self = self_] { self->exit(self->pid(), "left"); });
    return kj::NEVER_DONE;
  }

 private:
  using Watchers = std::set<Watcher::Client*>;
  class WatchImpl final : public Watch::Server {
   public:
    WatchImpl(Watchers& watchers, Watcher::Client watcher) : watchers_(watchers), watcher_(kj::mv(watcher)) {
      watchers_.insert(&watcher_);
    }
    ~WatchImpl() { watchers_.erase(&watcher_); }

   private:
    Watchers& watchers_;
    Watcher::Client watcher_;
  };

  Self* self_;
  std::int64_t sum_ = 0;
  std::vector<kj::Own<kj::PromiseFulfiller<void>>> held_;
  Watchers watchers_;
};

class Listener final : public Watcher::Server {
 public:
  explicit Listener(std::vector<std::int64_t>& heard) : heard_(heard) {}
  kj::Promise<void> changed(ChangedContext context) override {
    heard_.push_back(context.getParams().getSum());
    return kj::READY_NOW;
  }

 private:
  std::vector<std::int64_t>& heard_;
};

void tally(Self& self) { rpc::serve<TallyImpl>(self, &self); }

void start_tally(Self& self, const char* name = "tally") { self.spawn(name, tally); }

kj::Promise<std::int64_t> add(Tally::Client& tally, std::int64_t n) {
  auto request = tally.addRequest();
  request.setN(n);
  return request.send().then([](auto&& result) -> std::int64_t { return result.getSum(); });
}

/// Waits for its failure.
template <class T>
kj::Exception failure_of(kj::Promise<T> promise, rpc::Vat& vat) {
  kj::Maybe<kj::Exception> failure;
  vat.timer()
      .timeoutAfter(std::chrono::nanoseconds(k_patience).count() * kj::NANOSECONDS, kj::mv(promise))
      .then([](auto&&...) {}, [&](kj::Exception&& error) { failure = kj::mv(error); })
      .wait(vat.wait_scope());
  KJ_IF_MAYBE (error, failure) return kj::mv(*error);
  FAIL("it did not fail");
  throw 0;
}

}  // namespace

TEST_CASE("a Cap'n Proto interface is called over mailboxes", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  CHECK(add(client, 5).wait(vat.wait_scope()) == 5);
  for (int i = 1; i <= 1000; ++i) CHECK(add(client, 1).wait(vat.wait_scope()) == 5 + i);
}

TEST_CASE("many calls are in flight, and handled in the order in which they were made", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  std::vector<kj::Promise<std::int64_t>> sums;
  for (int i = 0; i < 1000; ++i) sums.push_back(add(client, 1));
  for (int i = 999; i >= 0; --i) CHECK(sums[static_cast<std::size_t>(i)].wait(vat.wait_scope()) == i + 1);
}

TEST_CASE("several clients are served by one server", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  std::vector<Ref> clients;
  for (int i = 0; i < 4; ++i)
    clients.push_back(self.spawn_monitor("client-" + std::to_string(i), +[](Self& self) {
                            rpc::Vat vat(self);
                            auto client = vat.connect<Tally>("tally");
                            std::int64_t last = 0;
                            for (int n = 0; n < 200; ++n) {
                              const std::int64_t sum = add(client, 1).wait(vat.wait_scope());
                              MUST(sum > last);
                              last = sum;
                            }
                          }).second);
  for (const Ref client : clients) CHECK(reason_of(self, client) == Reason::normal());
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  CHECK(add(client, 0).wait(vat.wait_scope()) == 800);
}

TEST_CASE("a capability that is an argument is called back", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  std::vector<std::int64_t> heard;
  {
    auto request = client.watchRequest();
    request.setWatcher(kj::heap<Listener>(heard));
    auto watch = request.send().wait(vat.wait_scope()).getWatch();
    for (int i = 0; i < 3; ++i) add(client, 10).wait(vat.wait_scope());
    CHECK(heard == std::vector<std::int64_t>{10, 20, 30});
  }
  wait_until("the watch to be dropped",
             [&] { return client.watchersRequest().send().wait(vat.wait_scope()).getCount() == 0; });
  add(client, 10).wait(vat.wait_scope());
  CHECK(heard.size() == 3);
}

TEST_CASE("a call of what an earlier call will give needs no answer of that one", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  auto holding = client.holdRequest().send();
  auto later = holding.getTally();           // of an answer that is not there
  auto first = add(later, 1);
  auto second = add(later, 2);
  client.releaseRequest().send().wait(vat.wait_scope());
  CHECK(second.wait(vat.wait_scope()) == 3);
  CHECK(first.wait(vat.wait_scope()) == 1);
}

TEST_CASE("a capability of one server works at another", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self, "a");
  start_tally(self, "b");
  rpc::Vat vat(self);
  auto a = vat.connect<Tally>("a");
  auto b = vat.connect<Tally>("b");
  add(b, 100).wait(vat.wait_scope());
  auto request = a.addToRequest();
  request.setTally(b);
  request.setN(1);
  CHECK(request.send().wait(vat.wait_scope()).getSum() == 101);
  CHECK(add(a, 0).wait(vat.wait_scope()) == 0);
}

TEST_CASE("what a server's method throws reaches its caller, and the server lives", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  auto request = client.failRequest();
  request.setWhat("because");
  const kj::Exception error = failure_of(request.send().ignoreResult(), vat);
  CHECK(error.getType() == kj::Exception::Type::FAILED);
  CHECK_THAT(error.getDescription().cStr(), Contains("asked to fail") && Contains("because"));
  CHECK(add(client, 1).wait(vat.wait_scope()) == 1);
}

TEST_CASE("a server of another interface says that it does not know the call", "[rpc][version]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto stranger = vat.connect<Stranger>("tally");
  const kj::Exception error = failure_of(stranger.helloRequest().send().ignoreResult(), vat);
  CHECK(error.getType() == kj::Exception::Type::UNIMPLEMENTED);
}

TEST_CASE("a server's death breaks its clients' promises, with its reason", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  auto holding = client.holdRequest().send();
  auto pipelined = holding.getTally();
  auto later = add(pipelined, 1);
  add(client, 1).wait(vat.wait_scope());
  self.kill("tally");
  for (const kj::Exception& error : {failure_of(holding.ignoreResult(), vat), failure_of(kj::mv(later), vat)}) {
    CHECK(error.getType() == kj::Exception::Type::DISCONNECTED);
    CHECK_THAT(error.getDescription().cStr(), Contains("killed"));
  }
  CHECK(failure_of(add(client, 1), vat).getType() == kj::Exception::Type::DISCONNECTED);
  wait_until("the connection to be forgotten", [&] {
    vat.timer().afterDelay(kj::MILLISECONDS).wait(vat.wait_scope());
    return vat.connections() == 0;
  });
}

TEST_CASE("a server that exits in a call breaks it", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  const kj::Exception error = failure_of(client.leaveRequest().send().ignoreResult(), vat);
  CHECK(error.getType() == kj::Exception::Type::DISCONNECTED);
}

TEST_CASE("a client connects again to its server's replacement", "[rpc]") {
  LiveSystem system(supervisor(one_for_one, {5, 5s}, {Child("tally", tally, {})}));
  Self& self = system.self();
  Pid server = wait_for_name(self, "tally");
  rpc::Vat vat(self);
  for (int i = 0; i < 3; ++i) {
    auto client = vat.connect<Tally>("tally");
    CHECK(add(client, 1).wait(vat.wait_scope()) == 1);
    self.kill("tally");
    server = wait_for_replacement(self, "tally", server);
  }
}

TEST_CASE("a client's death drops what it had of its server", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  const Pid watching = self.spawn("watching", +[](Self& self) {
    rpc::Vat vat(self);
    auto client = vat.connect<Tally>("tally");
    std::vector<std::int64_t> heard;
    auto request = client.watchRequest();
    request.setWatcher(kj::heap<Listener>(heard));
    auto watch = request.send().wait(vat.wait_scope()).getWatch();
    self.send(self.parent(), "watches", true);
    kj::Promise<void>(kj::NEVER_DONE).wait(vat.wait_scope());
  });
  next<bool, "watches">(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  const auto count = [&] { return client.watchersRequest().send().wait(vat.wait_scope()).getCount(); };
  CHECK(count() == 1);
  self.kill(watching);
  wait_until("the dead one's watch to be dropped", [&] { return count() == 0; });
  CHECK(add(client, 1).wait(vat.wait_scope()) == 1);
}

TEST_CASE("a Vat that goes says goodbye: what its clients hold breaks", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("brief", +[](Self& self) {
    {
      rpc::Vat vat(self);
      vat.serve(kj::heap<TallyImpl>());
      while (!self.receive(on<"go">() >> [] { return true; }, after(0s) >> [] { return false; }))
        vat.timer().afterDelay(kj::MILLISECONDS).wait(vat.wait_scope());
    }
    self.receive(on<"never">() >> [] {});
  });
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("brief");
  auto holding = client.holdRequest().send().ignoreResult();
  CHECK(add(client, 1).wait(vat.wait_scope()) == 1);
  self.send("brief", "go", true);
  const kj::Exception error = failure_of(kj::mv(holding), vat);
  CHECK(error.getType() == kj::Exception::Type::DISCONNECTED);
  CHECK(self.find("brief"));
}

TEST_CASE("nobody is connected to under an unknown name, and calls of the dead break", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  rpc::Vat vat(self);
  CHECK_THROWS_AS(vat.connect<Tally>("nobody"), NoSuchName);
  const auto [pid, ref] = self.spawn_monitor("brief", +[](Self&) {});
  reason_of(self, ref);
  auto client = vat.connect<Tally>(pid);
  CHECK(failure_of(add(client, 1), vat).getType() == kj::Exception::Type::DISCONNECTED);
}

TEST_CASE("who connects before anything is served waits for it", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("late", +[](Self& self) {
    self.receive(on<"go">() >> [] {});
    tally(self);
  });
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("late");
  auto first = add(client, 1);
  CHECK_FALSE(first.poll(vat.wait_scope()));
  self.send("late", "go", true);
  CHECK(first.wait(vat.wait_scope()) == 1);
}

TEST_CASE("a large message is read where it arrived", "[rpc][large]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  for (const unsigned count : {10u, 1000u, 10'000u, 4u << 20}) {
    INFO(count);
    auto request = client.checkRequest();
    auto list = request.initList(count);
    for (unsigned i = 0; i < count; ++i) list.set(i, i * 3ull);
    auto result = request.send().wait(vat.wait_scope());
    CHECK(result.getRight());
    if (count > 100'000) CHECK(result.getIsShared());

    auto make = client.makeRequest();
    make.setCount(count);
    auto made = make.send().wait(vat.wait_scope());
    REQUIRE(made.getList().size() == count);
    CHECK(made.getList()[count - 1] == (count - 1) * 3ull);
  }
}

TEST_CASE("an exit signal ends a muproc that waits for a promise", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  const auto [pid, ref] = self.spawn_monitor("waiting", +[](Self& self) {
    rpc::Vat vat(self);
    auto client = vat.connect<Tally>("tally");
    self.send(self.parent(), "ready", true);
    client.holdRequest().send().wait(vat.wait_scope());
  });
  next<bool, "ready">(self);
  self.exit(pid, "enough");
  CHECK(reason_of(self, ref) == "enough");
  const Ref server = self.monitor("tally");
  self.exit("tally", "you too");
  CHECK(reason_of(self, server) == "you too");
}

TEST_CASE("the event loop's timers and the muproc's own both fire while a promise is waited for", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  const auto before = std::chrono::steady_clock::now();
  auto never = vat.timer().timeoutAfter(30 * kj::MILLISECONDS, client.holdRequest().send().ignoreResult());
  CHECK(failure_of(kj::mv(never), vat).getType() == kj::Exception::Type::OVERLOADED);
  CHECK(std::chrono::steady_clock::now() - before >= 30ms);
  auto fired = kj::newPromiseAndFulfiller<int>();
  self.schedule(5ms, [&] { fired.fulfiller->fulfill(7); });
  CHECK(fired.promise.wait(vat.wait_scope()) == 7);
}

TEST_CASE("other messages stay for a later receive while a promise is waited for", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  for (int i = 0; i < 10; ++i) {
    self.send(self.pid(), "n", i);
    add(client, 1).wait(vat.wait_scope());
  }
  for (int i = 0; i < 10; ++i) CHECK(next<int, "n">(self) == i);
  // And the other way round: what arrives while one receives is not lost.
  auto pending = add(client, 1);
  pending.poll(vat.wait_scope());
  CHECK(self.receive(on<"never">() >> [] { return false; }, after(20ms) >> [] { return true; }));
  CHECK(pending.wait(vat.wait_scope()) == 11);
}

TEST_CASE("what is no RPC goes to handle_info of a server that runs", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("tally", +[](Self& self) {
    rpc::Vat vat(self);
    vat.serve(kj::heap<TallyImpl>());
    vat.run([&](const Message& message) { self.send(message.from(), "echo", message.mumsg()["word"].as<std::string>()); });
  });
  start_tally(self, "other");
  self.send("tally", "word", "hello");
  CHECK(next<std::string, "echo">(self) == "hello");
  self.send("other", "word", "hello");
  rpc::Vat vat(self);
  auto client = vat.connect<Tally>("tally");
  CHECK(add(client, 1).wait(vat.wait_scope()) == 1);
  auto other = vat.connect<Tally>("other");
  CHECK(add(other, 1).wait(vat.wait_scope()) == 1);
  system.broker().wait_for_output("dropped a message");
}

TEST_CASE("a muproc may be its own client", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  rpc::Vat vat(self);
  vat.serve(kj::heap<TallyImpl>());
  auto client = vat.connect<Tally>(self.pid());
  CHECK(add(client, 4).wait(vat.wait_scope()) == 4);
}

TEST_CASE("a muproc has one Vat, and another when that is gone", "[rpc]") {
  LiveSystem system;
  Self& self = system.self();
  start_tally(self);
  for (int i = 1; i <= 3; ++i) {
    rpc::Vat vat(self);
    CHECK_THROWS(rpc::Vat(self));
    auto client = vat.connect<Tally>("tally");
    CHECK(add(client, 1).wait(vat.wait_scope()) == i);
  }
}
