// `Self`: a muproc's view of itself and its door to all others.
//
// A muproc is an OS process with a name, a pid and one mailbox. The function that it runs gets a `Self&`, valid until
// the function returns and only in the thread that got it: another thread that uses it gets a std::logic_error.
//
// Every call here but `log` is a *runtime call*: exit signals and expired time limits act there, by throwing ExitSignal
// or ending the `with_timeout`; timers fire there. A muproc that computes for a long time hears of nothing meanwhile.
// When the broker dies, runtime calls throw ExitSignal with the reason `broker_lost`.
#pragma once

#include <spdlog/logger.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <muproc/match.hpp>
#include <muproc/message.hpp>
#include <muproc/pid.hpp>
#include <muproc/reason.hpp>
#include <muproc/supervision.hpp>
#include <muproc/value.hpp>

namespace muproc {

class Self;
class Sender;

// ---- errors ----------------------------------------------------------------------------------------------------------

/// A call that could not be carried out; the text names the thing. Base of all errors of the runtime but ExitSignal.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Nobody has that name or port.
struct NoSuchName : Error {
  using Error::Error;
};
/// Somebody else has that name.
struct NameTaken : Error {
  using Error::Error;
};
/// `spawn` or `start_supervisor` failed; `reason` is why the child did not become ready.
struct StartFailed : Error {
  StartFailed(const std::string& text, Reason why) : Error(text), reason(std::move(why)) {}
  Reason reason;
};
/// What waits unmatched would exceed the stash's limit.
struct StashFull : Error {
  using Error::Error;
};
/// The message is larger than the mailbox's `max_message`, or than memory allows.
struct MessageTooLarge : Error {
  using Error::Error;
};

// ---- small values ----------------------------------------------------------------------------------------------------

/// Where a message goes: a pid, or the name of a muproc or port. Refers to the name: for the duration of a call.
class Address {
 public:
  Address(Pid pid) : where_(pid.bits()), length_(k_pid) {}
  Address(std::string_view name) : where_(reinterpret_cast<std::uintptr_t>(name.data())), length_(name.size()) {}
  Address(const char* name) : Address(std::string_view(name)) {}
  Address(const std::string& name) : Address(std::string_view(name)) {}
  Address(const Symbol& name) : Address(std::string_view(name.name)) {}

  bool is_name() const { return length_ != k_pid && length_ > 0; }
  Pid pid() const { return length_ == k_pid ? Pid(where_) : Pid(); }
  std::string_view name() const { return is_name() ? std::string_view(reinterpret_cast<const char*>(where_), length_) : std::string_view(); }

 private:
  // Two words, which are passed in registers. One that is passed in memory is read back in pieces that it was not written in,
  // and for that a processor waits until all earlier stores have reached its cache, those to rings among them.
  static constexpr std::size_t k_pid = ~std::size_t{0};
  std::uint64_t where_;  // the pid, or where the name is
  std::size_t length_;   // of the name, or k_pid
};

/// Unique for the life of the system. Erlang: a reference. cl-muproc: a message tag.
struct Ref {
  std::uint64_t bits = 0;
  explicit operator bool() const { return bits != 0; }
  friend auto operator<=>(const Ref&, const Ref&) = default;
};

/// A timer that can be cancelled; it ends with its owner anyway.
struct TimerRef {
  std::uint64_t id = 0;
};

/// A row of `list`.
struct MuprocInfo {
  Pid pid;
  std::string name;
  int os_pid = 0;
};

enum class OnNormal { end, ignore };
struct LinkOptions {
  /// `ignore`: the peer's *normal* end does not end this muproc, as in OTP. The default is cl-muproc's rule.
  OnNormal on_normal = OnNormal::end;
};

struct SpawnOptions {
  Mumsg args = {};
  Mumsg bindings = {};
  bool link = false;  ///< before the child runs its first instruction
  bool trap_exits = false;
  std::string error_stream = {};  ///< a file that its log is appended to; empty: as the spawner's
  Stop stop = std::chrono::seconds(5);  ///< how long it may take to end when it is told to
  std::chrono::nanoseconds ready_timeout = std::chrono::seconds(10);
  MailboxSizes mailbox = {};
  std::vector<std::pair<std::string, std::string>> env = {};
  std::string cwd = {};
  ReadyOn ready_on = ReadyOn::attach;    ///< `call`: spawn returns when the child has called `ready()`
  std::chrono::nanoseconds watchdog{0};  ///< so long without a runtime call, and it is ended by SIGABRT; 0: never
};

struct SupervisorStartOptions {
  bool link = false;
};

/// A registered port name; released when this goes out of scope. Move-only; the muproc's end releases it too.
class Port {
 public:
  Port() = default;
  Port(Port&& other) noexcept : self_(std::exchange(other.self_, nullptr)), name_(std::move(other.name_)) {}
  Port& operator=(Port&& other) noexcept;
  ~Port();
  const std::string& name() const { return name_; }
  /// Unregisters now. Harmless when it is done already.
  void release() noexcept;

