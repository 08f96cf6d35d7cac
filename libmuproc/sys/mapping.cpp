#include "sys/mapping.hpp"

#include <sys/mman.h>

#include <string>
#include <system_error>

#include "sys/error.hpp"

namespace muproc::sys {
namespace {

namespace bip = boost::interprocess;

/// What Boost calls a memory mappable: anything with a handle and a mode.
struct Memfd {
  int fd;
  bip::mode_t mode;
  bip::mapping_handle_t get_mapping_handle() const {
    return bip::ipcdetail::mapping_handle_from_file_handle(fd);
  }
  bip::mode_t get_mode() const { return mode; }
};

bip::mapped_region map(int memfd, Mapping::Access access, std::size_t size, std::size_t offset) {
  const bip::mode_t mode = access == Mapping::Access::read_only ? bip::read_only : bip::read_write;
  try {
    return bip::mapped_region(Memfd{memfd, mode}, mode, static_cast<bip::offset_t>(offset), size, nullptr,
                              MAP_NORESERVE);
  } catch (const bip::interprocess_exception& error) {
    throw_errno("mmap", std::to_string(size) + " bytes", error.get_native_error());
  }
}

}  // namespace

Mapping::Mapping(int memfd, Access access, std::size_t size, std::size_t offset)
    : region_(map(memfd, access, size, offset)) {
  check(::madvise(data(), size, MADV_DONTFORK), "madvise MADV_DONTFORK");
  check(::madvise(data(), size, MADV_DONTDUMP), "madvise MADV_DONTDUMP");
}

}  // namespace muproc::sys
