// The generic server: calls, casts, and how a server ends.
#include <muproc/server.hpp>

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "runtime/runtime.hpp"
#include "support/call_error.hpp"
#include "support/system_fixture.hpp"
#include "wire/server.capnp.h"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

struct Counter {
  explicit Counter(std::int64_t start) : count(start) {}
  std::int64_t add(std::int64_t n) { return count += n; }
  void reset() { count = 0; }
  std::int64_t count;
};

constexpr Call<&Counter::add> add{"add"};
constexpr Cast<&Counter::reset> reset{"reset"};

enum class Side : std::uint8_t { buy, sell };
struct Order {
  std::string symbol;
  Side side = Side::buy;
  double price = 0;
  std::optional<int> quantity;
  friend bool operator==(const Order&, const Order&) = default;
};

/// Gives back what it gets.
struct Echo {
  bool flag(bool v) { return v; }
  std::uint8_t small(std::uint8_t v) { return v; }
  double real(double v) { return v; }
  char letter(char v) { return v; }
  std::string text(const std::string& v) { return v; }
  std::string_view view(std::string_view v) { return kept = v; }
  Symbol symbol(Symbol v) { return v; }
  Data data(const Data& v) { return v; }
  Pid pid(Pid v) { return v; }
  std::optional<std::int64_t> optional(std::optional<std::int64_t> v) { return v; }
  std::vector<std::string> list(std::vector<std::string> v) { return v; }
  std::map<std::string, double> map(std::map<std::string, double> v) { return v; }
  std::tuple<int, std::string, bool> tuple(std::tuple<int, std::string, bool> v) { return v; }
  Side side(Side v) { return v; }
  std::vector<Order> orders(const std::vector<Order>& v) { return v; }
  Value value(const Value& v) { return v; }
  Mumsg mumsg(const Mumsg& v) { return v; }
  Reason reason(Reason v) { return v; }
  std::optional<std::optional<int>> nested(std::optional<std::optional<int>> v) { return v; }
  void nothing() {}
  std::int64_t many(std::int64_t a, int b, std::string_view c, const std::vector<int>& d, Side e) {
    return a + b + static_cast<std::int64_t>(c.size() + d.size()) + static_cast<int>(e);
  }
  std::string kept;
};

constexpr Call<&Echo::flag> flag{"flag", "echo"};
constexpr Call<&Echo::small> small{"small", "echo"};
constexpr Call<&Echo::real> real{"real", "echo"};
constexpr Call<&Echo::letter> letter{"letter", "echo"};
constexpr Call<&Echo::text> text{"text", "echo"};
constexpr Call<&Echo::view> view{"view", "echo"};
constexpr Call<&Echo::symbol> symbol{"symbol", "echo"};
constexpr Call<&Echo::data> data{"data", "echo"};
constexpr Call<&Echo::pid> pid_of_echo{"pid", "echo"};
constexpr Call<&Echo::optional> optional{"optional", "echo"};
constexpr Call<&Echo::list> list{"list", "echo"};
constexpr Call<&Echo::map> map{"map", "echo"};
constexpr Call<&Echo::tuple> tuple{"tuple", "echo"};
constexpr Call<&Echo::side> side{"side", "echo"};
constexpr Call<&Echo::orders> orders{"orders", "echo"};
constexpr Call<&Echo::value> value{"value", "echo"};
constexpr Call<&Echo::mumsg> mumsg{"mumsg", "echo"};
constexpr Call<&Echo::reason> reason{"reason", "echo"};
constexpr Call<&Echo::nested> nested{"nested", "echo"};
constexpr Call<&Echo::nothing> nothing{"nothing", "echo"};
constexpr Call<&Echo::many> many{"many", "echo"};

struct Oops : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Tells its starter about the end of its life, and can be made to end in every way.
class Mortal {
 public:
  explicit Mortal(Self& self) : self_(self), starter_(self.parent()) {}
  Mortal(Self& self, const std::string& what) : Mortal(self) {
    if (what == "throw") throw Oops("no start");
    if (what == "exit") self.exit("no wish");
    if (what == "hang") self.receive(on<"never">() >> [] {});
    terminate_throws_ = what == "throw at terminate";
  }
  ~Mortal() { self_.log().info("destroyed"); }