 private:
  friend class Self;
  Port(Self& self, std::string name) : self_(&self), name_(std::move(name)) {}
  Self* self_ = nullptr;
  std::string name_;
};

namespace detail {

/// A Cap'n Proto struct as a field: `write` puts it where it is to lie in the message.
struct StructArgument {
  std::uint64_t type_id;
  void (*write)(const void* context, capnp::AnyPointer::Builder to);
  const void* context;
};

/// A field as an argument of `send`: refers to what it was made from, for the duration of the call.
class FieldArgument {
 public:
  FieldArgument() = default;
  FieldArgument(std::nullptr_t) {}
  FieldArgument(bool value) : kind_(Value::Kind::boolean), boolean_(value) {}
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  FieldArgument(T value) : kind_(Value::Kind::integer), integer_(static_cast<std::int64_t>(value)) {
    if (!detail::in_range<std::int64_t>(value)) throw ValueError("integer does not fit 64 signed bits");
  }
  template <class T>
    requires std::is_floating_point_v<T>
  FieldArgument(T value) : kind_(Value::Kind::real), real_(static_cast<double>(value)) {}
  FieldArgument(const char* text) : kind_(Value::Kind::text), text_(text) {}
  FieldArgument(std::string_view text) : kind_(Value::Kind::text), text_(text) {}
  FieldArgument(const std::string& text) : kind_(Value::Kind::text), text_(text) {}
  FieldArgument(const Symbol& symbol) : kind_(Value::Kind::symbol), text_(symbol.name) {}
  FieldArgument(Pid pid) : kind_(Value::Kind::pid), bits_(pid.bits()) {}
  FieldArgument(Ref ref) : kind_(Value::Kind::integer), integer_(static_cast<std::int64_t>(ref.bits)) {}
  FieldArgument(std::span<const std::byte> data)
      : kind_(Value::Kind::data), text_(reinterpret_cast<const char*>(data.data()), data.size()) {}
  FieldArgument(const StructArgument& structure) : kind_(Value::Kind::structure), structure_(&structure) {}
  FieldArgument(const Value& value) : owned_(&value) {}
  template <class T>
    requires(std::is_same_v<T, Mumsg> || std::is_same_v<T, List> || std::is_same_v<T, Data> ||
             std::is_same_v<T, Reason> || std::is_same_v<T, StructValue>)
  FieldArgument(const T& value) : made_(std::make_unique<Value>(value)), owned_(made_.get()) {}

  Value::Kind kind() const { return kind_; }
  bool boolean() const { return boolean_; }
  std::int64_t integer() const { return integer_; }
  double real() const { return real_; }
  std::uint64_t bits() const { return bits_; }
  const StructArgument& structure() const { return *structure_; }
  std::string_view text() const { return text_; }
  const Value* owned() const { return owned_; }

 private:
  Value::Kind kind_ = Value::Kind::nil;
  union {
    bool boolean_;
    std::int64_t integer_;
    double real_;
    const StructArgument* structure_;
    std::uint64_t bits_ = 0;
  };
  std::string_view text_;
  std::unique_ptr<Value> made_;
  const Value* owned_ = nullptr;
};

struct NamedArgument {
  std::string_view name;
  std::uint64_t key = 0;
  FieldArgument value;
};

template <std::size_t N>
void fill_arguments(std::array<NamedArgument, N>&, std::size_t) {}
template <std::size_t N, class V, class... Rest>
void fill_arguments(std::array<NamedArgument, N>& to, std::size_t at, std::string_view name, const V& value,
                    const Rest&... rest) {
  to[at].name = name;
  to[at].key = field_key(name);
  to[at].value = FieldArgument(value);
  fill_arguments(to, at + 1, rest...);
}

/// How long a send waits for room: as long as it takes, if nothing else is said. One word: see Address.
class SendWait {
 public:
  constexpr SendWait() = default;
  static constexpr SendWait never() { return SendWait(-1); }
  static constexpr SendWait within(std::chrono::nanoseconds limit) { return SendWait(std::max<std::int64_t>(limit.count(), 0)); }

