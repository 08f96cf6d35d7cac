// A muproc that has gone mad: it finds all shared memory that it can write and writes there what it likes.
//
// What it writes is drawn from a seed: noise; marks, cursors and flags that are almost right; records that are right but for
// one thing; messages of which a few bits are others. It goes around the runtime for that, through /proc/self/maps, as a
// wild pointer would.
#pragma once

#include <muproc/self.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "shm/directory.hpp"
#include "shm/layout.hpp"
#include "support/random.hpp"

namespace muproc::test {

/// A line of /proc/PID/maps about shared memory of a muproc system.
struct SharedMap {
  std::byte* begin = nullptr;
  std::size_t size = 0, offset = 0;
  bool is_writable = false;
  std::uint64_t inode = 0;
  std::string name;  // "muproc:<0.3.1>…", "muproc-directory", "muproc-extent"
};
std::vector<SharedMap> shared_maps(int os_pid);

/// A muproc's shared memory as it finds it itself.
class FoundMemory {
 public:
  explicit FoundMemory(Pid own);

  struct Channel {
    Pid receiver;
    std::byte* ring;
    std::size_t size;
    std::uint64_t secret;
    std::uint64_t taken;    // how far its receiver has come
    std::uint64_t written;  // where the next record goes, at about now
  };
  /// From here to others, as far as they have a place where the receiver is seen.
  std::vector<Channel> channels() const;

  std::byte* segment() const { return segment_; }
  /// The parts of the segment on which anybody ever acts, and those that are in use.
  std::vector<std::span<std::byte>> interesting() const;

 private:
  Pid own_;
  std::byte* segment_ = nullptr;
  std::vector<SharedMap> maps_;
  const std::byte* base_of(Pid pid) const;
  const std::byte* directory_ = nullptr;
};

/// Writes noise over a part, so many words.
void scribble(std::span<std::byte> part, std::size_t words, Random& random);

/// Puts a record where the receiver of that channel looks next, with the right mark, and with something wrong with it that
/// the broker can see, too.
void write_wrong_record(const FoundMemory::Channel& channel, Random& random);
/// One whose header is right, and whose contents are a few words of nonsense.
void write_wrong_contents(const FoundMemory::Channel& channel, Random& random);
/// One of a large message whose table is wrong.
void write_wrong_table(const FoundMemory::Channel& channel, Random& random);
/// Changes a few bits of what was written and not yet taken, if there is anything.
void spoil_unread(const FoundMemory::Channel& channel, Random& random);

}  // namespace muproc::test
