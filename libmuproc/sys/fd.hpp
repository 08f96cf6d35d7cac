// File descriptors that close themselves, and the kinds of them that muproc lives on: memfds, eventfds, pidfds and
// pairs of Unix sockets. All are created close-on-exec; what a child is to keep is passed on by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace muproc::sys {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

UniqueFd duplicate(int fd);

/// A sparse anonymous file of `size` bytes that can be sealed. `name` shows in /proc only.
UniqueFd create_memfd(const char* name, std::size_t size);
/// From now on nobody, root included, can resize it or make a new writable map of it; maps that exist stay as they are.
void seal_for_readers(int memfd);
/// The file's size in bytes.
std::size_t file_size(int fd);

UniqueFd create_eventfd();
/// Adds one; never blocks, never fails for a valid eventfd (a full counter already wakes).
void signal_eventfd(int fd) noexcept;

/// Throws ESRCH when there is no such process.
UniqueFd open_pidfd(int os_pid);
/// False when the process has ended.
bool send_signal(int pidfd, int signal) noexcept;

/// Both ends non-inheritable; stream sockets that carry descriptors and, at `first`, the sender's credentials.
std::pair<UniqueFd, UniqueFd> socket_pair();
void set_nonblocking(int fd, bool nonblocking);
void set_close_on_exec(int fd, bool close_on_exec);

}  // namespace muproc::sys