  constexpr bool is_never() const { return nanoseconds_ < 0; }
  constexpr bool has_limit() const { return nanoseconds_ != k_no_limit; }
  constexpr std::chrono::nanoseconds limit() const { return std::chrono::nanoseconds(nanoseconds_); }

 private:
  static constexpr std::int64_t k_no_limit = std::numeric_limits<std::int64_t>::max();
  constexpr explicit SendWait(std::int64_t nanoseconds) : nanoseconds_(nanoseconds) {}
  std::int64_t nanoseconds_ = k_no_limit;
};

/// A message being built: scratch memory while it is small, the sender's arena beyond that. Taken back by its
/// destructor when it was not sent.
class Outgoing {
 public:
  explicit Outgoing(Self& self);
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;
  ~Outgoing();
  capnp::MessageBuilder& builder() { return *builder_; }
  /// False when there was no room in time.
  bool send(Address to, std::uint64_t type_id, SendWait wait, Message::Kind kind = Message::Kind::message,
            std::uint64_t ref = 0);

 private:
  friend class Runtime;
  Self& self_;
  void* lease_;
  capnp::MessageBuilder* builder_;
};

bool send_fields(Self& self, Address to, std::span<const NamedArgument> fields, SendWait wait);

/// Where structs without pointers are built: their words are known beforehand, so a builder made once serves them all.
struct FlatScratch {
  static constexpr unsigned k_words = 48;
  capnp::_::StructBuilder builder;  // of a struct as large as any that goes this way
  std::uint64_t* words = nullptr;   // its data; all zero while it is not in use
  bool in_use = false;
};

template <class T>
inline constexpr bool k_is_flat = T::_capnpPrivate::pointerCount == 0 && T::_capnpPrivate::dataWordSize > 0 &&
                                  T::_capnpPrivate::dataWordSize <= FlatScratch::k_words;

/// Null while another message is being built there: one is sent while one is built.
FlatScratch* take_flat(Self& self);
/// What was built there is not sent.
void give_back_flat(FlatScratch* scratch, unsigned words) noexcept;
/// False when there was no room in time.
bool send_flat(Self& self, Address to, std::span<const std::uint64_t> words, std::uint64_t type_id, SendWait wait);

/// A message being built there, of a type that has so many words.
template <unsigned Words>
class FlatOutgoing {
 public:
  explicit FlatOutgoing(Self& self) : self_(self), scratch_(take_flat(self)) {}
  FlatOutgoing(const FlatOutgoing&) = delete;
  FlatOutgoing& operator=(const FlatOutgoing&) = delete;
  ~FlatOutgoing() {
    if (scratch_) [[unlikely]] give_back_flat(scratch_, Words);
  }
  explicit operator bool() const { return scratch_ != nullptr; }
  template <class T>
  typename T::Builder builder() {
    return typename T::Builder(scratch_->builder);
  }
  bool send(Address to, std::uint64_t type_id, SendWait wait) {
    if (!send_flat(self_, to, {scratch_->words, Words}, type_id, wait)) [[unlikely]] return false;
    std::memset(scratch_->words, 0, Words * sizeof(std::uint64_t));
    scratch_->in_use = false;
    scratch_ = nullptr;
    return true;
  }

 private:
  Self& self_;
  FlatScratch* scratch_;
};

}  // namespace detail

// ---- Self ------------------------------------------------------------------------------------------------------------

class Self {
 public:
  Self(const Self&) = delete;
  Self& operator=(const Self&) = delete;

  // -- who I am

  Pid pid() const;
  const std::string& name() const;
  /// Who spawned me; a supervisor's pid, or nil when the broker did.
  Pid parent() const;
  /// What `args` of the config or of SpawnOptions said.
  const Mumsg& args() const;
  const Mumsg& bindings() const;
  /// cl-muproc's initial bindings. Throws ValueError that names it when it is not there or does not fit.
  template <class T>
  T binding(std::string_view name) const {
    return bindings()[name].template as<T>();
  }
  /// My error stream: stamps time and name. Never throws ExitSignal. cl-muproc: muproc-log-errorstream.
  spdlog::logger& log() const;

  // -- starting

  /// My start is done: who waits for it (spawn, my supervisor, which starts the next child only then) need wait no longer.
  /// Of use where the config says `ready = { on = "call" }` or the spawner `.ready_on = ReadyOn::call`; otherwise, and
  /// when called again, without effect. Erlang: proc_lib:init_ack, or the return of a gen_server's init.
  void ready();

