// The book of extents: further memfds in which a muproc keeps messages that its arena has no room for.
//
// An extent is made for its owner, sealed once the owner has mapped it, and given to those who have a channel from the
// owner. It outlives its owner until all that it said has been read. Dropping one closes our descriptor; those who asked
// for it are told, so that they unmap it: then the memory is free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>

#include <muproc/pid.hpp>

#include "sys/fd.hpp"

namespace muproc::broker {

class Extents {
 public:
  static constexpr std::size_t k_most = 1024;                           // of an owner
  static constexpr std::uint64_t k_most_bytes = std::uint64_t{1} << 40;  // of an owner, in all

  /// Whether the owner may have one more of so many bytes. Who reads it maps the whole of it, and has only so many maps and
  /// addresses.
  bool has_room(Pid owner, std::uint64_t bytes) const;
  /// Ids count from 1 (0 is the arena in the segment), and are not used again by the same owner.
  std::uint32_t add(Pid owner, sys::UniqueFd memfd);
  /// The memfd to seal, or -1.
  int to_seal(Pid owner, std::uint32_t id);
  void set_sealed(Pid owner, std::uint32_t id);
  /// The memfd for `asker`, who is remembered; -1 when there is none, or none that is sealed.
  int give(Pid owner, std::uint32_t id, Pid asker);
  /// Who is to be told that it is gone.
  std::set<Pid> drop(Pid owner, std::uint32_t id);
  /// Drops all of an owner's: it is dead, and everything is read.
  void forget(Pid owner) { owners_.erase(owner); }

 private:
  struct Extent {
    sys::UniqueFd memfd;
    bool is_sealed = false;
    std::set<Pid> readers;
  };
  struct Owner {
    std::uint32_t last_id = 0;
    std::map<std::uint32_t, Extent> extents;
  };
  Extent* find(Pid owner, std::uint32_t id);
  std::unordered_map<Pid, Owner> owners_;
};

}  // namespace muproc::broker
