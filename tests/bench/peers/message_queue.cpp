// Boost.Interprocess's message_queue: a heap in shared memory under a mutex, and conditions to wait for.
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <string>

#include "bench/peers/peer.hpp"

namespace muproc::bench {
namespace {

namespace ipc = boost::interprocess;

class Queue {
 public:
  explicit Queue(const char* direction)
      : name_("mubench-peer-" + std::to_string(::getpid()) + direction), queue_(ipc::create_only, name_.c_str(), 1'000, sizeof(Payload)) {}
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue() { ipc::message_queue::remove(name_.c_str()); }

  auto to() {
    return [this](const Payload& payload) { queue_.send(&payload, sizeof payload, 0); };
  }
  auto from() {
    return [this](Payload& payload) {
      ipc::message_queue::size_type size = 0;
      unsigned priority = 0;
      queue_.receive(&payload, sizeof payload, size, priority);
      whole(static_cast<ssize_t>(size));
    };
  }

 private:
  std::string name_;
  ipc::message_queue queue_;
};

Histogram rtt(Cores cores) {
  Queue there("-there"), back("-back");
  return between_two(
      cores, [&] { serve_round_trips(back.to(), there.from()); }, [&] { return play_round_trips(there.to(), back.from()); });
}

Histogram stream(Cores cores) {
  Queue queue("-stream");
  return between_two(cores, [&] { serve_stream(queue.to()); }, [&] { return play_stream(queue.from()); });
}

}  // namespace
}  // namespace muproc::bench

int main(int argc, char** argv) { return muproc::bench::peer_main(argc, argv, muproc::bench::rtt, muproc::bench::stream); }
