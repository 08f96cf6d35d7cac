// Deaths, in the order that semantics need:
//
//   1. the process's pidfd says that it is dead (an outsider's: or its socket, that it has gone)
//   2. `waitid` without reaping: how it ended. An empty answer means that a debugger holds it; it is dead all the same
//   3. its process group is killed: what it forked must not go on writing
//   4. what it still said on its control socket is heard: its account, its last requests
//   5. its incarnation ends in the directory, its names are free
//   6. notices: to linked ones and monitors, and to everyone with a channel to or from it
//   7. all that descends from it is ended (descendants.hpp)
//   8. it is reaped: only now can the kernel use its OS pid again
//   9. whoever answers for it is told: the supervisor's policy decides
//
// By the time anyone hears of a death, the dead one's names are free and its pid sends nowhere. From 7 on it may have to
// wait for what the dead one has left, which takes the kernel a moment; mostly there is nothing. Who died before it was
// up is told about, too, only then.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/core.hpp"
#include "broker/descendants.hpp"
#include "broker/endings.hpp"
#include "broker/estates.hpp"
#include "broker/exit_status.hpp"
#include "broker/launcher.hpp"

namespace muproc::broker {

/// One that ended badly.
struct Crash {
  const Muproc& dead;
  const Reason& reason;
  std::uint32_t restarts;  // before this end
  std::chrono::nanoseconds uptime;
  std::string decision;
};

class Reaper {
 public:
  Reaper(Core& core, Endings& endings, Launcher& launcher, Descendants& descendants, Estates& estates)
      : core_(core), endings_(endings), launcher_(launcher), descendants_(descendants), estates_(estates) {}

  /// Whether one that ends like this is brought back, as far as can be said before its supervisor has decided.
  std::function<bool(const Muproc&, const Reason&)> may_come_back = [](const Muproc&, const Reason&) { return false; };

  std::function<void(Connection&)> close_connection;
  /// Told of each process that has ended, before anybody else is.
  std::function<void(const Muproc&)> when_reaped = [](const Muproc&) {};

  /// Told of each end when its peers have been, and before who answers for it is.
  std::function<void(const Muproc&)> when_buried = [](const Muproc&) {};

  /// Told of each crash (a signal that we did not send, an exception, a watchdog's end), with what its supervisor did.
  std::function<void(const Crash&)> when_crashed = [](const Crash&) {};

  /// From now on this muproc's death is noticed.
  void watch(Muproc& muproc);
  /// Likewise for an outsider, as far as the kernel lets us see its process: its socket tells too.
  void watch_outsider(Muproc& outsider);
  /// An outsider's process or connection has gone.
  void outsider_gone(Muproc& outsider);
  /// A supervisor, which is no process, has ended.
  void supervisor_ended(Muproc& supervisor, const Reason& reason);
  /// Reaps one that has ended, as soon as that can be.
  void reap(int os_pid, sys::UniqueFd pidfd);
  /// Kills and reaps a child of ours that is no muproc. Needs no descriptor: it may be for want of one that nobody wants it.
  void end_stray(int os_pid);
  /// One that is dead, but is waited for elsewhere.
  bool is_unreaped(int os_pid) const;
  /// Everything that we have killed is reaped, waiting for it.
  void reap_all() noexcept;
  /// All clones of ours in these sessions that are neither muprocs nor known to `is_known`: killed and reaped. How
  /// many there were.
  std::size_t end_strays(const std::vector<int>& sessions, const std::function<bool(int)>& is_known);

 private:
  void process_ended(Pid pid);
  void reap_later(int os_pid, sys::UniqueFd pidfd);
  void retry();
  /// What is remembered of it until its supervisor has decided.
  struct LastLife {
    std::uint32_t restarts;
    std::uint64_t started_ns;
  };
  LastLife last_life_of(Pid pid) const;
  std::shared_ptr<Muproc> bury(Muproc& muproc, const Reason& reason);
  void report(const Muproc& dead, const Reason& reason, LastLife life, std::uint64_t events_before);
  void tell_peers(const Muproc& dead, const Reason& reason);
  void close_channels(const std::shared_ptr<Muproc>& buried, const Reason& reason);

  Core& core_;
  Endings& endings_;
  Launcher& launcher_;
  Descendants& descendants_;
  Estates& estates_;
  std::vector<std::pair<int, sys::UniqueFd>> unreaped_;  // killed, or dead but held by a debugger; some without a pidfd
  Watch retry_;
};

}  // namespace muproc::broker
