#include "chaos/refusal.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <new>
#include <stdexcept>

namespace muproc::test {
namespace {

constexpr std::size_t k_most_processes = 64;

/// Written by the test while nothing is refused.
struct Orders {
  std::atomic<Refusable> call{Refusable::none};
  int error = 0;
  bool is_all_but = false, is_for_good = false;
  std::size_t nth = 0, processes = 0;
  pid_t os_pids[k_most_processes] = {};
  std::atomic<std::size_t> seen{0}, refused{0};

  bool concerns(pid_t os_pid) const {
    for (std::size_t i = 0; i < processes; ++i)
      if (os_pids[i] == os_pid) return !is_all_but;
    return is_all_but;
  }
};

Orders* orders = nullptr;

/// Sets errno when it is.
bool is_refused(Refusable call) noexcept {
  if (!orders || orders->call.load(std::memory_order_acquire) != call || !orders->concerns(::getpid())) return false;
  const std::size_t n = ++orders->seen;
  if (n < orders->nth || (n > orders->nth && !orders->is_for_good)) return false;
  ++orders->refused;
  errno = orders->error;
  return true;
}

}  // namespace

const char* to_string(Refusable call) {
  switch (call) {
    case Refusable::none: return "none";
    case Refusable::memfd_create: return "memfd_create";
    case Refusable::ftruncate: return "ftruncate";
    case Refusable::eventfd: return "eventfd";
    case Refusable::mmap: return "mmap";
    case Refusable::madvise: return "madvise";
    case Refusable::mprotect: return "mprotect";
    case Refusable::socketpair: return "socketpair";
    case Refusable::pipe2: return "pipe2";
    case Refusable::epoll_ctl: return "epoll_ctl";
    case Refusable::sendmsg: return "sendmsg";
  }
  return "?";
}

void make_refusals() {
  if (orders) return;
  void* memory = ::mmap(nullptr, sizeof(Orders), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  orders = new (memory) Orders;
}

Refusal::Refusal(Refusable call, int error, const Whom& whom, std::size_t nth, bool for_good) {
  if (whom.os_pids.size() > k_most_processes) throw std::length_error("too many processes to be told apart");
  orders->error = error;
  orders->is_all_but = whom.is_all_but;
  orders->is_for_good = for_good;
  orders->nth = nth;
  orders->processes = 0;
  for (const pid_t os_pid : whom.os_pids) orders->os_pids[orders->processes++] = os_pid;
  orders->seen = orders->refused = 0;
  orders->call.store(call, std::memory_order_release);
}

void Refusal::end() noexcept { orders->call.store(Refusable::none, std::memory_order_release); }
bool Refusal::has_struck() const { return orders->refused > 0; }

}  // namespace muproc::test

// ---- before the C library's -----------------------------------------------------------------------------------------

using muproc::test::is_refused;
using muproc::test::Refusable;

extern "C" {

int memfd_create(const char* name, unsigned flags) noexcept {
  return is_refused(Refusable::memfd_create) ? -1 : static_cast<int>(::syscall(SYS_memfd_create, name, flags));
}

int ftruncate(int fd, off_t length) noexcept {
  return is_refused(Refusable::ftruncate) ? -1 : static_cast<int>(::syscall(SYS_ftruncate, fd, length));
}

int eventfd(unsigned count, int flags) noexcept {
  return is_refused(Refusable::eventfd) ? -1 : static_cast<int>(::syscall(SYS_eventfd2, count, flags));
}

void* mmap(void* at, std::size_t length, int protection, int flags, int fd, off_t offset) noexcept {
  if (is_refused(Refusable::mmap)) return MAP_FAILED;
  return reinterpret_cast<void*>(::syscall(SYS_mmap, at, length, protection, flags, fd, offset));
}

int madvise(void* at, std::size_t length, int advice) noexcept {
  return is_refused(Refusable::madvise) ? -1 : static_cast<int>(::syscall(SYS_madvise, at, length, advice));
}

int mprotect(void* at, std::size_t length, int protection) noexcept {
  return is_refused(Refusable::mprotect) ? -1 : static_cast<int>(::syscall(SYS_mprotect, at, length, protection));
}

int socketpair(int domain, int type, int protocol, int ends[2]) noexcept {
  return is_refused(Refusable::socketpair) ? -1
                                           : static_cast<int>(::syscall(SYS_socketpair, domain, type, protocol, ends));
}

int pipe2(int ends[2], int flags) noexcept {
  return is_refused(Refusable::pipe2) ? -1 : static_cast<int>(::syscall(SYS_pipe2, ends, flags));
}

int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  return operation == EPOLL_CTL_ADD && is_refused(Refusable::epoll_ctl)
             ? -1
             : static_cast<int>(::syscall(SYS_epoll_ctl, epoll, operation, fd, event));
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  return is_refused(Refusable::sendmsg) ? -1 : ::syscall(SYS_sendmsg, fd, message, flags);
}

}  // extern "C"
