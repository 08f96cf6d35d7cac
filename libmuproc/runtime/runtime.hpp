// The runtime of one muproc: what stands behind `Self`.
//
// It lives in the thread that the muproc's function runs in, and in no other. It is put together from rooms with one
// concern each: `Lane` (the broker), `Inbox`, `Outbox` (mailboxes), `Timers`, `Sleeper`; what is left here is what ties
// them: runtime calls, exits, links and monitors, requests to the broker.
//
// If the process dies at any line here: what was committed to a ring arrives, what was not does not; the broker learns
// of the end from the kernel and frees names and channels; nothing in shared memory needs mending.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <muproc/self.hpp>
#include <muproc/task.hpp>

#include "runtime/inbox.hpp"
#include "runtime/lane.hpp"
#include "runtime/outbox.hpp"
#include "runtime/sleeper.hpp"
#include "runtime/timers.hpp"
#include "shm/counter.hpp"
#include "shm/directory.hpp"
#include "sys/clock.hpp"

namespace muproc {
struct Published;  // groups.hpp
}

namespace muproc::detail {

/// What the broker gave us at birth.
struct Kit {
  Pid pid;
  Pid parent;
  std::string name;
  Mumsg args, bindings;
  std::string error_stream;
  int log_level = 2;                // spdlog's number
  std::uint64_t stderr_inode = 0;   // of the pipe that the logger reads
  bool trap_exits = false;
  std::uint64_t stash_limit = 0;
  std::uint64_t max_message = 0;
  bool keeps_mailbox = false;       // across restarts; what a predecessor has left is in the segment
  int broker_os_pid = 0;
  bool is_child = true;  // of the broker; else an outsider, whose parent's death says nothing
};

/// A group's members, as long as its snapshot is current; each once, however often it has joined.
using GroupMembers = shm::GroupTableView::Snapshot;

class Runtime {
 public:
  using Time = std::chrono::nanoseconds;

  /// `keeper` is null where the mailbox is not kept; `before_go` are frames that came before the word to begin.
  Runtime(Kit kit, wire::FrameSocket socket, std::uint64_t frames_received, std::shared_ptr<shm::OwnSegment> segment,
          sys::UniqueFd eventfd, std::unique_ptr<shm::DirectoryView> directory, std::unique_ptr<Keeper> keeper = nullptr,
          std::vector<wire::Frame> before_go = {});
  ~Runtime();

  /// This thread's, or null.
  static Runtime* current() { return current_; }
  /// A copy of a muproc, made by fork, that has not joined as one of its own.
  static bool in_forked_process() { return forked_; }
  /// Throws std::logic_error when called from another thread, or in a process that was forked from a muproc.
  static Runtime& of(const Self& self) {
    if (self.runtime_ != current_ || forked_) [[unlikely]] wrong_thread();
    return *current_;
  }
  static Runtime& of(Self& self) { return of(static_cast<const Self&>(self)); }

  Self& self() { return self_; }
  const Kit& kit() const { return kit_; }
  const shm::DirectoryView& directory() const { return *directory_; }
  const shm::StatusBlock& status() const { return own_->status(); }
  /// Takes back what receivers of large messages are done with; `arena_blocks` of the status is exact then.
  void take_back_blocks() { outbox_.reclaim_all(); }
  /// Made when it is first needed, but for a file, which must be there: most never say a word, and it is a tenth of a birth.
  spdlog::logger& log();

  // -- runtime calls
  /// What every runtime call begins with: news of the broker, timers, exit signals, limits.
  void check() {
    count_call();
    if (wants_attention()) check_slowly();
  }
  void sleep(Time duration);
  /// The reason for which it has been told to end, if it has.
  const std::optional<Reason>& ending() const { return ending_; }

  // -- ending
  [[noreturn]] void exit(Reason reason);
  void exit_other(Address other, Reason reason);
  void exit_self(Reason reason);
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
  void say_ready();
  Pid spawn(std::string_view name, const Code& code, const SpawnOptions& options, Ref monitor);
  Pid start_supervisor(std::string_view name, const Supervisor& supervisor, bool link);
  void register_port(std::string_view name);
  void unregister_port(std::string_view name);
  /// A socket over which another thread can become a Sender of ours.
  sys::UniqueFd new_sender();
  Pid resolve(Address to) const;
  /// Asks the broker for something and waits for the answer, which may be an error.
  wire::Frame ask(capnp::MessageBuilder& message);

