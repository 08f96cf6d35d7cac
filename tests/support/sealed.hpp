// What the kernel promises about a sealed memfd, tried out.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>

#include "support/catch.hpp"
#include "sys/fd.hpp"

namespace muproc::test {

/// How much memory a file really takes.
inline std::size_t bytes_allocated(int fd) {
  struct stat status;
  return ::fstat(fd, &status) == 0 ? static_cast<std::size_t>(status.st_blocks) * 512 : 0;
}

/// All ways to write that there are, by this process and with its rights, root's included.
inline void check_nobody_can_write(int memfd) {
  INFO("effective user " << ::geteuid());
  const auto map = [](int fd, int protection) { return ::mmap(nullptr, 4096, protection, MAP_SHARED, fd, 0); };

  CHECK(map(memfd, PROT_READ | PROT_WRITE) == MAP_FAILED);
  CHECK(errno == EPERM);

  void* readable = map(memfd, PROT_READ);
  REQUIRE(readable != MAP_FAILED);
  CHECK(::mprotect(readable, 4096, PROT_READ | PROT_WRITE) == -1);
  CHECK(errno == EACCES);

  // Reopened through /proc, which gives a new description with its own rights.
  const sys::UniqueFd reopened(::open(("/proc/self/fd/" + std::to_string(memfd)).c_str(), O_RDWR | O_CLOEXEC));
  if (reopened) {
    CHECK(map(reopened.get(), PROT_READ | PROT_WRITE) == MAP_FAILED);
    CHECK(::pwrite(reopened.get(), "x", 1, 0) == -1);
  }

  // Through /proc/self/mem, which may write read-only private maps for debuggers.
  const sys::UniqueFd memory(::open("/proc/self/mem", O_RDWR | O_CLOEXEC));
  if (memory) CHECK(::pwrite(memory.get(), "x", 1, static_cast<off_t>(reinterpret_cast<std::uintptr_t>(readable))) == -1);

  CHECK(::pwrite(memfd, "x", 1, 0) == -1);
  CHECK(errno == EPERM);
  CHECK(::ftruncate(memfd, 0) == -1);
  CHECK(::ftruncate(memfd, off_t{1} << 40) == -1);
  CHECK(::fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == -1);
  // The seals themselves cannot be changed.
  CHECK(::fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE) == -1);
  ::munmap(readable, 4096);
}

}  // namespace muproc::test
