#include "broker/core.hpp"

#include "wire/codec.hpp"

namespace muproc::broker {

void Core::show(SlotIndex slot) {
  const SlotRecord& record = table.record(slot);
  shm::SlotInfo info{};
  store_text(info.name, record.name);
  info.pid = record.life ? record.life->pid.bits() : 0;
  info.os_pid = record.life ? record.life->os_pid : 0;
  info.parent_slot = record.is_kept && record.parent ? record.parent.slot() : shm::k_no_slot;
  info.state = static_cast<std::uint32_t>(record.state);
  info.kind = static_cast<std::uint32_t>(record.kind);
  info.restarts = record.restarts;
  info.started_ns = record.started_ns;
  info.due_ns = record.state == shm::SlotState::backing_off ? record.due_ns : 0;
  info.strategy = record.supervision.strategy;
  info.limit_restarts = record.supervision.limit_restarts;
  info.limit_within_ns = record.supervision.limit_within_ns;
  info.window_restarts = record.supervision.window_restarts;
  info.window_ns = record.supervision.window_ns;
  store_text(info.last_exit, record.last_exit);
  directory.describe(slot, info);
}

void Core::vacate(SlotIndex slot, const Reason& last_exit, shm::SlotState state) {
  SlotRecord& record = table.record(slot);
  record.last_exit = in_words(last_exit);
  record.state = state;
  if (!record.is_kept) table.release(slot);
  show(slot);
  when_vacated();
}

void Core::publish(const Muproc& muproc) {
  const std::uint64_t ring = muproc.plan ? muproc.plan->mailbox.ring.count : shm::k_default_ring;
  directory.publish_name(muproc.pid.slot(), muproc.name, static_cast<std::uint32_t>(ring));
  directory.publish_live(muproc.pid);
}

void Core::withdraw(const Muproc& muproc, bool is_kept) {
  if (is_kept) {
    directory.keep(muproc.pid);
  } else {
    directory.withdraw_live(muproc.pid.slot());
    directory.withdraw_name(muproc.pid.slot());
  }
  for (const std::string& port : table.ports_of(muproc.pid)) directory.remove_port(port);
  for (const std::string& group : groups.leave_all(muproc.pid)) group_table.show(group, groups.members(group));
}

void Core::send_group_change(const std::string& group, const Groups::Change& change) {
  for (const auto& [pid, ref] : groups.watchers(group)) {
    const Muproc* watcher = table.find(pid);
    if (!watcher || !watcher->connection) continue;
    Message message;
    auto news = message->initGroup().initChange();
    news.setRef(ref);
    news.setGroup(wire::pointer(group));
    news.setPid(change.pid.bits());
    news.setJoined(change.joined);
    news.setTimes(change.times);
    news.setStamp(change.stamp);
    watcher->connection->send(message);
  }
}

namespace {

constexpr std::size_t k_told_of_a_text = 4096;

/// Of one that is too large for a frame: what it was without its value, with the beginning of its texts.
Reason shortened(const Reason& reason) {
  const std::string what = reason.what().substr(0, k_told_of_a_text);
  switch (reason.kind()) {
    case Reason::Kind::exit: return Reason::exit("a reason that is too large to be told");
    case Reason::Kind::exception: return Reason::exception(reason.name().substr(0, k_told_of_a_text), what);
    case Reason::Kind::linked: return Reason::linked(reason.name(), reason.pid(), shortened(*reason.cause()));
    case Reason::Kind::start_failed:
      return reason.cause() ? Reason::start_failed(shortened(*reason.cause())) : Reason::start_failed(what);
    case Reason::Kind::corrupt_message: return Reason::corrupt_message(what);
    case Reason::Kind::normal:
    case Reason::Kind::killed:
    case Reason::Kind::signal:
    case Reason::Kind::code:
    case Reason::Kind::shutdown:
    case Reason::Kind::watchdog:
    case Reason::Kind::out_of_memory:
    case Reason::Kind::broker_lost:
    case Reason::Kind::noproc: return reason;
  }
  return reason;
}

}  // namespace

std::string in_words(const Reason& reason) {
  std::string words = to_string(reason);
  if (words.size() > k_told_of_a_text) words.resize(k_told_of_a_text), words += " …";
  return words;
}

void send_with_reason(Connection& to, const Reason& reason, const std::function<void(Message&, const Reason&)>& write) {
  const auto send = [&](const Reason& told) {
    Message message;
    write(message, told);
    to.send(message);
  };
  try {
    send(reason);
  } catch (const wire::FrameError&) {
    send(shortened(reason));
  }
}

void Core::send_notice(Muproc& to, Pid ended, const std::string& name, const Reason& reason, std::uint64_t ref) {
  if (!to.connection) return;
  send_with_reason(*to.connection, reason, [&](Message& message, const Reason& told) {
    auto notice = message->initNotice();
    notice.setPid(ended.bits());
    notice.setName(wire::pointer(name));
    wire::write(notice.initReason(), told);
    notice.setRef(ref);
  });
}

void Core::send_peer_down(Muproc& to, Pid ended, const Reason& reason, std::optional<std::uint64_t> counted, bool is_kept) {
  if (!to.connection) return;
  send_with_reason(*to.connection, reason, [&](Message& message, const Reason& told) {
    auto down = message->initPeerDown();
    down.setPid(ended.bits());
    wire::write(down.initReason(), told);
    down.setHasCounted(counted.has_value());
    down.setCounted(counted.value_or(0));
    down.setIsKept(is_kept);
  });
}

}  // namespace muproc::broker
