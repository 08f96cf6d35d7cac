// What descends from muprocs: whom they have forked, and whom those have forked.
//
// "Stopped" means that all of it is gone, however well it hides. The broker is made the reaper of orphans (a subreaper,
// prctl(2)): whoever loses its parent below a muproc becomes a child of ours. So all that a dead muproc has left stands in
// our own list of children, or below somebody who does; it is killed, reaped, and looked for again, until nothing comes
// any more. Only then is the muproc itself reaped, so that the numbers of its process, group and session cannot be
// anybody else's meanwhile, and only then is its end told to whoever might start it again.
//
// Where the broker has control groups (cgroups.hpp), each muproc is in one of its own, and so is all that descends from it:
// the group says whose somebody is, is killed whole, and is gone when nobody is left. All else here holds all the same: it
// reaps, and it finds those who had the right to leave their group.
//
// An orphan whose muproc lives is that muproc's affair, a daemon that it meant to start: it stays. So each has to be put
// down to somebody. Besides its group every muproc has a *mark*, "<0.3.1>@TOKEN", in its environment, which those who exec hand on, and as
// the name of a mapped file, which those who only fork hand on. Where neither can be read (its program cleaned its
// environment; it is a zombie) its process group and session may tell. Who gives nothing away can only descend from
// somebody who lived when it began: it stays while such a one lives. One in the middle of an exec has nothing to read for
// a moment; nothing is decided until it has.
//
// The broker may run in somebody else's program. There a child of ours that is not known and bears no mark may be that
// program's own: it is neither killed nor reaped, ever.
//
// No signal goes to a number that could have changed hands: processes are signalled through pidfds, or while they are
// children of ours which nobody else reaps. A delay is nobody's: nothing here blocks but `clear_now`.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/core.hpp"
#include "sys/proc.hpp"

namespace muproc::broker {

/// "@4242-00000017a3b2c1d0": no other broker's of this machine, now or at another time since its start. No token is part
/// of another.
std::string fresh_token();
/// The muproc whose mark, with this token, stands in the text.
std::optional<Pid> marked(std::string_view text, std::string_view token);

class Descendants {
 public:
  /// `owns_process`: there are no other children in this process than ours.
  Descendants(Core& core, bool owns_process);
  ~Descendants();

  // Of the seed and the zygotes: whether this is one of them; whether that session is one in which all that they clone
  // begins; whether a clone is under way whose number is not known yet.
  std::function<bool(int os_pid)> is_known = [](int) { return false; };
  std::function<bool(int session)> is_our_session = [](int) { return false; };
  std::function<bool()> is_cloning = [] { return false; };

  /// A muproc's own process, from when its number is known until it is reaped.
  void add(int os_pid) { muprocs_.insert(os_pid); }
  void remove(int os_pid) { muprocs_.erase(os_pid); }
  bool is_muproc(int os_pid) const { return muprocs_.contains(os_pid); }

  /// Ends all that descends from a muproc that is dead and not reaped. `done` is called when nothing is left: mostly at
  /// once. What the kernel cannot end (it waits for a device) is given up after a while.
  void clear(Pid dead, int os_pid, const std::string& name, std::shared_ptr<Cgroup> cgroup, std::function<void()> done);
  /// A child that is none of the above may have ended: it is reaped.
  void look();
  /// At the end: all that bears our token, or all children when the process is ours, waiting for them.
  void clear_now() noexcept;

 private:
  struct Orphan {
    int os_pid;
    sys::UniqueFd pidfd;
    Pid owner;                // nil: unknown
    std::chrono::nanoseconds started;  // since the machine's start
    int group;
    bool is_killed = false;
    Watch death;
  };
  struct Clearing {
    Pid dead;
    int os_pid;
    std::string name;
    std::shared_ptr<Cgroup> cgroup;  // null: there is none
    std::function<void()> done;
    Watch limit;
  };

  void find_orphans();
  void take_in(int os_pid);
  void look_later();
  void look_soon();
  Pid owner_by_number(int number) const;
  bool is_process_known(Pid owner) const;
  bool lives(Pid owner) const;
  bool somebody_is_older(const Orphan& orphan) const;
  bool must_go(const Orphan& orphan) const;
  void look_again_if_there(int os_pid);
  bool is_undecided(int os_pid, const sys::ProcessStat& stat);
  bool is_clear(const Clearing& clearing);
  void end(Orphan& orphan);
  void ended(int os_pid);
  void finish_clearings();
  void give_up(Pid dead);

  Core& core_;
  bool owns_process_, kills_unknown_;
  sys::OwnChildren children_;
  std::unordered_set<int> muprocs_;
  std::unordered_map<int, std::shared_ptr<Orphan>> orphans_;
  std::unordered_map<int, std::uint64_t> strangers_;  // and when they began
  struct Unreadable {
    std::uint64_t started_ticks;
    std::chrono::nanoseconds since;
  };
  std::unordered_map<int, Unreadable> unreadable_;  // in the middle of an exec, it seems
  bool is_blind_ = false;  // some child could not be looked at, for want of a descriptor: it may be anybody's
  std::vector<std::unique_ptr<Clearing>> clearings_;
  Watch later_, soon_;
};

}  // namespace muproc::broker