  // -- messages
  bool send(Address to, ScratchLease& lease, std::uint64_t type_id, SendWait wait, Message::Kind kind, std::uint64_t ref);
  /// Sends a mumsg of plain values straight into an open channel that has room. False, with nothing done, when it is not
  /// that simple: then build it and `send`.
  bool send_at_once(Address to, std::span<const NamedArgument> fields);
  /// The same of words that `write` is given the place for.
  template <class Write>
  bool send_at_once(Pid to, std::uint64_t type_id, Message::Kind kind, std::uint64_t ref, std::size_t words, const Write& write) {
    const std::uint64_t now = ticks();
    check();
    const Claimed claimed = claim_at_once(to, 1 + words);
    if (!claimed.body) return false;
    std::memcpy(claimed.body, &ref, 8);
    write(claimed.body + 8);
    commit_at_once(claimed, header_for(to, type_id, kind, ref), 1 + words, now);
    return true;
  }
  /// Sends a short message into the open channel of a pid, if nothing has to be done before. False, with nothing done, when
  /// anything has: then send it in the other way.
  bool send_bytes_quickly(Address to, std::span<const std::byte> bytes);
  bool send_flat_quickly(Address to, std::span<const std::uint64_t> words, std::uint64_t type_id);
  /// Sends a struct of data alone.
  bool send_flat(Address to, std::span<const std::uint64_t> words, std::uint64_t type_id, SendWait wait);
  bool send_bytes(Address to, std::span<const std::byte> bytes, SendWait wait);
  /// Null while it is in use.
  FlatScratch* take_flat() { return std::exchange(flat_.scratch.in_use, true) ? nullptr : &flat_.scratch; }
  ScratchLease* lease() { return outbox_.lease(); }
  void give_back(ScratchLease* lease) noexcept { outbox_.give_back(lease); }
  /// Scratch memory for one message.
  class Lease {
   public:
    explicit Lease(Runtime& runtime) : runtime_(runtime), scratch_(runtime.lease()) {}
    ~Lease() { runtime_.give_back(scratch_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ScratchLease& operator*() const { return *scratch_; }
    ScratchLease* operator->() const { return scratch_; }

   private:
    Runtime& runtime_;
    ScratchLease* scratch_;
  };
  bool receive(const ClauseTable& table, void* result);
  std::optional<Message> receive_any(std::optional<Time> limit);
  const Message* in_hand() const { return in_hand_ ? &in_hand_->message : nullptr; }
  /// The arguments of a request, which begins as a mumsg does.
  static MumsgView request_fields(const Message& request);
  /// The same message beyond the pool that its contents were copied to.
  static Message kept(Message message);
  /// Takes the message in hand away from the handler that is running, for one who keeps it beyond that.
  Message keep_in_hand() { return kept(std::move(in_hand_->message)); }
  /// A message as if the system had sent it.
  Message make_message(const Mumsg& fields);
  /// Handles a message that was kept: it is in hand until `handler` returns.
  template <class Handler>
  void handle(Message& message, Handler&& handler) {
    Handling handling(*this, message);
    {
      const InHand hand(*this, message);
      handler();
    }
    handling.is_over();
  }
  std::size_t discard_all();
  std::size_t unmatched() { return inbox_.stash().size(); }
  /// A behaviour keeps so many messages for later: it is not drained before there are none.
  void set_postponed(std::size_t messages) { postponed_ = messages; }
  int event_fd();

  // -- process groups: groups.cpp
  void join_group(std::string_view group);
  void leave_group(std::string_view group);
  std::pair<Ref, std::vector<Pid>> monitor_group(std::string_view group);
  void demonitor_group(Ref ref);
  /// A group's members as they are now. No broker is needed.
  std::shared_ptr<const GroupMembers> members_of(std::string_view group);
  /// Sends what was built to each member; who had no room is in `full`, when `wait` says not to wait.
  Published publish(std::string_view group, Outgoing& message, std::uint64_t type_id, SendWait wait);

  // -- calls: a reference goes out, one reply comes back
  struct Reply {
    enum class Outcome { value, error, down, timeout } outcome;
    Message message;
    Reason reason;
  };
  /// What was for a name that nobody has is a dead letter. `send` notes that itself.
  void note_nobody(Address to, Message::Kind kind, std::uint64_t type_id, std::string text);
  /// Sends what was built as a call; its reference.
  std::uint64_t begin_call(Address to, ScratchLease& lease, std::uint64_t type_id);
  /// The same, when it can be sent at once.
  template <class Write>
  std::optional<std::uint64_t> begin_call_at_once(Pid to, std::uint64_t type_id, std::size_t words, const Write& write) {
    const std::uint64_t ref = make_ref();
    if (!send_at_once(to, type_id, Message::Kind::call, ref, words, write)) return std::nullopt;
    new_call(ref).target = to;
    return ref;
  }
  /// Waits for its reply, the end of who is to give it, or the deadline. The reference is spent afterwards.
  Reply await(std::uint64_t ref, std::optional<Time> deadline);
  /// The place of the first of these whose outcome is known; waits until there is one, or the deadline. Spends none.
  std::optional<std::size_t> await_any(std::span<const std::uint64_t> refs, std::optional<Time> deadline);
  /// Its reply is dropped when it comes.
  void forget_call(std::uint64_t ref) noexcept {
    auto call = calls_.extract(ref);
    if (!call) return;
    call.mapped() = {};
    spare_call_ = std::move(call);
  }

  // -- tasks: tasks.cpp
  /// Its pid and monitor, whose notice does not pass through the mailbox.
  std::pair<Pid, std::uint64_t> spawn_task(std::string_view name, const Code& code, const SpawnOptions& options);
  std::uint64_t call_task(Pid task, Outgoing& message);
  /// Waits until one of them has answered or ended; false at the deadline.
  bool await_tasks(std::span<const TaskHandle> tasks, std::optional<Time> deadline);
  /// Its answer, else why it ended, if that is known.
  std::optional<Reply> task_reply(const TaskHandle& task);
  /// Neither answer nor end will be asked for. True when it has not ended as far as is known.
  bool forget_task(const TaskHandle& task);

  // -- routing: what a library has that brings an event loop of its own, as RPC does
  class Router {
   public:
    virtual void deliver(Message message) = 0;
    /// The kernel has reported one dead that has had to do with us; all that it had sent was delivered.
    virtual void ended(Pid peer, const Reason& reason) = 0;
    /// True when it has something to do, so that nobody should sleep.
    virtual bool has_work() const = 0;

   protected:
    ~Router() = default;
  };
  /// Messages of that type go to the router, those too that wait already, and to the mailbox no more. Null: the mailbox
  /// has them again. Throws std::logic_error when there is a router already.
  void route(std::uint64_t type_id, Router* router);
  /// Takes in what there is. If that was nothing, and the router has no work, sleeps until there is news or until the
  /// deadline, and takes that in.
  void wait_for_routed(std::optional<Time> deadline);
  /// False when the router was told of its end already, or never will be.
  bool reaches(Pid peer);

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
    Pid target;           // who is to reply
    bool handed = false;  // to that one, of whose end we may not hear yet
    std::optional<Message> reply;
    std::optional<Reason> down;
  };
  Call& new_call(std::uint64_t ref);
  void hear_of_end(Call& call);
  bool take_in_routed();

