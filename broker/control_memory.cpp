// Requests about shared memory: channels, extents, records that are none.
#include <capnp/any.h>
#include <capnp/message.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>

#include <atomic>
#include <cstring>
#include <vector>

#include "broker/control.hpp"
#include "broker/rights.hpp"
#include "shm/ring.hpp"
#include "shm/segment.hpp"
#include "sys/error.hpp"
#include "wire/bounds.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

constexpr std::uint64_t k_max_extent = std::uint64_t{64} << 30;

std::uint64_t random_secret() {
  std::uint64_t secret;
  sys::check(::getrandom(&secret, sizeof secret, 0), "getrandom");
  return secret;
}

/// What a receiver would find who follows all pointers.
bool can_be_followed(kj::ArrayPtr<const capnp::word> contents) {
  try {
    capnp::SegmentArrayMessageReader reader(kj::arrayPtr(&contents, 1), capnp::ReaderOptions{8 * contents.size() + 65536, 256});
    reader.getRoot<capnp::AnyPointer>().targetSize();
    return true;
  } catch (const kj::Exception&) {
    return false;
  }
}

/// Where a large message says that it lies. What lies there its sender may have changed since, when it had it back; and of
/// an extent nobody knows what it was.
std::string why_no_table(kj::ArrayPtr<const capnp::word> body) {
  shm::LargeTable table;
  if (body.size() * sizeof(capnp::word) < sizeof table) return "a large message without its table";
  std::memcpy(&table, body.begin(), sizeof table);
  const std::size_t words = (sizeof table + std::size_t{table.segments} * sizeof(shm::LargeSegment)) / sizeof(capnp::word);
  if (table.segments > shm::k_max_large_segments || table.ticket >= shm::k_tickets || words > body.size())
    return "a large message whose table cannot be";
  for (std::uint32_t i = 0; i < table.segments; ++i) {
    shm::LargeSegment segment;
    std::memcpy(&segment, reinterpret_cast<const std::byte*>(body.begin()) + sizeof table + i * sizeof segment, sizeof segment);
    const bool is_inside = segment.offset % 8 == 0 && segment.offset <= shm::k_arena_size &&
                           segment.words <= (shm::k_arena_size - segment.offset) / sizeof(capnp::word);
    if (segment.extent == 0 && !is_inside) return "a large message that lies outside its memory";
  }
  return {};
}

std::string why_no_contents(kj::ArrayPtr<const capnp::word> contents) {
  switch (wire::check_bounds(contents.begin(), contents.size())) {
    case wire::Bounds::inside: return {};
    case wire::Bounds::malformed: return "contents that are no message";
    case wire::Bounds::far: return can_be_followed(contents) ? "" : "contents that are no message";
  }
  return {};
}

/// What is wrong with the record at `position`, by the rules of the ring; empty when nothing is.
std::string why_no_record(const std::byte* ring, const Channel& channel, std::uint64_t position) {
  const std::size_t offset = position & (channel.ring_size - 1);
  if (position % shm::k_line != 0) return {};
  shm::RecordHeader header;
  std::memcpy(&header, ring + offset, sizeof header);
  if (header.mark != shm::record_mark(channel.secret, position)) return {};  // nothing was committed there
  if (header.kind == static_cast<std::uint8_t>(shm::RecordKind::skip))
    return offset == 0 ? "a skip record at the ring's beginning" : "";
  if (header.kind > static_cast<std::uint8_t>(shm::RecordKind::error)) return fmt::format("a record of kind {}", header.kind);
  if (header.words > shm::max_record_words(channel.ring_size) ||
      offset + shm::record_size(header.words) > channel.ring_size)
    return fmt::format("a record of {} words", header.words);
  const std::size_t reference = header.flags & shm::k_flag_reference ? 1 : 0;
  if (header.words < reference) return "a record without its reference";
  std::vector<capnp::word> body(header.words - reference);
  std::memcpy(body.data(), ring + offset + sizeof header + reference * 8, body.size() * sizeof(capnp::word));
  std::atomic_thread_fence(std::memory_order_acquire);
  std::uint64_t mark;
  std::memcpy(&mark, ring + offset, sizeof mark);
  if (mark != header.mark) return {};  // written over meanwhile: it had been read
  const auto words = kj::arrayPtr(body.data(), body.size());
  return header.flags & shm::k_flag_large ? why_no_table(words) : why_no_contents(words);
}

}  // namespace

// ---- channels --------------------------------------------------------------------------------------------------------

