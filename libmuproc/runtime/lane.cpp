#include "runtime/lane.hpp"

#include <muproc/self.hpp>
#include <muproc/supervisor.hpp>
#include <poll.h>

#include "sys/error.hpp"
#include "wire/codec.hpp"

namespace muproc::detail {
namespace {

void wait_for(int fd, short events) {
  pollfd wanted{fd, events, 0};
  if (::poll(&wanted, 1, -1) < 0 && errno != EINTR) sys::throw_errno("poll");
}

}  // namespace

Lane::Lane(wire::FrameSocket socket, Handler handler) : socket_(std::move(socket)), handler_(std::move(handler)) {
  sys::set_nonblocking(socket_.fd(), true);
}

/// What its hearer had no memory for is the next to be heard again.
void Lane::hand_on_all() {
  while (!unheard_.empty()) {
    wire::Frame frame = std::move(unheard_.front());
    unheard_.pop_front();
    try {
      handler_(frame.as<wire::FromBroker>(), frame.fds());
    } catch (...) {
      unheard_.push_front(std::move(frame));
      throw;
    }
    ++received_;
  }
}

void Lane::pump() {
  hand_on_all();
  while (auto frame = socket_.receive()) {
    unheard_.push_back(*std::move(frame));
    hand_on_all();
  }
}

void Lane::pump_to(std::uint64_t frames) {
  for (pump(); received_ < frames && !closed(); pump()) wait_for(socket_.fd(), POLLIN);
}

void Lane::write_all() {
  while (!socket_.flush()) {
    if (socket_.is_starved()) {
      ::poll(nullptr, 0, wire::FrameSocket::k_starved_ms);
    } else {
      wait_for(socket_.fd(), POLLOUT);
    }
  }
}

void Lane::tell(capnp::MessageBuilder& message) {
  if (!socket_.send(message)) write_all();
}

wire::Frame Lane::ask(capnp::MessageBuilder& message) {
  const std::uint64_t id = ++next_id_;
  message.getRoot<wire::ToBroker>().setId(id);
  tell(message);
  for (;;) {
    while (auto frame = socket_.receive()) {
      if (frame->as<wire::FromBroker>().getId() == id) {
        ++received_;
        return std::move(*frame);
      }
      unheard_.push_back(*std::move(frame));
      try {
        hand_on_all();
      } catch (const std::exception&) {
        // The reply is on its way, and says what the broker has done; this is said again by the next look at the lane.
      }
    }
    if (socket_.closed()) throw ExitSignal{Reason::broker_lost()};
    wait_for(socket_.fd(), POLLIN);
  }
}

void throw_error(wire::Error::Reader error) {
  const std::string text = wire::string(error.getText());
  switch (error.getKind()) {
    case wire::Error::Kind::NAME_TAKEN: throw NameTaken(text);
    case wire::Error::Kind::NOPROC:
    case wire::Error::Kind::NOT_FOUND: throw NoSuchName(text);
    case wire::Error::Kind::START_FAILED: throw StartFailed(text, wire::read(error.getReason()));
    case wire::Error::Kind::ALREADY_STARTED: throw ChildError(text, ChildError::Kind::already_started, Pid(error.getPid()));
    case wire::Error::Kind::ALREADY_PRESENT: throw ChildError(text, ChildError::Kind::already_present);
    case wire::Error::Kind::RUNNING: throw ChildError(text, ChildError::Kind::running);
    case wire::Error::Kind::RESTARTING: throw ChildError(text, ChildError::Kind::restarting);
    case wire::Error::Kind::FAILED:
    case wire::Error::Kind::PERMISSION:
    case wire::Error::Kind::LIMIT:
    case wire::Error::Kind::TIMEOUT:
    case wire::Error::Kind::VERSION:
    case wire::Error::Kind::BAD_CONFIG: break;
  }
  throw Error(text);
}

wire::FromBroker::Reader checked(wire::Frame& reply) {
  auto contents = reply.as<wire::FromBroker>();
  if (contents.isError()) throw_error(contents.getError());
  return contents;
}

}  // namespace muproc::detail
