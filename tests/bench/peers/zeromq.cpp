// ZeroMQ over ipc://: a pair of sockets for round trips, push and pull for a stream. Its I/O threads share their side's core.
#include <unistd.h>
#include <zmq.h>

#include <string>

#include "bench/peers/peer.hpp"

namespace muproc::bench {
namespace {

/// One side's socket, in a context of its own: those do not outlive a fork.
class Socket {
 public:
  Socket(int type, const std::string& address, bool binds) : context_(zmq_ctx_new()), socket_(zmq_socket(context_, type)) {
    if ((binds ? zmq_bind : zmq_connect)(socket_, address.c_str()) != 0) throw std::runtime_error("zmq: " + std::string(zmq_strerror(zmq_errno())));
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  auto to() {
    return [this](const Payload& payload) { whole(zmq_send(socket_, &payload, sizeof payload, 0)); };
  }
  auto from() {
    return [this](Payload& payload) { whole(zmq_recv(socket_, &payload, sizeof payload, 0)); };
  }

 private:
  void* context_;  // not ended: its process ends, and an orderly end would wait for what is unsent
  void* socket_;
};

std::string path() { return "/tmp/mubench-peer-" + std::to_string(::getpid()) + ".zmq"; }

Histogram rtt(Cores cores) {
  const std::string file = path(), address = "ipc://" + file;
  const auto serve = [&] {
    Socket socket(ZMQ_PAIR, address, true);
    serve_round_trips(socket.to(), socket.from());
  };
  const auto play = [&] {
    Socket socket(ZMQ_PAIR, address, false);
    return play_round_trips(socket.to(), socket.from());
  };
  Histogram laps = between_two(cores, serve, play);
  ::unlink(file.c_str());
  return laps;
}

Histogram stream(Cores cores) {
  const std::string file = path(), address = "ipc://" + file;
  const auto serve = [&] {
    Socket socket(ZMQ_PUSH, address, false);
    serve_stream(socket.to());
  };
  const auto play = [&] {
    Socket socket(ZMQ_PULL, address, true);
    return play_stream(socket.from());
  };
  Histogram laps = between_two(cores, serve, play);
  ::unlink(file.c_str());
  return laps;
}

}  // namespace
}  // namespace muproc::bench

int main(int argc, char** argv) { return muproc::bench::peer_main(argc, argv, muproc::bench::rtt, muproc::bench::stream); }
