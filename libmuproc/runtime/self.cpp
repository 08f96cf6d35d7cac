// The out-of-line half of self.hpp: each call finds this thread's runtime and goes there.
#include <muproc/self.hpp>

#include <algorithm>
#include <atomic>
#include <regex>

#include "runtime/arguments.hpp"
#include "runtime/runtime.hpp"
#include "sys/clock.hpp"
#include "wire/codec.hpp"

namespace muproc {

using detail::Runtime;

// ---- who I am --------------------------------------------------------------------------------------------------------

Pid Self::pid() const { return runtime_->kit().pid; }
const std::string& Self::name() const { return runtime_->kit().name; }
Pid Self::parent() const { return runtime_->kit().parent; }
const Mumsg& Self::args() const { return runtime_->kit().args; }
const Mumsg& Self::bindings() const { return runtime_->kit().bindings; }
spdlog::logger& Self::log() const { return runtime_->log(); }

// ---- starting ---------------------------------------------------------------------------------------------------------

void Self::ready() { Runtime::of(*this).say_ready(); }

// ---- ending ----------------------------------------------------------------------------------------------------------

void Self::exit(Value reason) { Runtime::of(*this).exit(Reason::exit(std::move(reason))); }
void Self::exit(Reason reason) { Runtime::of(*this).exit(std::move(reason)); }
void Self::exit(Address other, Value reason) { Runtime::of(*this).exit_other(other, Reason::exit(std::move(reason))); }
void Self::exit(Address other, Reason reason) { Runtime::of(*this).exit_other(other, std::move(reason)); }
void Self::kill(Address other) { Runtime::of(*this).kill_other(other); }

// ---- links, monitors -------------------------------------------------------------------------------------------------

void Self::link(Address peer, LinkOptions options) { Runtime::of(*this).link(peer, options); }
void Self::unlink(Pid peer) { Runtime::of(*this).unlink(peer); }
Ref Self::monitor(Address target) { return Runtime::of(*this).monitor(target); }
void Self::demonitor(Ref ref, bool flush) { Runtime::of(*this).demonitor(ref, flush); }
bool Self::trap_exits(bool trap) { return Runtime::of(*this).trap_exits(trap); }
bool Self::traps_exits() const { return runtime_->traps_exits(); }

// ---- spawning --------------------------------------------------------------------------------------------------------

Pid Self::spawn(std::string_view name, Function function, SpawnOptions options) {
  return Runtime::of(*this).spawn(name, Code(function), options, {});
}
Pid Self::spawn(std::string_view name, const Code& code, SpawnOptions options) {
  return Runtime::of(*this).spawn(name, code, options, {});
}
std::pair<Pid, Ref> Self::spawn_monitor(std::string_view name, const Code& code, SpawnOptions options) {
  const Ref ref = make_ref();
  const Pid pid = Runtime::of(*this).spawn(name, code, options, ref);
  return {pid, ref};
}
Pid Self::start_supervisor(std::string_view name, const Supervisor& supervisor, SupervisorStartOptions options) {
  return Runtime::of(*this).start_supervisor(name, supervisor, options.link);
}

// ---- names -----------------------------------------------------------------------------------------------------------

Port Self::register_port(std::string_view name) {
  Runtime::of(*this).register_port(name);
  return Port(*this, std::string(name));
}
void Self::unregister_port(std::string_view name) { Runtime::of(*this).unregister_port(name); }

Port& Port::operator=(Port&& other) noexcept {
  if (this != &other) {
    release();
    self_ = std::exchange(other.self_, nullptr);
    name_ = std::move(other.name_);
  }
  return *this;
}

Port::~Port() { release(); }

void Port::release() noexcept {
  Self* self = std::exchange(self_, nullptr);
  if (!self || !Runtime::current()) return;
  try {
    self->unregister_port(name_);
  } catch (...) {
    // Unregistered by hand, or the broker has gone: the name is free either way. An exit signal that acts here is
    // thrown again by the next runtime call.
  }
}

Pid Self::find(std::string_view name) const { return Runtime::of(*this).directory().find(name); }

std::vector<MuprocInfo> Self::list(const std::string& name_pattern) const {
  const auto& directory = Runtime::of(*this).directory();
  const std::regex pattern(name_pattern);
  std::vector<MuprocInfo> rows;
  for (std::uint32_t slot = 0; slot < directory.slots(); ++slot) {
    const auto info = directory.info(slot);
    if (!info || !directory.lives(Pid(info->pid))) continue;
    if (std::regex_search(info->name, pattern)) rows.push_back({Pid(info->pid), info->name, info->os_pid});
  }
  return rows;
}

std::string Self::name_of(Pid pid) const {
  const auto info = Runtime::of(*this).directory().info(pid.slot());
  return info && info->pid == pid.bits() ? info->name : std::string();
}

bool Self::alive(Pid pid) const { return Runtime::of(*this).directory().lives(pid); }

// ---- messages --------------------------------------------------------------------------------------------------------

bool Self::send_mumsg(Address to, const Mumsg& mumsg, detail::SendWait wait) {
  detail::Outgoing out(*this);
  wire::write(out.builder().initRoot<wire::Mumsg>(), mumsg);
  return out.send(to, capnp::typeId<wire::Mumsg>(), wait);
}

bool Self::send_bytes(Address to, std::span<const std::byte> bytes, detail::SendWait wait) {
  Runtime& runtime = Runtime::of(*this);
  return runtime.send_bytes_quickly(to, bytes) || runtime.send_bytes(to, bytes, wait);
}

bool Self::receive_clauses(const detail::ClauseTable& table, void* result) {
  return Runtime::of(*this).receive(table, result);
}
Message Self::receive_any() { return *Runtime::of(*this).receive_any(std::nullopt); }
std::optional<Message> Self::receive_any(std::chrono::nanoseconds limit) { return Runtime::of(*this).receive_any(limit); }
const Message* Self::message() const { return runtime_->in_hand(); }
std::size_t Self::discard_all() { return Runtime::of(*this).discard_all(); }
std::size_t Self::unmatched_count() const { return Runtime::of(*this).unmatched(); }
int Self::event_fd() { return Runtime::of(*this).event_fd(); }

namespace detail {

Outgoing::Outgoing(Self& self)
    : self_(self), lease_(Runtime::of(self).lease()), builder_(&static_cast<ScratchLease*>(lease_)->builder()) {}

Outgoing::~Outgoing() {
  if (Runtime* runtime = Runtime::current()) runtime->give_back(static_cast<ScratchLease*>(lease_));
}

bool Outgoing::send(Address to, std::uint64_t type_id, SendWait wait, Message::Kind kind, std::uint64_t ref) {
  return Runtime::of(self_).send(to, *static_cast<ScratchLease*>(lease_), type_id, wait, kind, ref);
}

FlatScratch* take_flat(Self& self) { return Runtime::of(self).take_flat(); }

void give_back_flat(FlatScratch* scratch, unsigned words) noexcept {
  if (!Runtime::current()) return;
  std::fill_n(scratch->words, words, 0);
  scratch->in_use = false;
}

bool send_flat(Self& self, Address to, std::span<const std::uint64_t> words, std::uint64_t type_id, SendWait wait) {
  Runtime& runtime = Runtime::of(self);
  return runtime.send_flat_quickly(to, words, type_id) || runtime.send_flat(to, words, type_id, wait);
}

bool send_fields(Self& self, Address to, std::span<const NamedArgument> fields, SendWait wait) {
  if (Runtime::of(self).send_at_once(to, fields)) [[likely]] return true;
  Outgoing out(self);
  write(out.builder().initRoot<wire::Mumsg>(), fields);
  return out.send(to, capnp::typeId<wire::Mumsg>(), wait);
}

}  // namespace detail

// ---- time ------------------------------------------------------------------------------------------------------------

namespace {

void require_not_negative(std::chrono::nanoseconds time) {
  if (time.count() < 0) throw std::invalid_argument("a negative time");
}

}  // namespace

TimerRef Self::send_after(std::chrono::nanoseconds delay, Pid to, Mumsg message) {
  return schedule(delay, [this, to, message = std::move(message)] { send(to, message); });
}

TimerRef Self::send_every(std::chrono::nanoseconds period, Pid to, Mumsg message) {
  if (period.count() <= 0) throw std::invalid_argument("a period must be positive");
  return schedule(period, [this, to, message = std::move(message)] { send(to, message); }, period);
}

TimerRef Self::schedule(std::chrono::nanoseconds delay, std::function<void()> function,
                        std::chrono::nanoseconds repeat) {
  require_not_negative(delay);
  require_not_negative(repeat);
  return {Runtime::of(*this).add_timer(sys::from_now(delay), repeat, std::move(function))};
}

TimerRef Self::schedule(std::chrono::system_clock::time_point at, std::function<void()> function,
                        std::chrono::nanoseconds repeat) {
  const auto delay = at - std::chrono::system_clock::now();
  return schedule(std::max<std::chrono::nanoseconds>(delay, std::chrono::nanoseconds(0)), std::move(function), repeat);
}

std::optional<std::chrono::nanoseconds> Self::cancel(TimerRef timer) {
  return Runtime::of(*this).cancel_timer(timer.id);
}

void Self::sleep(std::chrono::nanoseconds duration) {
  require_not_negative(duration);
  Runtime::of(*this).sleep(duration);
}

std::uint64_t Self::push_limit(std::chrono::nanoseconds limit) { return Runtime::of(*this).push_limit(limit); }
void Self::pop_limit(std::uint64_t id) { Runtime::of(*this).pop_limit(id); }

Ref Self::make_ref() { return {Runtime::of(*this).make_ref()}; }

std::string gensym(std::string_view prefix) {
  static std::atomic<unsigned> count{0};
  std::string name(prefix);
  if (const Runtime* runtime = Runtime::current()) {
    const Pid maker = runtime->kit().pid;
    name += std::to_string(maker.slot()) + '.' + std::to_string(maker.incarnation()) + '.';
  }
  return name + std::to_string(++count);
}

}  // namespace muproc
