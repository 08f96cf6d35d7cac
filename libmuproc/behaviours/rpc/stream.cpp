#include "behaviours/rpc/stream.hpp"

#include <muproc/self.hpp>

#include <algorithm>
#include <cstring>
#include <exception>
#include <vector>

#include "behaviours/lease.hpp"
#include "runtime/runtime.hpp"
#include "wire/rpc.capnp.h"

namespace muproc::rpc {
namespace {

/// A message that is read where it arrived.
class FrameReader final : public capnp::MessageReader {
 public:
  FrameReader(Message frame, std::vector<kj::ArrayPtr<const capnp::word>> segments, capnp::ReaderOptions options)
      : capnp::MessageReader(options), frame_(std::move(frame)), segments_(std::move(segments)) {}
  kj::ArrayPtr<const capnp::word> getSegment(unsigned id) override {
    return id < segments_.size() ? segments_[id] : nullptr;
  }

 private:
  Message frame_;
  std::vector<kj::ArrayPtr<const capnp::word>> segments_;
};

/// Throws kj::Exception when its contents lead outside.
capnp::MessageReaderAndFds open(Message frame, capnp::ReaderOptions options) {
  std::vector<kj::ArrayPtr<const capnp::word>> segments;
  std::uint64_t words = 0;
  for (const auto bytes : frame.as<wire::RpcFrame>().getSegments()) {
    // Data begins at a word of its message, and whatever arrives lies at words.
    segments.emplace_back(reinterpret_cast<const capnp::word*>(bytes.begin()), bytes.size() / sizeof(capnp::word));
    words += segments.back().size();
  }
  // The traversal limit guards against amplification, not against size: a message may be as large as a mailbox takes.
  options.traversalLimitInWords = std::max(options.traversalLimitInWords, 8 * words);
  return {kj::heap<FrameReader>(std::move(frame), std::move(segments), options), nullptr};
}

kj::Exception failed(const char* what) {
  return kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::heapString(what));
}

}  // namespace

kj::Exception disconnected(const std::string& what) {
  return kj::Exception(kj::Exception::Type::DISCONNECTED, __FILE__, __LINE__, kj::heapString(what.c_str()));
}

// ---- in --------------------------------------------------------------------------------------------------------------

void Stream::deliver(Message frame) {
  if (ended_) return;
  received_.push_back(std::move(frame));
  if (reading_ && satisfy(*reading_)) reading_ = nullptr;
}

void Stream::end_of_input(kj::Maybe<kj::Exception> why) {
  if (std::exchange(ended_, true)) return;
  why_ended_ = kj::mv(why);
  if (why_ended_ != nullptr) said_goodbye_ = true;  // nobody hears it
  if (reading_ && satisfy(*reading_)) reading_ = nullptr;
}

/// True when the read has its outcome.
bool Stream::satisfy(kj::PromiseFulfiller<Read>& reader) {
  if (!received_.empty()) {
    Message frame = std::move(received_.front());
    received_.pop_front();
    KJ_IF_MAYBE (malformed, kj::runCatchingExceptions([&] {
                   frame.check();
                   reader.fulfill(Read(open(std::move(frame), options_)));
                 })) {
      reader.reject(kj::mv(*malformed));
    }
    return true;
  }
  if (!ended_) return false;
  KJ_IF_MAYBE (why, why_ended_) {
    reader.reject(kj::cp(*why));
  } else {
    reader.fulfill(nullptr);
  }
  return true;
}

kj::Promise<kj::Maybe<capnp::MessageReaderAndFds>> Stream::tryReadMessage(kj::ArrayPtr<kj::AutoCloseFd>,
                                                                          capnp::ReaderOptions options,
                                                                          kj::ArrayPtr<capnp::word>) {
  options_ = options;
  auto read = kj::newPromiseAndFulfiller<Read>();
  if (!satisfy(*read.fulfiller)) reading_ = kj::mv(read.fulfiller);
  return kj::mv(read.promise);
}

// ---- out -------------------------------------------------------------------------------------------------------------

void Stream::send(kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) {
  detail::Lease lease(runtime_);
  auto frame = lease.builder().initRoot<wire::RpcFrame>();
  frame.setConnection(connection_);
  frame.setToServer(opened_here_);
  frame.setOpens(opened_here_ && !std::exchange(said_something_, true));
  auto list = frame.initSegments(static_cast<unsigned>(segments.size()));
  for (unsigned i = 0; i < segments.size(); ++i) {
    const auto bytes = segments[i].asBytes();
    std::memcpy(list.init(i, static_cast<unsigned>(bytes.size())).begin(), bytes.begin(), bytes.size());
  }
  // Who is about to end does not wait for room: its peers hear of the end itself.
  const auto wait = std::uncaught_exceptions() > 0 ? detail::SendWait::never() : detail::SendWait();
  runtime_.send(peer_, *lease, capnp::typeId<wire::RpcFrame>(), wait, Message::Kind::message, 0);
}

kj::Promise<void> Stream::writeMessage(kj::ArrayPtr<const int>,
                                       kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) {
  if (said_goodbye_) return disconnected("the connection has ended");
  try {
    send(segments);
  } catch (const ExitSignal&) {
    return kj::NEVER_DONE;  // the event loop's next runtime call says so again, and nobody hears of anything else before
  } catch (const std::exception& error) {
    return failed(error.what());
  }
  // Who has died before a channel to it could be opened is never heard of again.
  if (!runtime_.reaches(peer_)) end_of_input(disconnected(to_string(peer_) + " has ended"));
  return kj::READY_NOW;
}

kj::Promise<void> Stream::writeMessages(
    kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) {
  for (const auto& message : messages) {
    auto written = writeMessage(nullptr, message);
    if (said_goodbye_) return written;
    if (&message == messages.end() - 1) return written;
  }
  return kj::READY_NOW;
}

kj::Promise<void> Stream::end() {
  say_goodbye();
  return kj::READY_NOW;
}

void Stream::say_goodbye() {
  if (std::exchange(said_goodbye_, true)) return;
  try {
    send(nullptr);
  } catch (const ExitSignal&) {
    // The peer hears of our end instead.
  } catch (const std::exception&) {
    // The broker has gone, and with it everybody.
  }
}

}  // namespace muproc::rpc
