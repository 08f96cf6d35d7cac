// The runtime of one muproc: what stands behind `Self`.
//
// It lives in the thread that the muproc's function runs in, and in no other. It is put together from rooms with one
// concern each: `Lane` (the broker), `Inbox`, `Outbox` (mailboxes), `Timers`, `Sleeper`; what is left here is what ties
// them: runtime calls, exits, links and monitors, requests to the broker.
//
// If the process dies at any line here: what was committed to a ring arrives, what was not does not; the broker learns
// of the end from the kernel and frees names and channels; nothing in shared memory needs mending.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <muproc/self.hpp>

#include "runtime/inbox.hpp"
#include "runtime/lane.hpp"
#include "runtime/outbox.hpp"
#include "runtime/sleeper.hpp"
#include "runtime/timers.hpp"
#include "shm/directory.hpp"
#include "sys/clock.hpp"

namespace muproc::detail {

/// What the broker gave us at birth.
struct Kit {
  Pid pid;
  Pid parent;
  std::string name;
  Mumsg args, bindings;
  std::string error_stream;
  bool trap_exits = false;
  std::uint64_t stash_limit = 0;
  std::uint64_t max_message = 0;
  int broker_os_pid = 0;
  bool is_child = true;  // of the broker; else an outsider, whose parent's death says nothing
};

class Runtime {
 public:
  using Time = std::chrono::nanoseconds;

  Runtime(Kit kit, wire::FrameSocket socket, std::uint64_t frames_received, std::shared_ptr<shm::OwnSegment> segment,
          sys::UniqueFd eventfd, std::unique_ptr<shm::DirectoryView> directory);
  ~Runtime();

  /// This thread's, or null.
  static Runtime* current() { return current_; }
  /// Throws std::logic_error when called from another thread, or in a process that was forked from a muproc.
  static Runtime& of(const Self& self) {
    if (self.runtime_ != current_ || forked_) [[unlikely]] wrong_thread();
    return *current_;
  }
  static Runtime& of(Self& self) { return of(static_cast<const Self&>(self)); }

  Self& self() { return self_; }
  const Kit& kit() const { return kit_; }
  const shm::DirectoryView& directory() const { return *directory_; }
  /// Made when it is first needed, but for a file, which must be there: most never say a word, and it is a tenth of a birth.
  spdlog::logger& log();

  // -- runtime calls
  /// What every runtime call begins with: news of the broker, timers, exit signals, limits.
  void check() {
    if (directory_live_->lane.load(std::memory_order_acquire) > lane_.received() || attention_ || interrupted_ ||
        !timers_.empty() || sleeper_.other_was_ready())
      check_slowly();
  }
  void sleep(Time duration);
  /// The reason for which it has been told to end, if it has.
  const std::optional<Reason>& ending() const { return ending_; }

  // -- ending
  [[noreturn]] void exit(Reason reason);
  void exit_other(Address other, Reason reason);
  void kill_other(Address other);
  /// The muproc's last word to the broker.
  void say_exiting(const Reason& reason);
  /// While one lives, no runtime call throws ExitSignal on account of an exit: for what must be done before the end.
  class ExitsHeld {
   public:
    explicit ExitsHeld(Runtime& runtime) : runtime_(runtime) { ++runtime_.exits_held_; }
    ~ExitsHeld() { --runtime_.exits_held_; }
    ExitsHeld(const ExitsHeld&) = delete;
    ExitsHeld& operator=(const ExitsHeld&) = delete;

   private:
    Runtime& runtime_;
  };

  // -- links, monitors
  void link(Address peer, LinkOptions options);
  void unlink(Pid peer);
  Ref monitor(Address target);
  void demonitor(Ref ref, bool flush);
  bool trap_exits(bool trap);
  bool traps_exits() const { return trap_exits_; }

  // -- births and names
  Pid spawn(std::string_view name, const Code& code, const SpawnOptions& options, Ref monitor);
  Pid start_supervisor(std::string_view name, const Supervisor& supervisor, bool link);
  void register_port(std::string_view name);
  void unregister_port(std::string_view name);
  Pid resolve(Address to) const;

  // -- messages
  bool send(Address to, ScratchLease& lease, std::uint64_t type_id, SendWait wait, Message::Kind kind, std::uint64_t ref);
  /// Sends a mumsg of plain values straight into an open channel that has room. False, with nothing done, when it is not
  /// that simple: then build it and `send`.
  bool send_at_once(Address to, std::span<const NamedArgument> fields);
  /// Sends a struct of data alone.
  bool send_flat(Address to, std::span<const std::uint64_t> words, std::uint64_t type_id, SendWait wait);
  /// Null while it is in use.
  FlatScratch* take_flat() { return std::exchange(flat_.scratch.in_use, true) ? nullptr : &flat_.scratch; }
  ScratchLease* lease() { return outbox_.lease(); }
  void give_back(ScratchLease* lease) noexcept { outbox_.give_back(lease); }
  bool receive(const ClauseTable& table, void* result);
  std::optional<Message> receive_any(std::optional<Time> limit);
  const Message* in_hand() const { return in_hand_.empty() ? nullptr : in_hand_.back(); }
  std::size_t discard_all();
  std::size_t unmatched() { return inbox_.stash().size(); }
  int event_fd();

