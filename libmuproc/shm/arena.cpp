#include "shm/arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <cstring>

namespace muproc::shm {
namespace {

namespace bip = boost::interprocess;
using Buffer =
    bip::basic_managed_external_buffer<char, bip::rbtree_best_fit<bip::null_mutex_family>, bip::iset_index>;

constexpr std::size_t k_slack = 64;                                 // keeps Boost's header of the next block off our last page
constexpr std::size_t k_overhead = 64 << 10;                        // Boost's own, of an extent
constexpr std::size_t k_smallest_extent = std::size_t{64} << 20;

constexpr std::size_t pages(std::size_t bytes) { return (bytes + sys::k_page - 1) / sys::k_page * sys::k_page; }

/// Where there are as many maps as a process may have, a part of one cannot be made writable, but all of it can: then
/// the blocks beside it go without their guard.
bool make_writable(const Block& block, std::byte* extent, std::size_t size) noexcept {
  constexpr int k_writable = PROT_READ | PROT_WRITE;
  return ::mprotect(block.data, block.bytes, k_writable) == 0 || ::mprotect(extent, size, k_writable) == 0;
}

}  // namespace

struct Arena::Extent {
  Extent(std::uint32_t which, std::byte* at, std::size_t bytes)
      : number(which), base(at), size(bytes), buffer(bip::create_only, at, bytes) {}

  std::uint32_t number;
  sys::Mapping memory;
  std::byte* base;
  std::size_t size;
  Buffer buffer;
  std::size_t used_to = k_overhead;  // bytes from here on were never part of a block: they are zero
  std::size_t blocks = 0;
  std::unique_ptr<Extent> next;

  std::optional<Block> allocate(std::size_t bytes) {
    void* at = buffer.allocate_aligned(bytes + k_slack, sys::k_page, std::nothrow);
    if (!at) return std::nullopt;
    auto* data = static_cast<std::byte*>(at);
    const auto offset = static_cast<std::size_t>(data - base);
    // Fresh pages are zero but for what Boost kept at the beginning of the free block.
    const std::size_t dirty_to = std::max(used_to, offset + sys::k_page);
    std::memset(data, 0, std::min(bytes, dirty_to - std::min(dirty_to, offset)));
    used_to = std::max(used_to, offset + bytes + sys::k_page);
    ++blocks;
    return Block{number, offset, data, bytes};
  }
};

Arena::Arena(std::byte* base, std::size_t size) : base_(base), size_(size) {}
Arena::~Arena() = default;

std::optional<Block> Arena::allocate(std::size_t bytes) {
  bytes = pages(std::max<std::size_t>(bytes, 1));
  if (!first_) first_ = std::make_unique<Extent>(0, base_, size_);  // most never send anything large: not a page until then
  for (Extent* extent = first_.get(); extent; extent = extent == first_.get() ? further_.get() : extent->next.get()) {
    if (bytes > extent->size) continue;
    if (auto block = extent->allocate(bytes)) {
      ++blocks_;
      return block;
    }
  }
  return std::nullopt;
}

std::size_t Arena::extent_size_for(std::size_t bytes) {
  return std::max(k_smallest_extent, pages(bytes) + k_overhead + 2 * sys::k_page);
}

void Arena::add_extent(std::uint32_t number, sys::Mapping memory) {
  auto extent = std::make_unique<Extent>(number, memory.data(), memory.size());
  extent->memory = std::move(memory);
  extent->next = std::move(further_);
  further_ = std::move(extent);
}

void Arena::protect(const Block& block) noexcept {
  // Refused when the process has as many maps as it may: then it goes without this guard against itself.
  [[maybe_unused]] const int refused = ::mprotect(block.data, block.bytes, PROT_READ);
}

std::optional<std::uint32_t> Arena::release(const Block& block) {
  --blocks_;
  if (block.extent == 0) {
    if (!make_writable(block, first_->base, first_->size)) return std::nullopt;  // nobody's from now on
    first_->buffer.deallocate(block.data);
    --first_->blocks;
    return std::nullopt;
  }
  for (std::unique_ptr<Extent>* at = &further_; *at; at = &(*at)->next) {
    Extent& extent = **at;
    if (extent.number != block.extent) continue;
    if (make_writable(block, extent.base, extent.size)) extent.buffer.deallocate(block.data);
    if (--extent.blocks > 0) return std::nullopt;
    std::unique_ptr<Extent> gone = std::move(*at);
    *at = std::move(gone->next);
    return block.extent;
  }
  return std::nullopt;
}

}  // namespace muproc::shm
