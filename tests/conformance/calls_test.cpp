// Calls in flight, answers given later or by another, and structs that are not copied.
#include <muproc/server.hpp>

#include <deque>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/call_error.hpp"
#include "support/messages.capnp.h"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

// ---- a gate: calls wait there until it is opened ----

class Gate {
 public:
  explicit Gate(Self& self) : self_(self) {}

  void pass(ReplyTo<std::int64_t> reply, std::int64_t ticket) { waiting_.push_back({std::move(reply), ticket}); }
  void pass_silently(ReplyTo<void> reply) { silent_.push_back(std::move(reply)); }
  std::int64_t open(std::int64_t count) {
    std::int64_t opened = 0;
    for (; opened < count && !waiting_.empty(); ++opened) {
      waiting_.front().first(waiting_.front().second);
      waiting_.pop_front();
    }
    for (auto& reply : silent_) reply();
    silent_.clear();
    return opened;
  }
  void refuse(const std::string& what) {
    waiting_.front().first.error("Refusal", what);
    waiting_.pop_front();
  }
  void throw_at_caller() {
    waiting_.front().first.error(std::make_exception_ptr(std::out_of_range("far away")));
    waiting_.pop_front();
  }
  void forget() { waiting_.clear(); }
  std::int64_t waiting() { return static_cast<std::int64_t>(waiting_.size()); }
  void answer_twice(ReplyTo<std::int64_t> reply) {
    reply(1);
    reply(2);
    reply.error("Never", "said");
    if (!reply) self_.send(self_.parent(), "answered", "once");
  }
  void keep_and_throw(ReplyTo<std::int64_t> reply) {
    waiting_.push_back({std::move(reply), 0});
    throw std::runtime_error("after all");
  }
  void let_do(ReplyTo<std::string> reply, const std::string& worker, const std::string& job);
  std::int64_t now(std::int64_t n) { return n; }
  void die() { self_.exit("gone"); }

 private:
  Self& self_;
  std::deque<std::pair<ReplyTo<std::int64_t>, std::int64_t>> waiting_;
  std::vector<ReplyTo<void>> silent_;
};

constexpr Call<&Gate::pass> pass_gate{"pass", "gate"};
constexpr Call<&Gate::pass_silently> pass_silently{"pass_silently", "gate"};
constexpr Call<&Gate::open> open_gate{"open", "gate"};
constexpr Call<&Gate::refuse> refuse{"refuse", "gate"};
constexpr Call<&Gate::throw_at_caller> throw_at_caller{"throw_at_caller", "gate"};
constexpr Call<&Gate::forget> forget{"forget", "gate"};
constexpr Call<&Gate::waiting> waiting{"waiting", "gate"};
constexpr Call<&Gate::answer_twice> answer_twice{"answer_twice", "gate"};
constexpr Call<&Gate::keep_and_throw> keep_and_throw{"keep_and_throw", "gate"};
constexpr Call<&Gate::let_do> let_do{"let_do", "gate"};
constexpr Call<&Gate::now> now{"now", "gate"};
constexpr Cast<&Gate::die> die{"die", "gate"};

Pid start_gate(Self& self, const std::string& name = "gate") {
  return start_server<Gate>(self, name, {pass_gate, pass_silently, open_gate, refuse, throw_at_caller, forget, waiting,
                                         answer_twice, keep_and_throw, let_do, now, die});
}

void wait_until_waiting(Self& self, std::int64_t count, Address gate = "gate") {
  wait_until(std::to_string(count) + " calls to wait", [&] { return waiting(self, gate) == count; });
}

/// Does what a gate hands over to it.
struct Worker {
  explicit Worker(Self& self) : self_(self) {}
  void work(ReplyTo<std::string> reply, const std::string& job) {
    if (job == "die") self_.exit("worn out");
    if (job == "hand on") return;  // forgets it
    reply("done: " + job);
  }
  Self& self_;
};
constexpr Cast<&Worker::work> work{"work"};

void Gate::let_do(ReplyTo<std::string> reply, const std::string& worker, const std::string& job) {
  const Pid pid = self_.find(worker);
  const auto handed = reply.hand_to(pid);
  work(self_, pid, handed, job);
}

}  // namespace

// ---- answers given later ---------------------------------------------------------------------------------------------

