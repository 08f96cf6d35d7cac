// The event manager: handlers come and go while it runs, and what one of them does harms none of the others.
#include <muproc/event_manager.hpp>

#include <string>
#include <vector>

#include "support/call_error.hpp"
#include "support/messages.capnp.h"
#include "support/system_fixture.hpp"
#include "wire/codec.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

using Ids = std::vector<std::string>;

struct Alarms {
  void raised(const std::string& what, int level);
  int count();
  int fail(const std::string& what);
  int later();
  std::string owner_of_message();
};
constexpr Cast<&Alarms::raised> raised{"raised"};
constexpr Call<&Alarms::count> count{"count"};
constexpr Call<&Alarms::fail> fail{"fail"};

struct Oops : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Tells the test all that it hears.
class Teller : public EventHandler {
 public:
  Teller(Self& self, const std::string& name) : Teller(self, name, 0) {}
  Teller(Self& self, const std::string& name, int start)
      : self_(self), teller_(self.parent()), name_(name), count_(start) {
    if (name == "throws") throw Oops("no start");
    if (name == "bad terminate") terminate_throws_ = true;
    tell("here");
  }
  ~Teller() override { tell("destroyed"); }
  Events events() {
    return {on(raised) >> [this](const std::string& what, int level) { return hear(what, level); },
            on<"report">() >> [this](const Value&) { tell("report"); },
            on<Quote>() >> [this](Quote::Reader quote) { tell("quote " + std::to_string(quote.getQty())); },
            on(count) >> [this] { return count_; },
            on(fail) >> [](const std::string& what) -> int { throw Oops(what); }};
  }
  void terminate(const Reason& reason) {
    tell("terminate " + to_string(reason));
    if (terminate_throws_) throw Oops("no end");
  }
  Value hand_over() { return count_; }
  void take_over(const Value& state) {
    count_ += state.is_nil() ? -1000 : state.as<int>();
    tell("took over");
  }

 private:
  Next hear(const std::string& what, int level) {
    count_ += level;
    tell(what);
    if (what == "throw " + name_) throw Oops("an event");
    if (what == "leave " + name_) return remove_handler();
    if (what == "exit " + name_) self_.exit("a handler's exit");
    return keep_handler();
  }
  void tell(const std::string& what) { self_.send(teller_, "told", name_ + ": " + what); }

  Self& self_;
  Pid teller_;
  std::string name_;
  int count_;
  bool terminate_throws_ = false;
};

/// Hears other things, and can be asked nothing.
struct Quiet : EventHandler {
  Events events() {
    return {otherwise >> [] {}};
  }
};
struct Misbehaving : EventHandler {
  Events events() {
    return {on(raised) >> [] { return keep_handler().insert(Internal<>("x")); }};
  }
};

Ids told(Self& self, std::size_t how_many) {
  Ids heard;
  while (heard.size() < how_many) heard.push_back(next<std::string, "told">(self));
  return heard;
}
void nothing_told(Self& self) {
  self.receive(
      on<"told">() >> [](const std::string& what) { FAIL("told: " << what); }, after(0s) >> [] {});
}

struct Exited {
  std::string id;
  Reason reason;
  Pid manager;
};
Exited handler_exit(Self& self) {
  return self
      .receive(
          on<"handler_exit", "reason", "manager">() >>
              [](const std::string& id, const Reason& reason, Pid manager) {
                return Exited{id, reason, manager};
              },
          or_fail("a handler's exit"))
      .value();
}

}  // namespace

TEST_CASE("a handler hears of events from when it is added, and each hears of all", "[events][otp][add_handler]") {
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  raised(self, "alarms", "nobody hears", 1);
  add_handler<Teller>(self, "alarms", "a", "a");
  add_handler<Teller>(self, "alarms", "b", "b", 10);
  CHECK(which_handlers(self, "alarms") == Ids{"a", "b"});
  CHECK(told(self, 2) == Ids{"a: here", "b: here"});
  raised(self, "alarms", "fire", 5);
  CHECK(told(self, 2) == Ids{"a: fire", "b: fire"});
  CHECK(handler_call("a", count)(self, "alarms") == 5);
  CHECK(handler_call("b", count).within(k_patience)(self, "alarms") == 15);
  notify(self, "alarms", raised, "smoke", 1);
  notify(self, "alarms", "report", "now");
  self.send<Quote>("alarms", [](Quote::Builder quote) { quote.setQty(7); });
  CHECK(told(self, 6) == Ids{"a: smoke", "b: smoke", "a: report", "b: report", "a: quote 7", "b: quote 7"});
}

