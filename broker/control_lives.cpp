// Requests about lives: joining, spawning, ending, links, monitors, ports.
#include <fmt/format.h>

#include "broker/control.hpp"
#include "broker/rights.hpp"
#include "shm/layout.hpp"
#include "sys/clock.hpp"
#include "wire/codec.hpp"
#include "wire/said.hpp"

namespace muproc::broker {
namespace {
constexpr std::size_t k_longest_speaker = 40;  // bytes of a muproc's name in its Senders' names
}

void Control::attach(Connection& connection, Id id, wire::Attach::Reader request) {
  if (connection.is_attached || connection.owner()) throw Failure{ErrorKind::FAILED, "it has joined already"};
  if (request.getLayoutVersion() != shm::k_layout_version)
    return refuse(connection, id,
                  fmt::format("it was built with muproc {} (layout version {}), the broker has layout version {}",
                              wire::view(request.getLibraryVersion()), request.getLayoutVersion(), shm::k_layout_version));
  connection.is_attached = true;
  if (!request.getMailbox()) return ok(connection, id);
  if (core_.is_up || core_.is_stopping) return admit(connection, id, wire::string(request.getName()));
  waiting_outside_.push_back({connection.id(), id, wire::string(request.getName())});
}

void Control::let_in() {
  for (Knock& knock : std::exchange(waiting_outside_, {}))
    if (const auto found = connections_.find(knock.connection); found != connections_.end())
      admit(*found->second, knock.id, std::move(knock.name));
}

void Control::admit(Connection& connection, Id id, std::string name) {
  if (core_.is_stopping) return refuse(connection, id, "the system is being stopped");
  const Muproc* speaker = core_.table.find(connection.speaks_for);
  if (connection.speaks_for && !(speaker && speaker->is_up())) return refuse(connection, id, "its muproc has ended");
  if (speaker) name = fmt::format("{}.sender-{}", speaker->name.substr(0, k_longest_speaker), connection.id());
  if (name.empty()) name = fmt::format("outsider-{}.{}", connection.peer.pid, connection.id());
  if (const auto why = core_.table.why_not_name(name); !why.empty()) return refuse(connection, id, why);
  const auto slot = core_.table.reserve(name, shm::SlotKind::outsider, {}, nullptr);
  if (!slot) return refuse(connection, id, "the system is full");
  core_.table.record(*slot).started_ns = static_cast<std::uint64_t>(sys::monotonic().count());
  Muproc& outsider = core_.table.begin(*slot);
  outsider.speaks_for = connection.speaks_for;
  try {
    launcher_.admit(outsider, connection, id);
  } catch (const std::exception& failure) {  // it is nobody, and its name is free again
    core_.loop.bury(core_.table.end(*slot));
    core_.vacate(*slot, Reason::start_failed(failure.what()), shm::SlotState::free);
    return refuse(connection, id, failure.what());
  }
  reaper_.watch_outsider(outsider);
}

/// A thread of a muproc needs a lane of its own, since a lane's two ends each belong to one thread. Who has this socket was
/// given it by the muproc.
void Control::new_sender(Connection& connection, Id id) {
  const Muproc& speaker = asker(connection);
  if (speaker.speaks_for) throw Failure{ErrorKind::PERMISSION, "a Sender has no Senders"};
  auto [ours, theirs] = sys::socket_pair();
  Connection& opened = open(std::move(ours));
  opened.speaks_for = speaker.pid;
  opened.peer.pid = speaker.os_pid;
  Message answer(id);
  answer->setOk();
  reply(connection.id(), answer, {theirs.get()});
}

void Control::refuse(Connection& connection, Id id, const std::string& why) {
  core_.log.warn("{} may not join: {}", who(connection), why);
  Message message(id);
  message->setRefused(wire::pointer(why));
  connection.send(message);
}

void Control::spawn(Connection& connection, Id id, wire::Spawn::Reader request) {
  refuse_when_stopping();
  Muproc* parent = core_.table.find(connection.owner());
  const bool is_alone = !parent || parent->is_dead;
  if (is_alone && (request.getLink() || request.getMonitorRef()))
    throw Failure{ErrorKind::PERMISSION, "only a living muproc can link to or monitor what it spawns"};
  const Plan* spawner = parent ? parent->plan.get() : nullptr;
  const PlanPtr plan = inherited(plan_of(request.getChild()), spawner);
  check_code(*plan, spawner);
  if (const auto why = core_.table.why_not_name(plan->name); !why.empty()) throw Failure{ErrorKind::NAME_TAKEN, why};
  const auto kind = plan->is_plain() ? shm::SlotKind::plain : shm::SlotKind::muproc;
  const auto slot = core_.table.reserve(plan->name, kind, connection.owner(), plan);
  if (!slot) throw Failure{ErrorKind::LIMIT, fmt::format("there are {} muprocs already, and room for no more", shm::k_max_slots)};

  BirthRequest birth;
  birth.slot = *slot;
  if (parent) birth.error_stream = parent->error_stream;
  if (request.getLink()) birth.link_to = connection.owner();
  if (request.getMonitorRef()) {
    birth.monitor_by = connection.owner();
    birth.monitor_ref = request.getMonitorRef();
  }
  birth.done = [done = answer(connection, id)](const BirthResult& result) {
    if (result.pid) return done(result.pid, nullptr);
    const Failure failure{ErrorKind::START_FAILED, result.error, result.reason};
    done({}, &failure);
  };
  launcher_.launch(std::move(birth));
}

void Control::check_code(const Plan& plan, const Plan* spawner) const {
  if (!spawner || may_load_modules(*spawner) || plan.is_program() || is_loaded(plan.code)) return;
  throw Failure{ErrorKind::PERMISSION, fmt::format("{} {}, so it cannot have {} loaded, which no zygote has yet", spawner->name,
                                                   spawner->identity ? "runs as another user" : "is in a sandbox", to_string(plan.code))};
}

void Control::exit(Connection& connection, Id id, wire::Exit::Reader request) {
  Muproc* target = core_.table.find(Pid(request.getTarget()));
  if (target && target->is_up())
    endings_.exit(*target, wire::as_said(wire::read(request.getReason())), connection.owner(), {request.getPosition(), request.getHasChannel()});
  ok(connection, id);
}

void Control::kill(Connection& connection, Id id, Pid pid) {
  Muproc* target = core_.table.find(pid);
  if (target && target->is_up()) {
    core_.log.info("{} kills {}", who(connection), Core::name_of(*target));
    endings_.kill(*target);
  }
  ok(connection, id);
}

void Control::link(Connection& connection, Id id, wire::Link::Reader request) {
  Muproc* self = core_.table.find(connection.owner());
  if (!self) throw Failure{ErrorKind::PERMISSION, "only a muproc can link"};
  const Pid peer(request.getPeer());
  const Muproc* other = core_.table.find(peer);
  const bool is_there = other && other->is_up();
  if (is_there || peer == self->pid) core_.links.link(self->pid, peer, request.getIgnoreNormal());
  ok(connection, id);
  if (!is_there && peer != self->pid) endings_.ripple(*self, peer, {}, Reason::noproc(), request.getIgnoreNormal());
}

void Control::monitor(Connection& connection, Id id, wire::Monitor::Reader request) {
  Muproc& self = asker(connection);
  const Muproc* target = request.isPid() ? core_.table.find(Pid(request.getPid())) : core_.table.find(wire::view(request.getName()));
  const bool is_there = target && target->is_up();
  if (is_there && !core_.links.monitor(self.pid, request.getRef(), target->pid))
    throw Failure{ErrorKind::FAILED, fmt::format("the monitor reference {} is in use", request.getRef())};
  ok(connection, id);
  if (is_there) return;
  const Pid asked = request.isPid() ? Pid(request.getPid()) : Pid();
  core_.send_notice(self, asked, request.isName() ? wire::string(request.getName()) : std::string(), Reason::noproc(), request.getRef());
}

void Control::register_port(Connection& connection, Id id, const std::string& port) {
  Muproc& self = asker(connection);
  if (const auto why = core_.table.why_not_port(port, self.pid); !why.empty()) throw Failure{ErrorKind::NAME_TAKEN, why};
  if (!core_.directory.add_port(port, self.pid))
    throw Failure{ErrorKind::LIMIT, fmt::format("there are {} ports already, and room for no more", shm::k_max_ports)};
  core_.table.add_port(port, self.pid);
  ok(connection, id);
}

void Control::unregister_port(Connection& connection, Id id, const std::string& port) {
  Muproc& self = asker(connection);
  const Pid owner = core_.table.port_owner(port);
  if (!owner) throw Failure{ErrorKind::NOT_FOUND, fmt::format("no port \"{}\"", port)};
  if (owner != self.pid)
    throw Failure{ErrorKind::NOT_FOUND, fmt::format("the port \"{}\" belongs to {}", port, core_.table.record(owner.slot()).name)};
  core_.directory.remove_port(port);
  core_.table.remove_port(port);
  ok(connection, id);
}

}  // namespace muproc::broker
