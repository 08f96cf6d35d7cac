// What the seed and the zygotes are: single-threaded processes that clone others when the broker asks.
//
// The *seed* is forked first, before the broker maps, opens or starts anything. It clones zygotes, and children that
// exec. A *zygote* loads one code module (none: the image of the program that runs the broker), and from then on clones
// children that begin to run with everything loaded. All of them are the broker's own children (clone_sibling), so that
// the broker waits for them; none is anybody else's affair.
//
// They live in a session of their own, each in its own process group, with default signals: what a terminal sends
// reaches the broker only.
//
// When the broker dies (its end of the socket closes, or its pidfd says so), each gives the children that it cloned a
// grace, kills the process groups that are left, and goes when the last one has gone. Until then it keeps the system's
// lock open: the next broker waits for a clean house. If a zygote dies, its children live on; each has its own
// parent-death signal.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <muproc/detail/child.hpp>

#include "sys/fd.hpp"
#include "wire/control.capnp.h"
#include "wire/frame.hpp"

namespace muproc::broker {

/// The broker's side of a fresh seed.
struct SeedProcess {
  int os_pid = 0;
  sys::UniqueFd socket;

  SeedProcess(int pid, sys::UniqueFd control) : os_pid(pid), socket(std::move(control)) {}
  SeedProcess(SeedProcess&&) = default;
  /// Ends and reaps it, unless somebody has taken the socket over.
  ~SeedProcess();
};

/// Forks a helper of the broker: 0 in the child, which makes itself one with `become_server`. Throws std::system_error.
int fork_server_process(const char* what);
/// In the child: a session of its own, default signals, and no descriptors but the standard ones and these two.
void become_server(const char* name, int socket, int lock);

/// Forks the seed. The calling thread is the one whose end counts as the broker's death. `lock` is inherited; `files` is
/// the limit on open files that children get; `token` is what the marks of muprocs' descendants end with (descendants.hpp); `cgroup` is the
/// folder of the system's control group (cgroups.hpp), or empty. A seed that is forked by a process with one thread is invisible to a plain
/// waitpid, and so are all that come from it, until they exec. Throws std::system_error.
SeedProcess fork_seed(int lock, rlimit files, const std::string& token, const std::string& cgroup);

class ForkServer {
 public:
  ForkServer(sys::UniqueFd socket, sys::UniqueFd lock, sys::UniqueFd broker_pidfd, int broker, rlimit files, std::string token,
             std::string cgroup);

  /// Serves until the broker is gone. Never returns.
  [[noreturn]] void serve();

 private:
  struct Child {
    int os_pid;
    sys::UniqueFd pidfd;
  };
  using Id = std::uint64_t;

  void handle(wire::Frame& frame);
  void clone_zygote(Id id, wire::Frame& frame, std::string module);
  void clone_muproc(Id id, wire::Frame& frame, wire::ToZygote::Reader request);
  int clone_in(capnp::Text::Reader cgroup, const char* what);
  void clone_exec(Id id, wire::Frame& frame, wire::ToZygote::Reader request);
  [[noreturn]] void become_zygote(sys::UniqueFd socket, const std::string& module);
  [[noreturn]] void become_muproc(sys::UniqueFd control, int out, int err, detail::EntryFunction function);
  [[noreturn]] void clean_house();
  void end_marked();
  void drop_what_is_the_servers();
  void move_descriptors_up();

  void reply_cloned(Id id, int os_pid);
  void reply_failed(Id id, const std::string& why);
  void remember(int os_pid);
  void forget_the_dead();
  bool wait_for_news();

  wire::FrameSocket socket_;
  sys::UniqueFd lock_, broker_pidfd_;
  int broker_;
  rlimit files_;
  std::string token_, cgroup_;
  std::string module_;  // a zygote's; empty for the seed and for the broker's own image
  const void* module_base_ = nullptr;
  int private_fds_ = 0;  // descriptors at and above are the server's own, so one call closes them in a child
  std::vector<Child> children_;
  std::size_t prune_at_ = 32;
};

}  // namespace muproc::broker
