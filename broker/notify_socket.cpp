#include "broker/notify_socket.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <utility>

#include "sys/error.hpp"

namespace muproc::broker {
namespace {

constexpr std::size_t k_longest = 4096;  // bytes of a datagram

struct Datagram {
  std::string text;
  int sender = 0;  // 0: the kernel does not say
};

/// False when there is none. Descriptors that somebody sends along are closed by the kernel: no room is given for them.
bool receive(int socket, Datagram& datagram) {
  char text[k_longest];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  iovec part{text, sizeof text};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) return false;
  datagram = {std::string(text, static_cast<std::size_t>(size)), 0};
  for (const cmsghdr* part_of = CMSG_FIRSTHDR(&message); part_of; part_of = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(part_of))) {
    if (part_of->cmsg_level != SOL_SOCKET || part_of->cmsg_type != SCM_CREDENTIALS) continue;
    ucred who;
    std::memcpy(&who, CMSG_DATA(part_of), sizeof who);
    datagram.sender = who.pid;
  }
  if (message.msg_flags & MSG_TRUNC) datagram.text.clear();
  return true;
}

}  // namespace

void for_each_line(std::string_view datagram, const std::function<void(std::string_view, std::string_view)>& said) {
  if (datagram.find('\0') != datagram.npos) return;
  while (!datagram.empty()) {
    const auto end = std::min(datagram.find('\n'), datagram.size());
    const std::string_view line = datagram.substr(0, end);
    if (const auto equals = line.find('='); equals != line.npos) said(line.substr(0, equals), line.substr(equals + 1));
    datagram.remove_prefix(std::min(end + 1, datagram.size()));
  }
}

NotifySocket::NotifySocket(Loop& loop, std::function<void(std::string_view, std::string_view)> said)
    : loop_(loop),
      socket_(sys::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket", "NOTIFY_SOCKET")),
      said_(std::move(said)) {
  const int on = 1;
  sys::check(::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), "setsockopt SO_PASSCRED");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto* plain = reinterpret_cast<const sockaddr*>(&address);
  sys::check(::bind(socket_.get(), plain, offsetof(sockaddr_un, sun_path)), "bind", "NOTIFY_SOCKET");  // the kernel names it
  socklen_t size = sizeof address;
  sys::check(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  address_ = '@' + std::string(address.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);
}

void NotifySocket::listen_to(int os_pid) {
  os_pid_ = os_pid;
  reading_ = loop_.when_readable(socket_.get(), [this] { read_all(); });
}

void NotifySocket::read_all() {
  if (!os_pid_) return;
  for (Datagram datagram; receive(socket_.get(), datagram);) {
    const bool is_its_own = datagram.sender == os_pid_ || (datagram.sender > 0 && ::getpgid(datagram.sender) == os_pid_);
    if (is_its_own) for_each_line(datagram.text, said_);
  }
}

}  // namespace muproc::broker
