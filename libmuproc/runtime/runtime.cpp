#include "runtime/runtime.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "runtime/interrupt.hpp"
#include "runtime/log.hpp"
#include "shm/counter.hpp"
#include "sys/clock.hpp"
#include "wire/codec.hpp"

namespace muproc::detail {

constinit thread_local Runtime* Runtime::current_ = nullptr;
bool Runtime::forked_ = false;

// In a process that was forked from a muproc: no muproc, unless it joins as one of its own.
void note_fork() {
  Runtime::forked_ = true;
  Runtime::current_ = nullptr;
  sys::use_virtual_clock(nullptr);  // it lies in memory that did not come along
}

Runtime::Runtime(Kit kit, wire::FrameSocket socket, std::uint64_t frames_received,
                 std::shared_ptr<shm::OwnSegment> segment, sys::UniqueFd eventfd,
                 std::unique_ptr<shm::DirectoryView> directory, std::unique_ptr<Keeper> keeper, std::vector<wire::Frame> before_go)
    : kit_(std::move(kit)),
      self_(*this),
      own_(std::move(segment)),
      directory_(std::move(directory)),
      directory_live_(&directory_->live(kit_.pid.slot())),
      log_(kit_.error_stream.empty() ? nullptr : make_log(kit_.name, kit_.error_stream, kit_.log_level, kit_.stderr_inode)),
      sleeper_(std::move(eventfd), own_->status(), directory_->asymmetric_fences()),
      lane_(std::move(socket), [this](auto frame, auto& fds) { hear(frame, fds); }),
      keeper_(std::move(keeper)),
      inbox_(own_, *directory_, kit_.pid, kit_.stash_limit,
             {.corrupt =
                  [this](const InChannel& channel, std::uint64_t position, const std::string& what) {
                    log().error("{} sent what is no message: {}", to_string(channel.peer->pid), what);
                    capnp::MallocMessageBuilder message;
                    auto report = message.initRoot<wire::ToBroker>().initCorruptRecord();
                    report.setCursor(channel.index);
                    report.setPosition(position);
                    report.setWhat(wire::pointer(what));
                    lane_.tell(message);
                  },
              .drained =
                  [this](const InChannel& channel) {
                    capnp::MallocMessageBuilder message;
                    message.initRoot<wire::ToBroker>().setChannelDrained(channel.index);
                    lane_.tell(message);
                  },
              .fetch_extent =
                  [this](Peer& peer, std::uint32_t extent) {
                    capnp::MallocMessageBuilder message;
                    auto request = message.initRoot<wire::ToBroker>().initGetExtent();
                    request.setOwner(peer.pid.bits());
                    request.setExtent(extent);
                    wire::Frame reply = ask(message);
                    auto contents = reply.as<wire::FromBroker>();
                    // Its owner's fault is that there is no such extent; any other is nobody's.
                    if (contents.isError() && contents.getError().getKind() == wire::Error::Kind::FAILED)
                      throw std::runtime_error(wire::string(contents.getError().getText()));
                    checked(reply);
                    reply.expect_fds(1);
                    const int memfd = reply.fds()[0].get();
                    peer.extents[extent] = std::make_shared<const sys::Mapping>(
                        memfd, sys::Mapping::Access::read_only, sys::file_size(memfd));
                  },
              .lost =
                  [this](Pid from, const std::string& why) {
                    log().error("lost a kept message of {}: {}", to_string(from), why);
                    shm::add(own_->status().malformed, 1);
                  }}),
      outbox_(own_, kit_.max_message,
              {.new_extent =
                   [this](std::size_t bytes) {
                     capnp::MallocMessageBuilder message;
                     message.initRoot<wire::ToBroker>().setNewExtent(bytes);
                     wire::Frame reply = ask(message);
                     const std::uint32_t number = checked(reply).getExtent();
                     reply.expect_fds(1);
                     try {
                       sys::Mapping memory(reply.fds()[0].get(), sys::Mapping::Access::read_write, bytes);
                       capnp::MallocMessageBuilder mapped;
                       mapped.initRoot<wire::ToBroker>().setSealExtent(number);
                       wire::Frame sealed = ask(mapped);
                       checked(sealed);
                       return std::pair{number, std::move(memory)};
                     } catch (...) {
                       drop_extent(number);
                       throw;
                     }
                   },
               .drop_extent = [this](std::uint32_t number) { drop_extent(number); }}),
      trap_exits_(kit_.trap_exits),
      interrupted_(kit_.is_child ? interrupted : never_) {
  static std::once_flag once;
  std::call_once(once, [] { ::pthread_atfork(nullptr, nullptr, note_fork); });
  if (current_) throw Error("this thread is a muproc already");
  if (directory_->asymmetric_fences()) sys::join_asymmetric_fences();
  if (forked_) forked_ = false;
  lane_.count_received(frames_received);
  own_->status().traps_exits.store(trap_exits_, std::memory_order_relaxed);
  own_->status().activity.store(static_cast<std::uint32_t>(shm::Activity::running), std::memory_order_relaxed);
  // Outsiders stay in the time of their own process: the test that advances the clock is one.
  if (kit_.is_child) sys::use_virtual_clock(directory_->virtual_clock());
  current_ = this;
  if (keeper_) take_over(before_go);
}

Runtime::~Runtime() {
  if (kit_.is_child) sys::use_virtual_clock(nullptr);
  if (current_ == this) current_ = nullptr;
}

spdlog::logger& Runtime::log() {
  if (!log_) log_ = make_log(kit_.name, kit_.error_stream, kit_.log_level, kit_.stderr_inode);
  return *log_;
}

void Runtime::wrong_thread() {
  if (forked_)
    throw std::logic_error("this process was forked from a muproc: it is no muproc and cannot use its runtime");
  throw std::logic_error("a Self belongs to the thread that it was given to");
}

// ---- runtime calls ---------------------------------------------------------------------------------------------------

void Runtime::check_slowly() {
  if (interrupted_) {
    interrupted_ = false;
    if (kit_.is_child && ::getppid() != kit_.broker_os_pid) end_with(Reason::broker_lost());
  }
  if (!kit_.is_child || directory_live_->lane.load(std::memory_order_acquire) > lane_.received()) {
    hear_lane();  // an outsider looks each time: nothing else tells it that the broker has gone
  }
  settle_notices();
  if (!timers_.empty() && !firing_) {
    struct Firing {
      bool& flag;
      explicit Firing(bool& f) : flag(f) { flag = true; }
      ~Firing() { flag = false; }
    } firing(firing_);
    timers_.fire(sys::monotonic());
  }
  throw_if_ending();
  if (!limits_.empty() && std::uncaught_exceptions() == 0) {
    const Time now = sys::monotonic();
    for (const auto& [id, deadline] : limits_)  // outer ones first: an outer limit that expires is the one that counts
      if (now >= deadline) throw LimitExpired{id};
  }
}

void Runtime::hear_lane() {
  lane_.pump();
  if (lane_.closed()) end_with(Reason::broker_lost());
}

void Runtime::throw_if_ending() {
  // Never while an exception is in flight, so that a scope guard's runtime call cannot end in std::terminate.
  if (!ending_ || exits_held_ > 0 || std::uncaught_exceptions() > 0) return;
  if (!heeded_) {
    heeded_ = true;
    own_->status().activity.store(static_cast<std::uint32_t>(shm::Activity::exiting), std::memory_order_relaxed);
    capnp::MallocMessageBuilder message;
    message.initRoot<wire::ToBroker>().setHeeded();
    lane_.tell(message);
  }
  throw ExitSignal{*ending_};
}

void Runtime::end_with(Reason reason) {
  if (!ending_) ending_ = std::move(reason);  // the first exit signal wins
  attention_ = true;
}

void Runtime::sleep(Time duration) {
  const Time deadline = sys::from_now(duration);
  for (check(); sys::monotonic() < deadline; check()) {
    inbox_.publish_cursors();
    const Waiting waiting(*this, shm::Activity::sleeping);
    sleeper_.nap(*nearest(deadline), kit_.is_child ? -1 : lane_.fd());
  }
}

std::optional<Runtime::Time> Runtime::nearest(std::optional<Time> deadline) const {
  const auto consider = [&](Time at) { deadline = deadline ? std::min(*deadline, at) : at; };
  if (!timers_.empty() && !firing_) consider(timers_.next());
  for (const auto& limit : limits_) consider(limit.second);
  return deadline;
}

std::optional<Runtime::Time> Runtime::cancel_timer(std::uint64_t id) { return timers_.cancel(id, sys::monotonic()); }

std::uint64_t Runtime::push_limit(Time limit) {
  if (limit.count() < 0) throw std::invalid_argument("a negative time limit");
  check();
  limits_.emplace_back(++last_limit_, sys::from_now(limit));
  attention_ = true;
  return last_limit_;
}

void Runtime::pop_limit(std::uint64_t id) {
  limits_.erase(std::find_if(limits_.begin(), limits_.end(), [&](const auto& limit) { return limit.first == id; }));
  attention_ = ending_ || !limits_.empty();
}

// ---- what the broker says --------------------------------------------------------------------------------------------

wire::Frame Runtime::ask(capnp::MessageBuilder& message) {
  const Waiting waiting(*this, shm::Activity::asking);
  try {
    return lane_.ask(message);
  } catch (const ExitSignal& lost) {
    end_with(lost.reason);
    throw;
  }
}

void Runtime::hear(wire::FromBroker::Reader frame, std::vector<sys::UniqueFd>& fds) {
  switch (frame.which()) {
    case wire::FromBroker::NOTICE: {
      const auto from = frame.getNotice();
      if (!tasks_.empty() && hear_task_end(from.getRef(), from.getReason())) return;
      inbox_.add_notice({Notice::Kind::terminated, Pid(from.getPid()), wire::string(from.getName()),
                         wire::read(from.getReason()), from.getRef(), std::nullopt});
      return;
    }
    case wire::FromBroker::EXIT_SIGNAL: {
      const auto from = frame.getExitSignal();
      inbox_.add_notice({Notice::Kind::exit_signal, Pid(from.getSender()), {}, wire::read(from.getReason()), 0,
                         from.getHasChannel() ? std::optional(from.getPosition()) : std::nullopt});
      return;
    }
    case wire::FromBroker::CHANNEL_OPENED: hear_channel(frame.getChannelOpened(), fds); return;
    case wire::FromBroker::GROUP: hear_group(frame.getGroup()); return;
    case wire::FromBroker::PEER_DOWN: hear_down(frame.getPeerDown()); return;
    case wire::FromBroker::CHANNEL_MOVED: hear_moved(frame.getChannelMoved(), fds); return;
    case wire::FromBroker::DRAIN:
      if (drain_ == Drain::no) drain_ = Drain::asked;
      return;
    case wire::FromBroker::EXTENT_DROPPED: {
      const auto dropped = frame.getExtentDropped();
      if (auto peer = peers_.find(Pid(dropped.getOwner())); peer != peers_.end())
        if (auto known = peer->second.lock()) known->extents.erase(dropped.getExtent());
      return;
    }
    case wire::FromBroker::KIT:
    case wire::FromBroker::GO:
    case wire::FromBroker::REFUSED:
    case wire::FromBroker::OK:
    case wire::FromBroker::PID:
    case wire::FromBroker::ERROR:
    case wire::FromBroker::CHANNEL:
    case wire::FromBroker::EXTENT:
    case wire::FromBroker::NODES:
    case wire::FromBroker::CHANGES:
    case wire::FromBroker::CHILDREN:
    case wire::FromBroker::DEAD_LETTERS:
    case wire::FromBroker::EVENTS: return;  // replies, which `ask` takes
  }
}

void Runtime::hear_channel(wire::ChannelOpened::Reader channel, std::vector<sys::UniqueFd>& fds) {
  if (fds.size() != 2) return;
  auto peer = meet(Pid(channel.getSender()), fds[0].get(), std::move(fds[1]));
  inbox_.open(channel.getCursor(), std::move(peer), Pid(channel.getSpeaksFor()), channel.getRingOffset(),
              channel.getRingSize(), channel.getSecret(), channel.getIsNotTrusted() ? kit_.max_message : 0);
}

void Runtime::drop_extent(std::uint32_t number) {
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setDropExtent(number);
  lane_.tell(message);
}

void Runtime::hear_down(wire::PeerDown::Reader down) {
  const Pid pid(down.getPid());
  if (const auto never_met = granted_.find(pid); never_met != granted_.end() && !down.getIsKept()) {
    outbox_.give_back_ring(never_met->second.ring_offset, never_met->second.ring_size);
    granted_.erase(never_met);
  }
  const auto reason = down.getReason();
  if (const OutChannel* channel = outbox_.find(pid); channel && down.getHasCounted()) count_late(*channel, down.getCounted());
  down.getIsKept() ? outbox_.keep(pid) : outbox_.close(pid);
  inbox_.sender_died(pid);
  for (auto& [ref, call] : calls_)
    if (call.target == pid && !call.down) call.down = wire::read(reason);
  if (router_) unrouted_ends_.emplace_back(pid, wire::read(reason));
}

std::shared_ptr<Peer> Runtime::meet(Pid pid, int segment_fd, sys::UniqueFd&& eventfd) {
  auto& known = peers_[pid];
  if (auto peer = known.lock()) return peer;
  std::erase_if(peers_, [&](const auto& entry) { return entry.first != pid && entry.second.expired(); });
  auto peer = std::make_shared<Peer>(pid, segment_fd, std::move(eventfd), directory_->asymmetric_fences());
  peers_[pid] = peer;
  return peer;
}

/// What concerns one that does not trap exits acts at once, whatever waits in channels.
void Runtime::settle_notices() {
  if (trap_exits_) return;
  auto& notices = inbox_.notices();
  for (auto at = notices.begin(); at != notices.end();) {
    const bool through_link = at->kind == Notice::Kind::terminated && at->ref == 0;
    if (at->kind != Notice::Kind::exit_signal && !through_link) {
      ++at;
      continue;
    }
    end_with(through_link ? Reason::linked(at->name, at->pid, at->reason) : at->reason);
    at = notices.erase(at);
  }
}

/// What a notice says, as the message that it is to its receiver.
Mumsg Runtime::fields_of(const Notice& notice) {
  Mumsg fields;
  switch (notice.kind) {
    case Notice::Kind::terminated:
      fields.set("terminated", notice.pid).set("reason", notice.reason).set("name", notice.name);
      break;
    case Notice::Kind::exit_signal: fields.set("terminated", nullptr).set("reason", notice.reason); break;
    case Notice::Kind::joined:
    case Notice::Kind::left:
      fields.set("group", notice.name).set(notice.kind == Notice::Kind::joined ? "joined" : "left", notice.pid);
      fields.set("times", notice.times);
      break;
  }
  if (notice.ref) fields.set("ref", static_cast<std::int64_t>(notice.ref));
  return fields;
}

Message Runtime::make_notice(const Notice& notice) { return make_message(fields_of(notice)); }

Message Runtime::make_message(const Mumsg& fields) {
  capnp::MallocMessageBuilder builder;
  wire::write(builder.initRoot<wire::Mumsg>(), fields);
  // One segment: copied through a canonical size.
  capnp::MallocMessageBuilder flat(static_cast<unsigned>(builder.getRoot<capnp::AnyPointer>().targetSize().wordCount + 1));
  flat.setRoot(builder.getRoot<wire::Mumsg>().asReader());
  const auto segment = flat.getSegmentsForOutput()[0];
  BodyPtr body(new Body(segment.size()));
  body->type_id = capnp::typeId<wire::Mumsg>();
  body->timestamp = stamp(ticks());
  body->first_words = segment.size();
  std::memcpy(static_cast<void*>(body->own.get()), segment.begin(), segment.asBytes().size());
  body->open();
  return Message(std::move(body));
}

}  // namespace muproc::detail
