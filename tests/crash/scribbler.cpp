#include "crash/scribbler.hpp"

#include <capnp/message.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "shm/ring.hpp"
#include "sys/clock.hpp"
#include "support/messages.capnp.h"
#include "tools/common/broker_memory.hpp"
#include "wire/mumsg.capnp.h"
#include "wire/server.capnp.h"

namespace muproc::test {

// ---- finding ---------------------------------------------------------------------------------------------------------

std::vector<SharedMap> shared_maps(int os_pid) {
  std::vector<SharedMap> found;
  std::ifstream maps("/proc/" + std::to_string(os_pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto name = line.find("/memfd:muproc");
    if (name == line.npos) continue;
    std::istringstream fields(line);
    std::uint64_t begin, end, offset, inode;
    char dash;
    std::string rights, device;
    fields >> std::hex >> begin >> dash >> end >> rights >> offset >> device >> std::dec >> inode;
    if (rights[3] != 's') continue;
    found.push_back({reinterpret_cast<std::byte*>(begin), end - begin, offset, rights[1] == 'w', inode, line.substr(name + 7)});
  }
  return found;
}

FoundMemory::FoundMemory(Pid own) : own_(own), maps_(shared_maps(::getpid())) {
  segment_ = const_cast<std::byte*>(base_of(own));
  for (const SharedMap& map : maps_)
    if (map.name.starts_with("muproc-directory") && map.offset == 0) directory_ = map.begin;
  if (!segment_ || !directory_) throw std::logic_error("no shared memory found");
}

const std::byte* FoundMemory::base_of(Pid pid) const {
  for (const SharedMap& map : maps_)
    if (tools::owner_of_memfd("/memfd:" + map.name) == pid && map.offset == 0) return map.begin;
  return nullptr;
}

std::vector<FoundMemory::Channel> FoundMemory::channels() const {
  std::vector<Channel> channels;
  const auto* header = reinterpret_cast<const shm::DirectoryHeader*>(directory_);
  const auto* rows = reinterpret_cast<const shm::ChannelRow*>(directory_ + shm::k_rows_offset);
  for (std::uint32_t i = 0; i < header->channel_rows_used.load(); ++i) {
    if (Pid(rows[i].sender.load()) != own_) continue;
    const Pid receiver(rows[i].receiver.load());
    const std::byte* its = base_of(receiver);
    if (!its) continue;
    const auto* positions = reinterpret_cast<const shm::AtomicU64*>(its + shm::k_positions_offset);
    Channel channel{receiver, segment_ + rows[i].ring_offset.load(), rows[i].ring_size.load(), rows[i].secret.load(),
                    positions[rows[i].cursor.load()].load(), 0};
    auto reader = shm::RingReader::observer(channel.ring, channel.size, channel.secret, channel.taken);
    shm::RecordHeader record;
    while (reader.position() - channel.taken < channel.size && reader.look(record) == shm::RingReader::Look::record) reader.pass(record);
    channel.written = reader.position();
    channels.push_back(channel);
  }
  return channels;
}

std::vector<std::span<std::byte>> FoundMemory::interesting() const {
  std::vector<std::span<std::byte>> parts = {
      {segment_, 4096},                                   // the header, of which it is said that nobody believes it
      {segment_ + shm::k_status_offset, sizeof(shm::StatusBlock)},
      {segment_ + shm::k_cursors_offset, 16 * sizeof(shm::Cursor)},
      {segment_ + shm::k_positions_offset, 16 * sizeof(shm::AtomicU64)},
      {segment_ + shm::k_crash_offset, std::size_t{640} << 10},
  };
  for (const Channel& channel : channels()) parts.emplace_back(channel.ring, channel.size);
  return parts;
}

// ---- writing ---------------------------------------------------------------------------------------------------------

namespace {

/// Numbers in the neighbourhood of which mistakes are made.
std::uint64_t almost_right(Random& random) {
  constexpr std::uint64_t k_edges[] = {0,       1,       2,        7,         8,          31,        32,        56,         57,        63,
                                       64,      128,     255,      256,       4092,       4096,      0x7fff,    0x8000,     0xffff,    1 << 18,
                                       1 << 20, 1 << 26, 64 << 20, (1u << 29) - 1, 0x7fffffff, 0x80000000, 0xffffffff, ~0ull >> 1, ~0ull << 3, ~0ull};
  const std::uint64_t edge = k_edges[random.below(std::size(k_edges))];
  return random.one_in(3) ? random.bits() : edge + random.below(3) - 1;
}

void store(void* at, std::uint64_t word) {
  std::atomic_ref<std::uint64_t>(*static_cast<std::uint64_t*>(at)).store(word, std::memory_order_release);
}

std::byte* place(const FoundMemory::Channel& channel) { return channel.ring + (channel.written & (channel.size - 1)); }
std::size_t room(const FoundMemory::Channel& channel) { return channel.size - (channel.written & (channel.size - 1)); }

shm::RecordHeader right_header(const FoundMemory::Channel& channel, std::size_t words, std::uint64_t type_id) {
  shm::RecordHeader header{};
  header.words = static_cast<std::uint32_t>(words);
  header.kind = static_cast<std::uint8_t>(shm::RecordKind::message);
  header.target = static_cast<std::uint16_t>(channel.receiver.incarnation());
  header.type_id = type_id;
  header.timestamp = sys::ticks(true);
  return header;
}

/// Body first, then the header but for its mark, then the mark.
void commit(const FoundMemory::Channel& channel, shm::RecordHeader header, std::span<const std::uint64_t> body) {
  std::byte* at = place(channel);
  if (!body.empty()) std::memcpy(at + sizeof header, body.data(), std::min(body.size_bytes(), room(channel) - sizeof header));
  std::memcpy(at + 8, reinterpret_cast<const std::byte*>(&header) + 8, sizeof header - 8);
  store(at, shm::record_mark(channel.secret, channel.written));
}

std::uint64_t some_type(Random& random) {
  const std::uint64_t types[] = {capnp::typeId<wire::Mumsg>(),   capnp::typeId<wire::Request>(), capnp::typeId<wire::ByteMessage>(),
                                 capnp::typeId<Blob>(), capnp::typeId<Numbers>(),       random.bits()};
  return types[random.below(std::size(types))];
}

/// What looks like a pointer of Cap'n Proto, and leads anywhere.
std::uint64_t some_pointer(Random& random) {
  const std::uint64_t kind = random.below(4);
  const auto offset = static_cast<std::uint32_t>(random.one_in(2) ? random.below(16) : almost_right(random));
  return kind | (static_cast<std::uint64_t>(offset) << 2 & 0xffffffff) | almost_right(random) << 32;
}

std::vector<std::uint64_t> nonsense(std::size_t words, Random& random) {
  std::vector<std::uint64_t> body(words);
  for (auto& word : body) word = random.one_in(3) ? almost_right(random) : some_pointer(random);
  return body;
}

/// A mumsg with all kinds of fields, as the wire has it.
std::vector<std::uint64_t> right_mumsg() {
  capnp::MallocMessageBuilder builder(512);
  auto fields = builder.initRoot<wire::Mumsg>().initFields(5);
  fields[0].setName("n");
  fields[0].setInteger(1);
  fields[1].setName("text");
  fields[1].setText("a text of some length");
  fields[2].setName("list");
  auto list = fields[2].initList(3);
  list[0].setReal(1.5);
  list[1].setSymbol("symbol");
  list[2].initData(20);
  fields[3].setName("reason");
  auto reason = fields[3].initReason();
  reason.setName("a name");
  reason.initCause().setWhat("a cause");
  fields[4].setName("pid");
  fields[4].setPid(77);
  const auto segment = builder.getSegmentsForOutput()[0];
  std::vector<std::uint64_t> words(segment.size());
  std::memcpy(words.data(), segment.begin(), segment.size() * 8);
  return words;
}

}  // namespace

void scribble(std::span<std::byte> part, std::size_t words, Random& random) {
  for (; words > 0; --words) {
    std::byte* at = part.data() + random.below(part.size() / 8) * 8;
    store(at, random.one_in(2) ? random.bits() : almost_right(random));
  }
}

void write_wrong_record(const FoundMemory::Channel& channel, Random& random) {
  shm::RecordHeader header = right_header(channel, 4, some_type(random));
  const std::size_t most = shm::max_record_words(channel.size);
  switch (random.below(4)) {
    case 0: header.words = static_cast<std::uint32_t>(most + 1 + random.below(1000)); break;
    case 1: header.words = static_cast<std::uint32_t>(~0u - random.below(100)); break;
    case 2: header.kind = static_cast<std::uint8_t>(6 + random.below(250)); break;
    case 3:  // it has a reference and no words
      header.words = 0;
      header.flags = shm::k_flag_reference;
      break;
  }
  if (random.one_in(2)) header.timestamp = almost_right(random);
  commit(channel, header, {});
}

void write_wrong_contents(const FoundMemory::Channel& channel, Random& random) {
  const bool is_almost_right = random.one_in(2);
  std::vector<std::uint64_t> body = is_almost_right ? right_mumsg() : nonsense(1 + random.below(200), random);
  if (is_almost_right)
    for (std::uint64_t i = 1 + random.below(4); i > 0; --i) {
      std::uint64_t& word = body[random.below(body.size())];
      word = random.one_in(2) ? word ^ std::uint64_t{1} << random.below(64) : some_pointer(random);
    }
  if (shm::record_size(body.size()) > room(channel)) return;
  commit(channel, right_header(channel, body.size(), is_almost_right ? capnp::typeId<wire::Mumsg>() : some_type(random)), body);
}

void write_wrong_table(const FoundMemory::Channel& channel, Random& random) {
  std::vector<std::uint64_t> body = {1 | random.below(shm::k_tickets) << 32, 0, 0, 8};  // one segment in the arena, and then:
  switch (random.below(5)) {
    case 0: body[0] = (57 + random.below(1000)) | body[0] >> 32 << 32; break;              // too many segments
    case 1: body[0] = 1 | (shm::k_tickets + random.below(1000)) << 32; break;              // a ticket that there is not
    case 2: body[2] = shm::k_arena_size + 8 * random.below(1 << 20); break;                // behind the arena
    case 3: body[2] = 8 * random.below(100) + 4; break;                                    // between words
    case 4: body[3] = (shm::k_arena_size / 8 + 1) + (random.bits() & ~0ull >> 1); break;   // longer than the arena
  }
  shm::RecordHeader header = right_header(channel, body.size(), some_type(random));
  header.flags = shm::k_flag_large;
  commit(channel, header, body);
}

void spoil_unread(const FoundMemory::Channel& channel, Random& random) {
  const std::uint64_t unread = channel.written - channel.taken;
  if (unread == 0) return;
  for (int i = 0; i < 4; ++i) {
    const std::uint64_t at = (channel.taken + 8 * random.below(unread / 8)) & (channel.size - 1);
    store(channel.ring + at, random.one_in(3) ? random.bits() : some_pointer(random));
  }
}

}  // namespace muproc::test