  void ping() {}
  void fail(const std::string& what) { throw Oops(what); }
  void fail_without_a_word() { throw 7; }
  void leave() { self_.exit("left"); }
  std::string finish() {
    exit_after_handler(self_, "finished");
    return "last words";
  }
  std::string change_of_mind() {
    exit_after_handler(self_, "finished");
    stay_after_handler(self_);
    return "stayed";
  }
  void call_yourself();
  void wait() {
    self_.send(starter_, "waiting", true);
    self_.receive(on<"go">() >> [] {});
  }
  std::int64_t infos() { return infos_; }
  std::string in_hand() { return self_.message()->from() == starter_ ? "starter" : "other"; }

  void handle_info(const Message&) { ++infos_; }
  void terminate(const Reason& reason) {
    // A runtime call, although an exit may be pending.
    self_.send(starter_, "terminate", reason);
    if (terminate_throws_) throw Oops("no end");
  }

 private:
  Self& self_;
  Pid starter_;
  bool terminate_throws_ = false;
  std::int64_t infos_ = 0;
};

constexpr Call<&Mortal::ping> ping{"ping"};
constexpr Call<&Mortal::fail> fail{"fail"};
constexpr Call<&Mortal::fail_without_a_word> fail_without_a_word{"fail_without_a_word"};
constexpr Cast<&Mortal::fail> fail_later{"fail_later"};
constexpr Call<&Mortal::leave> leave{"leave"};
constexpr Call<&Mortal::finish> finish{"finish"};
constexpr Call<&Mortal::change_of_mind> change_of_mind{"change_of_mind"};
constexpr Call<&Mortal::call_yourself> call_yourself{"call_yourself"};
constexpr Call<&Mortal::wait> wait_for_go{"wait"};
constexpr Call<&Mortal::infos> infos{"infos"};

void Mortal::call_yourself() { ::ping(self_, self_.name()); }

Pid start_mortal(Self& self, const std::string& what = {}, const ServerOptions& options = {}) {
  return start_server<Mortal>(self, "mortal",
                              {ping, fail, fail_without_a_word, fail_later, leave, finish, change_of_mind,
                               call_yourself, wait_for_go, infos},
                              options, what);
}

/// What `terminate` was told; and it was told only once.
Reason terminated_with(Self& self) {
  const Reason reason = next<Reason, "terminate">(self);
  self.receive(on<"terminate">() >> [](Reason again) { FAIL("terminate ran again, with " << to_string(again)); },
               after(0s) >> [] {});
  return reason;
}

}  // namespace

// ---- calls and casts -------------------------------------------------------------------------------------------------

TEST_CASE("a call is an ordinary function call", "[server][call]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_server<Counter>(self, "counter", {add, reset}, std::int64_t{10});
  CHECK(self.find("counter") == server);
  CHECK(add(self, "counter", 5) == 15);
  CHECK(add.within(20s)(self, server, 5) == 20);
  reset(self, "counter");
  CHECK(add(self, "counter", 1) == 1);
  CHECK_THROWS_AS(add(self, 1), std::logic_error);
}