TEST_CASE("sync_notify returns when every handler has handled the event", "[events][otp][add_handler]") {
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "manager", {.port = "alarms"});
  sync_notify(self, "alarms", raised, "nobody hears", 1);
  add_handler<Teller>(self, "alarms", "a", "a");
  add_handler<Teller>(self, "alarms", "b", "b");
  told(self, 2);
  sync_notify(self, "alarms", raised, "throw a", 1);
  CHECK(which_handlers(self, "alarms") == Ids{"b"});
  sync_notify(self, "alarms", "report", 1, "at", "once");
  self.receive(
      on<"told">(is("b: report")) >> [] {}, after(0s) >> [] { FAIL("b has not heard yet"); });
  CHECK(call_error([&] { sync_notify(self, "nobody", raised, "x", 1); }).kind == CallError::Kind::noproc);
}

TEST_CASE("a handler that cannot be added says why, and the manager lives", "[events][otp][add_handler]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid manager = start_event_manager(self, "alarms");
  add_handler<Teller>(self, "alarms", "a", "a");
  told(self, 1);
  const CallError thrown = call_error([&] { add_handler<Teller>(self, "alarms", "b", "throws"); });
  CHECK(thrown.kind == CallError::Kind::error);
  CHECK_THAT(thrown.reason.name(), Contains("Oops"));
  CHECK(thrown.reason.what() == "no start");
  CHECK_THAT(thrown.what(), Contains("handler b at alarms"));
  CHECK_THAT(call_error([&] { add_handler<Teller>(self, "alarms", "a", "c"); }).what(), Contains("there is a handler"));
  CHECK_THAT(call_error([&] { static_cast<void>(add_sup_handler<Teller>(self, "alarms", "a", "c")); }).what(),
             Contains("there is a handler"));
  CHECK(which_handlers(self, "alarms") == Ids{"a"});
  CHECK(call_error([&] { add_handler<Teller>(self, "nobody", "a", "a"); }).kind == CallError::Kind::noproc);
  CHECK(self.find("alarms") == manager);
}

TEST_CASE("an address that is no handler's is not called", "[events][hostile]") {
  struct Raw {
    std::optional<Reason> add_handler(Mumsg);
    std::optional<Reason> swap_handler(std::string, Mumsg);
  };
  constexpr Call<&Raw::add_handler> add{"event_manager.add_handler"};
  constexpr Call<&Raw::swap_handler> swap{"event_manager.swap_handler"};
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  const auto at = muproc::detail::locate(reinterpret_cast<const void*>(&told));
  const auto* id = reinterpret_cast<const std::byte*>(at.build_id.data());
  Mumsg handler{{"id", "x"},           {"build_id", Data(id, id + at.build_id.size())},
                {"offset", at.offset}, {"module", at.module},
                {"args", List{}},      {"supervised", false}};
  CHECK_THAT(add(self, "alarms", handler)->what(), Contains("is no handler"));
  handler.set("build_id", Data(20, std::byte{1}));
  CHECK_THAT(add(self, "alarms", handler)->what(), Contains("not loaded"));
  CHECK_THAT(add(self, "alarms", Mumsg{})->what(), Contains("id"));
  CHECK_THAT(swap(self, "alarms", "y", Mumsg{})->what(), Contains("id"));
  CHECK(which_handlers(self, "alarms").empty());
}

TEST_CASE("a handler leaves when it is deleted, or as it says, and terminates once", "[events][otp][remove_handler]") {
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  for (const char* name : {"a", "b", "c"}) add_handler<Teller>(self, "alarms", name, name);
  told(self, 3);
  CHECK(delete_handler(self, "alarms", "b"));
  CHECK(told(self, 2) == Ids{"b: terminate normal", "b: destroyed"});
  CHECK_FALSE(delete_handler(self, "alarms", "b"));
  CHECK(which_handlers(self, "alarms") == Ids{"a", "c"});
  raised(self, "alarms", "leave a", 1);
  CHECK(told(self, 4) == Ids{"a: leave a", "a: terminate normal", "a: destroyed", "c: leave a"});
  CHECK(which_handlers(self, "alarms") == Ids{"c"});
  add_handler<Teller>(self, "alarms", "b", "b");
  CHECK(which_handlers(self, "alarms") == Ids{"c", "b"});
}

