#include "bench/clones.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <new>
#include <optional>
#include <stdexcept>

#include "bench/pair.hpp"

namespace muproc::bench {
namespace {

constexpr int k_warm_up = 5;

using Stamp = std::atomic<double>;

/// A process like the calling one, which says when it runs and then sleeps until it is killed.
class Clone {
 public:
  Clone(Stamp& runs_since, std::optional<unsigned> core) {
    runs_since.store(0);
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("cannot clone");
    if (pid_ == 0) live(runs_since, core);
    pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (pidfd_ < 0) throw std::runtime_error("cannot open a pidfd");
  }
  Clone(const Clone&) = delete;
  Clone& operator=(const Clone&) = delete;
  ~Clone() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(pidfd_);
  }
  /// Returns when it has ended.
  void kill() {
    ::kill(pid_, SIGKILL);
    pollfd ended{pidfd_, POLLIN, 0};
    while (::poll(&ended, 1, -1) != 1) {
    }
  }

 private:
  [[noreturn]] static void live(Stamp& runs_since, std::optional<unsigned> core) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    runs_since.store(now_ns());
    if (core) pin(*core);
    for (;;) ::pause();
  }

  pid_t pid_;
  int pidfd_;
};

double await(const Stamp& stamp) {
  double value;
  while ((value = stamp.load()) == 0) {
  }
  return value;
}

}  // namespace

Histogram measure_bare_deaths(unsigned core, int count) {
  const SharedMemory memory = shared_memory(sizeof(Stamp));
  Stamp& runs_since = *new (memory.get()) Stamp(0);
  Histogram deaths;
  for (int n = -k_warm_up; n < count; ++n) {
    Clone clone(runs_since, core);
    await(runs_since);
    rest();
    const double killed = now_ns();
    clone.kill();
    if (n >= 0) deaths.record(static_cast<std::uint64_t>(now_ns() - killed));
  }
  return deaths;
}

Histogram measure_bare_restarts(int count) {
  const SharedMemory memory = shared_memory(sizeof(Stamp));
  Stamp& runs_since = *new (memory.get()) Stamp(0);
  std::optional<Clone> clone;
  clone.emplace(runs_since, std::nullopt);
  Histogram restarts;
  for (int n = -k_warm_up; n < count; ++n) {
    await(runs_since);
    rest();
    const double killed = now_ns();
    clone->kill();
    clone.emplace(runs_since, std::nullopt);
    if (n >= 0) restarts.record(static_cast<std::uint64_t>(await(runs_since) - killed));
  }
  return restarts;
}

}  // namespace muproc::bench
