// What the tools see: one node for each muproc and supervisor.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "broker/control.hpp"
#include "broker/units.hpp"
#include "shm/segment.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

template <class Pids>
void write_pids(capnp::List<std::uint64_t>::Builder to, const Pids& pids) {
  unsigned index = 0;
  for (const Pid pid : pids) to.set(index++, pid.bits());
}

/// How much, and who sees to it, or will see to it when it is started.
std::string memory_limit_of(const SlotRecord& record, bool cgroups_hold_memory) {
  if (!record.plan->limits.memory) return {};
  const auto cgroup = record.life ? record.life->cgroup : nullptr;
  const bool by_cgroup = cgroup ? cgroup->holds_memory() : !record.life && cgroups_hold_memory;
  return to_string(*record.plan->limits.memory) + (!by_cgroup ? " by RLIMIT_DATA" : cgroup ? " by the cgroup " + cgroup->folder() : " by a cgroup");
}

std::string user_of(const Plan& plan) {
  if (!plan.identity) return {};
  return plan.user.empty() ? fmt::format("{}:{}", plan.identity->uid, plan.identity->gid)
                           : fmt::format("{} ({}:{})", plan.user, plan.identity->uid, plan.identity->gid);
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
    slots = supervised();
    const std::unordered_set<SlotIndex> seen(slots.begin(), slots.end());
    for (const SlotIndex slot : core_.table.slots())
      if (!seen.contains(slot)) slots.push_back(slot);
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

void Control::which_children(Connection& connection, Id id, wire::Target::Reader supervisor) {
  Message answer(id);
  describe_children(supervisor, answer->initChildren());
  reply(connection.id(), answer);
}

void Control::events(Connection& connection, Id id, wire::EventsAfter::Reader request) {
  told_.erase(connection.id());
  const auto answer = [this, to = connection.id(), id, after = request.getNumber(), follows = request.getWait()] {
    if (follows && connections_.contains(to)) told_[to] = core_.events.last();
    send_events(to, id, after);
  };
  if (request.getWait() && !core_.events.is_closed() && core_.events.after(request.getNumber()).empty()) return core_.events.when_next(answer);
  answer();
  see_whether_events_are_owed();
}

bool Control::owes_events() const {
  const auto is_behind = [&](const auto& told) { return told.second < core_.events.last(); };
  return std::any_of(told_.begin(), told_.end(), is_behind);
}

void Control::see_whether_events_are_owed() {
  if (no_events_owed_ && !owes_events()) std::exchange(no_events_owed_, nullptr)();
}

void Control::dead_letters(Connection& connection, Id id, std::uint32_t last) {
  Message answer(id);
  core_.dead_letters.write(answer->initDeadLetters(), core_.table.living(), last, core_.table);
  reply(connection.id(), answer);
}

void Control::send_events(ConnectionId to, Id id, std::uint64_t after) {
  const auto later = core_.events.after(after);
  Message message(id);
  auto list = message->initEvents(static_cast<unsigned>(later.size()));
  for (unsigned i = 0; i < later.size(); ++i) {
    const Event& event = *later[i];
    list[i].setNumber(event.number);
    list[i].setWallNs(event.wall_ns);
    list[i].setKind(wire::pointer(event.kind));
    list[i].setName(wire::pointer(event.name));
    list[i].setPid(event.pid.bits());
    list[i].setOsPid(event.os_pid);
    list[i].setText(wire::pointer(event.text));
    list[i].setReason(wire::pointer(event.reason));
  }
  reply(to, message);
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
    node.setMemoryLimit(wire::pointer(memory_limit_of(record, core_.cgroups.holds_memory())));
    node.setUser(wire::pointer(user_of(*record.plan)));
    node.setSandbox(wire::pointer(to_string(record.plan->sandbox)));
    node.setWatchdogNs(record.plan->watchdog.count());
    node.setSpares(record.is_kept && record.plan->restart != Restart::temporary ? record.plan->spares : 0);
    node.setSparesReady(static_cast<std::uint32_t>(spares_of(slot)));
    node.setKeepsMailbox(record.plan->mailbox.on_restart == OnRestart::keep);
    node.setInHand(std::string(to_string(record.plan->mailbox.in_hand)).c_str());
  }
  node.setKeptMessages(record.kept_messages);
  node.setRedelivered(record.redelivered);
  node.setDroppedInHand(record.dropped_in_hand);
  describe_supervision(slot, node);
  if (!record.life) return;
  const Muproc& muproc = *record.life;
  node.setPid(muproc.pid.bits());
  node.setOsPid(muproc.os_pid);
  node.setSaidStatus(wire::pointer(muproc.said_status));
  const auto ports = core_.table.ports_of(muproc.pid);
  auto port_list = node.initPorts(static_cast<unsigned>(ports.size()));
  for (unsigned i = 0; i < ports.size(); ++i) port_list.set(i, wire::pointer(ports[i]));
  const auto links = core_.links.links_of(muproc.pid);
  write_pids(node.initLinks(static_cast<unsigned>(links.size())), links);
  const auto monitors = core_.links.monitors_of(muproc.pid);
  write_pids(node.initMonitors(static_cast<unsigned>(monitors.size())), monitors);
  write_status(node.initNodeStatus(), muproc);
}

void Control::reload_config(Connection& connection, Id id, wire::Reload::Reader request) {
  if (!request.getIsOnlyAsked()) core_.log.info("{} asks to reload the config", who(connection));
  reload(request, [this, to = connection.id(), id](const std::vector<ReloadResult>& results, const std::string& warnings) {
    Message answer(id);
    auto changes = answer->initChanges();
    changes.setWarnings(wire::pointer(warnings));
    auto list = changes.initChanges(static_cast<unsigned>(results.size()));
    for (unsigned i = 0; i < results.size(); ++i) {
      const Change& change = results[i].change;
      list[i].setVerb(std::string(to_string(change.kind)).c_str());
      list[i].setName(wire::pointer(change.name));
      auto details = list[i].initDetails(static_cast<unsigned>(change.details.size()));
      for (unsigned j = 0; j < change.details.size(); ++j) details.set(j, wire::pointer(change.details[j]));
      list[i].setError(wire::pointer(results[i].error));
    }
    reply(to, answer);
  });
}

}  // namespace muproc::broker
