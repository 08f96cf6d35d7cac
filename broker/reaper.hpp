// Deaths, in the order that semantics need:
//
//   1. the process's pidfd says that it is dead (an outsider's: or its socket, that it has gone)
//   2. `waitid` without reaping: how it ended. An empty answer means that a debugger holds it; it is dead all the same
//   3. its process group is killed: what it forked must not go on writing
//   4. what it still said on its control socket is heard: its account, its last requests
//   5. its incarnation ends in the directory, its names are free
//   6. it is reaped: only now can the kernel use its OS pid again
//   7. notices: to linked ones and monitors, and to everyone with a channel to or from it
//   8. whoever answers for it is told: the supervisor's policy decides. If it left others in its process group, that
//      waits until they too have gone, which takes the kernel a moment
//
// By the time anyone hears of a death, the dead one's names are free and its pid sends nowhere. No step but the last
// waits for another process.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/core.hpp"
#include "broker/endings.hpp"
#include "broker/exit_status.hpp"
#include "broker/launcher.hpp"

namespace muproc::broker {

class Reaper {
 public:
  Reaper(Core& core, Endings& endings, Launcher& launcher) : core_(core), endings_(endings), launcher_(launcher) {}

  std::function<void(Connection&)> close_connection;

  /// From now on this muproc's death is noticed.
  void watch(Muproc& muproc);
  /// Likewise for an outsider, as far as the kernel lets us see its process: its socket tells too.
  void watch_outsider(Muproc& outsider);
  /// An outsider's process or connection has gone.
  void outsider_gone(Muproc& outsider);
  /// A supervisor, which is no process, has ended.
  void supervisor_ended(Muproc& supervisor, const Reason& reason);
  /// Kills and reaps a child of ours that is no muproc.
  void end_stray(int os_pid);
  /// Everything that we have killed is reaped, waiting for it.
  void reap_all() noexcept;
  /// All children of ours in these sessions that are neither muprocs nor known to `is_known`: killed and reaped. How
  /// many there were.
  std::size_t end_strays(const std::vector<int>& sessions, const std::function<bool(int)>& is_known);

 private:
  /// Dead, but for others in its process group.
  struct Lingering {
    std::shared_ptr<Muproc> dead;
    Reason reason;
    int tries_left;
  };

  void process_ended(Pid pid);
  void reap(Muproc& muproc);
  void reap_later(sys::UniqueFd pidfd);
  void retry();
  void bury(Muproc& muproc, const Reason& reason);
  void look_at_groups();
  void tell_peers(const Muproc& dead, const Reason& reason);
  void close_channels(const Muproc& dead, const Reason& reason);

  Core& core_;
  Endings& endings_;
  Launcher& launcher_;
  std::vector<sys::UniqueFd> unreaped_;  // dead, but held by a debugger
  Watch retry_;
  std::vector<Lingering> lingering_;
  Watch lingering_watch_;
};

/// The children of this process whose session is one of these.
std::vector<int> children_in_sessions(const std::vector<int>& sessions);

}  // namespace muproc::broker
