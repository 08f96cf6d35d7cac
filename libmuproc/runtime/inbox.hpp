// Everything that waits for this muproc: channels from others, notices of the system, and the stash of messages that
// were received and matched nothing.
//
// `pull` gives the next new message in an order that keeps causality: of all records that were visible before the last
// complete look at all channels began, the one with the smallest timestamp. What a sender did before it sent is thus
// never overtaken by what it sent. One such look serves many messages, so it does not matter how many others could send.
// Notices about a sender wait until that sender's channel has been read to where the notice speaks.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include <muproc/message.hpp>
#include <muproc/reason.hpp>

#include "runtime/body.hpp"
#include "runtime/keeper.hpp"
#include "runtime/peer.hpp"
#include "shm/directory.hpp"

namespace muproc::detail {

/// A notice of an end (`ref` 0: through a link), an exit signal, or a change in a watched group, that came over the lane.
struct Notice {
  enum class Kind { terminated, exit_signal, joined, left } kind = Kind::terminated;
  Pid pid;  // the dead; the signal's sender; who joined or left
  std::string name;  // the dead one's; the group's
  Reason reason;
  std::uint64_t ref = 0;
  std::optional<std::uint64_t> position;  // of an exit signal: the sender's place in its channel to us
  std::uint64_t stamp = 0;                // of a change that one made itself: when; what it had sent before comes first
  std::uint64_t times = 0;                // of a change: how many joins it is
};

class Inbox {
 public:
  struct Hooks {
    /// The message's record is none, or its contents are not: `what` says why.
    std::function<void(const InChannel&, std::uint64_t position, const std::string& what)> corrupt;
    /// The channel's sender is dead and everything was read.
    std::function<void(const InChannel&)> drained;
    /// A further memfd of a sender, which its record points into; throws when there is none.
    std::function<void(Peer&, std::uint32_t extent)> fetch_extent;
    /// What a predecessor had of that one cannot be read.
    std::function<void(Pid from, const std::string& why)> lost = [](Pid, const std::string&) {};
  };

  Inbox(std::shared_ptr<shm::OwnSegment> own, const shm::DirectoryView& directory, Pid self, std::uint64_t stash_limit,
        Hooks hooks);

  /// The mailbox is kept across restarts: from now on, before there is any channel.
  void keep_by(Keeper& keeper) { keeper_ = &keeper; }
  /// Puts into the stash what the predecessor had read and not handled. Its channels are open.
  void take_over();
  /// True while the sender of a predecessor's message may not know whom to wake.
  bool is_unsure();

  void open(std::uint32_t cursor, std::shared_ptr<Peer> peer, Pid speaker, std::uint64_t ring_offset,
            std::uint32_t ring_size, std::uint64_t secret, std::uint64_t copy_limit = 0);
  /// The kernel has reported this sender dead: its channel ends where it ends.
  void sender_died(Pid pid);
  InChannel* channel_from(Pid pid);

  void add_notice(Notice notice) { notices_.push_back(std::move(notice)); }
  std::deque<Notice>& notices() { return notices_; }
  /// The first notice that may be delivered now.
  std::optional<Notice> take_notice();

  bool notice_ready();

  /// The channel whose record is the next to be consumed, or null.
  InChannel* next_channel() {
    if (channels_.size() != 1 || some_dead_) return next_of_many();
    InChannel& only = *channels_.front();
    return look(only) ? &only : nullptr;
  }
  /// Null when its record was for another incarnation, or no message at all.
  BodyPtr consume(InChannel& channel);
  /// The next message from a channel, or nothing now.
  std::optional<Message> pull();
  /// True when `pull` or `take_notice` may have something: a look at each channel, no system call.
  bool ready();
  /// Lets senders have the room of what was read. Call before sleeping.
  void publish_cursors();

  // -- the stash
  using Stash = std::list<Message>;
  Stash& stash() { return stash_; }
  /// A message that can still be refused: throws StashFull when there is no room for it.
  void push(Message message);
  /// Throws StashFull as that would.
  void require_room_for(const Message& message) const;
  /// One that was taken from its channel, or that the system sends: it has no other place, so it is kept whatever the
  /// limit. The last one of them lies beyond it; `require_room` keeps further ones in their channels.
  void keep(Message message);
  /// Throws StashFull when the limit is exceeded.
  void require_room() const {
    if (stash_bytes_ > stash_limit_) [[unlikely]] say_full();
  }
  /// How many were ever pushed: what a message's place in the stash counts in.
  std::uint64_t pushed() const { return pushed_; }
  /// The first that was pushed after so many had been.
  Stash::iterator pushed_after(std::uint64_t count);
  Message take(Stash::iterator at);
  /// What the message is, for who drives a mailbox without a runtime.
  static Body& contents(Message& message) { return *message.body(); }
  std::size_t discard();

  BodyPool& pool() { return pool_; }
  /// The latest timestamp of what was consumed.
  std::uint64_t latest() const { return latest_; }
  std::size_t channels() const { return channels_.size(); }

 private:
  bool deliverable(const Notice& notice);
  bool all_read_from(Pid speaker);
  /// True when the channel's next record was seen; its header is in `head` then.
  bool look(InChannel& channel) {
    if (channel.has_head) return true;
    if (channel.closed) return false;
    switch (channel.reader.look(channel.head)) {
      case shm::RingReader::Look::nothing: return false;
      case shm::RingReader::Look::record:
        channel.has_head = true;
        return true;
      case shm::RingReader::Look::malformed: refuse(channel, channel.reader.position(), "a record header that cannot be");
    }
    return false;
  }
  void refuse(InChannel& channel, std::uint64_t position, const std::string& why);
  void take_head(InChannel& channel) {
    channel.has_head = false;
    taken_from_ = &channel;
    if (channel.is_listed) [[unlikely]] unlist(channel);
  }
  void list(InChannel& channel);
  void unlist(InChannel& channel);
  InChannel* next_of_many();
  InChannel* oldest_head();
  void look_at_all();
  bool is_older(InChannel& a, InChannel& b);
  BodyPtr read_record(InChannel& channel);
  BodyPtr copy_record(const InChannel& channel, const shm::RecordHeader& head, const std::byte* from, std::size_t words);
  BodyPtr read_other_record(InChannel& channel, const shm::RecordHeader& head, const std::byte* from);
  BodyPtr consume_kept(InChannel& channel);
  BodyPtr read_entry(shm::KeepLog::Place place, std::shared_ptr<InChannel>& channel);
  void note_received(const InChannel& channel, const Body& body);
  void read_large(InChannel& channel, Body& body, std::size_t body_words);
  void copy_large(const InChannel& channel, Body& body);
  void close(std::size_t index);
  void drop_drained();
  void count_stash();
  [[noreturn]] void say_full() const;

  std::shared_ptr<shm::OwnSegment> own_;
  const shm::DirectoryView& directory_;
  Pid self_;
  std::uint64_t stash_limit_;
  Hooks hooks_;
  Keeper* keeper_ = nullptr;  // of a mailbox that is kept
  BodyPool pool_;
  std::vector<std::shared_ptr<InChannel>> channels_;
  std::vector<InChannel*> heads_;    // those with a head, where there are many
  InChannel* taken_from_ = nullptr;  // the last that had one, whose next record nobody has looked for yet
  std::uint64_t now_ = 0;  // some time ago
  std::uint64_t latest_ = 0;
  bool some_dead_ = false;
  std::deque<Notice> notices_;
  Stash stash_;
  std::uint64_t stash_bytes_ = 0;
  std::uint64_t pushed_ = 0;
};

}  // namespace muproc::detail
