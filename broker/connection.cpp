#include "broker/connection.hpp"

#include <kj/exception.h>

#include <utility>

namespace muproc::broker {

Connection::Connection(ConnectionId id, Loop& loop, sys::UniqueFd socket, Handlers handlers)
    : id_(id), loop_(loop), socket_(std::move(socket), wire::Peer::untrusted), handlers_(std::move(handlers)) {
  sys::set_nonblocking(socket_.fd(), true);
  watch_ = loop.when_readable(socket_.fd(), [this] { read_all(); });
}

void Connection::become_lane_of(Pid owner, shm::Directory& directory, int eventfd) {
  owner_ = owner;
  directory_ = &directory;
  eventfd_ = eventfd;
  directory.reset_frames(owner.slot());
  announce();
}

void Connection::send(Message& message, std::initializer_list<int> fds) {
  if (is_closed_ || shutting_out_) return;
  const bool all_written = socket_.send(message.builder(), fds);
  ++said_;
  announce();
  if (socket_.cost_waiting() > k_most_waiting) return shut_out();
  if (!all_written) flush_later();
}

void Connection::flush_later() {
  watch_.when_writable([this] { flush(); }, socket_.is_starved());
}

/// Later: whoever sends may be going through all connections.
void Connection::shut_out() {
  watch_.stop();
  shutting_out_ = loop_.after({}, [this] {
    handlers_.nonsense(*this, "it does not read: " + std::to_string(socket_.cost_waiting() >> 20) + " MiB wait for it");
  });
}

void Connection::flush() {
  if (is_closed_) return;
  const bool all_written = socket_.flush();
  announce();
  if (!all_written) flush_later();
}

void Connection::announce() {
  if (!directory_) return;
  // Also what the socket has not taken yet: who reads a record that was written after it waits for it.
  for (; announced_ < said_; ++announced_) directory_->announce_frame(owner_.slot());
  if (std::exchange(woken_for_, socket_.frames_written()) != socket_.frames_written()) sys::signal_eventfd(eventfd_);
}

void Connection::read_all() {
  std::string nonsense;
  try {
    while (!is_closed_ && !shutting_out_) {
      auto frame = socket_.receive();
      if (!frame) break;
      handlers_.frame(*this, *frame);
    }
  } catch (const kj::Exception& failure) {
    nonsense = kj::str(failure.getDescription()).cStr();
  } catch (const wire::FrameError& failure) {
    nonsense = failure.what();
  }
  if (is_closed_ || (nonsense.empty() && !socket_.closed())) return;
  watch_.stop();
  nonsense.empty() ? handlers_.closed(*this) : handlers_.nonsense(*this, nonsense);
}

void Connection::close() {
  if (is_closed_) return;
  is_closed_ = true;
  watch_.stop();
  shutting_out_.stop();
  socket_.close();
}

}  // namespace muproc::broker
