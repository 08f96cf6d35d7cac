#include "tools/common/waiting_messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "shm/ring.hpp"
#include "tools/common/waiting.hpp"

namespace muproc::tools {
namespace {

WaitingMessage message_of(const shm::RecordHeader& header, const std::byte* body, const MessageDecoder& decoder) {
  WaitingMessage message;
  const std::size_t skipped = header.flags & shm::k_flag_reference ? 1 : 0;
  MessageSegments segments(1);
  if (header.words > skipped) {
    segments[0].resize(header.words - skipped);
    std::memcpy(segments[0].data(), body + 8 * skipped, 8 * segments[0].size());
  }
  const bool is_large = header.flags & shm::k_flag_large;
  const DecodedMessage decoded = decoder.decode(header, is_large ? MessageSegments() : segments);
  message.kind = decoded.kind;
  message.text = is_large ? fmt::format("a large message of type {:#x}, in its sender's memory", header.type_id)
                          : decoded.type + (decoded.type.empty() ? "" : " ") + decoded.text;
  return message;
}

}  // namespace

std::vector<WaitingMessage> waiting_messages(const SystemView& view, const Snapshot& now, Pid receiver,
                                             std::size_t of_each, const MessageDecoder& decoder) {
  std::vector<WaitingMessage> messages;
  const shm::PeerSegment* to = view.segment(receiver);
  for (const ChannelView& channel : now.channels) {
    const shm::PeerSegment* from = channel.to == receiver ? view.segment(channel.from) : nullptr;
    if (!from || !to) continue;
    const shm::AtomicU64& position = to->position(channel.cursor);
    const std::uint64_t begin = position.load(std::memory_order_acquire);
    if (!is_ring(channel.ring_offset, channel.ring_size, begin)) continue;
    auto reader = shm::RingReader::observer(from->at(channel.ring_offset), channel.ring_size, channel.secret, begin);
    shm::RecordHeader header;
    for (std::size_t count = 0; count < of_each && reader.look(header) == shm::RingReader::Look::record; ++count) {
      const std::uint64_t at = reader.position();
      WaitingMessage message = message_of(header, reader.body(), decoder);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (position.load(std::memory_order_relaxed) > at || at - begin >= channel.ring_size) break;
      message.from = channel.from;
      message.age = view.directory().age(header.timestamp);
      messages.push_back(std::move(message));
      reader.pass(header);
    }
  }
  std::stable_sort(messages.begin(), messages.end(),
                   [](const WaitingMessage& a, const WaitingMessage& b) { return a.age > b.age; });
  return messages;
}

}  // namespace muproc::tools
