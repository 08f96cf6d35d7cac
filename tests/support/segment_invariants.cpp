#include "support/segment_invariants.hpp"

#include <fstream>
#include <memory>
#include <unordered_map>

#include "shm/directory.hpp"
#include "shm/ring.hpp"
#include "shm/segment.hpp"
#include "tools/common/broker_memory.hpp"

namespace muproc::test {
namespace {

namespace fs = std::filesystem;

class View : public shm::DirectoryView {
 public:
  explicit View(int memfd) : DirectoryView(memfd) {}
  using DirectoryView::row;
};

class Inspector {
 public:
  explicit Inspector(const fs::path& folder) : memory_(folder), directory_(memory_.directory()) {}

  std::size_t channels() {
    std::size_t open = 0;
    const std::uint32_t rows = directory_.header().channel_rows_used.load();
    for (std::uint32_t row = 0; row < rows; ++row) open += directory_.row(row).sender.load() != 0;
    return open;
  }

  std::vector<std::string> look() {
    for (std::uint32_t slot = 0; slot < directory_.slots(); ++slot)
      if (const Pid pid(directory_.live(slot).pid.load()); pid) look_at(pid);
    const std::uint32_t rows = directory_.header().channel_rows_used.load();
    for (std::uint32_t row = 0; row < rows; ++row)
      if (directory_.row(row).sender.load()) look_at(directory_.row(row));
    return std::move(breaches_);
  }

 private:
  void must(bool holds, const std::string& what) {
    if (!holds) breaches_.push_back(what);
  }

  const shm::PeerSegment* segment(Pid pid) {
    const auto known = segments_.find(pid);
    if (known != segments_.end()) return known->second.get();
    auto& segment = segments_[pid];
    const auto found = memory_.segments({pid});
    if (const auto at = found.find(pid); at != found.end()) segment = std::make_unique<shm::PeerSegment>(at->second.get(), pid);
    return segment.get();
  }

  void look_at(Pid pid) {
    const shm::PeerSegment* own = segment(pid);
    if (!own) return;  // a supervisor, a plain program
    const shm::StatusBlock& status = own->status();
    must((status.asleep.load() & ~shm::k_wakers_fence) <= 2, to_string(pid) + " sleeps in a way that there is none");
    must(status.activity.load() <= static_cast<std::uint32_t>(shm::Activity::asking), to_string(pid) + " does what there is not");
    must(status.malformed.load() == 0, to_string(pid) + " has met records that are none");
    must(status.stash_bytes.load() <= status.stash_high_water.load(), to_string(pid) + " has more in its stash than ever");
  }

  /// From where the receiver is to where the sender is, record by record.
  void look_at(const shm::ChannelRow& row) {
    const Pid sender(row.sender.load()), receiver(row.receiver.load());
    const std::string name = to_string(sender) + " -> " + to_string(receiver);
    const shm::PeerSegment* from = segment(sender);
    const shm::PeerSegment* to = segment(receiver);
    must(from && to, name + ": a channel without its memory");
    if (!from || !to) return;
    const std::uint64_t consumed = to->cursor(row.cursor.load()).consumed.load();
    const std::uint64_t position = to->position(row.cursor.load()).load();
    must(consumed % shm::k_line == 0 && position % shm::k_line == 0, name + ": a cursor inside a record");
    must(consumed <= position, name + ": given back before it was read");
    shm::RingReader reader =
        shm::RingReader::observer(from->at(row.ring_offset.load()), row.ring_size.load(), row.secret.load(), position);
    shm::RecordHeader header;
    while (reader.position() - consumed <= row.ring_size.load()) {
      const auto look = reader.look(header);
      must(look != shm::RingReader::Look::malformed, name + ": a record that is none at " + std::to_string(reader.position()));
      if (look != shm::RingReader::Look::record) return;
      must(header.target == static_cast<std::uint16_t>(receiver.incarnation()), name + ": a record for somebody else");
      reader.pass(header);
    }
    must(false, name + ": more than the ring holds");
  }

  tools::BrokerMemory memory_;
  View directory_;
  std::unordered_map<Pid, std::unique_ptr<shm::PeerSegment>> segments_;
  std::vector<std::string> breaches_;
};

}  // namespace

std::vector<std::string> breaches(const fs::path& folder) { return Inspector(folder).look(); }
std::size_t open_channels(const fs::path& folder) { return Inspector(folder).channels(); }

Holdings holdings_of(int os_pid) {
  Holdings holdings;
  std::error_code gone;
  const fs::path process = "/proc/" + std::to_string(os_pid);
  for ([[maybe_unused]] const auto& fd : fs::directory_iterator(process / "fd", gone)) ++holdings.descriptors;
  std::ifstream maps(process / "maps");
  for (std::string line; std::getline(maps, line);) holdings.maps += line.find("/memfd:muproc") != line.npos;
  return holdings;
}

std::string to_string(const Holdings& holdings) {
  return std::to_string(holdings.descriptors) + " descriptors, " + std::to_string(holdings.maps) + " maps";
}

}  // namespace muproc::test