  // -- ending

  /// Ends this muproc with exit{reason}: throws ExitSignal, so destructors run. Erlang: exit/1.
  [[noreturn]] void exit(Value reason);
  [[noreturn]] void exit(Reason reason);
  /// Tells another to end: a message `terminated: nil, reason` when it traps exits, else it ends with the reason. Comes
  /// after what I sent to it before. To the dead: harmless. Erlang: exit/2.
  void exit(Address other, Value reason);
  void exit(Address other, Reason reason);
  /// Ends it, whatever it traps, with the reason `killed`. To the dead: harmless.
  void kill(Address other);

  // -- links, monitors

  /// When either ends, the other hears: a message `terminated: pid, reason, name` if it traps exits, else it ends with
  /// linked{name, pid, reason}. Linking the dead gives the notice at once, with `noproc`. Idempotent.
  void link(Address peer, LinkOptions options = {});
  /// After it returns no notice of that link arrives.
  void unlink(Pid peer);
  /// One message `terminated: pid, reason, name, ref` when it ends; at once with `noproc` when it has already or when
  /// nobody has that name. Monitors stack. Never ends me.
  Ref monitor(Address target);
  /// After it returns no notice of that monitor arrives; `flush` also removes one that has arrived unread. An unknown
  /// ref is no error; only the monitor's owner can.
  void demonitor(Ref ref, bool flush = false);
  /// Looked at when a notice is delivered. Returns what it was before.
  bool trap_exits(bool trap);
  bool traps_exits() const;

  // -- spawning

  /// Starts a muproc and returns its pid once it is ready to receive. Throws NameTaken, StartFailed (with its reason),
  /// Error when the code cannot be found. Erlang: proc_lib:start. cl-muproc: muproc-spawn.
  Pid spawn(std::string_view name, Function function, SpawnOptions options = {});
  Pid spawn(std::string_view name, const Code& code, SpawnOptions options = {});
  /// The same, monitored before it runs its first instruction.
  std::pair<Pid, Ref> spawn_monitor(std::string_view name, const Code& code, SpawnOptions options = {});
  /// Returns the supervisor's pid once all its children are ready. Throws StartFailed. Erlang: supervisor:start_link.
  /// cl-muproc: supervisor-start.
  Pid start_supervisor(std::string_view name, const Supervisor& supervisor, SupervisorStartOptions options = {});

  // -- names

  /// Binds a name to my mailbox. Throws NameTaken.
  [[nodiscard]] Port register_port(std::string_view name);
  /// Throws NoSuchName when the port is unknown or somebody else's.
  void unregister_port(std::string_view name);
  /// The muproc of that port or name, or nil. No broker is needed. Erlang: whereis.
  Pid find(std::string_view name) const;
  /// All live muprocs whose name matches the (ECMAScript) regular expression; all when it is empty.
  std::vector<MuprocInfo> list(const std::string& name_pattern = {}) const;
  /// The name of a muproc that lives, or of the last one that lived there; empty when unknown.
  std::string name_of(Pid pid) const;
  bool alive(Pid pid) const;

  // -- sending

  /// Sends a mumsg: `send(to, "cmd", "square", "x", 3)`. Waits while the channel is full, and meanwhile takes what
  /// arrives into the stash, so that two muprocs that send to each other cannot block each other for ever. To a dead
  /// pid: dropped and counted. Throws NoSuchName, MessageTooLarge, StashFull.
  template <class... Rest>
  void send(Address to, std::string_view name, const Rest&... rest) {
    send_fields({}, to, name, rest...);
  }
  void send(Address to, const Mumsg& mumsg) { send_mumsg(to, mumsg, {}); }
  /// Sends bare bytes, a copy of them: for what has an encoding of its own. Received by `on_bytes`. At most 512 MiB less a
  /// byte. Erlang: Pid ! Binary.
  void send(Address to, std::span<const std::byte> bytes) { send_bytes(to, bytes, {}); }
  /// Sends a Cap'n Proto struct that `build(T::Builder)` fills in place.
  template <class T, class Build>
    requires(capnp::kind<T>() == capnp::Kind::STRUCT)
  void send(Address to, Build&& build) {
    send_typed<T>(to, build, {});
  }
  /// Sends a copy of a Cap'n Proto struct.
  template <class T>
  void send(Address to, typename T::Reader message) {
    detail::Outgoing out(*this);
    out.builder().setRoot(message);
    out.send(to, capnp::typeId<T>(), {});
  }