void Control::open_channel(Connection& connection, Id id, wire::OpenChannel::Reader request) {
  Muproc& sender = asker(connection);
  const Muproc* speaker = sender.speaks_for ? core_.table.find(sender.speaks_for) : &sender;
  if (!speaker) throw Failure{ErrorKind::FAILED, "its muproc has ended"};
  const Muproc* alive = core_.table.find(Pid(request.getReceiver()));
  // One that has ended, and whose mailbox takes messages for its successor, hears of nothing; that one will.
  const Muproc* receiver = alive && alive->is_up() ? alive : estates_.find(Pid(request.getReceiver()));
  if (!receiver)
    throw Failure{ErrorKind::NOPROC, fmt::format("{} is not alive", to_string(Pid(request.getReceiver()))), Reason::noproc()};
  if (!receiver->has_mailbox()) throw Failure{ErrorKind::FAILED, receiver->name + " has no mailbox"};
  if (const auto why = why_not_send(speaker->plan.get(), receiver->name); !why.empty()) throw Failure{ErrorKind::PERMISSION, why};
  if (const auto why = core_.channels.why_not_ring(sender.pid, request.getRingOffset(), request.getRingSize()); !why.empty())
    throw Failure{ErrorKind::FAILED, why};
  auto channel = core_.channels.open(sender.pid, receiver->pid, request.getRingOffset(), request.getRingSize(), random_secret());
  if (!channel)
    throw Failure{ErrorKind::LIMIT, fmt::format("{} has {} channels already, and room for no more", receiver->name, shm::k_max_channels)};
  const auto row = core_.directory.add_channel(channel->sender, channel->receiver, channel->ring_offset, channel->ring_size,
                                               channel->cursor, channel->secret);
  if (!row) {
    core_.channels.close(*channel);
    throw Failure{ErrorKind::LIMIT, fmt::format("there are {} channels already, and room for no more", shm::k_max_channel_rows)};
  }
  core_.channels.set_row(*channel, *row);
  core_.channels.set_speaker(*channel, speaker->pid, speaker->plan && !speaker->plan->trust);

  Message news;
  auto opened = news->initChannelOpened();
  opened.setCursor(channel->cursor);
  opened.setSender(channel->sender.bits());
  opened.setRingOffset(channel->ring_offset);
  opened.setRingSize(channel->ring_size);
  opened.setSecret(channel->secret);
  opened.setIsNotTrusted(speaker->plan && !speaker->plan->trust);
  opened.setSpeaksFor(speaker->pid.bits());
  try {
    if (receiver == alive) receiver->connection->send(news, {sender.segment.get(), sender.eventfd.get()});
  } catch (const std::exception&) {  // it will not hear of it: there is no such channel
    core_.directory.remove_channel(*row);
    core_.channels.close(*channel);
    throw;
  }

  Message answer(id);
  auto given = answer->initChannel();
  given.setCursor(channel->cursor);
  given.setSecret(channel->secret);
  reply(connection.id(), answer, {receiver->segment.get(), receiver->eventfd.get()});
}

void Control::channel_drained(Connection& connection, std::uint32_t cursor) {
  const auto channel = core_.channels.drained(connection.owner(), cursor);
  if (!channel) return;
  core_.directory.remove_channel(channel->row);
  if (!core_.channels.is_read(channel->sender)) core_.forget_memory_of(channel->sender);
}

void Control::corrupt_record(Connection& connection, wire::CorruptRecord::Reader request) {
  const Muproc& accuser = asker(connection);
  const Channel* channel = core_.channels.find(accuser.pid, request.getCursor());
  Muproc* accused = channel ? core_.table.find(channel->sender) : nullptr;
  if (!accused || accused->is_dead) return;
  const shm::PeerSegment segment(accused->segment.get(), accused->pid);
  const std::string what = why_no_record(segment.at(channel->ring_offset), *channel, request.getPosition());
  if (what.empty()) {
    core_.log.warn("{} says that {} wrote a corrupt message ({}); nothing is wrong with it", Core::name_of(accuser),
                   Core::name_of(*accused), wire::view(request.getWhat()));
    return;
  }
  core_.log.error("{} wrote {} to {} and is ended", Core::name_of(*accused), what, Core::name_of(accuser));
  endings_.kill(*accused, Reason::corrupt_message(what));
}

// ---- extents ---------------------------------------------------------------------------------------------------------

void Control::new_extent(Connection& connection, Id id, std::uint64_t size) {
  const Muproc& owner = asker(connection);
  if (size == 0 || size > k_max_extent) throw Failure{ErrorKind::LIMIT, fmt::format("an extent of {} bytes", size)};
  if (!core_.extents.has_room(owner.pid, size))
    throw Failure{ErrorKind::LIMIT, fmt::format("more than {} extents, or than {} bytes of them", Extents::k_most, Extents::k_most_bytes)};
  sys::UniqueFd memfd = sys::create_memfd("muproc-extent", size);
  const int fd = memfd.get();
  sys::check(::fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), "fcntl F_ADD_SEALS");  // what was granted is what it is
  Message answer(id);
  const std::uint32_t extent = core_.extents.add(owner.pid, std::move(memfd));
  answer->setExtent(extent);
  try {
    reply(connection.id(), answer, {fd});
  } catch (const std::exception&) {  // its owner will not hear of it
    core_.extents.drop(owner.pid, extent);
    throw;
  }
}

void Control::seal_extent(Connection& connection, Id id, std::uint32_t extent) {
  const Muproc& owner = asker(connection);
  const int memfd = core_.extents.to_seal(owner.pid, extent);
  if (memfd < 0) throw Failure{ErrorKind::NOT_FOUND, fmt::format("no extent {}", extent)};
  sys::seal_for_readers(memfd);
  core_.extents.set_sealed(owner.pid, extent);
  ok(connection, id);
}

void Control::drop_extent(Connection& connection, std::uint32_t extent) {
  const Muproc& owner = asker(connection);
  for (const Pid pid : core_.extents.drop(owner.pid, extent)) {
    const Muproc* reader = core_.table.find(pid);
    if (!reader || !reader->connection) continue;
    Message news;
    auto dropped = news->initExtentDropped();
    dropped.setOwner(owner.pid.bits());
    dropped.setExtent(extent);
    reader->connection->send(news);
  }
}

void Control::get_extent(Connection& connection, Id id, wire::GetExtent::Reader request) {
  const Muproc& reader = asker(connection);
  const Pid owner(request.getOwner());
  if (!core_.channels.connects(owner, reader.pid))
    throw Failure{ErrorKind::PERMISSION, fmt::format("{} has no channel from {}", reader.name, to_string(owner))};
  const int memfd = core_.extents.give(owner, request.getExtent(), reader.pid);
  if (memfd < 0) throw Failure{ErrorKind::NOT_FOUND, fmt::format("{} has no extent {}", to_string(owner), request.getExtent())};
  Message answer(id);
  answer->setOk();
  reply(connection.id(), answer, {memfd});
}

}  // namespace muproc::broker