  [[noreturn]] static void wrong_thread();
  void take_over(std::vector<wire::Frame>& before_go);
  /// What the broker's watchdog looks at. Only this muproc writes the line, and mostly nobody else reads it.
  void count_call() {
    shm::AtomicU32& calls = own_->status().runtime_calls;
    calls.store(calls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  /// Says what this muproc waits for, as long as it lives.
  class Waiting {
   public:
    Waiting(Runtime& runtime, shm::Activity activity) : activity_(runtime.own_->status().activity), before_(activity_.load(std::memory_order_relaxed)) {
      activity_.store(static_cast<std::uint32_t>(activity), std::memory_order_relaxed);
    }
    ~Waiting() { activity_.store(before_, std::memory_order_relaxed); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    shm::AtomicU32& activity_;
    std::uint32_t before_;
  };
  bool wants_attention() const {
    return directory_live_->lane.load(std::memory_order_acquire) > lane_.received() || attention_ || interrupted_ || !timers_.empty() ||
           sleeper_.other_was_ready();
  }
  void check_slowly();
  void hear_lane();
  void throw_if_ending();
  void hear(wire::FromBroker::Reader frame, std::vector<sys::UniqueFd>& fds);
  void hear_channel(wire::ChannelOpened::Reader channel, std::vector<sys::UniqueFd>& fds);
  void hear_down(wire::PeerDown::Reader down);
  void hear_moved(wire::ChannelMoved::Reader moved, std::vector<sys::UniqueFd>& fds);
  void settle_notices();
  void end_with(Reason reason);
  static Mumsg fields_of(const Notice& notice);
  Message make_notice(const Notice& notice);
  bool hear_task_end(std::uint64_t monitor, const wire::Reason::Reader& reason);
  bool is_decided(const TaskHandle& task) const;
  void take_back_notices(Ref ref);
  void hear_group(wire::GroupNews::Reader news);
  wire::Frame ask_about_group(wire::GroupRequest::What what, std::string_view group, std::uint64_t ref);
  std::shared_ptr<Peer> meet(Pid pid, int segment_fd, sys::UniqueFd&& eventfd);
  void drop_extent(std::uint32_t number);

  shm::RecordHeader header_for(Pid to, std::uint64_t type_id, Message::Kind kind, std::uint64_t ref) const;
  /// An open channel that has room for a record with a body of so many words.
  struct Claimed {
    OutChannel* channel = nullptr;
    std::byte* body = nullptr;
    std::uint64_t position = 0;  // before a skip
  };
  Claimed claim_at_once(Pid to, std::size_t words);
  void commit_at_once(const Claimed& claimed, shm::RecordHeader header, std::size_t words, std::uint64_t now);
  template <class Write>
  bool send_quickly(Address to, std::uint64_t type_id, std::size_t words, const Write& write);
  bool try_send_once(OutChannel& channel, ScratchLease& lease, shm::RecordHeader& header, std::uint64_t ref);
  void sent(OutChannel& channel, std::uint64_t bytes);
  bool wait_for_room(Pid to, SendWait wait, Time deadline);
  template <class Summary>
  Pid recipient(Address to, Message::Kind kind, std::uint64_t type_id, Summary&& summary);
  bool takes(Pid pid, Address to, Message::Kind kind) const;
  void drop(Pid to, Message::Kind kind, std::uint64_t type_id, std::string text);
  void drop_answer(const Message& answer);
  void count_late(const OutChannel& channel, std::uint64_t counted);
  void say_if_drained();
  struct Granted {
    wire::Frame reply;
    std::size_t ring_offset, ring_size;
  };
  std::optional<Granted> ask_for_channel(Pid to, std::uint32_t ring_size);
  OutChannel* open_channel(Pid to);
  void keep_own(Message& message);
  void send_to_self(ScratchLease& lease, std::uint64_t type_id, Message::Kind kind, std::uint64_t ref);

  std::uint64_t ticks() const { return sys::unordered_ticks(directory_->use_tsc()); }
  std::uint64_t stamp(std::uint64_t now);
  std::optional<Message> next_message();
  Message next_in_order();
  std::optional<Message> next_notice();
  bool route_reply(Message& message);
  enum class Match { no, yes, malformed };
  Match match(const ClauseTable::Entry& entry, const Message& message);
  /// While one lives, tools, and the broker after a death, are told that the message is being handled.
  struct InHand {
    InHand(Runtime& of, Message& to_handle)
        : runtime(of), message(to_handle), outer(of.in_hand_), depth(outer ? outer->depth + 1 : 1) {
      shm::StatusBlock& status = runtime.own_->status();
      if (depth <= shm::k_max_in_hand) {
        const Envelope& contents = message.envelope();
        shm::InHand& at = status.in_hand[depth - 1];
        at.sender.store(contents.from.bits(), std::memory_order_relaxed);
        at.type_id.store(contents.type_id, std::memory_order_relaxed);
        at.timestamp.store(contents.timestamp, std::memory_order_relaxed);
      }
      runtime.in_hand_ = this;
      status.in_hand_depth.store(depth, std::memory_order_relaxed);
    }
    ~InHand() {
      runtime.in_hand_ = outer;
      runtime.own_->status().in_hand_depth.store(depth - 1, std::memory_order_relaxed);
    }
    InHand(const InHand&) = delete;
    InHand& operator=(const InHand&) = delete;

    Runtime& runtime;
    Message& message;
    InHand* outer;
    std::uint32_t depth;
  };
  /// In a kept mailbox, how far the handling of a message is. One that is left by an exception is not over.
  class Handling {
   public:
    Handling(Runtime& runtime, Message& message) : keeper_(runtime.keeper_.get()), message_(message) {
      if (keeper_) [[unlikely]] begin();
    }
    ~Handling() {
      if (kept_) [[unlikely]] keeper_->abandon(kept_);
    }
    void is_over() {
      if (kept_) [[unlikely]] end();
    }
    Handling(const Handling&) = delete;
    Handling& operator=(const Handling&) = delete;

   private:
    void begin();
    void end();

    Keeper* keeper_;
    Message& message_;
    std::uint32_t kept_ = 0;
  };
  /// It was taken, and is the caller's now.
  void is_done_with(Message& message) {
    if (keeper_ && message.envelope_) [[unlikely]] keeper_->finish(*message.body());
  }
  void drop_malformed(const Message& message, const kj::Exception& malformed);
  void run_clause(const ClauseTable::Entry& entry, Message& message, void* result);
  void run_clause_kept(const ClauseTable::Entry& entry, Message& message, void* result);
  bool news();
  void wait_for_news(std::optional<Time> deadline);
  std::optional<Time> nearest(std::optional<Time> deadline) const;
  void stash(Message message);
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
  std::unordered_map<Pid, Granted> granted_;  // channels of which the broker knows, whose receivers we could not map yet
  Sleeper sleeper_;
  Lane lane_;
  std::unique_ptr<Keeper> keeper_;  // where the mailbox is kept
  Inbox inbox_;
  Outbox outbox_;
  FlatBuilder flat_;
  Timers timers_;
  std::map<std::string, std::shared_ptr<const GroupMembers>, std::less<>> groups_;  // as they were when last looked at
  std::vector<std::pair<std::uint64_t, Time>> limits_;  // id and deadline; inner ones last
  std::uint64_t last_limit_ = 0;
  std::uint64_t last_ref_ = 0;
  std::uint64_t last_stamp_ = 0;
  std::map<std::uint64_t, Call> calls_;
  std::map<std::uint64_t, Call>::node_type spare_call_;  // of the last that was spent: mostly the next comes soon
  std::uint64_t awaited_ = 0;                            // whose reply is taken as soon as it is there
  struct Task {
    bool is_forgotten = false;
    std::optional<Reason> end;
  };
  std::map<std::uint64_t, Task> tasks_;  // by monitor
  Router* router_ = nullptr;
  std::uint64_t routed_type_ = 0;
  std::uint64_t routed_ = 0;  // how many messages and ends there were
  std::vector<std::pair<Pid, Reason>> unrouted_ends_;
  InHand* in_hand_ = nullptr;  // the innermost
  std::uint64_t dropped_ = 0;  // of what was to be sent
  enum class Drain { no, asked, told } drain_ = Drain::no;
  std::size_t postponed_ = 0;
  std::optional<Reason> ending_;
  bool heeded_ = false;
  unsigned exits_held_ = 0;
  bool trap_exits_ = false;
  bool firing_ = false;
  bool attention_ = false;  // an exit is pending, or a limit is set: check slowly
  volatile bool never_ = false;
  volatile bool& interrupted_;  // only a child of the broker is sent the signal, and only its first thread looks
};

// ---- every message passes here ---------------------------------------------------------------------------------------

[[gnu::always_inline]] inline Runtime::Claimed Runtime::claim_at_once(Pid to, std::size_t words) {
  OutChannel* channel = outbox_.find(to);
  if (!channel || words > shm::max_record_words(channel->ring_size) || !directory_->alive(to)) [[unlikely]] return {};
  const std::uint64_t position = channel->writer.position();
  return {channel, channel->writer.claim(words), position};
}

[[gnu::always_inline]] inline void Runtime::commit_at_once(const Claimed& claimed, shm::RecordHeader header, std::size_t words,
                                                           std::uint64_t now) {
  header.timestamp = stamp(now);
  shm::RingWriter& writer = claimed.channel->writer;
  writer.commit(header, words);
  sent(*claimed.channel, writer.position() - claimed.position);
}

/// A call of another function stores what its caller has in registers, and stores wait for each other: while those to a ring, whose
/// lines another processor has, are on their way to the cache, the more of others lie between them, the fewer are on their way
/// at once. So on this way nothing is called.
template <class Write>
[[gnu::always_inline]] inline bool Runtime::send_quickly(Address to, std::uint64_t type_id, std::size_t words, const Write& write) {
  const std::uint64_t now = ticks();  // the processor takes its time for this, and can do the rest meanwhile
  if (wants_attention()) [[unlikely]] return false;
  const Pid target = to.pid();  // nil, of a name: nobody has a channel to that
  OutChannel* channel = outbox_.find(target);
  if (!channel || !directory_->alive(target)) [[unlikely]] return false;
  shm::RingWriter& writer = channel->writer;
  std::byte* body = writer.claim_here(words);
  if (!body) [[unlikely]] return false;
  count_call();
  write(body);
  const std::uint64_t before = writer.position();
  shm::RecordHeader header = header_for(target, type_id, Message::Kind::message, 0);
  header.timestamp = stamp(now);
  writer.commit(header, words);
  sent(*channel, writer.position() - before);
  return true;
}

inline bool Runtime::send_bytes_quickly(Address to, std::span<const std::byte> bytes) {
  const std::size_t whole = bytes.size() / 8, rest = bytes.size() % 8;
  if (whole > shm::k_few_words) return false;
  return send_quickly(to, k_byte_message, 2 + whole + (rest != 0), [&](std::byte* body) __attribute__((always_inline)) {
    const std::uint64_t pointers[] = {wire::struct_pointer(0, 0, 1), wire::list_pointer(0, wire::k_bytes, bytes.size())};
    std::memcpy(body, &pointers[0], 8);
    std::memcpy(body + 8, &pointers[1], 8);
    shm::copy_few_in(body + 16, bytes.data(), whole);
    if (rest == 0) return;
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < rest; ++i) last |= static_cast<std::uint64_t>(bytes[whole * 8 + i]) << 8 * i;
    std::memcpy(body + 16 + whole * 8, &last, 8);
  });
}

inline bool Runtime::send_flat_quickly(Address to, std::span<const std::uint64_t> words, std::uint64_t type_id) {
  return send_quickly(to, type_id, 1 + words.size(), [&](std::byte* body) __attribute__((always_inline)) {
    const std::uint64_t root = wire::struct_pointer(0, words.size(), 0);
    std::memcpy(body, &root, 8);
    shm::copy_few_in(body + 8, reinterpret_cast<const std::byte*>(words.data()), words.size());
  });
}

inline shm::RecordHeader Runtime::header_for(Pid to, std::uint64_t type_id, Message::Kind kind, std::uint64_t ref) const {
  shm::RecordHeader header{};
  header.kind = static_cast<std::uint8_t>(kind);
  header.flags = ref ? shm::k_flag_reference : 0;
  header.target = static_cast<std::uint16_t>(to.incarnation());
  header.type_id = type_id;
  return header;
}

inline void Runtime::sent(OutChannel& channel, std::uint64_t bytes) {
  shm::StatusBlock& status = own_->status();
  shm::add(status.messages_sent, 1);
  shm::add(status.bytes_sent, bytes);
  channel.peer->wake(shm::Asleep::for_news);
}

/// When something is sent: later than all that this muproc has sent or received, so that what follows from a message is
/// never taken for older. The time-stamp counter alone, read as fast as it can be, would not promise that.
inline std::uint64_t Runtime::stamp(std::uint64_t now) {
  // A sender's stamp from the future is a lie, and must not carry ours along; two cores' counters differ by less.
  constexpr std::uint64_t k_honest = 100'000;
  const std::uint64_t latest = inbox_.latest();
  if (last_stamp_ < latest) last_stamp_ = latest;
  last_stamp_ = now <= last_stamp_ && last_stamp_ - now < k_honest ? last_stamp_ + 1 : now;
  return last_stamp_;
}

}  // namespace muproc::detail