TEST_CASE("an answer is given later, from another handler", "[server][otp][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  const auto [client, ref] = self.spawn_monitor("client", +[](Self& self) {
    MUST(pass_gate.within(k_patience)(self, 7) == 7);
  });
  wait_until_waiting(self, 1);
  CHECK(now(self, 5) == 5);  // the server serves others meanwhile
  CHECK(open_gate(self, 1) == 1);
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("answers may come in another order than the calls", "[server][otp][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  std::vector<Request<std::int64_t>> requests;
  for (std::int64_t i = 0; i < 100; ++i) requests.push_back(pass_gate.send_request(self, i));
  auto silent = pass_silently.send_request(self);
  CHECK(open_gate(self, 100) == 100);
  for (std::int64_t i = 99; i >= 0; --i) CHECK(requests[static_cast<std::size_t>(i)].wait() == i);
  silent.wait();
}

TEST_CASE("a call may be refused later, with an error of any type, and the server lives", "[server][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  auto first = pass_gate.send_request(self, 1);
  auto second = pass_gate.send_request(self, 2);
  refuse(self, "not today");
  throw_at_caller(self);
  const CallError refused = call_error([&] { first.wait(); });
  CHECK(refused.kind == CallError::Kind::error);
  CHECK(refused.reason == Reason::exception("Refusal", "not today"));
  CHECK_THAT(call_error([&] { second.wait(); }).what(), Contains("out_of_range") && Contains("far away"));
  CHECK(now(self, 1) == 1);
}

TEST_CASE("a call whose ReplyTo is dropped gets an error", "[server][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  auto request = pass_gate.send_request(self, 1);
  forget(self);
  const CallError error = call_error([&] { request.wait(); });
  CHECK(error.kind == CallError::Kind::error);
  CHECK_THAT(error.what(), Contains("without an answer"));
}

TEST_CASE("a call is answered once", "[server][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  CHECK(answer_twice(self) == 1);
  CHECK(next<std::string, "answered">(self) == "once");
}

TEST_CASE("who waits for a later answer hears of its server's end", "[server][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  auto request = pass_gate.send_request(self, 1);
  wait_until_waiting(self, 1);
  SECTION("in order") {
    muproc::stop(self, "gate");
    const CallError error = call_error([&] { request.wait(); });
    CHECK(error.kind == CallError::Kind::down);
    CHECK(error.reason.is_normal());
    CHECK_FALSE(self.find("gate"));
  }
  SECTION("by exit") {
    die(self);
    CHECK(call_error([&] { request.wait(); }).reason == "gone");
  }
  SECTION("because its handler throws") {
    auto thrower = keep_and_throw.send_request(self);
    CHECK_THAT(call_error([&] { thrower.wait(); }).what(), Contains("after all"));
    const CallError error = call_error([&] { request.wait(); });
    CHECK(error.kind == CallError::Kind::down);
    CHECK(error.reason.what() == "after all");
  }
}

TEST_CASE("a muproc that goes on when its server was stopped answers what it still owes", "[server][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("turncoat", +[](Self& self) {
    serve_as<Gate>(self, "gate", {pass_gate, waiting});
    self.receive(on<"never">() >> [] {});
  });
  wait_for_name(self, "gate");
  auto request = pass_gate.send_request(self, 1);
  wait_until_waiting(self, 1);
  call_error([&] { muproc::stop(self, "gate", Reason::normal(), 100ms); });  // the muproc does not end
  const CallError error = call_error([&] { request.wait(); });
  CHECK(error.kind == CallError::Kind::down);
}

TEST_CASE("another muproc may answer a call that was handed to it", "[server][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  start_server<Worker>(self, "worker", {work});
  CHECK(let_do(self, "worker", "digging") == "done: digging");
  CHECK(let_do(self, "worker", "planting") == "done: planting");
  std::vector<Request<std::string>> requests;
  for (int i = 0; i < 50; ++i) requests.push_back(let_do.send_request(self, "gate", "worker", std::to_string(i)));
  for (int i = 0; i < 50; ++i) CHECK(requests[static_cast<std::size_t>(i)].wait() == "done: " + std::to_string(i));
}

TEST_CASE("a call that was handed over hears of the end of who has it", "[server][call_delayed]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid gate = start_gate(self);
  start_server<Worker>(self, "worker", {work});
  const CallError error = call_error([&] { let_do.within(k_patience)(self, "gate", "worker", "die"); });
  CHECK((error.kind == CallError::Kind::down || error.kind == CallError::Kind::noproc));
  if (error.kind == CallError::Kind::down) CHECK(error.reason == "worn out");
  CHECK(self.find("gate") == gate);
  start_server<Worker>(self, "worker", {work});
  CHECK_THAT(call_error([&] { let_do(self, "worker", "hand on"); }).what(), Contains("without an answer"));
}