TEST_CASE("a handler that takes another's place takes over what it knew", "[events][otp][swap_handler]") {
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  add_handler<Teller>(self, "alarms", "a", "a", 5);
  swap_handler<Teller>(self, "alarms", "a", "b", "b", 100);
  CHECK(told(self, 5) == Ids{"a: here", "a: terminate exit: [swapped, \"b\", " + to_string(self.pid()) + "]",
                             "a: destroyed", "b: here", "b: took over"});
  CHECK(handler_call("b", count)(self, "alarms") == 105);
  CHECK(which_handlers(self, "alarms") == Ids{"b"});

  // In the place of one that is not there: added.
  swap_handler<Teller>(self, "alarms", "nobody", "c", "c", 1);
  CHECK(told(self, 1) == Ids{"c: here"});
  CHECK(handler_call("c", count)(self, "alarms") == 1);
  // Under the same id; and under one that is taken.
  swap_handler<Teller>(self, "alarms", "c", "c", "c", 1);
  CHECK(handler_call("c", count)(self, "alarms") == 2);
  CHECK_THAT(call_error([&] { swap_handler<Teller>(self, "alarms", "c", "b", "d"); }).what(),
             Contains("there is a handler"));
  CHECK(which_handlers(self, "alarms") == Ids{"b", "c"});
  // One that fails: the old one has gone.
  CHECK(call_error([&] { swap_handler<Teller>(self, "alarms", "c", "d", "throws"); }).reason.what() == "no start");
  CHECK(which_handlers(self, "alarms") == Ids{"b"});
}

TEST_CASE("a handler that throws is removed, its owner told, and the manager and the others go on",
          "[events][otp][handler_crash]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid manager = start_event_manager(self, "alarms");
  const Ref ref = add_sup_handler<Teller>(self, "alarms", "a", "a");
  add_handler<Teller>(self, "alarms", "b", "b");
  told(self, 2);
  raised(self, "alarms", "throw a", 1);
  const Exited exited = handler_exit(self);
  CHECK(exited.id == "a");
  CHECK_THAT(exited.reason.name(), Contains("Oops"));
  CHECK(exited.reason.what() == "an event");
  CHECK(exited.manager == manager);
  CHECK(told(self, 4)[3] == "b: throw a");
  CHECK(which_handlers(self, "alarms") == Ids{"b"});
  CHECK(self.find("alarms") == manager);
  CHECK_THAT(system.broker().output(), Contains("handler a is removed"));
  self.demonitor(ref);
}

TEST_CASE("a call whose handler throws gets the error, and that handler is removed", "[events][otp][handler_crash]") {
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  static_cast<void>(add_sup_handler<Teller>(self, "alarms", "a", "bad terminate"));
  const CallError error = call_error([&] { handler_call("a", fail)(self, "alarms", "asked for it"); });
  CHECK(error.kind == CallError::Kind::error);
  CHECK(error.reason.what() == "asked for it");
  CHECK(handler_exit(self).reason == error.reason);
  CHECK(which_handlers(self, "alarms").empty());
  CHECK_THAT(system.broker().output(), Contains("terminate of handler a threw"));
}

TEST_CASE("a call of a handler that is not there, or does not know it, says so", "[events][otp][add_handler]") {
  struct Other {
    int count(const std::string&);
    void raised();
  };
  constexpr Call<&Other::count> other{"count"};
  constexpr Cast<&Other::raised> other_raised{"raised"};
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  add_handler<Teller>(self, "alarms", "a", "a");
  add_handler<Quiet>(self, "alarms", "quiet");
  CHECK_THAT(call_error([&] { handler_call("nobody", count)(self, "alarms"); }).what(), Contains("nobody/count"));
  CHECK_THAT(call_error([&] { handler_call("quiet", count)(self, "alarms"); }).what(), Contains("quiet/count"));
  CHECK_THAT(call_error([&] { handler_call("a", other)(self, "alarms", "x"); }).what(), Contains("versions"));
  sync_notify(self, "alarms", other_raised);
  CHECK_THAT(system.broker().output(), Contains("handler a did not get an event"));
  CHECK(handler_call("a", count)(self, "alarms") == 0);
  CHECK(which_handlers(self, "alarms") == Ids{"a", "quiet"});
}

TEST_CASE("a handler that decides what only a machine can is removed", "[events][otp][handler_crash]") {
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  static_cast<void>(add_sup_handler<Misbehaving>(self, "alarms", "bad"));
  raised(self, "alarms", "x", 1);
  CHECK_THAT(handler_exit(self).reason.what(), Contains("stays or leaves"));
}