TEST_CASE("arguments and results of every kind arrive as they were", "[server][call]") {
  LiveSystem system;
  Self& self = system.self();
  start_server<Echo>(self, "echo", {flag, small, real, text, view, symbol, data, pid_of_echo, optional, list, map, tuple,
                                    side, orders, value, mumsg, reason, nested, nothing, many, letter});
  CHECK(flag(self, true));
  CHECK(small(self, 255) == 255);
  CHECK(real(self, 0.1) == 0.1);
  CHECK(letter(self, 'z') == 'z');
  CHECK(letter(self, static_cast<char>(-1)) == static_cast<char>(-1));
  CHECK(text(self, "text with \0 inside") == "text with ");
  CHECK(text(self, std::string("a\0b", 3)) == std::string("a\0b", 3));
  CHECK(view(self, "a view") == "a view");
  CHECK(symbol(self, Symbol("VOD.L")) == Symbol("VOD.L"));
  CHECK(data(self, Data(100'000, std::byte{7})) == Data(100'000, std::byte{7}));
  CHECK(pid_of_echo(self, self.pid()) == self.pid());
  CHECK(optional(self, 5) == 5);
  CHECK(optional(self, std::nullopt) == std::nullopt);
  CHECK(list(self, {"a", "", "c"}) == std::vector<std::string>{"a", "", "c"});
  CHECK(map(self, {{"a", 1.5}, {"b", 2.5}}) == std::map<std::string, double>{{"a", 1.5}, {"b", 2.5}});
  CHECK(tuple(self, {1, "two", true}) == std::tuple<int, std::string, bool>{1, "two", true});
  CHECK(side(self, Side::sell) == Side::sell);
  const std::vector<Order> two{{"VOD.L", Side::sell, 101.5, 100}, {"BT.L", Side::buy, 0, std::nullopt}};
  CHECK(orders(self, two) == two);
  CHECK(value(self, List{1, "a", nullptr}) == Value(List{1, "a", nullptr}));
  CHECK(value(self, nullptr).is_nil());
  CHECK(mumsg(self, {{"cmd", "square"}, {"x", 3}}) == Mumsg{{"cmd", "square"}, {"x", 3}});
  CHECK(reason(self, Reason::linked("a", self.pid(), Reason::exit("b"))) ==
        Reason::linked("a", self.pid(), Reason::exit("b")));
  CHECK(nested(self, std::optional<std::optional<int>>(std::optional<int>())) ==
        std::optional<std::optional<int>>(std::optional<int>()));
  nothing(self);
  CHECK(many(self, 1'000'000'000'000, 2, "abc", {1, 2}, Side::sell) == 1'000'000'000'008);
}

TEST_CASE("a megabyte of result arrives", "[server][call]") {
  LiveSystem system;
  Self& self = system.self();
  start_server<Echo>(self, "echo", {data, text});
  const Data large(1 << 20, std::byte{1});
  CHECK(data(self, large) == large);
}

TEST_CASE("calls and casts of one client are handled in the order in which they were made", "[server][call][cast]") {
  LiveSystem system;
  Self& self = system.self();
  start_server<Counter>(self, "counter", {add, reset}, 10);
  for (int i = 0; i < 1000; ++i) {
    reset(self, "counter");
    REQUIRE(add(self, "counter", i) == i);
  }
}

TEST_CASE("many clients are each answered with their own results", "[server][call]") {
  LiveSystem system;
  Self& self = system.self();
  start_server<Echo>(self, "echo", {optional});
  std::vector<Ref> clients;
  for (int i = 0; i < 4; ++i)
    clients.push_back(self.spawn_monitor(
                              "client-" + std::to_string(i), +[](Self& self) {
                                for (int n = 0; n < 1000; ++n) {
                                  const auto mine = static_cast<std::int64_t>(self.pid().bits() % 1000) * 10'000 + n;
                                  MUST(optional(self, mine) == mine);
                                }
                              }).second);
  for (const Ref client : clients) CHECK(reason_of(self, client) == Reason::normal());
}

TEST_CASE("an integer that does not fit the handler's is the caller's error, and the server lives",
          "[server][call][version]") {
  // Signatures speak of integers of no particular size: programs may differ in that.
  struct WideEcho {
    std::int64_t small(std::int64_t v) { return v; }
  };
  constexpr Call<&WideEcho::small> wide{"small"};
  LiveSystem system;
  Self& self = system.self();
  start_server<Echo>(self, "echo", {small});
  CHECK(wide(self, "echo", 255) == 255);
  const CallError error = call_error([&] { wide(self, "echo", 256); });
  CHECK(error.kind == CallError::Kind::error);
  CHECK_THAT(error.reason.name(), Contains("BadArgument"));
  CHECK(small(self, 1) == 1);
}

TEST_CASE("a client of another version gets an error that shows both signatures, and the server lives",
          "[server][call][version]") {
  struct NewCounter {
    std::string add(const std::string& what, std::int64_t) { return what; }
    std::int64_t subtract(std::int64_t n) { return n; }
    void reset(int) {}
  };
  constexpr Call<&NewCounter::add> new_add{"add"};
  constexpr Call<&NewCounter::subtract> subtract{"subtract"};
  constexpr Cast<&NewCounter::reset> new_reset{"reset"};
  constexpr Cast<&NewCounter::subtract> unknown_cast{"unknown"};
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_server<Counter>(self, "counter", {add, reset}, 10);

  const CallError other = call_error([&] { new_add(self, "counter", "x", 1); });
  CHECK(other.kind == CallError::Kind::error);
  CHECK_THAT(other.what(), Contains("add(int) -> int") && Contains("add(text, int) -> text") && Contains("versions"));

  const CallError unknown = call_error([&] { subtract(self, "counter", 1); });
  CHECK(unknown.kind == CallError::Kind::error);
  CHECK_THAT(unknown.what(), Contains("subtract") && Contains("counter"));

  new_reset(self, "counter", 1);
  unknown_cast(self, "counter", 1);
  CHECK(add(self, "counter", 1) == 11);
  CHECK(self.find("counter") == server);
  CHECK_THAT(system.broker().output(), Contains("dropped a cast") && Contains("OtherSignature: reset() -> nothing") &&
                                           Contains("no cast \"unknown\""));
}

TEST_CASE("what is no request of a client's stub is answered with an error", "[server][call][hostile]") {
  LiveSystem system;
  Self& self = system.self();
  start_server<Counter>(self, "counter", {add, reset}, 10);
  auto& runtime = muproc::detail::Runtime::of(self);
  const auto call = [&](auto&& build, std::uint64_t type) {
    muproc::detail::ScratchLease* lease = runtime.lease();
    build(lease->builder());
    const auto ref = runtime.begin_call("counter", *lease, type);
    runtime.give_back(lease);
    return runtime.await(ref, std::nullopt).outcome;
  };
  using Outcome = muproc::detail::Runtime::Reply::Outcome;
  CHECK(call([](capnp::MessageBuilder& to) { to.initRoot<wire::Mumsg>().initFields(2); },
             capnp::typeId<wire::Mumsg>()) == Outcome::error);
  CHECK(call([](capnp::MessageBuilder& to) { to.initRoot<wire::Request>().setId(12345); },
             capnp::typeId<wire::Request>()) == Outcome::error);
  // Right name and signature, and no arguments.
  CHECK(call(
            [](capnp::MessageBuilder& to) {
              auto request = to.initRoot<wire::Request>();
              request.setId(muproc::detail::request_id(
                  muproc::detail::field_key("add"),
                  muproc::detail::signature_hash<muproc::detail::CallShape<decltype(&Counter::add)>>()));
            },
            capnp::typeId<wire::Request>()) == Outcome::error);
  CHECK(add(self, "counter", 1) == 11);
}

TEST_CASE("a call to nobody says so at once", "[server][call][otp][call_noproc]") {
  LiveSystem system;
  Self& self = system.self();
  const CallError unknown = call_error([&] { add(self, "nobody", 1); });
  CHECK(unknown.kind == CallError::Kind::noproc);
  CHECK_THAT(unknown.what(), Contains("add") && Contains("nobody"));

  const Pid server = start_server<Counter>(self, "counter", {add}, 10);
  const Ref ref = self.monitor(server);
  self.kill(server);
  reason_of(self, ref);
  CHECK(call_error([&] { add(self, server, 1); }).kind == CallError::Kind::noproc);
  CHECK(call_error([&] { add(self, "counter", 1); }).kind == CallError::Kind::noproc);
}

TEST_CASE("a server that is killed during a call is down, with its reason", "[server][call][otp][call_noproc]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_mortal(self);
  self.schedule(1ms, [&] { self.kill(server); });
  const CallError error = call_error([&] { wait_for_go.within(k_patience)(self, server); });
  CHECK(error.kind == CallError::Kind::down);
  CHECK(error.reason == Reason::killed());
}

TEST_CASE("a call that takes too long ends in time, and its late reply never arrives",
          "[server][call][otp][call_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_mortal(self);
  const auto before = std::chrono::steady_clock::now();
  const CallError error = call_error([&] { wait_for_go.within(30ms)(self, server); });
  CHECK(error.kind == CallError::Kind::timeout);
  CHECK(std::chrono::steady_clock::now() - before >= 30ms);
  self.send(server, "go", true);
  ping.within(k_patience)(self, server);
  next<bool, "waiting">(self);
  CHECK_FALSE(self.receive_any(0s));
  CHECK(self.unmatched_count() == 0);
}

TEST_CASE("messages that arrive during a call wait for later", "[server][call][otp][receive_in_between]") {
  LiveSystem system;
  Self& self = system.self();
  self.send(self.pid(), "before", 1);
  start_server<Counter>(self, "counter", {add}, 10);
  const Pid other = self.spawn("other", +[](Self& self) {
    for (int i = 0; i < 100; ++i) self.send(self.parent(), "during", i);
    self.send(self.parent(), "sent", true);
    self.receive(on<"never">() >> [] {});
  });
  int answer = 10;
  while (!self.receive(on<"sent">() >> [](bool) { return true; }, after(0s) >> [] { return false; }))
    CHECK(add(self, "counter", 1) == ++answer);
  for (int i = 0; i < 100; ++i) CHECK(next<int, "during">(self) == i);
  CHECK(next<int, "before">(self) == 1);
  CHECK(self.alive(other));
}

TEST_CASE("a call costs the same however many messages wait", "[server][call]") {
  LiveSystem system;
  Self& self = system.self();
  start_server<Counter>(self, "counter", {add}, 0);
  for (int i = 0; i < 100'000; ++i) self.send(self.pid(), "n", i);
  for (int i = 1; i <= 1000; ++i) CHECK(add(self, "counter", 1) == i);
  CHECK(self.unmatched_count() == 100'000);
}

TEST_CASE("a server cannot call itself", "[server][call]") {
  LiveSystem system;
  Self& self = system.self();
  start_mortal(self);
  const CallError error = call_error([&] { call_yourself(self, "mortal"); });
  CHECK(error.kind == CallError::Kind::error);
  CHECK_THAT(error.what(), Contains("cannot call itself"));
}

TEST_CASE("a cast to the dead is dropped, and one to an unknown name is an error", "[server][cast][otp][cast_fast]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_server<Counter>(self, "counter", {add, reset}, 10);
  const Ref ref = self.monitor(server);
  self.kill(server);
  reason_of(self, ref);
  CHECK_NOTHROW(reset(self, server));
  CHECK_THROWS_AS(reset(self, "counter"), NoSuchName);
}

// ---- starting --------------------------------------------------------------------------------------------------------

TEST_CASE("a server whose constructor throws has freed its name when its starter hears of it",
          "[server][start][otp][init_crash]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 20; ++i) {
    try {
      start_mortal(self, "throw");
      FAIL("it started");
    } catch (const StartFailed& error) {
      CHECK(error.reason.is(Reason::Kind::exception));
      CHECK_THAT(error.reason.name(), Contains("Oops"));
      CHECK(error.reason.what() == "no start");
      CHECK_THAT(error.what(), Contains("mortal") && Contains("no start"));
    }
    CHECK_FALSE(self.find("mortal"));
  }
  CHECK_NOTHROW(start_mortal(self));
  CHECK_FALSE(self.receive_any(0s));  // no stray notice
}

TEST_CASE("a server may decline to start", "[server][start]") {
  LiveSystem system;
  Self& self = system.self();
  try {
    start_mortal(self, "exit");
    FAIL("it started");
  } catch (const StartFailed& error) {
    CHECK(error.reason == "no wish");
  }
}

TEST_CASE("a server that does not get ready in time is killed", "[server][start][otp][sync_start_timeout]") {
  LiveSystem system;
  Self& self = system.self();
  // On a busy machine it is late before its constructor has even begun.
  CHECK_THROWS_WITH(start_mortal(self, "hang", {.ready_timeout = 100ms}),
                    Contains("too long") || Contains("not ready within"));
  CHECK_FALSE(self.find("mortal"));
  CHECK_FALSE(self.receive_any(0s));
}

TEST_CASE("a second server of the same name is an error", "[server][start]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid first = start_server<Counter>(self, "counter", {add}, 10);
  CHECK_THROWS_AS(start_server<Counter>(self, "counter", {add}, 10), NameTaken);
  CHECK(self.find("counter") == first);
}

TEST_CASE("a server's port must be free", "[server][start]") {
  LiveSystem system;
  Self& self = system.self();
  const auto port = self.register_port("the port");
  CHECK_THROWS_AS(start_server<Counter>(self, "counter", {add}, {.port = "the port"}, 10), StartFailed);
  CHECK_FALSE(self.find("counter"));
}

TEST_CASE("a muproc can become a server, and goes on when it was stopped", "[server][serve]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("later a counter", +[](Self& self) {
    serve_as<Counter>(self, "counter", {add, reset}, 3);
    MUST(!self.find("counter"));
    self.send(self.parent(), "served", true);
  });
  wait_for_name(self, "counter");
  CHECK(add(self, "counter", 1) == 4);
  CHECK(add(self, "later a counter", 1) == 5);
  self.send(pid, "unrelated", true);
  CHECK(add(self, pid, 1) == 6);
  muproc::stop(self, "counter");
  CHECK(next<bool, "served">(self));
  CHECK(reason_of(self, ref) == Reason::normal());
}

