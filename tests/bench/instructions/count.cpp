// mubench_instructions: how many instructions a message takes, as callgrind counts them: numbers that no busy neighbour can
// change. Run by instructions/check.sh under valgrind, beside a broker that is not.
//
// Two muprocs that are threads of this process take turns: one sends so many, then the other receives them. So nobody ever
// waits, and no loop runs for longer on one day than on another. After each part callgrind writes what it has cost.
#include <muproc/muproc.hpp>
#include <valgrind/callgrind.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <functional>
#include <semaphore>
#include <thread>
#include <vector>

#include "bench/traffic.hpp"

namespace muproc::bench {
namespace {

constexpr std::uint64_t k_messages = 100;  // at a time: they fit the ring

/// A muproc in a thread of its own, which does what it is told to and nothing else.
class Puppet {
 public:
  Puppet() : thread_([this] { run(); }) {
    done_.acquire();
  }
  ~Puppet() {
    act_ = nullptr;
    go_.release();
    thread_.join();
  }
  Puppet(const Puppet&) = delete;
  Puppet& operator=(const Puppet&) = delete;

  Pid pid() const { return pid_; }
  void does(std::function<void(Self&)> act) {
    act_ = std::move(act);
    go_.release();
    done_.acquire();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }
  /// The same, counted.
  void counted(const std::function<void(Self&)>& act) {
    does([&](Self& self) {
      CALLGRIND_TOGGLE_COLLECT;
      act(self);
      CALLGRIND_TOGGLE_COLLECT;
    });
  }

 private:
  void run() {
    try {
      Attachment attachment = attach("mubench");
      pid_ = attachment->pid();
      for (;;) {
        done_.release();
        go_.acquire();
        if (!act_) return;
        try {
          act_(*attachment);
        } catch (...) {
          failure_ = std::current_exception();
        }
      }
    } catch (const std::exception& error) {
      std::fprintf(stderr, "mubench_instructions: %s\n", error.what());
      std::exit(1);
    }
  }

  std::binary_semaphore go_{0}, done_{0};
  std::function<void(Self&)> act_;
  std::exception_ptr failure_;
  Pid pid_;
  std::thread thread_;
};

void written(const char* name) { CALLGRIND_DUMP_STATS_AT(name); }

template <class Kind>
void send_and_receive(Puppet& from, Puppet& to, const char* send, const char* receive) {
  const auto sends = [&](Self& self) {
    for (std::uint64_t n = 0; n < k_messages; ++n) Kind::send(self, to.pid(), n);
  };
  const auto receives = [&](Self& self) {
    for (std::uint64_t n = 0; n < k_messages; ++n)
      Kind::receive(self, [&](From, std::uint64_t number) {
        if (number != n) spoiled(self);
      });
  };
  for (int warm = 0; warm < 3; ++warm) {
    from.does(sends);
    to.does(receives);
  }
  from.counted(sends);
  written(send);
  to.counted(receives);
  written(receive);
}

struct Doubler {
  explicit Doubler(Self& self) : self_(self) {}
  std::int64_t twice(std::int64_t n) { return 2 * n; }
  void enough() { exit_after_handler(self_, Reason::normal()); }

 private:
  Self& self_;
};
constexpr Call<&Doubler::twice> twice{"twice"};
constexpr Cast<&Doubler::enough> enough{"enough"};

/// A call is a request, its handling and the taking of its answer: all requests are sent, then all are handled, then all
/// answers are taken.
void calls(Puppet& caller, Puppet& server, const char* name) {
  std::vector<Request<std::int64_t>> requests;
  const auto ask = [&](Self& self) {
    for (std::uint64_t n = 0; n < k_messages; ++n) requests.push_back(twice.send_request(self, server.pid(), static_cast<std::int64_t>(n)));
  };
  const auto take = [&](Self& self) {
    for (std::uint64_t n = 0; n < k_messages; ++n)
      if (requests[n].wait() != static_cast<std::int64_t>(2 * n)) spoiled(self);
  };
  const auto handle = [](Self& self) { serve<Doubler>(self, {twice, enough}); };
  const auto stop = [&](Self& self) { enough(self, server.pid()); };
  for (const bool counts : {false, false, true}) {
    requests.clear();
    requests.reserve(k_messages);
    const auto act = [&](Puppet& puppet, const std::function<void(Self&)>& what) { counts ? puppet.counted(what) : puppet.does(what); };
    act(caller, ask);
    caller.does(stop);
    act(server, handle);
    act(caller, take);
  }
  written(name);
}

/// What has nothing to do with muproc, and depends on the compiler and the processor in the same way: as many records, each
/// mixed, copied into a ring and added up again.
void reference(Puppet& one, const char* name) {
  std::array<std::array<std::uint64_t, 8>, 64> ring{};
  std::uint64_t sum = 0;
  one.counted([&](Self&) {
    for (std::uint64_t n = 0; n < k_messages; ++n) {
      std::array<std::uint64_t, 8> record;
      for (std::uint64_t i = 0; i < 8; ++i) record[i] = (n + i) * 0x9e3779b97f4a7c15 ^ sum;
      volatile std::size_t place = n % ring.size();
      ring[place] = record;
      for (const std::uint64_t word : ring[place]) sum = (sum ^ word) * 0x100000001b3;
    }
  });
  if (sum == 0) std::puts("");  // so that it is not left out
  written(name);
}

void count() {
  Puppet alice, bob;
  reference(alice, "reference");
  send_and_receive<Bytes64>(alice, bob, "bytes/64 send", "bytes/64 receive");
  send_and_receive<Typed56>(alice, bob, "typed/56 send", "typed/56 receive");
  send_and_receive<Mumsg2>(alice, bob, "mumsg/2-fields send", "mumsg/2-fields receive");
  calls(alice, bob, "call");
}

}  // namespace
}  // namespace muproc::bench

int main() {
  try {
    muproc::bench::count();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mubench_instructions: %s\n", error.what());
  } catch (const muproc::ExitSignal& signal) {
    std::fprintf(stderr, "mubench_instructions: ended: %s\n", to_string(signal.reason).c_str());
  }
  return 1;
}
