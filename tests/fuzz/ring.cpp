// A ring as its receiver reads it, when its writer has put any bytes there: what is a record is a message within bounds, and
// the first that is none closes the channel.
//
// The input is what the ring holds. Where the reader will look next, by what the headers say, the right mark is put, or it
// would look no further.
#include <capnp/common.h>
#include <kj/exception.h>
#include <muproc/self.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "shm/ring.hpp"
#include "support/mailboxes.hpp"
#include "wire/mumsg.capnp.h"

using namespace muproc;
using muproc::test::Mailboxes;

namespace {

constexpr std::size_t k_ring = 16384;
constexpr std::uint64_t k_golden = 0x9e3779b97f4a7c15;

/// The ring's secret, but for a bit that does not matter, from its first mark.
std::uint64_t secret_of(std::uint64_t first_mark) { return first_mark ^ 64 * k_golden; }

void mark_records(std::byte* ring, std::uint64_t secret, std::size_t end) {
  for (std::size_t at = 0; at + sizeof(shm::RecordHeader) <= end;) {
    const std::uint64_t mark = shm::record_mark(secret, at);
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
  Mailboxes world;
  auto& alice = world.muproc();
  auto& bob = world.muproc();
  world.open(alice, bob, k_ring);
  auto& writer = alice.channel_to(bob).writer;
  std::byte* ring = writer.claim(1) - sizeof(shm::RecordHeader);
  writer.commit({}, 1);
  std::uint64_t first_mark;
  std::memcpy(&first_mark, ring, sizeof first_mark);
  size = std::min(size, k_ring);
  if (size) std::memcpy(ring, data, size);
  mark_records(ring, secret_of(first_mark), std::max<std::size_t>(size, 64));

  for (std::size_t records = 0; const auto message = bob.pull(); ++records) {
    if (records > k_ring / shm::k_line) std::abort();  // more than there is room for
    look_at(*message);
  }
  if (bob.corrupt.size() > 1) std::abort();  // it goes on after the first
  return 0;
}