TEST_CASE("a server can be a supervisor's child, and comes back as it was made", "[server][supervisor]") {
  LiveSystem system(supervisor(one_for_one, {2, 5s}, {server_child<Counter>("counter", {add, reset}, {}, 10)}));
  Self& self = system.self();
  const Pid first = wait_for_name(self, "counter");
  CHECK(add(self, "counter", 5) == 15);
  self.kill("counter");
  const Pid second = wait_for_replacement(self, "counter", first);
  CHECK(add(self, second, 5) == 15);
}

// ---- ending ----------------------------------------------------------------------------------------------------------

TEST_CASE("what a call's handler throws reaches the caller, and ends the server", "[server][end][otp][crash]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_mortal(self);
  const Ref ref = self.monitor(server);
  const CallError error = call_error([&] { fail(self, server, "that was too much"); });
  CHECK(error.kind == CallError::Kind::error);
  CHECK_THAT(error.what(), Contains("fail") && Contains("Oops") && Contains("that was too much"));
  const Reason reason = reason_of(self, ref);
  CHECK(reason.is(Reason::Kind::exception));
  CHECK_THAT(reason.name(), Contains("Oops"));
  CHECK(reason.what() == "that was too much");
  CHECK(error.reason == reason);
  CHECK(terminated_with(self) == reason);
}

