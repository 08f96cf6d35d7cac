#include "wire/frame.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sys/error.hpp"

namespace muproc::wire {
namespace {

/// The peer is there, and will have the frame when there is memory for it.
bool is_of_the_kernel(int error) { return error == ENOBUFS || error == ENOMEM || error == ETOOMANYREFS; }

}  // namespace

void Frame::expect_fds(std::size_t count) const {
  if (fds_.size() != count)
    throw FrameError("a control message came with " + std::to_string(fds_.size()) + " descriptors instead of " +
                     std::to_string(count));
}

std::size_t FrameSocket::Outgoing::cost() const {
  constexpr std::size_t k_each = 256, k_descriptor = 65536;  // of those a process has some thousands
  return k_each + bytes.size() + fds.size() * k_descriptor;
}

bool FrameSocket::send(capnp::MessageBuilder& message, std::initializer_list<int> fds) {
  const std::size_t words = capnp::computeSerializedSizeInWords(message);
  if (words * sizeof(capnp::word) > k_max_frame)
    throw FrameError("a control message of " + std::to_string(words * 8) + " bytes is larger than the limit of " +
                     std::to_string(k_max_frame));
  if (!socket_ || closed_) return true;
  Outgoing frame;
  frame.bytes = kj::heapArray<capnp::byte>(sizeof(FrameHeader) + words * sizeof(capnp::word));
  const FrameHeader header{k_frame_magic, static_cast<std::uint32_t>(fds.size()), words};
  std::memcpy(frame.bytes.begin(), &header, sizeof header);
  kj::ArrayOutputStream out(frame.bytes.slice(sizeof header, frame.bytes.size()));
  capnp::writeMessage(out, message);
  std::size_t to_keep = fds.size();
  if (outgoing_.empty()) {
    switch (write(frame, fds.begin(), fds.size())) {
      case Written::whole:
      case Written::peer_gone: return true;
      case Written::some: to_keep = 0; break;  // they went with the first byte
      case Written::nothing: break;
    }
  }
  for (std::size_t i = 0; i < to_keep; ++i) frame.fds.push_back(sys::duplicate(fds.begin()[i]));
  waiting_bytes_ += frame.bytes.size() - frame.written;
  waiting_cost_ += frame.cost();
  outgoing_.push_back(std::move(frame));
  return false;
}

/// As much of it as the socket takes.
FrameSocket::Written FrameSocket::write(Outgoing& frame, const int* fds, std::size_t count) {
  while (frame.written < frame.bytes.size()) {
    iovec data{frame.bytes.begin() + frame.written, frame.bytes.size() - frame.written};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(k_max_fds * sizeof(int))];
    if (frame.written == 0 && count > 0) {
      header.msg_control = control;
      header.msg_controllen = CMSG_SPACE(count * sizeof(int));
      cmsghdr* message = CMSG_FIRSTHDR(&header);
      message->cmsg_level = SOL_SOCKET;
      message->cmsg_type = SCM_RIGHTS;
      message->cmsg_len = CMSG_LEN(count * sizeof(int));
      std::memcpy(CMSG_DATA(message), fds, count * sizeof(int));
    }
    const ssize_t written = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
    is_starved_ = written < 0 && is_of_the_kernel(errno);
    if (is_starved_ && wait_for_memory()) continue;
    if (written >= 0) {
      frame.written += static_cast<std::size_t>(written);
    } else if (is_starved_ || errno == EAGAIN || errno == EWOULDBLOCK) {
      return frame.written > 0 ? Written::some : Written::nothing;
    } else if (errno != EINTR) {
      drop_all();  // the peer has gone; what ends its process says so
      return Written::peer_gone;
    }
  }
  ++frames_written_;
  return Written::whole;
}

/// False where nobody may wait.
bool FrameSocket::wait_for_memory() const {
  const int flags = ::fcntl(socket_.get(), F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK)) return false;
  ::poll(nullptr, 0, k_starved_ms);
  return true;
}

