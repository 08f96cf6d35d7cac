// A look into a running system that asks nobody: its directory and the status blocks of its muprocs, mapped read-only.
//
//     SystemView view("area");
//     const auto now = view.look();
//
// It costs the system nothing, and works while the broker is stopped or busy. When the broker is gone, what it sees is what was
// last to be seen, and it says so; `is_succeeded` tells when another broker has taken the system over, for a fresh view.
//
// Everything in there may be written by others while it is read, and a muproc may have written anything into its own: each
// number is copied, checked, and the copy is used. One thread. A descriptor and a map for each muproc: raise the limit on
// descriptors (`allow_many_descriptors`) before watching large systems.
#pragma once

#include <memory>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "shm/directory.hpp"
#include "shm/segment.hpp"
#include "tools/common/broker_memory.hpp"
#include "tools/common/snapshot.hpp"

namespace muproc::tools {

/// The directory with its table of channels, which is there for observers.
class ObservedDirectory : public shm::DirectoryView {
 public:
  explicit ObservedDirectory(int memfd) : DirectoryView(memfd) {}
  /// Those whose numbers can be; what cannot is left out. `waiting` and what follows is not filled in.
  std::vector<ChannelView> channels() const;
};

class SystemView {
 public:
  /// Of the system of that name or path; empty: $MUPROC_SYSTEM, or the only one that runs. Throws Failure.
  explicit SystemView(std::string_view system);

  /// The system as it is now; when its broker is gone, as it was at the last look before.
  std::shared_ptr<const Snapshot> look();
  const std::filesystem::path& folder() const { return memory_.folder(); }
  std::string system() const { return std::string(directory_.system()); }
  const ObservedDirectory& directory() const { return directory_; }
  /// The mapped segment of that incarnation, dead or alive, for a closer look; null when it is not to be had.
  const shm::PeerSegment* segment(Pid pid) const;
  /// True when the lock names another broker than ours: the system was started again.
  bool is_succeeded() const;

 private:
  struct Mapped {
    sys::UniqueFd memfd;
    shm::PeerSegment segment;
  };
  Snapshot read(BrokerState broker);
  void read_muprocs(Snapshot& to) const;
  void map_segments(const Snapshot& now);
  void read_statuses(Snapshot& to);
  void read_mailboxes(Snapshot& to) const;
  std::chrono::nanoseconds now() const;

  BrokerMemory memory_;
  ObservedDirectory directory_;
  std::unordered_map<Pid, std::unique_ptr<Mapped>> segments_;
  std::unordered_set<Pid> refused_;  // whose segment is none that we can read
  std::shared_ptr<const Snapshot> last_;
};

/// What a muproc says of itself, copied.
MuprocStatus read_status(const shm::StatusBlock& status, const shm::DirectoryView& directory);

/// As many descriptors as this process may have.
void allow_many_descriptors();

}  // namespace muproc::tools