TEST_CASE("what is no exception of the library's kind reaches the caller too", "[server][end]") {
  LiveSystem system;
  Self& self = system.self();
  const CallError error = call_error([&] { fail_without_a_word(self, start_mortal(self)); });
  CHECK(error.kind == CallError::Kind::error);
  CHECK(error.reason.name() == "int");
}

TEST_CASE("what a cast's handler throws ends the server", "[server][end]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_mortal(self));
  fail_later(self, "mortal", "too much");
  const Reason reason = reason_of(self, ref);
  CHECK(reason.what() == "too much");
  CHECK(terminated_with(self) == reason);
}

TEST_CASE("a handler that exits takes its caller's answer with it", "[server][end]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_mortal(self);
  const CallError error = call_error([&] { leave(self, server); });
  CHECK(error.kind == CallError::Kind::down);
  CHECK(error.reason == "left");
  CHECK(terminated_with(self) == "left");
}

TEST_CASE("exit_after_handler answers first and ends then", "[server][end]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_mortal(self));
  CHECK(change_of_mind(self, "mortal") == "stayed");
  ping(self, "mortal");
  CHECK(finish(self, "mortal") == "last words");
  CHECK(reason_of(self, ref) == "finished");
  CHECK(terminated_with(self) == "finished");
}

TEST_CASE("stop waits for terminate, and the name is free when it returns", "[server][end][otp][stop]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 0; i < 20; ++i) {
    const Ref ref = self.monitor(start_mortal(self));
    muproc::stop(self, "mortal");
    CHECK_FALSE(self.find("mortal"));
    CHECK(reason_of(self, ref) == Reason::normal());
    CHECK(terminated_with(self) == Reason::normal());
  }
  CHECK(call_error([&] { muproc::stop(self, "mortal"); }).kind == CallError::Kind::noproc);
}