  /// As `send`, but false, with nothing sent, when there is no room now.
  template <class... Rest>
  [[nodiscard]] bool try_send(Address to, std::string_view name, const Rest&... rest) {
    return send_fields(detail::SendWait::never(), to, name, rest...);
  }
  [[nodiscard]] bool try_send(Address to, const Mumsg& mumsg) {
    return send_mumsg(to, mumsg, detail::SendWait::never());
  }
  [[nodiscard]] bool try_send(Address to, std::span<const std::byte> bytes) {
    return send_bytes(to, bytes, detail::SendWait::never());
  }
  template <class T, class Build>
  [[nodiscard]] bool try_send(Address to, Build&& build) {
    return send_typed<T>(to, build, detail::SendWait::never());
  }
  /// As `send`, but false, with nothing sent, when there was no room within `limit`.
  template <class... Rest>
  [[nodiscard]] bool send_within(std::chrono::nanoseconds limit, Address to, std::string_view name,
                                 const Rest&... rest) {
    return send_fields(detail::SendWait::within(limit), to, name, rest...);
  }
  [[nodiscard]] bool send_within(std::chrono::nanoseconds limit, Address to, std::span<const std::byte> bytes) {
    return send_bytes(to, bytes, detail::SendWait::within(limit));
  }
  template <class T, class Build>
  [[nodiscard]] bool send_within(std::chrono::nanoseconds limit, Address to, Build&& build) {
    return send_typed<T>(to, build, detail::SendWait::within(limit));
  }

  /// For another thread of this process, which sends in my name: see sender.hpp.
  Sender sender();

  // -- receiving

  /// Takes the oldest message that a clause matches, for each message the clauses in order, and yields the handler's
  /// value (an optional of it when some handlers give none). What matches nothing stays, in order. Waits without limit
  /// unless there is an `after`. Throws StashFull.
  template <class... C>
  auto receive(C&&... clauses);
  /// The oldest message of any kind; waits for one. Erlang: receive M -> M end. cl-muproc: muproc-receive, which
  /// forgot to take it.
  Message receive_any();
  /// As receive_any, or nothing after `limit`.
  std::optional<Message> receive_any(std::chrono::nanoseconds limit);

  /// The message whose handler is running, or null. cl-muproc: *muproc-packet*.
  const Message* message() const;
  /// Of the message whose handler is running: Message::redelivered. 0 when there is none.
  unsigned redelivered() const { return message() ? message()->redelivered() : 0; }
  /// Drops all that waits, read or not. Returns how many. cl-muproc: muproc-discard-all-pending-input.
  std::size_t discard_all();
  /// Messages that were looked at and stayed. cl-muproc: muproc-unmatched-input-count.
  std::size_t unmatched_count() const;
  /// Readable when there may be news, for those with a loop of their own. Call `receive` with `after(0s)` then, until
  /// it yields nothing. Owned by the runtime.
  int event_fd();

  // -- time

  /// Sends to `to` after a while. Never early; late while I compute. Erlang: erlang:send_after.
  TimerRef send_after(std::chrono::nanoseconds delay, Pid to, Mumsg message);
  /// First after `period`, then every `period`.
  TimerRef send_every(std::chrono::nanoseconds period, Pid to, Mumsg message);
  /// Calls `function` in one of my runtime calls at a moment of the wall clock (the past: at once), then every
  /// `repeat`, if not zero. cl-muproc: muproc-schedule.
  TimerRef schedule(std::chrono::system_clock::time_point at, std::function<void()> function,
                    std::chrono::nanoseconds repeat = {});
  /// The same after a while. cl-muproc: muproc-schedule-relative.
  TimerRef schedule(std::chrono::nanoseconds delay, std::function<void()> function,
                    std::chrono::nanoseconds repeat = {});
  /// How long it still had to go; nothing when it has fired or is unknown.
  std::optional<std::chrono::nanoseconds> cancel(TimerRef timer);
  /// Sleeps at least so long; a runtime call all the while.
  void sleep(std::chrono::nanoseconds duration);
  /// body()'s value, or otherwise()'s when body is still busy after `limit`: it is unwound at its next runtime call.
  /// Nested limits keep apart: an outer one that expires runs the outer `otherwise`.
  template <class Body, class Otherwise>
  auto with_timeout(std::chrono::nanoseconds limit, Body&& body, Otherwise&& otherwise)
      -> std::invoke_result_t<Body>;

