// muctl trace: messages as they pass, and an honest count of those that it did not see.
#include <muproc/server.hpp>

#include <csignal>
#include <fstream>
#include <sstream>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/messages.capnp.h"
#include "support/muctl_json.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void sink(Self& self) {
  for (;;) self.receive(otherwise >> [](const Message&) {});
}

/// Sends as many numbers as it is asked for, as fast as it can; all these messages take the same room.
void flood(Self& self) {
  for (std::int64_t n = 0;;) {
    self.receive(on<"count">() >> [&](From from, int count) {
      for (int i = 0; i < count; ++i) self.send("sink", "n", ++n);
      self.send(from, "done", n);
    });
  }
}

/// A trace that runs beside the test, as JSON.
class Trace {
 public:
  explicit Trace(std::vector<std::string> words) {
    words.insert(words.begin(), {bin_dir() + "/muctl", "--json", "trace"});
    process_.emplace(Process::program(std::move(words)));
  }
  bool has_said(const std::string& text) const { return process_->output().find(text) != std::string::npos; }
  void interrupt() { process_->signal(SIGINT); }
  /// What it had said at its end, line by line; the last one sums it up.
  std::vector<Json> lines() {
    CHECK(process_->wait() == 0);
    std::vector<Json> lines;
    std::istringstream all(process_->output());
    for (std::string line; std::getline(all, line);) lines.emplace_back(line);
    REQUIRE_FALSE(lines.empty());
    return lines;
  }

 private:
  std::optional<Process> process_;
};

/// Sends until the trace has shown it: from then on it listens. How many that took.
double send_until_it_listens(const Trace& trace, Self& self, std::string_view to) {
  double sent = 0;
  wait_until("the trace to listen", [&] {
    if (trace.has_said("hello")) return true;
    self.send(to, "hello", 1);
    ++sent;
    return false;
  });
  return sent;
}

}  // namespace

TEST_CASE("muctl trace shows messages as they pass: from whom, to whom, what", "[trace]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid to = self.spawn("sink", sink);
  Trace trace({"sink"});
  send_until_it_listens(trace, self, "sink");
  self.send("sink", "cmd", Symbol("square"), "x", 3, "text", "a\x1b[31mb");
  self.send<test::Quote>(to, [](test::Quote::Builder quote) { quote.setSymbol("VOD.L"); });
  self.send(to, std::as_bytes(std::span("\x01\xff", 2)));
  self.send("sink", "last", true);
  wait_until("the last message", [&] { return trace.has_said("\"last\""); });
  trace.interrupt();
  const auto lines = trace.lines();
  REQUIRE(lines.size() >= 6);
  const Json mumsg = lines[lines.size() - 5], quote = lines[lines.size() - 4], bytes = lines[lines.size() - 3], sum = lines.back();
  CHECK(bytes["message"]["bytes"].number() == 2);
  CHECK(bytes["message"]["data"].text() == "01ff");
  CHECK(mumsg["from"].text() == to_string(self.pid()));
  CHECK(mumsg["from_name"].text() == "tester");
  CHECK(mumsg["to"].text() == to_string(to));
  CHECK(mumsg["to_name"].text() == "sink");
  CHECK(mumsg["kind"].text() == "message");
  CHECK(mumsg["message"]["cmd"].text() == "square");
  CHECK(mumsg["message"]["x"].number() == 3);
  CHECK(mumsg["type"].is_null());
  CHECK(mumsg["time_ns"].number() > 1e18);
  CHECK_THAT(quote["type"].text(), Contains("0x"));
  CHECK(quote["message"]["bytes"].number() == quote["bytes"].number());
  CHECK(sum["missed"].number() == 0);
  CHECK(sum["shown"].number() == static_cast<double>(lines.size() - 1));
}

TEST_CASE("muctl trace shows structs by the schema that it was given", "[trace]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid to = self.spawn("sink", sink);
  Trace trace({"sink", "--schema", examples_dir() + "/../tests/support/messages.capnp"});
  send_until_it_listens(trace, self, "sink");
  self.send<test::Quote>(to, [](test::Quote::Builder quote) {
    quote.setSymbol("VOD.L");
    quote.setPrice(2.5);
    quote.setQty(7);
  });
  wait_until("the quote", [&] { return trace.has_said("VOD.L"); });
  trace.interrupt();
  const auto lines = trace.lines();
  const Json quote = lines[lines.size() - 2];
  CHECK(quote["type"].text() == "Quote");
  CHECK(quote["message"]["symbol"].text() == "VOD.L");
  CHECK(quote["message"]["price"].number() == 2.5);
  CHECK(quote["message"]["qty"].number() == 7);
}

