// The book of channels: who may write to whom, through which ring and which cursor.
//
// A channel is opened at a sender's first send. Its ring lies in the sender's segment, its cursor in the receiver's. When
// the receiver dies its incoming channels are gone, unless its mailbox is kept: then its successor gets them. When the
// sender dies each stays until its receiver has read what is there and says so (or dies): only then is the cursor free for
// another channel.
//
// Pure: what is asked for is checked here, and who must be told is answered here; telling is the caller's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <muproc/pid.hpp>

namespace muproc::broker {

struct Channel {
  Pid sender, receiver;
  std::uint64_t ring_offset = 0;  // in the sender's segment
  std::uint32_t ring_size = 0;    // bytes
  std::uint32_t cursor = 0;       // index in the receiver's cursor table
  std::uint64_t secret = 0;
  std::uint32_t row = 0;          // in the directory
  bool sender_is_dead = false;
  Pid speaker{};                  // whose messages they are: the sender's, or those of the muproc it is a Sender of
  bool is_not_trusted = false;
};

class Channels {
 public:
  /// Empty when `sender` may have a ring there, else what is wrong with it.
  std::string why_not_ring(Pid sender, std::uint64_t ring_offset, std::uint64_t ring_size) const;
  /// Nothing when the receiver has no cursor left.
  std::optional<Channel> open(Pid sender, Pid receiver, std::uint64_t ring_offset, std::uint32_t ring_size,
                              std::uint64_t secret);
  void set_speaker(const Channel& channel, Pid speaker, bool is_not_trusted) {
    Channel& known = incoming_[channel.receiver][channel.cursor];
    known.speaker = speaker;
    known.is_not_trusted = is_not_trusted;
  }
  void set_row(const Channel& channel, std::uint32_t row) { incoming_[channel.receiver][channel.cursor].row = row; }
  /// Undoes an open that went no further.
  void close(const Channel& channel);

  const Channel* find(Pid receiver, std::uint32_t cursor) const;
  /// All channels into it.
  std::vector<Channel> into(Pid receiver) const;
  /// The receiver is done with the channel: when its sender is dead, that ends it. Nothing when there is no such channel.
  std::optional<Channel> drained(Pid receiver, std::uint32_t cursor);

  struct Ended {
    std::vector<Channel> closed;  // they are gone
    std::set<Pid> peers;          // everyone with a channel to or from the dead
  };
  /// Its incoming channels stay when its mailbox is kept.
  Ended end(Pid dead, bool is_kept = false);
  /// From one whose mailbox was kept to its successor. All of them, as they are now.
  std::vector<Channel> inherit(Pid dead, Pid successor);
  /// It has none: they are gone.
  std::vector<Channel> end_into(Pid dead);

  /// True while `receiver` may have something unread from `sender`.
  bool connects(Pid sender, Pid receiver) const;
  /// True while anybody may.
  bool is_read(Pid sender) const { return outgoing_.contains(sender); }

 private:
  using Key = std::pair<Pid, std::uint32_t>;  // receiver, cursor
  std::unordered_map<Pid, std::map<std::uint32_t, Channel>> incoming_;
  std::unordered_map<Pid, std::set<Key>> outgoing_;
};

}  // namespace muproc::broker
