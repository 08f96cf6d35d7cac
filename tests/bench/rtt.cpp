// Round trips between two muprocs on two cores: rtt/bytes, rtt/typed, rtt/mumsg.
#include "bench/traffic.hpp"

namespace muproc::bench {
namespace {

constexpr int k_warm_up = 3'000;
constexpr int k_laps = 20'000;

template <class Kind>
void echo(Self& self) {
  settle(self);
  for (;;)
    Kind::receive(self, [&](From from, std::uint64_t n) { Kind::send(self, from, n + 1); });
}

template <class Kind>
void player(Self& self) {
  settle(self);
  const Pid to = spawn_beside(self, "echo-", echo<Kind>);
  std::uint64_t sent = 0;
  const auto lap = [&](int) {
    Kind::send(self, to, sent);
    Kind::receive(self, [&](From, std::uint64_t n) {
      if (n != ++sent && !std::is_same_v<Kind, Typed0>) spoiled(self);
    });
  };
  timed(k_warm_up, lap);
  tell(self, round_of(timed(k_laps, lap)));
}

template <class Kind>
Row round_trip(Live& live, std::string name, std::vector<Bar> bars = {}) {
  return {.name = "rtt/" + name, .unit = "ns", .round = [&live] { return live.measured_by(player<Kind>); }, .bars = std::move(bars)};
}

}  // namespace

void add_round_trips(Rows& rows, Live& live) {
  const Bar tail = at_most(3, Bar::On::tail);
  rows.push_back(round_trip<Bytes64>(live, "bytes/64", {at_most(1.35, Bar::On::mean_ratio), tail}));
  rows.push_back(round_trip<Typed0>(live, "typed/0"));
  rows.push_back(round_trip<Typed56>(live, "typed/56", {at_most(1.7, Bar::On::ratio), tail}));
  rows.push_back(round_trip<TypedList<256>>(live, "typed/256"));
  rows.push_back(round_trip<TypedList<1024>>(live, "typed/1k"));
  rows.push_back(round_trip<TypedList<4096>>(live, "typed/4k"));
  rows.push_back(round_trip<Mumsg1>(live, "mumsg/1-fields"));
  rows.push_back(round_trip<Mumsg2>(live, "mumsg/2-fields", {at_most(2.5, Bar::On::ratio), tail}));
  rows.push_back(round_trip<Mumsg8>(live, "mumsg/8-fields"));
}

}  // namespace muproc::bench