  /// Erlang: make_ref().
  Ref make_ref();

 private:
  friend class detail::Runtime;
  friend class detail::Outgoing;
  friend bool detail::send_fields(Self&, Address, std::span<const detail::NamedArgument>, detail::SendWait);
  explicit Self(detail::Runtime& runtime) : runtime_(&runtime) {}

  template <class... Rest>
  bool send_fields(detail::SendWait wait, Address to, std::string_view name, const Rest&... rest) {
    static_assert(sizeof...(Rest) % 2 == 1, "send takes names and values in turn");
    std::array<detail::NamedArgument, (sizeof...(Rest) + 1) / 2> fields;
    detail::fill_arguments(fields, 0, name, rest...);
    return detail::send_fields(*this, to, fields, wait);
  }
  template <class T, class Build>
  bool send_typed(Address to, Build& build, detail::SendWait wait) {
    if constexpr (detail::k_is_flat<T>) {
      detail::FlatOutgoing<T::_capnpPrivate::dataWordSize> out(*this);
      if (out) {
        build(out.template builder<T>());
        return out.send(to, capnp::typeId<T>(), wait);
      }
    }
    detail::Outgoing out(*this);
    build(out.builder().template initRoot<T>());
    return out.send(to, capnp::typeId<T>(), wait);
  }
  bool send_mumsg(Address to, const Mumsg& mumsg, detail::SendWait wait);
  bool send_bytes(Address to, std::span<const std::byte> bytes, detail::SendWait wait);
  /// True when a clause ran; false when `after` did.
  bool receive_clauses(const detail::ClauseTable& table, void* result);
  std::uint64_t push_limit(std::chrono::nanoseconds limit);
  void pop_limit(std::uint64_t id);

  detail::Runtime* runtime_;
};

namespace detail {
/// Thrown by runtime calls past a limit of with_timeout; caught there by its own with_timeout.
struct LimitExpired {
  std::uint64_t id;
};
}  // namespace detail

/// A new unique name with this prefix: CH-1, CH-2, …. Unique in the system while its maker lives.
std::string gensym(std::string_view prefix);

// ---------------------------------------------------------------------------------------------------------------------

template <class... C>
auto Self::receive(C&&... clauses) {
  using namespace detail;
  static_assert(sizeof...(C) > 0, "receive without a clause would wait for ever");
  using Y = Yield<decltype([]<class P, class H>(Clause<P, H>&) -> ResultOf<H> {}(
      std::declval<std::remove_cvref_t<C>&>()))...>;
  using Value = typename Y::Value;
  typename OptionalOf<Value>::Type result{};

  ClauseTable table{nullptr, 0, std::nullopt};
  std::array<ClauseTable::Entry, sizeof...(C)> entries;
  std::tuple<ClauseSlot<std::remove_cvref_t<C>, Value>...> slots{{&clauses}...};
  auto add = [&]<class S, class Clause>(S& slot, Clause& clause) {
    if constexpr (k_is_after<std::remove_cvref_t<Clause>>) {
      table.after = clause.pattern.delay;
    } else {
      entries[table.count++] = {&slot, &S::match, &S::run};
    }
  };
  std::apply([&](auto&... slot) { (add(slot, *slot.clause), ...); }, slots);
  table.entries = entries.data();

  if (!receive_clauses(table, &result)) {
    // The place is a parameter: clang looks at the branch that is not taken too, when nothing in it depends on one.
    auto run_after = [](auto& clause, auto& place) {
      if constexpr (k_is_after<std::remove_cvref_t<decltype(clause)>>) {
        if constexpr (std::is_void_v<decltype(clause.handler())>) {
          clause.handler();
        } else {
          place.emplace(clause.handler());
        }
      }
    };
    (run_after(clauses, result), ...);
  }
  if constexpr (!std::is_void_v<Value>) {
    if constexpr (Y::k_some_void) {
      return result;
    } else {
      return *std::move(result);
    }
  }
}

template <class Body, class Otherwise>
auto Self::with_timeout(std::chrono::nanoseconds limit, Body&& body, Otherwise&& otherwise)
    -> std::invoke_result_t<Body> {
  const std::uint64_t id = push_limit(limit);
  struct Pop {
    Self& self;
    std::uint64_t id;
    ~Pop() { self.pop_limit(id); }
  };
  try {
    Pop pop{*this, id};
    return body();
  } catch (const detail::LimitExpired& expired) {
    if (expired.id != id) throw;
  }
  return otherwise();
}

}  // namespace muproc
