// A memfd mapped through Boost.Interprocess. Every map is kept out of forked children and of core dumps: user code
// that forks must not leave a grandchild that still reads or writes the system's memory.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>

namespace muproc::sys {

class Mapping {
 public:
  enum class Access { read_only, read_write };

  Mapping() = default;
  /// Maps `size` bytes from `offset`; the descriptor may be closed afterwards. Throws std::system_error.
  Mapping(int memfd, Access access, std::size_t size, std::size_t offset = 0);

  std::byte* data() const { return static_cast<std::byte*>(region_.get_address()); }
  std::size_t size() const { return region_.get_size(); }
  explicit operator bool() const { return size() != 0; }

  template <class T>
  T* at(std::size_t offset) const {
    return reinterpret_cast<T*>(data() + offset);
  }

 private:
  boost::interprocess::mapped_region region_;
};

/// The system's page size in bytes.
inline constexpr std::size_t k_page = 4096;

}  // namespace muproc::sys
