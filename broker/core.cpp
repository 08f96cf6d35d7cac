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
  record.last_exit = to_string(last_exit);
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

void Core::send_notice(Muproc& to, Pid ended, const std::string& name, const Reason& reason, std::uint64_t ref) {
  if (!to.connection) return;
  Message message;
  auto notice = message->initNotice();
  notice.setPid(ended.bits());
  notice.setName(wire::pointer(name));
  wire::write(notice.initReason(), reason);
  notice.setRef(ref);
  to.connection->send(message);
}

void Core::send_peer_down(Muproc& to, Pid ended, const Reason& reason, std::optional<std::uint64_t> counted, bool is_kept) {
  if (!to.connection) return;
  Message message;
  auto down = message->initPeerDown();
  down.setPid(ended.bits());
  wire::write(down.initReason(), reason);
  down.setHasCounted(counted.has_value());
  down.setCounted(counted.value_or(0));
  down.setIsKept(is_kept);
  to.connection->send(message);
}

}  // namespace muproc::broker
