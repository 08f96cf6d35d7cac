// Listening in on a muproc's messages: those that it sends, and those that it is sent.
//
// Channels that it has, and those that come while we listen, are tapped (ring_tap.hpp), over all its incarnations: it is
// followed by its name. Nothing is asked of the broker, nobody is stopped, and no message is taken; what passes faster
// than `poll` is called is counted as missed. A message that was sent before its channel's row came into the directory,
// or to a channel whose sender's memory is gone before it is looked at, is part of what is counted only as far as its
// place in the ring was still to be seen.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include <muproc/pid.hpp>

#include "shm/segment.hpp"
#include "tools/common/broker_memory.hpp"
#include "tools/common/message_decoder.hpp"
#include "tools/common/ring_tap.hpp"
#include "tools/common/system_view.hpp"

namespace muproc::tools {

struct TappedMessage {
  Pid from, to;
  std::string from_name, to_name;    // any bytes
  shm::RecordHeader header;
  std::chrono::nanoseconds age{0};   // since it was sent
  std::uint64_t bytes = 0;           // of the message, large segments included
  MessageSegments segments;          // for a MessageDecoder
};

class MessageTap {
 public:
  /// `name` is a muproc's, a port's, or a pid's text; `to` narrows it to what that one sends to this. Throws Failure when
  /// nobody has such a name now (with who may have been meant), or it has no mailbox.
  MessageTap(std::filesystem::path folder, std::string_view name, std::string_view to = {});

  /// Gives what has passed since the last time, channel by channel, at most about `most` messages of each channel.
  /// True when there may be more at once.
  bool poll(const std::function<void(const TappedMessage&)>& each, std::uint64_t most = 4096);

  std::uint64_t seen() const;
  /// See RingTap::missed.
  std::uint64_t missed() const;
  std::uint64_t missed_bytes() const;
  /// Channels whose contents are no messages.
  std::size_t broken() const;
  /// How soon `poll` should be called again so that nothing is missed, as far as the last calls tell.
  std::chrono::nanoseconds pause() const { return pause_; }
  /// The system has no broker any more: what is still to come are the last words.
  bool is_over() const { return memory_.state() == BrokerState::gone; }
  /// Whose messages they are.
  const std::string& name() const { return name_; }

 private:
  using Key = std::tuple<Pid, Pid, std::uint64_t>;  // from, to, secret
  struct Tapped {
    Pid from, to;
    std::uint32_t cursor = 0;
    std::shared_ptr<const shm::PeerSegment> sender, receiver;
    std::unique_ptr<RingTap> tap;
    bool is_open = true;  // its row is in the directory
  };

  void look_for_channels(bool are_new);
  std::string name_of(Pid pid);
  std::shared_ptr<const shm::PeerSegment> segment(Pid pid) const;
  void map(const std::vector<Pid>& wanted);
  TappedMessage message_of(const Tapped& channel, const TappedRecord& record);
  bool is_wanted(Pid from, Pid to);

  BrokerMemory memory_;
  ObservedDirectory directory_;
  std::string name_, to_;
  std::unordered_map<Pid, std::string> names_;
  std::unordered_map<Pid, std::shared_ptr<const shm::PeerSegment>> segments_;
  std::map<Key, Tapped> channels_;
  std::uint64_t past_seen_ = 0, past_missed_ = 0, past_missed_bytes_ = 0;
  std::chrono::nanoseconds pause_{0};
};

}  // namespace muproc::tools