TEST_CASE("a handed call survives its first server", "[server][call_delayed]") {
  struct Late {
    void work(ReplyTo<std::string> reply, const std::string& job) { kept.push_back({std::move(reply), job}); }
    std::int64_t finish() {
      for (auto& [reply, job] : kept) reply("late: " + job);
      return static_cast<std::int64_t>(std::exchange(kept, {}).size());
    }
    std::vector<std::pair<ReplyTo<std::string>, std::string>> kept;
  };
  constexpr Cast<&Late::work> late_work{"work"};
  constexpr Call<&Late::finish> finish{"finish"};
  LiveSystem system;
  Self& self = system.self();
  const Pid gate = start_gate(self);
  start_server<Late>(self, "worker", {late_work, finish});
  auto request = let_do.send_request(self, "gate", "worker", "x");
  CHECK(now(self, 1) == 1);  // it is handed by now
  const Ref ref = self.monitor(gate);
  self.kill(gate);
  reason_of(self, ref);
  CHECK_FALSE(request.ready());
  CHECK(finish(self, "worker") == 1);
  CHECK(request.wait() == "late: x");
}

// ---- calls in flight -------------------------------------------------------------------------------------------------

TEST_CASE("requests are sent now and waited for later", "[server][otp][send_request]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  auto first = now.send_request(self, 1);
  auto second = now.send_request(self, "gate", 2);
  CHECK(second.wait() == 2);
  CHECK(first.in_flight());
  CHECK(first.wait(k_patience) == 1);
  CHECK_FALSE(first.in_flight());
  CHECK_THROWS_AS(first.wait(), std::logic_error);
  CHECK(call_error([&] { (void)now.send_request(self, "nobody", 1); }).kind == CallError::Kind::noproc);
}

TEST_CASE("a request that is not answered yet stays in flight when one looks", "[server][otp][send_request]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  auto request = pass_gate.send_request(self, 3);
  CHECK_FALSE(request.ready());
  CHECK_FALSE(request.ready(10ms));
  CHECK(request.in_flight());
  open_gate(self, 1);
  CHECK(request.ready(k_patience));
  CHECK(request.wait(0s) == 3);
}

