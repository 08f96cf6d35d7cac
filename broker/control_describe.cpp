// What the tools see: one node for each muproc and supervisor.
#include <fmt/format.h>

#include "broker/control.hpp"
#include "shm/segment.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

template <class Pids>
void write_pids(capnp::List<std::uint64_t>::Builder to, const Pids& pids) {
  unsigned index = 0;
  for (const Pid pid : pids) to.set(index++, pid.bits());
}

/// Mapped for the moment, read-only: what is there may be anything.
void write_status(wire::Status::Builder to, const Muproc& muproc) {
  if (!muproc.segment || !muproc.is_up()) return;
  const shm::PeerSegment segment(muproc.segment.get(), muproc.pid);
  const shm::StatusBlock& status = segment.status();
  const auto read = [](const auto& field) { return field.load(std::memory_order_relaxed); };
  to.setActivity(read(status.activity));
  to.setTrapsExits(read(status.traps_exits) != 0);
  to.setMessagesSent(read(status.messages_sent));
  to.setMessagesReceived(read(status.messages_received));
  to.setStashMessages(read(status.stash_messages));
  to.setStashBytes(read(status.stash_bytes));
  to.setSentToDead(read(status.sent_to_dead));
  to.setMalformed(read(status.malformed));
  to.setSendsBlocked(read(status.sends_blocked));
  to.setWakes(read(status.wakes));
}

}  // namespace

void Control::describe(Connection& connection, Id id, const std::string& name) {
  std::vector<SlotIndex> slots;
  if (name.empty()) {
    slots = core_.table.slots();
  } else if (const auto slot = core_.table.slot_named(name)) {
    slots = {*slot};
  } else if (const Pid owner = core_.table.port_owner(name)) {
    slots = {owner.slot()};
  } else {
    throw Failure{ErrorKind::NOT_FOUND, fmt::format("no muproc or supervisor is named \"{}\"", name)};
  }
  Message answer(id);
  auto nodes = answer->initNodes(static_cast<unsigned>(slots.size()));
  for (unsigned i = 0; i < slots.size(); ++i) describe_slot(slots[i], nodes[i]);
  reply(connection.id(), answer);
}

void Control::describe_slot(SlotIndex slot, wire::Node::Builder node) {
  const SlotRecord& record = core_.table.record(slot);
  node.setName(wire::pointer(record.name));
  node.setKind(static_cast<std::uint32_t>(record.kind));
  node.setState(static_cast<std::uint32_t>(record.state));
  if (record.is_kept && record.parent) node.setParent(wire::pointer(core_.table.record(record.parent.slot()).name));
  node.setRestarts(record.restarts);
  node.setStartedNs(record.started_ns);
  node.setLastExit(wire::pointer(record.last_exit));
  if (record.plan) {
    node.setRestart(std::string(to_string(record.plan->restart)).c_str());
    node.setStop(wire::pointer(to_string(record.plan->stop)));
    node.setCode(wire::pointer(to_string(record.plan->code)));
  }
  describe_supervision(slot, node);
  if (!record.life) return;
  const Muproc& muproc = *record.life;
  node.setPid(muproc.pid.bits());
  node.setOsPid(muproc.os_pid);
  const auto ports = core_.table.ports_of(muproc.pid);
  auto port_list = node.initPorts(static_cast<unsigned>(ports.size()));
  for (unsigned i = 0; i < ports.size(); ++i) port_list.set(i, wire::pointer(ports[i]));
  const auto links = core_.links.links_of(muproc.pid);
  write_pids(node.initLinks(static_cast<unsigned>(links.size())), links);
  const auto monitors = core_.links.monitors_of(muproc.pid);
  write_pids(node.initMonitors(static_cast<unsigned>(monitors.size())), monitors);
  write_status(node.initNodeStatus(), muproc);
}

}  // namespace muproc::broker
