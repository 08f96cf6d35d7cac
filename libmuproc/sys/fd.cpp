#include "sys/fd.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/error.hpp"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace muproc::sys {

void UniqueFd::reset(int fd) noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

UniqueFd duplicate(int fd) { return UniqueFd(check(::fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl F_DUPFD_CLOEXEC")); }

UniqueFd create_memfd(const char* name, std::size_t size) {
  int fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);  // kernels before 6.3
  UniqueFd memfd(check(fd, "memfd_create", name));
  check(::ftruncate(memfd.get(), static_cast<off_t>(size)), "ftruncate", name);
  return memfd;
}

void seal_for_readers(int memfd) {
  check(::fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), "fcntl F_ADD_SEALS");
}

std::size_t file_size(int fd) {
  struct stat status;
  check(::fstat(fd, &status), "fstat");
  return static_cast<std::size_t>(status.st_size);
}

UniqueFd create_eventfd() { return UniqueFd(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")); }

void signal_eventfd(int fd) noexcept {
  const std::uint64_t one = 1;
  while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

UniqueFd open_pidfd(int os_pid) {
  return UniqueFd(static_cast<int>(check(::syscall(SYS_pidfd_open, os_pid, 0), "pidfd_open")));
}

bool send_signal(int pidfd, int signal) noexcept {
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0;
}

std::pair<UniqueFd, UniqueFd> socket_pair() {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
  std::pair<UniqueFd, UniqueFd> pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
  const int on = 1;
  check(::setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), "setsockopt SO_PASSCRED");
  return pair;
}

void set_nonblocking(int fd, bool nonblocking) {
  const int flags = check(::fcntl(fd, F_GETFL), "fcntl F_GETFL");
  check(::fcntl(fd, F_SETFL, nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), "fcntl F_SETFL");
}

void set_close_on_exec(int fd, bool close_on_exec) {
  check(::fcntl(fd, F_SETFD, close_on_exec ? FD_CLOEXEC : 0), "fcntl F_SETFD");
}

}  // namespace muproc::sys