TEST_CASE("a request that runs out of time is given up, and its late answer never arrives",
          "[server][otp][send_request][call_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  auto request = pass_gate.send_request(self, 3);
  const CallError error = call_error([&] { request.wait(10ms); });
  CHECK(error.kind == CallError::Kind::timeout);
  CHECK_FALSE(request.in_flight());
  { auto dropped = pass_gate.send_request(self, 4); }
  CHECK(open_gate(self, 2) == 2);
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("one waits for any of several requests", "[server][otp][send_request]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self, "a");
  start_gate(self, "b");
  auto on_a = pass_gate.send_request(self, "a", 1);
  auto on_b = pass_gate.send_request(self, "b", 2);
  auto silent = pass_silently.send_request(self, "b");
  CHECK_FALSE(wait_any(10ms, on_a, on_b, silent));
  open_gate(self, "b", 1);
  CHECK(wait_any(k_patience, on_a, on_b) == 1);
  CHECK(on_b.wait() == 2);
  CHECK(wait_any(k_patience, on_a, on_b, silent) == 2);
  silent.wait();
  open_gate(self, "a", 1);
  CHECK(wait_any(k_patience, on_a, on_b, silent) == 0);
  CHECK(on_a.wait() == 1);
  CHECK_FALSE(wait_any(k_patience, on_a, on_b, silent));  // none is left
}

TEST_CASE("many requests are waited for in the order in which they are answered", "[server][otp][send_request]") {
  LiveSystem system;
  Self& self = system.self();
  std::vector<Request<std::int64_t>> requests;
  for (int i = 0; i < 5; ++i) {
    const std::string name = "gate-" + std::to_string(i);
    start_gate(self, name);
    for (int n = 0; n < 20; ++n) requests.push_back(now.send_request(self, name, n * 5 + i));
  }
  std::set<std::int64_t> seen;
  while (const auto which = wait_any(k_patience, requests)) {
    seen.insert(requests[*which].wait());
    requests.erase(requests.begin() + static_cast<std::ptrdiff_t>(*which));
  }
  CHECK(requests.empty());
  CHECK(seen.size() == 100);
}

TEST_CASE("a request whose server ends is known to have failed", "[server][otp][send_request]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  auto lost = pass_gate.send_request(self, 1);
  auto other = pass_gate.send_request(self, 2);
  self.kill("gate");
  CHECK(wait_any(k_patience, lost, other) == 0);
  CHECK(call_error([&] { lost.wait(); }).kind == CallError::Kind::down);
  CHECK(call_error([&] { other.wait(); }).reason == Reason::killed());
}

TEST_CASE("messages that arrive while one waits for requests stay for later", "[server][send_request]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self);
  auto request = answer_twice.send_request(self);
  CHECK(request.wait() == 1);
  CHECK(next<std::string, "answered">(self) == "once");
}

TEST_CASE("several servers are asked at once: who answered what, and who did not and why", "[server][multi_call]") {
  LiveSystem system;
  Self& self = system.self();
  start_gate(self, "a");
  const Pid b = start_gate(self, "b");
  const Pid dead = start_gate(self, "dead");
  const Ref ref = self.monitor(dead);
  self.kill(dead);
  reason_of(self, ref);

  const auto all = now.multi_call(self, {"a", b, "nobody", dead, self.pid()}, 7);
  REQUIRE(all.replies.size() == 2);
  CHECK(all.replies[0].index == 0);
  CHECK(all.replies[0].server == "a");
  CHECK(all.replies[0].value == 7);
  CHECK(all.replies[1].server == to_string(b));
  REQUIRE(all.failures.size() == 3);
  std::map<std::string, CallError::Kind> why;
  for (const auto& failure : all.failures) why.emplace(failure.server, failure.error.kind);
  CHECK(why.at("nobody") == CallError::Kind::noproc);
  CHECK(why.at(to_string(dead)) == CallError::Kind::noproc);
  CHECK(why.at(to_string(self.pid())) == CallError::Kind::error);
}

TEST_CASE("a multi_call waits for all within one limit of time", "[server][multi_call]") {
  LiveSystem system;
  Self& self = system.self();
  const std::vector<std::string> names{"a", "b", "c"};
  for (const auto& name : names) start_gate(self, name);
  const auto none = pass_gate.within(20ms).multi_call(self, names, 1);
  CHECK(none.replies.empty());
  REQUIRE(none.failures.size() == 3);
  for (const auto& failure : none.failures) CHECK(failure.error.kind == CallError::Kind::timeout);
  const auto void_calls = forget.multi_call(self, names);
  CHECK(void_calls.replies.size() == 3);
  CHECK_FALSE(self.receive_any(0s));
}

// ---- structs ---------------------------------------------------------------------------------------------------------

namespace {

constexpr unsigned k_many = 1 << 20;  // 8 MiB of numbers

/// What the kernel says of the memory at this address.
std::string map_of(const void* address) {
  std::ifstream maps("/proc/self/maps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  for (std::string line; std::getline(maps, line);) {
    const auto begin = std::stoull(line, nullptr, 16);
    const auto end = std::stoull(line.substr(line.find('-') + 1), nullptr, 16);
    if (wanted >= begin && wanted < end) return line;
  }
  return "nowhere";
}
/// True when this is another's memory, mapped to be read: nothing was copied to get here.
bool is_shared(const void* address) {
  const std::string map = map_of(address);
  return map.find(" r--s ") != map.npos;
}

void fill(Numbers::Builder to, unsigned count) {
  auto list = to.initList(count);
  for (unsigned i = 0; i < count; ++i) list.set(i, i * 3ull);
}
bool right(Numbers::Reader numbers, unsigned count) {
  const auto list = numbers.getList();
  if (list.size() != count) return false;
  for (unsigned i = 0; i < count; ++i)
    if (list[i] != i * 3ull) return false;
  return true;
}
const void* memory_of(Numbers::Reader numbers) {
  return capnp::AnyList::Reader(numbers.getList()).getRawBytes().begin();
}

struct Structs {
  std::string where(Numbers::Reader numbers, std::int64_t count) {
    if (!right(numbers, static_cast<unsigned>(count))) return "wrong";
    return is_shared(memory_of(numbers)) ? "shared" : map_of(memory_of(numbers));
  }
  void make(std::int64_t count, Numbers::Builder result) { fill(result, static_cast<unsigned>(count)); }
  Numbers::Reader kept(std::int64_t count) {
    message = std::make_unique<capnp::MallocMessageBuilder>();
    fill(message->initRoot<Numbers>(), static_cast<unsigned>(count));
    return message->getRoot<Numbers>().asReader();
  }
  void later(ReplyTo<Numbers> reply, std::int64_t count) {
    reply([&](Numbers::Builder to) { fill(to, static_cast<unsigned>(count)); });
  }
  double worth(Quote::Reader quote, double factor) { return quote.getPrice() * quote.getQty() * factor; }
  void cheaper(Quote::Reader quote, Quote::Builder result) {
    result.setSymbol(quote.getSymbol());
    result.setPrice(quote.getPrice() / 2);
    result.setQty(quote.getQty());
  }
  void fail_while_building(Numbers::Builder result) {
    fill(result, 100);
    throw std::runtime_error("half-way");
  }
  std::int64_t bytes(std::span<const std::byte> view) { return static_cast<std::int64_t>(view.size()) + std::to_integer<int>(view[0]); }
  std::unique_ptr<capnp::MallocMessageBuilder> message;
};

constexpr Call<&Structs::where> where{"where", "structs"};
constexpr Call<&Structs::make> make{"make", "structs"};
constexpr Call<&Structs::kept> kept{"kept", "structs"};
constexpr Call<&Structs::later> later{"later", "structs"};
constexpr Call<&Structs::worth> worth{"worth", "structs"};
constexpr Call<&Structs::cheaper> cheaper{"cheaper", "structs"};
constexpr Call<&Structs::fail_while_building> fail_while_building{"fail_while_building", "structs"};
constexpr Call<&Structs::bytes> bytes{"bytes", "structs"};

Pid start_structs(Self& self) {
  return start_server<Structs>(self, "structs", {where, make, kept, later, worth, cheaper, fail_while_building, bytes});
}

}  // namespace

TEST_CASE("a Cap'n Proto struct is an argument and a result", "[server][structs]") {
  LiveSystem system;
  Self& self = system.self();
  start_structs(self);
  const auto build = [](Quote::Builder quote) {
    quote.setSymbol("VOD.L");
    quote.setPrice(100.5);
    quote.setQty(2);
  };
  CHECK(worth(self, build, 10) == 2010);
  capnp::MallocMessageBuilder message;
  build(message.initRoot<Quote>());
  CHECK(worth(self, message.getRoot<Quote>().asReader(), 10) == 2010);
  const Received<Quote> result = cheaper(self, build);
  CHECK(result->getPrice() == 50.25);
  CHECK(std::string(result->getSymbol().cStr()) == "VOD.L");
}

TEST_CASE("a large struct is read by the handler where its caller built it", "[server][structs][large]") {
  LiveSystem system;
  Self& self = system.self();
  start_structs(self);
  for (int round = 0; round < 3; ++round)
    CHECK(where(self, [](Numbers::Builder to) { fill(to, k_many); }, k_many) == "shared");
  CHECK(where(self, [](Numbers::Builder to) { fill(to, 10); }, 10) != "wrong");
}

TEST_CASE("a large result is read by the caller where its handler built it", "[server][structs][large]") {
  LiveSystem system;
  Self& self = system.self();
  start_structs(self);
  {
    const auto made = make(self, k_many);
    CHECK(right(made, k_many));
    CHECK(is_shared(memory_of(made)));
    const auto other = later(self, k_many);  // the first one is still there
    CHECK(right(other, k_many));
    CHECK(is_shared(memory_of(other)));
    CHECK(right(made, k_many));
  }
  CHECK(right(kept(self, 1000), 1000));
  auto request = make.send_request(self, k_many);
  Received<Numbers> moved = request.wait(k_patience);
  const Received<Numbers> last = std::move(moved);
  CHECK(right(last, k_many));
}

TEST_CASE("a handler that throws while it builds its result is an error like any other", "[server][structs]") {
  LiveSystem system;
  Self& self = system.self();
  start_structs(self);
  CHECK_THAT(call_error([&] { fail_while_building(self); }).what(), Contains("half-way"));
}

TEST_CASE("bytes are read in place", "[server][structs]") {
  LiveSystem system;
  Self& self = system.self();
  start_structs(self);
  const Data data(1000, std::byte{7});
  CHECK(bytes(self, std::span<const std::byte>(data)) == 1007);
}

TEST_CASE("a struct of another schema is refused by its signature", "[server][structs][version]") {
  struct Other {
    double worth(Tick::Reader tick, double) { return tick.getBid(); }
  };
  constexpr Call<&Other::worth> other{"worth", "structs"};
  LiveSystem system;
  Self& self = system.self();
  start_structs(self);
  const CallError error = call_error([&] { other(self, [](Tick::Builder) {}, 1); });
  CHECK_THAT(error.what(), Contains("worth(@0x") && Contains("different versions"));
}