TEST_CASE("a schema that cannot be used is told with 2, and what is wrong with it", "[trace]") {
  LiveSystem system;
  system.self().spawn("sink", sink);
  check_fails({"trace", "sink", "--schema", "/no/such.capnp"}, 2, "/no/such.capnp");
  const auto bad = runtime_dir() / "bad.capnp";
  std::ofstream(bad) << "@0xdbb9ad1f14bf0b36;\nstruct A { x @0 :Nonsense; }\n";
  check_fails({"trace", "sink", "--schema", bad.string()}, 2, "Nonsense");
}

TEST_CASE("of a stream of known length, what a trace has seen and what it has missed is what was sent", "[trace]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("sink", sink);
  const Pid flooder = self.spawn("flood", flood);
  Trace trace({"flood", "--to", "sink", "--rate", "50"});
  double last = 0;
  const auto let_it_send = [&](int count) {
    self.send(flooder, "count", count);
    self.receive(on<"done">() >> [&](std::int64_t n) { last = static_cast<double>(n); });
  };
  wait_until("the trace to listen", [&] {
    let_it_send(1);
    return trace.has_said("\"n\"");
  });
  let_it_send(300'000);
  trace.interrupt();
  const auto lines = trace.lines();
  const double first = lines.front()["message"]["n"].number();
  const Json sum = lines.back();
  INFO(sum["shown"].number() << " shown, " << sum["not_shown"].number() << " not shown, " << sum["missed"].number() << " missed");
  CHECK(sum["shown"].number() + sum["not_shown"].number() + sum["missed"].number() == last - first + 1);
  CHECK(sum["shown"].number() == static_cast<double>(lines.size() - 1));
  CHECK(sum["broken_channels"].number() == 0);
}

TEST_CASE("a trace of one's messages to another has no others, and a trace of one has what it sends and is sent", "[trace]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid sink_pid = self.spawn("sink", sink);
  self.spawn("relay", +[](Self& relay) {
    for (;;) relay.receive(on<"n">() >> [&](int n) { relay.send("sink", "relayed", n); });
  });
  Trace both({"relay"}), narrow({"relay", "--to", "sink"});
  int n = 0;
  wait_until("both traces to show what is relayed", [&] {
    self.send("relay", "n", ++n);
    self.send(sink_pid, "direct", n);
    return both.has_said("relayed") && narrow.has_said("relayed") && both.has_said("{\"n\": ");
  });
  for (Trace* trace : {&both, &narrow}) {
    trace->interrupt();
    CHECK_FALSE(trace->has_said("direct"));
  }
  both.lines();
  narrow.lines();
  CHECK_FALSE(narrow.has_said("{\"n\": "));
}

TEST_CASE("a trace works while the broker is stopped, follows a restart, and ends with the system", "[trace]") {
  const std::string config = (runtime_dir() / "traced.toml").string();
  std::ofstream(config) << "[system]\nname = \"traced\"\n[supervisor.root]\nlimit = { restarts = 9, within = \"60s\" }\nchildren = [\"echo\"]\n"
                           "[muproc.echo]\nmodule = \"" << module_dir() << "/libarea.so\"\nentry = \"areaserver\"\n";
  Process broker = Process::program({bin_dir() + "/mubroker", "run", config});
  broker.wait_for_output("system traced is up");
  Trace trace({"-s", "traced", "echo"});
  const auto ask = [&] { muctl({"-s", "traced", "call", "echo", "cmd=:square", "x=2"}); };
  wait_until("the trace to show a message", [&] {
    ask();
    return trace.has_said("\"answer\"");
  });
  broker.signal(SIGSTOP);
  CHECK(muctl({"-s", "traced", "trace", "echo", "--for", "10ms"}).code == 0);
  broker.signal(SIGCONT);
  said({"-s", "traced", "kill", "echo"});
  wait_until("the next incarnation's messages", [&] {
    ask();
    return trace.has_said(R"("to": "<0.1.2>", "to_name": "echo")");
  });
  broker.signal(SIGTERM);
  broker.wait();
  CHECK_FALSE(trace.lines().back()["missed"].is_null());
}

TEST_CASE("a trace ends after so many messages, and says how many it did not show", "[trace]") {
  LiveSystem system;
  Self& self = system.self();
  self.spawn("sink", sink);
  Trace trace({"sink", "-n", "2"});
  send_until_it_listens(trace, self, "sink");
  wait_until("the end of the trace", [&] {
    self.send("sink", "hello", 2);
    return trace.has_said("\"not_shown\"");
  });
  const auto lines = trace.lines();
  CHECK(lines.size() == 3);
  CHECK(lines.back()["shown"].number() == 2);
}

TEST_CASE("who has no mailbox cannot be traced, and a name that nobody has is told", "[trace]") {
  LiveSystem system(supervisor(one_for_one, {1, 5s}, {{"sink", sink}}));
  check_fails({"trace", "root", "--for", "1ms"}, 1, "has no mailbox");
  check_fails({"trace", "snik", "--for", "1ms"}, 1, "did you mean \"sink\"?");
  check_fails({"trace", "sink", "--to", "snik", "--for", "1ms"}, 1, "did you mean \"sink\"?");
}