  // -- calls: a reference goes out, one reply comes back
  struct Reply {
    enum class Outcome { value, error, down, timeout } outcome;
    Message message;
    Reason reason;
  };
  /// Sends what was built as a call; its reference.
  std::uint64_t begin_call(Address to, ScratchLease& lease, std::uint64_t type_id);
  /// Waits for its reply, its receiver's end or the deadline. The reference is spent afterwards.
  Reply await(std::uint64_t ref, std::optional<Time> deadline);

  // -- time
  std::uint64_t add_timer(Time at, Time repeat, std::function<void()> function) {
    return timers_.add(at, repeat, std::move(function));
  }
  std::optional<Time> cancel_timer(std::uint64_t id);
  std::uint64_t push_limit(Time limit);
  void pop_limit(std::uint64_t id);
  std::uint64_t make_ref() { return kit_.pid.bits() * 0x9e3779b97f4a7c15 + ++last_ref_; }

 private:
  struct Call {
    Pid target;
    std::optional<Message> reply;
    std::optional<Reason> down;
  };

  [[noreturn]] static void wrong_thread();
  void check_slowly();
  void hear_lane();
  void throw_if_ending();
  void hear(wire::FromBroker::Reader frame, std::vector<sys::UniqueFd>& fds);
  void hear_channel(wire::ChannelOpened::Reader channel, std::vector<sys::UniqueFd>& fds);
  void hear_down(Pid pid, wire::Reason::Reader reason);
  void settle_notices();
  void end_with(Reason reason);
  Message make_notice(const Notice& notice);
  std::shared_ptr<Peer> meet(Pid pid, int segment_fd, sys::UniqueFd eventfd);
  wire::Frame ask(capnp::MessageBuilder& message);

  shm::RecordHeader header_for(Pid to, std::uint64_t type_id, Message::Kind kind, std::uint64_t ref) const;
  /// An open channel that has room for a record with a body of so many words.
  struct Claimed {
    OutChannel* channel = nullptr;
    std::byte* body = nullptr;
    std::uint64_t position = 0;  // before a skip
  };
  Claimed claim_at_once(Pid to, std::size_t words);
  void commit_at_once(const Claimed& claimed, Pid to, std::uint64_t type_id, std::size_t words, std::uint64_t now);
  bool try_send_once(OutChannel& channel, ScratchLease& lease, shm::RecordHeader& header, std::uint64_t ref);
  void sent(OutChannel& channel, std::uint64_t bytes);
  bool wait_for_room(Pid to, SendWait wait, Time deadline);
  OutChannel* open_channel(Pid to);
  void send_to_self(ScratchLease& lease, std::uint64_t type_id, Message::Kind kind, std::uint64_t ref);

  std::uint64_t ticks() const { return sys::unordered_ticks(directory_->use_tsc()); }
  std::uint64_t stamp(std::uint64_t now);
  static Message kept(Message message);
  std::optional<Message> next_message();
  bool route_reply(Message& message);
  enum class Match { no, yes, malformed };
  Match match(const ClauseTable::Entry& entry, const Message& message);
  void drop_malformed(const Message& message, const kj::Exception& malformed);
  void run_clause(const ClauseTable::Entry& entry, Message message, void* result);
  bool news();
  void wait_for_news(std::optional<Time> deadline);
  std::optional<Time> nearest(std::optional<Time> deadline) const;
  void drain_to_stash();

  // Looked at in every runtime call: worth a word of the static TLS block.
  static constinit thread_local Runtime* current_ __attribute__((tls_model("initial-exec")));
  static bool forked_;
  friend void note_fork();

  Kit kit_;
  Self self_;
  std::shared_ptr<shm::OwnSegment> own_;
  std::unique_ptr<shm::DirectoryView> directory_;
  shm::SlotLive* directory_live_;
  std::shared_ptr<spdlog::logger> log_;
  std::unordered_map<Pid, std::weak_ptr<Peer>> peers_;
  Sleeper sleeper_;
  Lane lane_;
  Inbox inbox_;
  Outbox outbox_;
  FlatBuilder flat_;
  Timers timers_;
  std::vector<std::pair<std::uint64_t, Time>> limits_;  // id and deadline; inner ones last
  std::uint64_t last_limit_ = 0;
  std::uint64_t last_ref_ = 0;
  std::uint64_t last_stamp_ = 0;
  std::map<std::uint64_t, Call> calls_;
  std::vector<const Message*> in_hand_;
  std::optional<Reason> ending_;
  bool heeded_ = false;
  unsigned exits_held_ = 0;
  bool trap_exits_ = false;
  bool firing_ = false;
  bool attention_ = false;  // an exit is pending, or a limit is set: check slowly
  volatile bool& interrupted_;
};

}  // namespace muproc::detail