TEST_CASE("stop rethrows what terminate threw", "[server][end][otp][terminate_crash]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_mortal(self, "throw at terminate"));
  const CallError error = call_error([&] { muproc::stop(self, "mortal"); });
  CHECK(error.kind == CallError::Kind::error);
  CHECK(error.reason.what() == "no end");
  CHECK(reason_of(self, ref) == error.reason);
}

TEST_CASE("a server can be stopped with a reason, in a limited time", "[server][end][otp][stop]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_mortal(self));
  muproc::stop(self, "mortal", Reason::exit("obsolete"));
  CHECK(reason_of(self, ref) == "obsolete");

  start_mortal(self);
  self.spawn("client", +[](Self& self) { wait_for_go.within(k_patience)(self, "mortal"); });
  next<bool, "waiting">(self);
  const CallError error = call_error([&] { muproc::stop(self, "mortal", Reason::normal(), 20ms); });
  CHECK(error.kind == CallError::Kind::timeout);
  const Ref busy = self.monitor("mortal");
  self.send("mortal", "go", true);
  CHECK(reason_of(self, busy) == Reason::normal());
}

TEST_CASE("a server that is told to exit terminates once, and may still speak", "[server][end]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_mortal(self));
  self.exit("mortal", "go away");
  CHECK(reason_of(self, ref) == "go away");
  CHECK(terminated_with(self) == "go away");
}

