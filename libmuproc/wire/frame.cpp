#include "wire/frame.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sys/error.hpp"

namespace muproc::wire {

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
  for (int fd : fds) frame.fds.push_back(sys::duplicate(fd));
  waiting_bytes_ += frame.bytes.size();
  waiting_cost_ += frame.cost();
  outgoing_.push_back(std::move(frame));
  return flush();
}

bool FrameSocket::flush() {
  while (!outgoing_.empty()) {
    Outgoing& frame = outgoing_.front();
    iovec data{frame.bytes.begin() + frame.written, frame.bytes.size() - frame.written};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(k_max_fds * sizeof(int))];
    if (frame.written == 0 && !frame.fds.empty()) {
      header.msg_control = control;
      header.msg_controllen = CMSG_SPACE(frame.fds.size() * sizeof(int));
      cmsghdr* message = CMSG_FIRSTHDR(&header);
      message->cmsg_level = SOL_SOCKET;
      message->cmsg_type = SCM_RIGHTS;
      message->cmsg_len = CMSG_LEN(frame.fds.size() * sizeof(int));
      int* to = reinterpret_cast<int*>(CMSG_DATA(message));
      for (const auto& fd : frame.fds) *to++ = fd.get();
    }
    const ssize_t written = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      outgoing_.clear();  // the peer has gone; what ends its process says so
      waiting_bytes_ = waiting_cost_ = 0;
      return true;
    }
    frame.written += static_cast<std::size_t>(written);
    waiting_bytes_ -= static_cast<std::size_t>(written);
    if (frame.written == frame.bytes.size()) {
      waiting_cost_ -= frame.cost();
      outgoing_.pop_front();
      ++frames_written_;
    }
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
  if (incoming_fds_.size() < header.fds) throw FrameError("a control message without its descriptors");
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
