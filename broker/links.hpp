// The book of who must hear of whose death: links and monitors.
//
// A link is one between two muprocs, whoever made it and however often. Each end may have said that a normal end of the
// other is to be ignored. Monitors stack: each has a reference that its owner chose, and each brings one notice. One who
// dies takes all its links and monitors along.
//
// Pure: pids in, pids out.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include <muproc/pid.hpp>

namespace muproc::broker {

class Links {
 public:
  struct Peer {
    Pid pid;
    bool ignores_normal;  // the peer is not to be ended by a normal end
    friend bool operator==(const Peer&, const Peer&) = default;
  };
  struct Watcher {
    Pid pid;
    std::uint64_t ref;
    friend bool operator==(const Watcher&, const Watcher&) = default;
  };
  struct Mourners {
    std::vector<Peer> linked;
    std::vector<Watcher> watching;
  };

  /// Links `a`, who asks, to `b`. Linking oneself, or again, does nothing but set what `a` ignores.
  void link(Pid a, Pid b, bool a_ignores_normal);
  void unlink(Pid a, Pid b);

  /// False when the watcher has that reference already.
  bool monitor(Pid watcher, std::uint64_t ref, Pid target);
  void demonitor(Pid watcher, std::uint64_t ref);

  /// Forgets the dead one, and says who is to be told, in the order of their pids.
  Mourners end(Pid dead);

  std::vector<Pid> links_of(Pid pid) const;
  std::vector<Pid> monitors_of(Pid pid) const;
  /// True when nothing is written down about anybody.
  bool empty() const { return books_.empty(); }

 private:
  struct Book {
    std::map<Pid, bool> links;                          // to whom; true: a normal end of that one is ignored
    std::map<std::uint64_t, Pid> monitors;              // by reference: whom
    std::set<std::pair<Pid, std::uint64_t>> watched_by; // by whom, with which reference
    bool empty() const { return links.empty() && monitors.empty() && watched_by.empty(); }
  };
  void forget_if_empty(Pid pid);
  std::unordered_map<Pid, Book> books_;
};

}  // namespace muproc::broker
