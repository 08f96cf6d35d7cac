// A ring as its receiver reads it, when its writer has put any bytes there: what is a record is a message within bounds, and
// the first that is none closes the channel.
//
// The input is what the ring holds, and what its writer's arena begins with, for large messages to lie in. Where the reader
// will look next, by what the headers say, the right mark is put, or it would look no further; what the input has there
// instead, at the very beginning, says whether the writer is trusted.
//
// Segments and maps stay from one input to the next: a fresh one costs more than a hundred inputs. What an input has
// written is zeroed, and its channel is drained as that of a dead sender.
#include <kj/exception.h>
#include <muproc/self.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "runtime/inbox.hpp"
#include "shm/directory.hpp"
#include "shm/ring.hpp"
#include "wire/codec.hpp"
#include "wire/mumsg.capnp.h"

using namespace muproc;

namespace {

constexpr std::uint32_t k_ring = 16384;
constexpr std::uint64_t k_secret = 0x9e3779b97f4a7c15;
constexpr std::uint64_t k_copy_limit = std::uint64_t{1} << 20;  // bytes of a large message from who is not trusted

/// A writer's segment, and the receiver that maps it.
class Receiver {
 public:
  Receiver() { sys::seal_for_readers(writers_memfd_.get()); }

  std::byte* ring() { return writers_.at(shm::k_rings_offset); }
  std::byte* arena() { return writers_.arena(); }
  void open(bool is_trusted) {
    corrupt_ = 0;
    is_open_ = true;
    inbox_.open(0, peer_, k_writer, shm::k_rings_offset, k_ring, k_secret, is_trusted ? 0 : k_copy_limit);
  }
  std::optional<Message> pull() { return inbox_.pull(); }
  void drain() {
    inbox_.sender_died(k_writer);
    while (is_open_)
      if (inbox_.pull()) std::abort();  // all was read
    if (inbox_.channels() != 0) std::abort();
  }
  unsigned corrupt() const { return corrupt_; }

 private:
  static constexpr Pid k_writer{0, 0, 1}, k_self{0, 1, 1};

  detail::Inbox::Hooks hooks() {
    return {.corrupt = [this](const detail::InChannel&, std::uint64_t, const std::string&) { ++corrupt_; },
            .drained = [this](const detail::InChannel&) { is_open_ = false; },
            .fetch_extent = [](detail::Peer&, std::uint32_t) { throw Error("there is no such extent"); }};
  }

  shm::Directory directory_ = shm::Directory::create("fuzz", 1);
  sys::UniqueFd writers_memfd_ = sys::create_memfd("fuzz-writer", shm::k_segment_size);
  shm::OwnSegment writers_{writers_memfd_.get(), k_writer};
  std::shared_ptr<detail::Peer> peer_ =
      std::make_shared<detail::Peer>(k_writer, writers_memfd_.get(), sys::create_eventfd());
  sys::UniqueFd memfd_ = sys::create_memfd("fuzz-reader", shm::k_segment_size);
  std::shared_ptr<shm::OwnSegment> own_ = std::make_shared<shm::OwnSegment>(memfd_.get(), k_self);
  unsigned corrupt_ = 0;
  bool is_open_ = false;
  detail::Inbox inbox_{own_, directory_, k_self, k_ring, hooks()};
};

void mark_records(std::byte* ring, std::size_t end) {
  for (std::size_t at = 0; at + sizeof(shm::RecordHeader) <= end;) {
    const std::uint64_t mark = shm::record_mark(k_secret, at);
    std::memcpy(ring + at, &mark, sizeof mark);
    shm::RecordHeader header;
    std::memcpy(&header, ring + at, sizeof header);
    if (header.kind == static_cast<std::uint8_t>(shm::RecordKind::skip)) break;  // to the beginning, where it all began
    at += shm::record_size(std::min<std::size_t>(header.words, k_ring));
  }
}

void look_at(const Message& message) {
  (void)message.age();
  try {
    if (message.is_mumsg()) {
      for (const char* name : {"cmd", "x"})
        if (const auto field = message.mumsg().find(name)) (void)field->value();
      (void)to_string(message.mumsg().value());
    } else if (message.is_bytes()) {
      unsigned sum = 0;
      for (const std::byte byte : message.bytes()) sum += std::to_integer<unsigned>(byte);
      if (sum == ~0U) std::abort();  // so that they are read
    } else if (message.is<wire::Reason>()) {
      (void)to_string(wire::read(message.as<wire::Reason>()));
    }
    message.check();
  } catch (const kj::Exception&) {  // contents of another shape than their type's
  } catch (const ValueError&) {}
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Receiver receiver;
  size = std::min<std::size_t>(size, k_ring);
  for (std::byte* to : {receiver.ring(), receiver.arena()})
    if (size) std::memcpy(to, data, size);
  const std::size_t used = std::max(size, shm::k_line);
  mark_records(receiver.ring(), used);

  receiver.open(size == 0 || data[0] % 2 == 0);
  for (std::size_t records = 0; const auto message = receiver.pull(); ++records) {
    if (records > k_ring / shm::k_line) std::abort();  // more than there is room for
    look_at(*message);
  }
  if (receiver.corrupt() > 1) std::abort();  // it goes on after the first
  receiver.drain();
  for (std::byte* written : {receiver.ring(), receiver.arena()}) std::memset(written, 0, used);
  return 0;
}
