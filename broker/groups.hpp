// The book of process groups: who has joined which, how often, and who is to be told of it.
//
// A member that has joined n times has to leave n times, or to die. A group is there as long as it has members. Monitors
// watch a name, whether there is such a group or not, and stack.
//
// One who dies leaves all its groups at once (`leave_all`), before anybody hears of the death; who is to be told follows
// when the death is told (`end`).
//
// Pure: pids and names in, pids and names out. Erlang: pg.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <muproc/pid.hpp>

#include "shm/layout.hpp"

namespace muproc::broker {

class Groups {
 public:
  struct Change {
    Pid pid;
    bool joined = true;
    std::uint64_t times = 1;
    std::uint64_t stamp = 0;
  };
  struct Watcher {
    Pid pid;
    std::uint64_t ref;
    friend bool operator==(const Watcher&, const Watcher&) = default;
  };
  /// A group that the dead one was in, and how often it had joined.
  struct Left {
    std::string group;
    std::uint64_t times;
    friend bool operator==(const Left&, const Left&) = default;
  };

  /// Why a group cannot have that name, or empty where it can.
  static std::string why_no_name(std::string_view name);

  void join(const std::string& group, Pid pid);
  /// One join less; false when it is no member.
  bool leave(const std::string& group, Pid pid);
  /// In the order in which they came.
  std::vector<shm::GroupMember> members(const std::string& group) const;

  /// False when the watcher has that reference already.
  bool monitor(Pid watcher, std::uint64_t ref, const std::string& group);
  void demonitor(Pid watcher, std::uint64_t ref);
  std::vector<Watcher> watchers(const std::string& group) const;

  /// The dead one is in no group any more. Which have changed.
  std::vector<std::string> leave_all(Pid dead);
  /// Forgets the dead one's monitors, and says what it had left by its death.
  std::vector<Left> end(Pid dead);

 private:
  std::map<std::string, std::vector<shm::GroupMember>, std::less<>> members_;
  std::map<Pid, std::map<std::string, std::uint64_t>> joined_;        // whom, and how often
  std::map<std::string, std::set<std::pair<Pid, std::uint64_t>>> watched_by_;
  std::map<std::pair<Pid, std::uint64_t>, std::string> monitors_;
  std::map<Pid, std::vector<Left>> departed_;
};

}  // namespace muproc::broker
