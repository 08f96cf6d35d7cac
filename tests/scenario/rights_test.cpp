// What a muproc may do to others, and how its large messages are taken.
#include "support/catch.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

/// What `attempt` throws, or nothing.
template <class Attempt>
std::string error_of(Attempt&& attempt) {
  try {
    attempt();
  } catch (const Error& failure) {
    return failure.what();
  }
  return "it was done";
}

ChildOptions may_send_to(std::vector<std::string> names) {
  ChildOptions options{.restart = temporary};
  options.may_send = std::move(names);
  return options;
}

ChildOptions without_control() {
  ChildOptions options{.restart = temporary};
  options.may_control = false;
  return options;
}

void tries_to_send(Self& self) {
  const std::string to_friend = error_of([&] { self.send("friend", "end", true); });
  const std::string to_stranger = error_of([&] { self.send("stranger", "end", true); });
  self.send("tester", "friend", to_friend, "stranger", to_stranger);
  waits(self);
}

void tries_to_control(Self& self) {
  List errors;
  errors.push_back(error_of([&] { self.kill("other"); }));
  errors.push_back(error_of([&] { self.exit("other", "enough"); }));
  errors.push_back(error_of([&] { self.link("other"); }));
  errors.push_back(error_of([&] { self.spawn("child", waits); }));
  errors.push_back(error_of([&] { self.start_supervisor("s", supervisor(one_for_one, {}, {{"c", waits}})); }));
  self.monitor("other");  // looking is free
  self.send("tester", "errors", errors);
  self.exit("done");      // and so is ending oneself
}

}  // namespace

TEST_CASE("a muproc with may_send opens channels only to those it names", "[rights]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid stranger = self.spawn("stranger", waits), is_friend = self.spawn("friend", waits);
  const Ref watching = self.monitor(is_friend);
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", tries_to_send, may_send_to({"friend", "tester"})}}));
  self.receive(on<"friend", "stranger">() >>
                   [&](std::string to_friend, std::string to_stranger) {
                     CHECK(to_friend == "it was done");
                     CHECK(to_stranger == "x may not send to stranger: its may_send names friend, tester");
                   },
               or_fail("what it could do"));
  CHECK(reason_of(self, watching) == Reason::normal());
  CHECK(self.alive(stranger));
}

TEST_CASE("a muproc without control cannot spawn, link to or end others", "[rights]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid other = self.spawn("other", waits);
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", tries_to_control, without_control()}}));
  const List errors = next<List, "errors">(self);
  CHECK(errors.size() == 5);
  for (const Value& error : errors) CHECK(error == Value("x may not control others: its may_control is false"));
  CHECK(self.alive(other));
}

TEST_CASE("who is spawned has no more rights than its spawner", "[rights]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("friend", waits);
  self.spawn("stranger", waits);
  const auto spawner = +[](Self& self) {
    self.spawn("child", tries_to_send);
    waits(self);
  };
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", spawner, may_send_to({"friend", "tester"})}}));
  self.receive(on<"friend", "stranger">() >>
                   [&](std::string, std::string to_stranger) {
                     CHECK(to_stranger == "child may not send to stranger: its may_send names friend, tester");
                   },
               or_fail("what the child could do"));
}

TEST_CASE("a restricted muproc does not get its way over the control socket", "[rights]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("other", waits);
  const std::string kill = bin_dir() + "/muctl -s " + system.name() + " kill other";
  ChildOptions options = without_control();
  options.args = {{"kill", kill}};
  const auto by_tool = +[](Self& self) {
    const int status = std::system((self.args()["kill"].as<std::string>() + " >/dev/null 2>&1").c_str());
    self.send("tester", "status", status);
    waits(self);
  };
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", by_tool, options}}));
  CHECK(next<std::int64_t, "status">(self) != 0);
  CHECK(self.find("other"));
}

TEST_CASE("large messages of one that is not trusted arrive whole, and are the receiver's own", "[rights][large]") {
  LiveSystem system;
  Self& self = system.self();
  ChildOptions options{.restart = temporary};
  options.trust = false;
  const auto sends_much = +[](Self& self) {
    for (int i = 0; i < 200; ++i) self.send("tester", "n", i, "text", std::string(300'000, static_cast<char>('a' + i % 26)));
    self.exit("done");
  };
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", sends_much, options}}));
  std::vector<Message> kept;
  for (int i = 0; i < 200; ++i) {
    Message message = self.receive_any();
    CHECK(message.mumsg()["n"].as<std::int64_t>() == i);
    CHECK(message.mumsg()["text"].as<std::string>() == std::string(300'000, static_cast<char>('a' + i % 26)));
    if (i < 100) kept.push_back(std::move(message));  // more than may be in flight: their blocks were given back
  }
}
