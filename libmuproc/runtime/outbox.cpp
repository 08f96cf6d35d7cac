#include "runtime/outbox.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace muproc::detail {
namespace {

constexpr std::size_t k_first_block = 64 << 10;

std::span<const std::byte> bytes_of(kj::ArrayPtr<const capnp::word> words) {
  return {reinterpret_cast<const std::byte*>(words.begin()), words.size() * sizeof(capnp::word)};
}

/// Behind what was copied. Words have no assignment.
capnp::word* copy_words(std::span<const capnp::word> from, capnp::word* to) {
  std::memcpy(static_cast<void*>(to), from.data(), from.size_bytes());
  return to + from.size();
}

}  // namespace

kj::ArrayPtr<capnp::word> ScratchBuilder::allocateSegment(unsigned minimum_words) {
  if (scratch_.size() >= minimum_words) {
    auto first = scratch_;
    scratch_ = nullptr;
    return first;
  }
  scratch_ = nullptr;
  // Each block as large as all before it, so that a message of any shape has few segments.
  std::size_t so_far = k_first_block;
  auto& blocks = made_blocks().blocks;
  for (const auto& block : blocks) so_far += block.bytes;
  const std::size_t needed = std::size_t{minimum_words} * sizeof(capnp::word);
  blocks.push_back(outbox_.allocate(std::max(needed, std::min(so_far, std::size_t{1} << 30))));
  const shm::Block& block = blocks.back();
  return {reinterpret_cast<capnp::word*>(block.data), block.bytes / sizeof(capnp::word)};
}

FlatBuilder::FlatBuilder() : message_(kj::arrayPtr(memory_, std::size(memory_)), capnp::AllocationStrategy::FIXED_SIZE) {
  auto root = capnp::_::PointerHelpers<capnp::AnyPointer>::getInternalBuilder(message_.getRoot<capnp::AnyPointer>());
  scratch.builder = root.initStruct(capnp::_::StructSize(FlatScratch::k_words, 0));
  scratch.words = reinterpret_cast<std::uint64_t*>(scratch.builder.getDataSectionAsBlob().begin());
}

Outbox::Outbox(std::shared_ptr<shm::OwnSegment> own, std::uint64_t max_message, Hooks hooks)
    : own_(std::move(own)),
      max_message_(max_message),
      hooks_(std::move(hooks)),
      arena_(own_->arena(), shm::k_arena_size) {}

// ---- building --------------------------------------------------------------------------------------------------------

void ScratchLease::Unmap::operator()(capnp::word* words) const noexcept { ::munmap(words, k_words * sizeof(capnp::word)); }

