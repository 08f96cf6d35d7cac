// A pair of Unix sockets that keep messages apart (SOCK_SEQPACKET).
#include <sys/socket.h>

#include "bench/peers/peer.hpp"

namespace muproc::bench {
namespace {

Histogram rtt(Cores cores) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) throw std::runtime_error("cannot make sockets");
  const auto from = [](int fd) { return [fd](Payload& payload) { whole(::recv(fd, &payload, sizeof payload, 0)); }; };
  const auto to = [](int fd) { return [fd](const Payload& payload) { whole(::send(fd, &payload, sizeof payload, 0)); }; };
  return between_two(
      cores, [&] { serve_round_trips(to(ends[1]), from(ends[1])); }, [&] { return play_round_trips(to(ends[0]), from(ends[0])); });
}

}  // namespace
}  // namespace muproc::bench

int main(int argc, char** argv) { return muproc::bench::peer_main(argc, argv, muproc::bench::rtt); }
