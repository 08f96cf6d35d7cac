// Control messages over a Unix stream socket: a 16-byte frame header, a flat Cap'n Proto message, and the file
// descriptors that travel with it.
//
// Frames come from processes that may be broken: sizes and counts are checked before anything is allocated, and a peer
// that breaks the rules loses its connection (FrameError), nothing more.
#pragma once

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sys/fd.hpp"

namespace muproc::wire {

inline constexpr std::uint32_t k_frame_magic = 0x4652554d;  // "MURF"
inline constexpr std::size_t k_max_frame = std::size_t{64} << 20;
inline constexpr std::size_t k_max_fds = 8;

struct FrameHeader {
  std::uint32_t magic;
  std::uint32_t fds;
  std::uint64_t words;
};

struct FrameError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Whether a peer would make a message that costs more to read than its size allows. Its form is checked either way.
enum class Peer { trusted, untrusted };

/// A received message with its descriptors. The reader lives as long as the frame.
class Frame {
 public:
  Frame(kj::Array<capnp::word> words, std::vector<sys::UniqueFd> fds, Peer from = Peer::trusted)
      : words_(kj::mv(words)), reader_(kj::heap<capnp::FlatArrayMessageReader>(words_, options(words_.size(), from))), fds_(std::move(fds)) {}

  template <class T>
  typename T::Reader as() {
    return reader_->getRoot<T>();
  }
  std::vector<sys::UniqueFd>& fds() { return fds_; }
  /// Throws FrameError when it has another number of descriptors than `count`.
  void expect_fds(std::size_t count) const;

 private:
  /// Of whoever is not trusted everything is read once, and some of it again; a list of nothings counts its elements, so that
  /// a small message cannot be a large one in disguise.
  static capnp::ReaderOptions options(std::size_t words, Peer from) {
    return {from == Peer::trusted ? k_max_frame / 8 * 4 : 3 * words + 8192, 256};
  }
  kj::Array<capnp::word> words_;
  kj::Own<capnp::FlatArrayMessageReader> reader_;
  std::vector<sys::UniqueFd> fds_;
};

/// One end of a control connection. Works on blocking and non-blocking sockets alike; one thread.
class FrameSocket {
 public:
  FrameSocket() = default;
  explicit FrameSocket(sys::UniqueFd socket, Peer peer = Peer::trusted) : socket_(std::move(socket)), peer_(peer) {}

  int fd() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }
  void close() { socket_.reset(); }

  /// Writes a frame, or queues what the socket does not take. True when nothing is left to write; else call `flush` when it
  /// is writable. The caller keeps its `fds`: they are duplicated where the frame has to wait, and only there, so that who
  /// has no descriptor left can still speak. When one is needed and cannot be had, it throws, and nothing of the frame was
  /// written. After the peer has gone everything is dropped silently: the end of its process is known otherwise.
  bool send(capnp::MessageBuilder& message, std::initializer_list<int> fds = {});
  bool flush();
  /// What waits does so because the kernel lacks memory, or has too many descriptors under way: not until the socket is
  /// writable, which it is, but for a while. (A blocking socket waits by itself.)
  bool is_starved() const { return is_starved_; }
  static constexpr int k_starved_ms = 10;
  /// Frames that have been handed to the kernel whole, ever.
  std::uint64_t frames_written() const { return frames_written_; }
  std::size_t bytes_waiting() const { return waiting_bytes_; }
  /// What the frames that wait cost us: small ones more than their bytes, and descriptors most of all.
  std::size_t cost_waiting() const { return waiting_cost_; }

  /// One frame, or nothing: a blocking socket waits, a non-blocking one says nothing when there is none whole. `closed`
  /// tells then that the peer will say no more.
  std::optional<Frame> receive();
  bool closed() const { return closed_; }
  /// What was read from the socket and is kept: at most a frame or two.
  std::size_t bytes_buffered() const { return incoming_.size(); }

  /// The OS pid of whoever wrote the latest bytes, when the socket passes credentials; else 0.
  int sender_os_pid() const { return sender_os_pid_; }

 private:
  struct Outgoing {
    kj::Array<capnp::byte> bytes;
    std::size_t written = 0;
    std::vector<sys::UniqueFd> fds;
    std::size_t cost() const;
  };
  enum class Written { whole, some, nothing, peer_gone };
  Written write(Outgoing& frame, const int* fds, std::size_t count);
  void drop_all();
  bool wait_for_memory() const;
  bool read_some();
  std::optional<Frame> take();

  sys::UniqueFd socket_;
  Peer peer_ = Peer::trusted;
  std::deque<Outgoing> outgoing_;
  std::size_t waiting_bytes_ = 0;
  std::size_t waiting_cost_ = 0;
  std::uint64_t frames_written_ = 0;
  std::vector<capnp::byte> incoming_;
  std::size_t taken_ = 0;
  std::deque<sys::UniqueFd> incoming_fds_;
  bool closed_ = false;
  bool lost_fds_ = false;  // there was no room for descriptors that came
  bool is_starved_ = false;
  int sender_os_pid_ = 0;
};

}  // namespace muproc::wire
