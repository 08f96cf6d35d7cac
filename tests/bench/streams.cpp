// Messages as fast as they go: stream/bytes, stream/typed, stream/mumsg from one to one, beside a bare ring; fanin/N from N that share a core to
// one on another; fanout/N from one to N that share another core.
#include <vector>

#include "bench/bare_ring.hpp"
#include "bench/traffic.hpp"

namespace muproc::bench {
namespace {

constexpr std::uint64_t k_messages = 1'000'000;

/// What is sent and received from the first tenth on counts.
constexpr std::uint64_t k_counted = k_messages - k_messages / 10;

Round rate(Nanoseconds begin) { return {.value = static_cast<double>(k_counted) / ((now_ns() - begin) / 1e9)}; }

/// Sends so many when it is told to.
template <class Kind>
void source(Self& self) {
  settle(self);
  const Pid to = self.args()["to"].as<Pid>();
  const auto messages = self.args()["messages"].as<std::uint64_t>();
  self.receive(on<"go">() >> [] {});
  for (std::uint64_t n = 0; n < messages; ++n) Kind::send(self, to, n);
  idle(self);
}

template <class Kind>
void sink_of_many(Self& self) {
  settle(self);
  const auto senders = self.args()["senders"].as<std::uint64_t>();
  std::vector<Pid> sources;
  for (std::uint64_t n = 0; n < senders; ++n)
    sources.push_back(spawn_beside(self, "source-", source<Kind>, {{"to", self.pid()}, {"messages", k_messages / senders}}));
  for (const Pid each : sources) self.send(each, "go", true);
  const std::uint64_t each = k_messages / senders;  // of a million, all but a few
  double begin = 0;
  std::uint64_t sum = 0;
  for (std::uint64_t n = 0; n < senders * each; ++n) {
    if (n == k_messages / 10) begin = now_ns();
    Kind::receive(self, [&](From, std::uint64_t number) { sum += number; });
  }
  const Round round = rate(begin);
  if (sum != senders * (each * (each - 1) / 2)) self.exit("a message is missing");
  tell(self, round);
}

template <class Kind>
void one_of_many_sinks(Self& self) {
  settle(self);
  const auto messages = self.args()["messages"].as<std::uint64_t>();
  for (std::uint64_t n = 0; n < messages; ++n)
    Kind::receive(self, [&](From, std::uint64_t number) {
      if (number != n) self.exit("a message is missing");
    });
  self.send(self.parent(), "done", true);
  idle(self);
}

template <class Kind>
void source_of_many(Self& self) {
  settle(self);
  const auto receivers = self.args()["receivers"].as<std::uint64_t>();
  std::vector<Pid> sinks;
  for (std::uint64_t n = 0; n < receivers; ++n)
    sinks.push_back(spawn_beside(self, "sink-", one_of_many_sinks<Kind>, {{"messages", k_messages / receivers}}));
  double begin = 0;
  for (std::uint64_t n = 0; n < k_messages / receivers; ++n) {
    if (n == k_messages / receivers / 10) begin = now_ns();
    for (const Pid sink : sinks) Kind::send(self, sink, n);
  }
  for (std::uint64_t n = 0; n < receivers; ++n) self.receive(on<"done">() >> [] {});
  tell(self, rate(begin));
}

template <class Kind>
Row fan_in(Live& live, std::string name, int senders, std::vector<Bar> bars = {}, Bytes ring = MailboxSizes().ring) {
  return {.name = std::move(name),
          .unit = "msg/s",
          .round = [&live, senders, ring] { return live.measured_by(sink_of_many<Kind>, {{"senders", senders}}, {.ring = ring}); },
          .bars = std::move(bars)};
}

/// One to one, in turn with the plainest ring.
template <class Kind>
Row stream(Live& live, std::string name, std::vector<Bar> bars = {}) {
  Row row = fan_in<Kind>(live, std::move(name), 1, std::move(bars));
  row.beside = "a bare ring";
  row.round = [&live, round = std::move(row.round)] {
    Round both = round();
    both.beside = measure_bare_ring(live.cores());
    return both;
  };
  return row;
}

Row fan_out(Live& live, int receivers) {
  return {.name = "fanout/" + std::to_string(receivers),
          .unit = "msg/s",
          .round = [&live, receivers] { return live.measured_by(source_of_many<Typed56>, {{"receivers", receivers}}); }};
}

}  // namespace

Row fan_in(Live& live, std::string name, int senders, Bytes ring) { return fan_in<Typed56>(live, std::move(name), senders, {}, ring); }

void add_streams(Rows& rows, Live& live) {
  rows.push_back(stream<Bytes64>(live, "stream/bytes", {at_least(35e6)}));
  rows.push_back(stream<Typed56>(live, "stream/typed", {at_least(15e6), at_least(10, "peer/zeromq/stream")}));
  rows.push_back(stream<Mumsg2>(live, "stream/mumsg"));
  rows.push_back(fan_in<Typed56>(live, "fanin/2", 2, {at_least(10e6)}));
  rows.push_back(fan_in<Typed56>(live, "fanin/8", 8));
  rows.push_back(fan_in<Typed56>(live, "fanin/64", 64, {at_least(5e6)}));
  rows.push_back(fan_out(live, 2));
  rows.push_back(fan_out(live, 8));
}

}  // namespace muproc::bench
