// What a generic server and a full mailbox cost: call/gen_server, receive/stash-0, -1k, -500k, receive/clauses-20.
#include <chrono>
#include <utility>
#include <vector>

#include "bench/live.hpp"

namespace muproc::bench {
namespace {

constexpr int k_warm_up = 2'000;
constexpr int k_laps = 20'000;
constexpr int k_block = 1'000;  // laps of one kind before the other kind has its turn

struct Doubler {
  explicit Doubler(unsigned core) { pin(core); }
  std::int64_t twice(std::int64_t n) { return 2 * n; }
};
constexpr Call<&Doubler::twice> twice{"twice"};

/// The same by hand: a number there, a number back.
void bare_doubler(Self& self) {
  settle(self);
  for (;;)
    self.receive(on<"n">() >> [&](From from, std::int64_t n) { self.send(from, "n", 2 * n); });
}

void call_once(Self& self, Pid server, std::int64_t n) {
  if (twice(self, server, n) != 2 * n) self.exit("a wrong result");
}

void send_once(Self& self, Pid to, std::int64_t n) {
  self.send(to, "n", n);
  self.receive(on<"n">() >> [&](std::int64_t twice_n) {
    if (twice_n != 2 * n) self.exit("a wrong answer");
  });
}

// ---- call/gen_server -------------------------------------------------------------------------------------------------

/// Calls and bare round trips take turns in blocks, so that both see the same machine.
void caller(Self& self) {
  settle(self);
  const Pid server = self.args()["server"].as<Pid>(), bare = self.args()["bare"].as<Pid>();
  const auto call = [&](int n) { call_once(self, server, n); };
  const auto send = [&](int n) { send_once(self, bare, n); };
  timed(k_warm_up, call);
  timed(k_warm_up, send);
  Histogram calls, sends;
  for (int done = 0; done < k_laps; done += k_block) {
    calls.add(timed(k_block, call));
    sends.add(timed(k_block, send));
  }
  Round round = round_of(std::move(calls));
  round.beside = sends.median();
  tell(self, round);
}

Round call_gen_server(Live& live) {
  const Pid bare = live.spawn(live.fresh_name("bare"), bare_doubler, live.cores().second);
  const Pid server = start_server<Doubler>(live.self(), live.fresh_name("doubler"), {twice}, live.cores().second);
  const Round round = live.measured_by(caller, {{"server", server}, {"bare", bare}});
  live.self().kill(bare);
  live.self().kill(server);
  return round;
}

// ---- receive/stash-N -------------------------------------------------------------------------------------------------

/// Calls from an empty mailbox, then from one in which messages wait that no clause matches.
void caller_with_a_stash(Self& self) {
  settle(self);
  const Pid server = self.args()["server"].as<Pid>();
  const int waiting = self.args()["waiting"].as<int>();
  const auto lap = [&](int n) { call_once(self, server, n); };
  timed(k_warm_up, lap);
  const Histogram empty = timed(k_laps, lap);
  for (int n = 0; n < waiting; ++n) self.send(self.pid(), "waiting", n);
  self.receive(on<"never">() >> [] {}, after(std::chrono::seconds(0)) >> [] {});
  timed(k_warm_up, lap);
  Round full = round_of(timed(k_laps, lap));
  if (self.unmatched_count() != static_cast<std::uint64_t>(waiting)) self.exit("some messages did not wait");
  full.beside = empty.median();
  tell(self, full);
}

Row receive_with_stash(Live& live, std::string name, int waiting) {
  return {.name = "receive/stash-" + std::move(name),
          .unit = "ns",
          .round =
              [&live, waiting] {
                const Pid server = start_server<Doubler>(live.self(), live.fresh_name("doubler"), {twice}, live.cores().second);
                const Round round = live.measured_by(caller_with_a_stash, {{"server", server}, {"waiting", waiting}}, {.stash = Bytes::gib(2)});
                live.self().kill(server);
                return round;
              },
          .bars = {at_most(2, Bar::On::beside)},
          .beside = "none waiting",
          .most_rounds = 5};
}

// ---- receive/clauses-20 ----------------------------------------------------------------------------------------------

/// A receive with twenty clauses; counts how often the first and the last matched.
void receive_one_of_twenty(Self& self, std::pair<int, int>& hits) {
  const auto never = [&] { self.exit("a clause in the middle matched"); };
  self.receive(on<"first">() >> [&] { ++hits.first; },
               on<"b">() >> never, on<"c">() >> never, on<"d">() >> never, on<"e">() >> never, on<"f">() >> never, on<"g">() >> never,
               on<"h">() >> never, on<"i">() >> never, on<"j">() >> never, on<"k">() >> never, on<"l">() >> never, on<"m">() >> never,
               on<"n">() >> never, on<"o">() >> never, on<"p">() >> never, on<"q">() >> never, on<"r">() >> never, on<"s">() >> never,
               on<"last">() >> [&] { ++hits.second; });
}

/// How much longer a message for the last clause takes than one for the first, sent to itself and received.
void matcher(Self& self) {
  settle(self);
  std::pair<int, int> hits{0, 0};
  std::vector<double> differences;
  for (int done = 0; done < k_laps; done += k_block) {
    const Histogram first = timed(k_block, [&](int n) {
      self.send(self.pid(), "first", n);
      receive_one_of_twenty(self, hits);
    });
    const Histogram last = timed(k_block, [&](int n) {
      self.send(self.pid(), "last", n);
      receive_one_of_twenty(self, hits);
    });
    differences.push_back(last.median() - first.median());
  }
  if (hits != std::pair{k_laps, k_laps}) self.exit("not each message met its clause");
  tell(self, {median(differences)});
}

}  // namespace

void add_calls(Rows& rows, Live& live) {
  rows.push_back({.name = "call/gen_server",
                  .unit = "ns",
                  .round = [&live] { return call_gen_server(live); },
                  .bars = {at_most(1.4, Bar::On::beside)},
                  .beside = "bare"});
  rows.push_back(receive_with_stash(live, "0", 0));
  rows.push_back(receive_with_stash(live, "1k", 1'000));
  rows.push_back(receive_with_stash(live, "500k", 500'000));
  rows.push_back({.name = "receive/clauses-20",
                  .unit = "ns",
                  .round = [&live] { return live.measured_by(matcher); },
                  .bars = {at_most(150)},
                  .in_floors = false});
}

}  // namespace muproc::bench