void FrameSocket::drop_all() {
  outgoing_.clear();
  waiting_bytes_ = waiting_cost_ = 0;
}

bool FrameSocket::flush() {
  while (!outgoing_.empty()) {
    Outgoing& frame = outgoing_.front();
    std::vector<int> fds;
    if (frame.written == 0)
      for (const auto& fd : frame.fds) fds.push_back(fd.get());
    const std::size_t before = frame.written;
    switch (write(frame, fds.data(), fds.size())) {
      case Written::peer_gone: return true;
      case Written::some:
      case Written::nothing: waiting_bytes_ -= frame.written - before; return false;
      case Written::whole: break;
    }
    waiting_bytes_ -= frame.written - before;
    waiting_cost_ -= frame.cost();
    outgoing_.pop_front();
  }
  return true;
}

bool FrameSocket::read_some() {
  // What was taken goes; the beginning of a frame that may be left over moves to the front.
  incoming_.erase(incoming_.begin(), incoming_.begin() + static_cast<std::ptrdiff_t>(taken_));
  taken_ = 0;
  const std::size_t old = incoming_.size();
  const std::size_t chunk = std::clamp<std::size_t>(incoming_.capacity() - old, 2048, 65536);
  incoming_.resize(old + chunk);
  iovec data{incoming_.data() + old, chunk};
  alignas(cmsghdr) char control[CMSG_SPACE(k_max_fds * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t got;
  do {
    got = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  incoming_.resize(old + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  if (got <= 0) {
    closed_ = true;
    return false;
  }
  for (cmsghdr* message = CMSG_FIRSTHDR(&header); message; message = CMSG_NXTHDR(&header, message)) {
    if (message->cmsg_level != SOL_SOCKET) continue;
    if (message->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (message->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(message) + i * sizeof(int), sizeof fd);
        incoming_fds_.emplace_back(fd);
      }
    } else if (message->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials;
      std::memcpy(&credentials, CMSG_DATA(message), sizeof credentials);
      sender_os_pid_ = credentials.pid;
    }
  }
  lost_fds_ = lost_fds_ || (header.msg_flags & MSG_CTRUNC) != 0;
  if (incoming_fds_.size() > 4 * k_max_fds) throw FrameError("a peer sent more descriptors than its frames announce");
  return true;
}

std::optional<Frame> FrameSocket::take() {
  if (incoming_.size() - taken_ < sizeof(FrameHeader)) return std::nullopt;
  FrameHeader header;
  std::memcpy(&header, incoming_.data() + taken_, sizeof header);
  if (header.magic != k_frame_magic || header.fds > k_max_fds || header.words > k_max_frame / sizeof(capnp::word))
    throw FrameError("a control message that is none");
  const std::size_t body = header.words * sizeof(capnp::word);
  if (incoming_.size() - taken_ - sizeof header < body) {
    incoming_.reserve(taken_ + sizeof header + body);
    return std::nullopt;
  }
  if (incoming_fds_.size() < header.fds)
    throw FrameError(
        lost_fds_
            ? "a control message came with descriptors, and this process has no room for them: too many open files"
            : "a control message without its descriptors");
  auto words = kj::heapArray<capnp::word>(header.words);
  std::memcpy(words.begin(), incoming_.data() + taken_ + sizeof header, body);
  taken_ += sizeof header + body;
  std::vector<sys::UniqueFd> fds;
  for (std::uint32_t i = 0; i < header.fds; ++i) {
    fds.push_back(std::move(incoming_fds_.front()));
    incoming_fds_.pop_front();
  }
  try {
    return Frame(kj::mv(words), std::move(fds), peer_);
  } catch (const kj::Exception& malformed) {
    throw FrameError(std::string("a control message that is none: ") + malformed.getDescription().cStr());
  }
}

std::optional<Frame> FrameSocket::receive() {
  for (;;) {
    if (auto frame = take()) return frame;
    if (closed_ || !socket_ || !read_some()) return std::nullopt;
  }
}

}  // namespace muproc::wire