TEST_CASE("a handler ends with its owner", "[events][otp][remove_handler]") {
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  const Pid owner = self.spawn(
      "owner", +[](Self& self) {
        static_cast<void>(add_sup_handler<Quiet>(self, "alarms", "quiet"));
        static_cast<void>(add_sup_handler<Teller>(self, "alarms", "a", "a"));
        self.receive(on<"go">() >> [] {});
        self.exit("gone");
      });
  told(self, 1);
  CHECK(which_handlers(self, "alarms") == Ids{"quiet", "a"});
  self.send(owner, "go", true);
  CHECK(told(self, 2)[0] == "a: terminate " + to_string(Reason::linked("owner", owner, Reason::exit("gone"))));
  CHECK(which_handlers(self, "alarms").empty());
}

TEST_CASE("a handler ends with an owner that is killed", "[events][otp][remove_handler]") {
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  const Pid owner = self.spawn(
      "owner", +[](Self& self) {
        static_cast<void>(add_sup_handler<Teller>(self, "alarms", "a", "a"));
        self.receive(on<"go">() >> [] {});
      });
  told(self, 1);
  self.kill(owner);
  CHECK(told(self, 2)[0] == "a: terminate " + to_string(Reason::linked("owner", owner, Reason::killed())));
  CHECK(which_handlers(self, "alarms").empty());
}

TEST_CASE("a handler ends with an owner that is killed while it comes to be", "[events]") {
  struct Bereaved : Teller {
    Bereaved(Self& self, Pid owner) : Teller(self, "a") {
      const Ref ref = self.monitor(owner);
      self.kill(owner);
      MUST(reason_of(self, ref).is(Reason::Kind::killed));
    }
  };
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  const Pid owner = self.spawn(
      "owner", +[](Self& self) { static_cast<void>(add_sup_handler<Bereaved>(self, "alarms", "a", self.pid())); });
  CHECK(told(self, 3)[1] == "a: terminate " + to_string(Reason::linked("owner", owner, Reason::killed())));
  CHECK(which_handlers(self, "alarms").empty());
}

TEST_CASE("an owner hears why its handler left: deleted, swapped, or the manager's end",
          "[events][otp][swap_handler]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid manager = start_event_manager(self, "alarms");
  const Ref first = add_sup_handler<Quiet>(self, "alarms", "a");
  CHECK(delete_handler(self, "alarms", "a"));
  CHECK(handler_exit(self).reason == Reason::normal());
  self.demonitor(first, true);

  const Ref second = add_sup_handler<Quiet>(self, "alarms", "a");
  const Ref third = swap_sup_handler<Quiet>(self, "alarms", "a", "b");
  const Exited swapped = handler_exit(self);
  CHECK(swapped.id == "a");
  CHECK(swapped.reason == Reason::exit(List{Symbol("swapped"), "b", Value(self.pid())}));
  self.demonitor(second, true);

  muproc::stop(self, "alarms");
  CHECK(handler_exit(self).reason == Reason::shutdown());
  CHECK(reason_of(self, third) == Reason::normal());

  start_event_manager(self, "alarms");
  const Ref fourth = add_sup_handler<Quiet>(self, "alarms", "a");
  self.kill("alarms");
  CHECK(reason_of(self, fourth) == Reason::killed());
  CHECK_FALSE(self.alive(manager));
}

TEST_CASE("the manager's end terminates its handlers; a handler's exit is the manager's",
          "[events][otp][handler_crash]") {
  LiveSystem system;
  Self& self = system.self();
  start_event_manager(self, "alarms");
  add_handler<Teller>(self, "alarms", "a", "a");
  add_handler<Teller>(self, "alarms", "b", "b");
  told(self, 2);
  muproc::stop(self, "alarms");
  CHECK(told(self, 4) == Ids{"a: terminate normal", "a: destroyed", "b: terminate normal", "b: destroyed"});
  nothing_told(self);

  const Ref ref = self.monitor(start_event_manager(self, "alarms"));
  static_cast<void>(add_sup_handler<Teller>(self, "alarms", "a", "a"));
  raised(self, "alarms", "exit a", 1);
  CHECK(reason_of(self, ref) == "a handler's exit");
  CHECK(handler_exit(self).reason == "a handler's exit");
}

TEST_CASE("a supervised manager comes back without handlers, and their owners can add them again",
          "[events][supervisor]") {
  LiveSystem system(supervisor(one_for_one, {5, 5s}, {event_manager_child("alarms")}));
  Self& self = system.self();
  const Pid first = wait_for_name(self, "alarms");
  const Ref ref = add_sup_handler<Quiet>(self, "alarms", "a");
  self.kill(first);
  CHECK(reason_of(self, ref) == Reason::killed());
  wait_for_replacement(self, "alarms", first);
  CHECK(which_handlers(self, "alarms").empty());
  static_cast<void>(add_sup_handler<Quiet>(self, "alarms", "a"));
  CHECK(which_handlers(self, "alarms") == Ids{"a"});
}
