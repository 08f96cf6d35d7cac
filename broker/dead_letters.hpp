// The book of dead letters: what reached nobody, since the system began.
//
// Whoever drops a message notes it in its own status block (shm/dead_letters.hpp). What lay unread in the mailbox of one
// that ended is noted here: the broker sees where the dead one had got to in each channel, and what its sender had
// written beyond that. When somebody ends, what its block says is taken over, so that nothing is forgotten with it; who
// lives is looked at when somebody asks.
//
// Bounded: so many targets, so many of the last, so many names of the dead, whatever happens. What comes out of others'
// memory is copied and checked, and a ring is never read for longer than it is.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include <muproc/pid.hpp>

#include "broker/channels.hpp"
#include "broker/muproc_table.hpp"
#include "shm/dead_letters.hpp"
#include "wire/control.capnp.h"

namespace muproc::broker {

class DeadLetters {
 public:
  static constexpr std::size_t k_last = 256;
  static constexpr std::size_t k_targets = 1000;
  static constexpr std::size_t k_names = 4096;
  static constexpr std::size_t k_segments = 64;  // of dead senders

  /// One has ended. `into` it were these channels; what it had not read of them, and its stash, are dead letters, and so
  /// is what it had dropped itself. Up to where each sender's channel was looked through: what is written there later is
  /// the sender's to note.
  std::map<Pid, std::uint64_t> bury(const Muproc& dead, const std::vector<Channel>& into, const MuprocTable& table);
  /// The same of one whose mailbox is kept: nothing is lost as yet but what it had dropped itself.
  void bury_kept(const Muproc& dead, const MuprocTable& table);
  /// It gets no successor: what that one would have got are dead letters.
  std::map<Pid, std::uint64_t> count_estate(const Muproc& dead, bool redelivers, const std::vector<Channel>& into, const MuprocTable& table);
  /// It was in hand at the death, and no successor gets it.
  void add_in_hand(const Muproc& dead, Pid sender, std::uint64_t type_id, const std::string& text, const MuprocTable& table);
  /// "" when it is not known any more.
  std::string name_of(Pid pid, const MuprocTable& table) const;
  /// A sender that has ended, of whom something may be unread: its segment is kept until `forget`, so that it can be counted.
  void keep(const Muproc& dead);
  void forget(Pid dead);

  /// By cause, without what the living have noted themselves.
  const std::array<std::uint64_t, shm::k_drops>& counts() const { return pages_.counts; }
  /// The whole book, with what the living have noted, and at most so many of the last.
  void write(wire::DeadLetters::Builder to, const std::vector<Muproc*>& living, unsigned last, const MuprocTable& table) const;

 private:
  struct Letter {
    shm::DroppedMessage message;
    std::string from_name, to_name;
    std::uint64_t count = 1;
  };
  struct Target {
    Pid pid;
    std::string name;
    std::uint64_t count = 0;
  };
  struct Pages {
    std::array<std::uint64_t, shm::k_drops> counts{};
    std::map<std::string, Target> targets;  // by name, else by pid; "" is for all others
    std::deque<Letter> last;

    void count_for(Pid to, const std::string& to_name, std::uint64_t messages);
    void add_last(Letter letter);
    void cut();
  };
  void take_over(Pages& pages, const Muproc& from, const MuprocTable& table) const;
  std::uint64_t count_unread(const Muproc& dead, const Channel& channel, int sender_segment, std::uint64_t position, const MuprocTable& table);
  void add_unread(const Muproc& dead, std::uint64_t messages);
  void count_channels(std::map<Pid, std::uint64_t>& counted, const Muproc& dead, const std::vector<Channel>& into, const MuprocTable& table,
                      const std::function<std::uint64_t(const Channel&)>& position_in);
  void add_stashed(const Muproc& dead, std::uint64_t messages);
  void remember(const Muproc& dead);

  Pages pages_;
  std::unordered_map<Pid, std::string> names_;
  std::deque<Pid> named_;
  std::map<Pid, sys::UniqueFd> segments_;
};

}  // namespace muproc::broker