TEST_CASE("a server ends with its linked peer when it does not trap exits", "[server][end]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid server = start_mortal(self);
  const Ref ref = self.monitor(server);
  const Pid peer = self.spawn("peer", +[](Self& self) {
    self.link("mortal");
    self.exit("gone");
  });
  const Reason reason = reason_of(self, ref);
  CHECK(reason == Reason::linked("peer", peer, Reason::exit("gone")));
  CHECK(terminated_with(self) == reason);
}

TEST_CASE("a trapping server without linked_exit ends with its linked peer, and on an exit signal", "[server][end]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_mortal(self, "", {.trap_exits = true}));
  const Pid peer = self.spawn("peer", +[](Self& self) { self.link("mortal"); });
  CHECK(reason_of(self, ref) == Reason::linked("peer", peer, Reason::normal()));

  const Ref again = self.monitor(start_mortal(self, "", {.trap_exits = true}));
  self.exit("mortal", "go away");
  CHECK(reason_of(self, again) == "go away");
}

TEST_CASE("its supervisor's shutdown ends a trapping server, which terminates", "[server][end][supervisor]") {
  struct Farewell {
    explicit Farewell(Self& self) : self_(self) { self_.trap_exits(true); }
    void linked_exit(Pid, const Reason&) {}
    void terminate(const Reason& reason) { self_.log().info("terminated with {}", to_string(reason)); }
    void hello() {}
    Self& self_;
  };
  constexpr Call<&Farewell::hello> hello{"hello"};
  LiveSystem system(supervisor(one_for_one, {2, 5s}, {server_child<Farewell>("farewell", {hello}, {.stop = 30s})}));
  wait_for_name(system.self(), "farewell");
  hello(system.self(), "farewell");
  CHECK(system.stop() == 0);
  CHECK_THAT(system.broker().output(), Contains("terminated with shutdown"));
}

TEST_CASE("what a server does not know goes to handle_info", "[server][otp][undef_handle_info]") {
  LiveSystem system;
  Self& self = system.self();
  start_mortal(self);
  self.send("mortal", "what", "ever");
  self.send("mortal", "terminated", nullptr, "reason", "no notice of the system");
  CHECK(infos(self, "mortal") == 2);

  start_server<Counter>(self, "counter", {add}, 10);
  self.send("counter", "what", "ever");
  CHECK(add(self, "counter", 1) == 11);
  CHECK_THAT(system.broker().output(), Contains("dropped a message") && Contains("ever"));
}

TEST_CASE("a server that is killed runs nothing of its own", "[server][end]") {
  LiveSystem system;
  Self& self = system.self();
  const Ref ref = self.monitor(start_mortal(self));
  self.kill("mortal");
  CHECK(reason_of(self, ref) == Reason::killed());
  self.receive(on<"terminate">() >> [](Reason) { FAIL("terminate ran"); }, after(0s) >> [] {});
}