ScratchLease::ScratchLease(Outbox& outbox) : outbox_(outbox) {
  void* memory = ::mmap(nullptr, k_words * sizeof(capnp::word), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  words_.reset(static_cast<capnp::word*>(memory));
  builder_.emplace(outbox_, kj::arrayPtr(words_.get(), k_words));
}

std::optional<ScratchLease::Small> ScratchLease::small() {
  const auto segments = builder_->getSegmentsForOutput();
  if (segments.size() != 1 || segments[0].begin() != words_.get()) return std::nullopt;
  std::uint64_t root;
  std::memcpy(&root, words_.get(), sizeof root);
  // The offset, in words from behind the root pointer, is what moves; a struct without any words has none.
  if (const std::int32_t offset = static_cast<std::int32_t>(root); offset >= 0 && root != 0)
    root -= std::uint64_t{begin_ - 1} << 2;
  return Small{root, {words_.get() + begin_, segments[0].end()}};
}

std::size_t ScratchLease::words() {
  std::size_t words = 0;
  for (const auto& segment : builder_->getSegmentsForOutput()) words += segment.size();
  return words - (begin_ - 1);
}

BodyPtr ScratchLease::copy() {
  if (const auto message = small()) {
    BodyPtr body(new Body(message->words()));
    body->first_words = message->words();
    std::memcpy(static_cast<void*>(body->own.get()), &message->root, sizeof message->root);
    copy_words(message->rest, body->own.get() + 1);
    return body;
  }
  const auto segments = builder_->getSegmentsForOutput();
  std::size_t words = 0;
  for (const auto& segment : segments) words += segment.size();
  BodyPtr body(new Body(words));
  body->first_words = segments[0].size();
  capnp::word* to = copy_words(segments[0], body->own.get());
  for (const auto& segment : segments.slice(1, segments.size())) {
    body->further.emplace_back(to, segment.size());
    to = copy_words(segment, to);
  }
  return body;
}

void ScratchLease::clear() noexcept {
  const auto segments = builder_->getSegmentsForOutput();
  if (segments.size() == 0) return;
  const std::size_t end = segments[0].size();
  std::memset(&words_[0], 0, sizeof(capnp::word));
  std::memset(&words_[begin_], 0, (end - begin_) * sizeof(capnp::word));
  if (segments.size() == 1 && end <= k_wander && !builder_->blocks() && !builder_->moved_first) {
    begin_ = end;
    return;
  }
  outbox_.let_go(builder_->blocks());
  builder_.emplace(outbox_, kj::arrayPtr(words_.get(), k_words));
  begin_ = 1;
}

ScratchLease* Outbox::lease() {
  if (free_leases_.empty()) return new ScratchLease(*this);
  ScratchLease* lease = free_leases_.back().release();
  free_leases_.pop_back();
  return lease;
}

void Outbox::give_back(ScratchLease* lease) noexcept {
  lease->clear();
  free_leases_.emplace_back(lease);
}

shm::Block Outbox::allocate(std::size_t bytes) {
  std::optional<shm::Block> block = arena_.allocate(bytes);
  if (!block) {
    reclaim_all();
    block = arena_.allocate(bytes);
  }
  if (!block) {
    auto [number, memory] = hooks_.new_extent(shm::Arena::extent_size_for(bytes));
    arena_.add_extent(number, std::move(memory));
    block = arena_.allocate(bytes);
  }
  if (!block) throw MessageTooLarge("no memory for a block of " + std::to_string(bytes) + " bytes");
  count_blocks();
  return *block;
}

void Outbox::let_go(std::shared_ptr<LargeBlocks>& held) noexcept {
  const std::shared_ptr<LargeBlocks> blocks = std::move(held);
  if (!blocks || blocks.use_count() > 1) return;
  for (const auto& block : blocks->blocks)
    if (const auto empty = arena_.release(block)) hooks_.drop_extent(*empty);
  count_blocks();
}

void Outbox::count_blocks() { own_->status().arena_blocks.store(arena_.blocks(), std::memory_order_relaxed); }

// ---- channels --------------------------------------------------------------------------------------------------------

std::size_t Outbox::reserve_ring(std::size_t size) {
  if (auto& free = free_rings_[size]; !free.empty()) {
    const std::size_t offset = free.back();
    free.pop_back();
    return offset;
  }
  if (size > shm::k_arena_offset - rings_end_) throw Error("no room for another channel: the rings of this muproc are full");
  return std::exchange(rings_end_, rings_end_ + size);
}

void Outbox::give_back_ring(std::size_t offset, std::size_t size) { free_rings_[size].push_back(offset); }

OutChannel& Outbox::open(std::shared_ptr<Peer> peer, std::size_t offset, std::size_t size, std::uint32_t cursor,
                         std::uint64_t secret) {
  auto channel = std::make_unique<OutChannel>();
  channel->ring_offset = offset;
  channel->ring_size = size;
  channel->cursor = &peer->segment.cursor(cursor);
  channel->writer = shm::RingWriter(own_->at(offset), size, secret, &channel->cursor->consumed);
  channel->phase = channel->cursor->released.load(std::memory_order_acquire);
  channel->peer = std::move(peer);
  const std::uint32_t slot = channel->peer->pid.slot();
  if (slot >= by_slot_.size()) by_slot_.resize(slot + 1);
  if (by_slot_[slot]) close(by_slot_[slot]->peer->pid);
  by_slot_[slot] = std::move(channel);
  return *by_slot_[slot];
}

void Outbox::close(Pid to) {
  OutChannel* channel = find(to);
  if (!channel) return;
  for (auto& blocks : channel->blocks) let_go(blocks);
  give_back_ring(channel->ring_offset, channel->ring_size);
  by_slot_[to.slot()].reset();
}

void Outbox::move(Pid from, std::shared_ptr<Peer> successor, std::uint32_t cursor) {
  OutChannel* channel = find(from);
  if (!channel || cursor >= shm::k_max_channels || successor->pid.slot() != from.slot()) return;
  channel->peer = std::move(successor);
  channel->cursor = &channel->peer->segment.cursor(cursor);
  channel->writer.follow(&channel->cursor->consumed);
  channel->consumed_when_full = ~std::uint64_t{0};
  channel->receiver_has_ended = false;
}

void Outbox::reclaim(OutChannel& channel) {
  if (!channel.in_flight) return;
  // [SYNC arena.release] acquire: the receiver has finished reading the block.
  const std::uint64_t released = channel.cursor->released.load(std::memory_order_acquire);
  for (std::uint64_t done = (released ^ channel.phase) & channel.in_flight; done; done &= done - 1) {
    const auto ticket = static_cast<unsigned>(std::countr_zero(done));
    channel.phase ^= std::uint64_t{1} << ticket;
    channel.in_flight &= ~(std::uint64_t{1} << ticket);
    let_go(channel.blocks[ticket]);
  }
}

void Outbox::reclaim_all() {
  for (const auto& channel : by_slot_)
    if (channel) reclaim(*channel);
}

// ---- writing ---------------------------------------------------------------------------------------------------------

bool Outbox::write(OutChannel& channel, ScratchLease& lease, const shm::RecordHeader& header, std::uint64_t ref) {
  const std::size_t ref_words = header.flags & shm::k_flag_reference ? 1 : 0;
  const auto small = lease.small();
  if (!small || small->words() + ref_words > shm::max_record_words(channel.ring_size)) [[unlikely]]
    return write_large(channel, lease, header, ref);
  const std::size_t words = small->words() + ref_words;
  std::byte* to = channel.writer.claim(words);
  if (!to) return false;
  if (ref_words) std::memcpy(std::exchange(to, to + 8), &ref, 8);
  std::memcpy(std::exchange(to, to + 8), &small->root, 8);
  std::memcpy(to, small->rest.data(), small->rest.size_bytes());
  channel.writer.commit(header, words);
  return true;
}

bool Outbox::write_large(OutChannel& channel, ScratchLease& lease, shm::RecordHeader header, std::uint64_t ref) {
  check_size(lease);
  if (!~channel.in_flight) reclaim(channel);
  const std::uint64_t free_tickets = ~channel.in_flight;
  if (!free_tickets) return false;
  const auto ticket = static_cast<std::uint32_t>(std::countr_zero(free_tickets));

  ScratchBuilder& builder = lease.builder();
  auto segments = builder.getSegmentsForOutput();
  LargeBlocks& large = builder.made_blocks();
  auto& blocks = large.blocks;
  // The first segment is scratch memory, with what was sent before and is zero now.
  std::span<const std::byte> first = bytes_of(segments[0]);
  shm::LargeSegment table[shm::k_max_large_segments];
  std::uint32_t count = 0;

  const std::size_t head_words = (header.flags & shm::k_flag_reference ? 1 : 0) + sizeof(shm::LargeTable) / 8;
  const auto table_words = [&](std::size_t n) { return n * sizeof(shm::LargeSegment) / 8; };
  if (head_words + table_words(segments.size()) + first.size() / 8 > shm::max_record_words(channel.ring_size)) {
    // The receiver's ring is smaller than our scratch memory: the first segment moves to the arena too.
    if (!builder.moved_first) {
      builder.moved_first = allocate(first.size());
      std::memcpy(builder.moved_first->data, first.data(), first.size());
      blocks.push_back(*builder.moved_first);
    }
    table[count++] = {builder.moved_first->extent, 0, builder.moved_first->offset, first.size() / 8};
    first = {};
  }
  for (std::size_t i = 1; i < segments.size(); ++i) {
    const auto* data = reinterpret_cast<const std::byte*>(segments[i].begin());
    const auto block = std::find_if(blocks.begin(), blocks.end(), [&](const auto& b) { return b.data == data; });
    if (count == shm::k_max_large_segments || block == blocks.end())
      throw MessageTooLarge("a message of more than " + std::to_string(shm::k_max_large_segments) + " segments");
    table[count++] = {block->extent, 0, block->offset, segments[i].size()};
  }
  if (head_words + table_words(count) > shm::max_record_words(channel.ring_size))
    throw MessageTooLarge("the receiver's ring is too small for a message of " + std::to_string(count) + " segments");

  header.flags |= shm::k_flag_large;
  const shm::LargeTable head{count, ticket};
  const std::size_t ref_words = header.flags & shm::k_flag_reference ? 1 : 0;
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(&ref, ref_words)), std::as_bytes(std::span(&head, 1)),
                                              std::as_bytes(std::span(table, count)), first};
  if (!channel.writer.write(header, parts)) return false;
  // Dying here loses nothing: the receiver has the record, and the memory lives until it has read it.
  channel.in_flight |= std::uint64_t{1} << ticket;
  shm::AtomicU64& large_sent = own_->status().large_sent;
  large_sent.store(large_sent.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  channel.blocks[ticket] = builder.blocks();
  return true;
}

void Outbox::settle(OutChannel& channel, ScratchLease& lease) {
  reclaim(channel);
  const std::shared_ptr<LargeBlocks>& large = lease.builder().blocks();
  if (!large) return;
  for (; large->read_only < large->blocks.size(); ++large->read_only) shm::Arena::protect(large->blocks[large->read_only]);
}

void Outbox::check_size(ScratchLease& lease) const {
  const std::uint64_t bytes = lease.words() * sizeof(capnp::word);
  // The limit is on what the user put in; its pointers and tags may come on top.
  if (bytes > max_message_ + sys::k_page)
    throw MessageTooLarge("a message of " + std::to_string(bytes) + " bytes is larger than max_message, " +
                          std::to_string(max_message_));
}

}  // namespace muproc::detail
