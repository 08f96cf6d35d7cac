// Two pipes, one in each direction.
#include <unistd.h>

#include "bench/peers/peer.hpp"

namespace muproc::bench {
namespace {

Histogram rtt(Cores cores) {
  int there[2], back[2];
  if (::pipe(there) != 0 || ::pipe(back) != 0) throw std::runtime_error("cannot make pipes");
  const auto from = [](int fd) { return [fd](Payload& payload) { whole(::read(fd, &payload, sizeof payload)); }; };
  const auto to = [](int fd) { return [fd](const Payload& payload) { whole(::write(fd, &payload, sizeof payload)); }; };
  return between_two(
      cores, [&] { serve_round_trips(to(back[1]), from(there[0])); }, [&] { return play_round_trips(to(there[1]), from(back[0])); });
}

}  // namespace
}  // namespace muproc::bench

int main(int argc, char** argv) { return muproc::bench::peer_main(argc, argv, muproc::bench::rtt); }
