#include "broker/extents.hpp"

namespace muproc::broker {

Extents::Extent* Extents::find(Pid owner, std::uint32_t id) {
  const auto book = owners_.find(owner);
  if (book == owners_.end()) return nullptr;
  const auto extent = book->second.extents.find(id);
  return extent == book->second.extents.end() ? nullptr : &extent->second;
}

bool Extents::has_room(Pid owner, std::uint64_t bytes) const {
  const auto book = owners_.find(owner);
  if (book == owners_.end()) return bytes <= k_most_bytes;
  for (const auto& [id, extent] : book->second.extents) bytes += sys::file_size(extent.memfd.get());
  return book->second.extents.size() < k_most && bytes <= k_most_bytes;
}

std::uint32_t Extents::add(Pid owner, sys::UniqueFd memfd) {
  Owner& book = owners_[owner];
  book.extents[++book.last_id].memfd = std::move(memfd);
  return book.last_id;
}

int Extents::to_seal(Pid owner, std::uint32_t id) {
  const Extent* extent = find(owner, id);
  return extent ? extent->memfd.get() : -1;
}

void Extents::set_sealed(Pid owner, std::uint32_t id) {
  if (Extent* extent = find(owner, id)) extent->is_sealed = true;
}

int Extents::give(Pid owner, std::uint32_t id, Pid asker) {
  Extent* extent = find(owner, id);
  if (!extent || !extent->is_sealed) return -1;
  extent->readers.insert(asker);
  return extent->memfd.get();
}

std::set<Pid> Extents::drop(Pid owner, std::uint32_t id) {
  const auto book = owners_.find(owner);
  if (book == owners_.end()) return {};
  auto node = book->second.extents.extract(id);
  return node.empty() ? std::set<Pid>() : std::move(node.mapped().readers);
}

}  // namespace muproc::broker
