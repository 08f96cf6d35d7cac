// Large messages, from send to receive once they are built, by a receiver that is awake: large/64k, 1M, 16M, 256M, all
// with caches that hold none of it, as they are for the largest anyway: who has written 256 MiB has forgotten all else. And
// large/copied: how many bytes of one of 16 MiB are at another place for its receiver than where its sender wrote them.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <vector>

#include "bench/traffic.hpp"

namespace muproc::bench {
namespace {

constexpr std::uint64_t k_mib = 1 << 20;

/// Where something lies, whoever has mapped it: a file of memory, and the offset there.
struct Place {
  std::uint64_t file = 0, offset = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

Place place_of(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    Place place;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNx64 " %*s %" SCNu64, &begin, &end, &place.offset, &place.file) != 4)
      continue;
    if (begin <= wanted && wanted < end) return {place.file, place.offset + (wanted - begin)};
  }
  return {};
}

/// Leaves nothing in this core's caches of what was there, and the same in all of them whatever is sent.
void forget_all() {
  static std::vector<std::uint64_t> other(64 * k_mib / 8);
  for (std::size_t i = 0; i < other.size(); i += 8) ++other[i];
}

std::byte content_of(std::uint64_t size) { return static_cast<std::byte>(size % 251 + 1); }

/// Builds and sends one of the size that it is asked for.
template <bool Tells>
void sender_of_bulk(Self& self) {
  settle(self);
  for (;;)
    self.receive(on<"size">() >> [&](From from, std::uint64_t size) {
      self.send<Bulk>(from, [&](Bulk::Builder bulk) {
        auto data = bulk.initData(static_cast<unsigned>(size));
        std::fill(data.begin(), data.end(), static_cast<kj::byte>(content_of(size)));
        if (Tells) {
          const Place place = place_of(data.begin());
          bulk.setFile(place.file);
          bulk.setOffset(place.offset);
        }
        forget_all();
        bulk.setAt(now_ns());
      });
    });
}

/// Asks for one, and does not go to sleep until it is there.
template <class Then>
void one(Self& self, Pid sender, std::uint64_t size, Then&& then) {
  self.send(sender, "size", size);
  forget_all();
  for (bool came = false; !came;)
    self.receive(on<Bulk>() >> [&](Bulk::Reader bulk) {
                   const Nanoseconds now = now_ns();
                   const auto data = bulk.getData();
                   const auto content = static_cast<kj::byte>(content_of(size));
                   if (data.size() != size || !std::all_of(data.begin(), data.end(), [&](kj::byte b) { return b == content; })) spoiled(self);
                   then(bulk, now);
                   came = true;
                 },
                 after(std::chrono::seconds(0)) >> [] {});
}

void receiver_of_bulk(Self& self) {
  settle(self);
  const Pid sender = spawn_beside(self, "bulk-", sender_of_bulk<false>);
  const auto size = self.args()["size"].as<std::uint64_t>();
  const int laps = self.args()["laps"].as<int>();
  Histogram times;
  for (int n = -2; n < laps; ++n)
    one(self, sender, size, [&](Bulk::Reader bulk, Nanoseconds now) {
      if (n >= 0) times.record(static_cast<std::uint64_t>(now - bulk.getAt()));
    });
  tell(self, round_of(std::move(times)));
}

void looker_at_places(Self& self) {
  settle(self);
  const Pid sender = spawn_beside(self, "bulk-", sender_of_bulk<true>);
  std::uint64_t copied = 0;
  for (int n = 0; n < 3; ++n)
    one(self, sender, 16 * k_mib, [&](Bulk::Reader bulk, Nanoseconds) {
      const auto data = bulk.getData();
      if (place_of(data.begin()) != Place{bulk.getFile(), bulk.getOffset()}) copied += data.size();
    });
  tell(self, {static_cast<double>(copied)});
}

Row large(Live& live, std::string name, std::uint64_t size, int laps, std::vector<Bar> bars = {}, int most_rounds = 1000) {
  return {.name = "large/" + name,
          .unit = "ns",
          .round = [&live, size, laps] { return live.measured_by(receiver_of_bulk, {{"size", size}, {"laps", laps}}); },
          .bars = std::move(bars),
          .most_rounds = most_rounds};
}

}  // namespace

void add_large_messages(Rows& rows, Live& live) {
  rows.push_back(large(live, "64k", k_mib / 16, 200));
  rows.push_back(large(live, "1M", k_mib, 100));
  rows.push_back(large(live, "16M", 16 * k_mib, 20, {at_most(1.3, "large/64k")}, 7));
  rows.push_back(large(live, "256M", 256 * k_mib, 3, {}, 3));
  rows.push_back({.name = "large/copied",
                  .unit = "B",
                  .round = [&live] { return live.measured_by(looker_at_places); },
                  .bars = {at_most(0)},
                  .most_rounds = 1});
}

}  // namespace muproc::bench
