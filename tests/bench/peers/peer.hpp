// What the peers' clients have in common: their command line, `CLIENT rtt|stream CORE CORE`, the 64 bytes that they send, all
// of which is written and read, and what they print: a histogram of round trips in ns, or how many messages a second.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include "bench/pair.hpp"

namespace muproc::bench {

struct Payload {
  std::uint64_t words[8];

  void fill(std::uint64_t n) {
    for (std::uint64_t i = 0; i < 8; ++i) words[i] = n + i;
  }
  std::uint64_t number() const {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < 8; ++i) sum += words[i] - i;
    if (sum != 8 * words[0]) throw std::runtime_error("a message came that was not the one that was sent");
    return words[0];
  }
};

/// True when a call that moves a payload has moved all of it.
inline void whole(ssize_t count) {
  if (count != static_cast<ssize_t>(sizeof(Payload))) throw std::runtime_error("a payload was not moved whole");
}

constexpr int k_warm_up = 1'000;
constexpr int k_laps = 10'000;
constexpr int k_batch = 1'000;    // messages of a stream that are timed together
constexpr int k_batches = 500;

/// `send(payload)`, `receive(payload)`: each lap sends the next and has it back with one more.
template <class Send, class Receive>
Histogram play_round_trips(Send&& send, Receive&& receive) {
  std::uint64_t n = 0;
  Payload payload;
  const auto lap = [&](int) {
    payload.fill(n);
    send(payload);
    receive(payload);
    if (payload.number() != ++n) throw std::runtime_error("a payload came back that was not the one that was sent");
  };
  timed(k_warm_up, lap);
  return timed(k_laps, lap);
}
template <class Send, class Receive>
void serve_round_trips(Send&& send, Receive&& receive) {
  for (Payload payload;;) {
    receive(payload);
    payload.fill(payload.number() + 1);
    send(payload);
  }
}

/// The receiver of a stream: laps of k_batch messages.
template <class Receive>
Histogram play_stream(Receive&& receive) {
  std::uint64_t n = 0;
  Payload payload;
  const auto batch = [&](int) {
    for (int i = 0; i < k_batch; ++i) {
      receive(payload);
      if (payload.number() != n++) throw std::runtime_error("a message is missing");
    }
  };
  timed(k_batches / 10, batch);
  return timed(k_batches, batch);
}
template <class Send>
void serve_stream(Send&& send) {
  Payload payload;
  for (std::uint64_t n = 0;; ++n) {
    payload.fill(n);
    send(payload);
  }
}

/// The main of a client: `rtt` and `stream` are given the cores; a client that has no stream gives null.
inline int peer_main(int argc, char** argv, Histogram (*rtt)(Cores), Histogram (*stream)(Cores) = nullptr) {
  const std::string what = argc == 4 ? argv[1] : "";
  if (what != "rtt" && !(what == "stream" && stream)) {
    std::fprintf(stderr, "Usage: %s rtt%s CORE CORE\n", argv[0], stream ? "|stream" : "");
    return 2;
  }
  const Cores cores{static_cast<unsigned>(std::atoi(argv[2])), static_cast<unsigned>(std::atoi(argv[3]))};
  try {
    if (what == "rtt") std::fputs(rtt(cores).text().c_str(), stdout);
    else std::printf("%.0f\n", k_batch * 1e9 / stream(cores).mean());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace muproc::bench
