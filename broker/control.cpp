#include "broker/control.hpp"

#include <fmt/format.h>
#include <kj/exception.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "broker/rights.hpp"
#include "wire/codec.hpp"
#include "wire/said.hpp"

namespace muproc::broker {
namespace {

constexpr std::chrono::nanoseconds k_accept_again = std::chrono::milliseconds(100);

const char* word_for(wire::ChildVerb::Verb verb) {
  switch (verb) {
    case wire::ChildVerb::Verb::START: return "start";
    case wire::ChildVerb::Verb::STOP: return "stop";
    case wire::ChildVerb::Verb::RESTART: return "restart";
    case wire::ChildVerb::Verb::DELETE: return "delete";
  }
  return "do something unknown to";
}

/// What acts on others. A link too: who is linked to it ends with it.
bool is_control(wire::ToBroker::Which request) {
  switch (request) {
    case wire::ToBroker::SPAWN:
    case wire::ToBroker::EXIT:
    case wire::ToBroker::KILL:
    case wire::ToBroker::LINK:
    case wire::ToBroker::START_SUPERVISOR:
    case wire::ToBroker::CHILD_VERB:
    case wire::ToBroker::DRAIN:
    case wire::ToBroker::START_CHILD:
    case wire::ToBroker::SHUTDOWN:
    case wire::ToBroker::RELOAD: return true;
    default: return false;  // of itself, or about what it may see
  }
}

}  // namespace

Control::Control(Core& core, Endings& endings, Launcher& launcher, Reaper& reaper, Estates& estates)
    : core_(core), endings_(endings), launcher_(launcher), reaper_(reaper), estates_(estates) {}

Control::~Control() = default;

// ---- connections -----------------------------------------------------------------------------------------------------

void Control::listen(sys::UniqueFd socket) {
  listening_ = std::move(socket);
  accepting_ = core_.loop.when_readable(listening_.get(), [this] { accept(); });
}

void Control::stop_listening() {
  accepting_.stop();
  accepting_later_.stop();
  listening_.reset();
}

void Control::accept() {
  for (;;) {
    sys::UniqueFd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      try {
        welcome(std::move(socket));
      } catch (const std::exception& failure) {
        core_.log.error("a connection to the control socket is closed: {}", failure.what());
      }
    } else if (errno != EINTR && errno != ECONNABORTED) {
      const int error = errno;
      const bool is_known = static_cast<bool>(accepting_later_);
      accepting_later_ = {};
      if (error == EAGAIN) return;
      if (!is_known) core_.log.error("accept on the control socket: {}", std::strerror(error));
      accepting_later_ = core_.loop.after(k_accept_again, [this] { accept(); });  // no descriptors left: they wait
      return;
    }
  }
}

void Control::welcome(sys::UniqueFd socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  if (peer.uid != 0 && peer.uid != ::geteuid()) {
    core_.log.warn("process {} of user {} is not let in", peer.pid, peer.uid);
    return;
  }
  if (const Muproc* muproc = muproc_of_process(peer.pid); muproc && muproc->plan && is_restricted(*muproc->plan)) {
    core_.log.warn("process {} of {}, which is restricted, is not let in", peer.pid, Core::name_of(*muproc));
    return;
  }
  open(std::move(socket)).peer = peer;
}

/// Whose process that is, as far as its process group tells.
const Muproc* Control::muproc_of_process(int os_pid) {
  const int group = ::getpgid(os_pid);
  for (const Muproc* muproc : core_.table.living())
    if (muproc->has_process() && muproc->os_pid > 0 && (muproc->os_pid == os_pid || muproc->os_pid == group)) return muproc;
  return nullptr;
}

Connection& Control::open(sys::UniqueFd socket) {
  const ConnectionId id = ++last_id_;
  Connection::Handlers handlers{
      [this](Connection& from, wire::Frame& frame) { heard(from, frame); },
      [this](Connection& from) { peer_closed(from); },
      [this](Connection& from, const std::string& what) { peer_is_mad(from, what); },
  };
  auto connection = std::make_unique<Connection>(id, core_.loop, std::move(socket), std::move(handlers));
  return *connections_.emplace(id, std::move(connection)).first->second;
}

void Control::close(Connection& connection) {
  connection.close();
  const auto found = connections_.find(connection.id());
  if (found == connections_.end()) return;
  core_.loop.bury(std::move(found->second));
  connections_.erase(found);
  told_.erase(connection.id());
  see_whether_events_are_owed();
}

/// A child's end is told by its pidfd; a child that closes its socket before is merely deaf.
void Control::peer_closed(Connection& connection) {
  Muproc* muproc = core_.table.find(connection.owner());
  if (!muproc) return close(connection);
  if (muproc->kind == shm::SlotKind::outsider) reaper_.outsider_gone(*muproc);
}

void Control::peer_is_mad(Connection& connection, const std::string& what) {
  core_.log.error("{} does not speak the control protocol: {}", who(connection), what);
  Muproc* muproc = core_.table.find(connection.owner());
  if (!muproc) return close(connection);
  if (muproc->kind == shm::SlotKind::outsider) return reaper_.outsider_gone(*muproc);
  endings_.kill(*muproc, Reason::corrupt_message("control: " + what));
}

std::string Control::who(const Connection& connection) const {
  if (const Muproc* muproc = core_.table.find(connection.owner())) return Core::name_of(*muproc);
  return fmt::format("process {}", connection.peer.pid);
}

Muproc& Control::asker(Connection& connection) {
  Muproc* muproc = core_.table.find(connection.owner());
  if (!muproc) throw Failure{ErrorKind::PERMISSION, "only a muproc with a mailbox can ask for that"};
  if (!muproc->is_up()) throw Failure{ErrorKind::FAILED, muproc->name + " is not up"};
  return *muproc;
}

void Control::refuse_when_stopping() const {
  if (core_.is_stopping) throw Failure{ErrorKind::FAILED, "the system is being stopped"};
}

void Control::refuse_without_control(const Muproc* asker) {
  const auto why = asker ? why_not_control(asker->plan.get()) : std::string();
  if (!why.empty()) throw Failure{ErrorKind::PERMISSION, why};
}

// ---- answers ---------------------------------------------------------------------------------------------------------

void Control::reply(ConnectionId to, Message& message, std::initializer_list<int> fds) {
  if (message->asReader().getId() == 0) return;
  const auto found = connections_.find(to);
  if (found == connections_.end()) return;
  try {
    found->second->send(message, fds);
  } catch (const wire::FrameError& too_large) {
    Message instead(message->asReader().getId());
    auto error = instead->initError();
    error.setKind(ErrorKind::LIMIT);
    error.setText(wire::pointer(std::string("the answer cannot be sent: ") + too_large.what()));
    found->second->send(instead);
  }
}

void Control::ok(Connection& to, Id id) {
  Message message(id);
  message->setOk();
  reply(to.id(), message);
}

void Control::reply_failure(ConnectionId to, Id id, const Failure& failure) {
  Message message(id);
  auto error = message->initError();
  error.setKind(failure.kind);
  error.setText(wire::pointer(failure.text));
  wire::write(error.initReason(), failure.reason);
  error.setPid(failure.pid.bits());
  reply(to, message);
}

Control::Done Control::answer(Connection& to, Id id) {
  return [this, connection = to.id(), id](Pid pid, const Failure* failure) {
    if (failure) return reply_failure(connection, id, *failure);
    Message message(id);
    pid ? message->setPid(pid.bits()) : message->setOk();
    reply(connection, message);
  };
}

// ---- requests --------------------------------------------------------------------------------------------------------

void Control::heard(Connection& connection, wire::Frame& frame) {
  const Request request = frame.as<wire::ToBroker>();
  const Id id = request.getId();
  try {
    dispatch(connection, request);
  } catch (const Failure& failure) {
    reply_failure(connection.id(), id, failure);
  } catch (const kj::Exception&) {
    throw;  // no well-formed message: the connection's affair
  } catch (const std::exception& failure) {
    if (id == 0) core_.log.error("what {} said could not be done: {}", who(connection), failure.what());
    reply_failure(connection.id(), id, {ErrorKind::FAILED, failure.what()});
  }
}

void Control::dispatch(Connection& connection, Request request) {
  const Id id = request.getId();
  Muproc* muproc = core_.table.find(connection.owner());
  if (is_control(request.which())) {
    if (connection.speaks_for) throw Failure{ErrorKind::PERMISSION, "a Sender only sends"};
    refuse_without_control(muproc);
  }
  switch (request.which()) {
    case wire::ToBroker::HELLO:
      if (muproc) launcher_.greeted(*muproc, request.getHello(), connection.sender_os_pid());
      return;
    case wire::ToBroker::ATTACH: return attach(connection, id, request.getAttach());
    case wire::ToBroker::EXITING:
      if (muproc && !muproc->claim) muproc->claim = wire::as_said(wire::read(request.getExiting()));
      return;
    case wire::ToBroker::HEEDED:
      if (muproc) endings_.heeded(*muproc);
      return;
    case wire::ToBroker::READY:
      if (muproc) launcher_.said_ready(*muproc);
      return;
    case wire::ToBroker::TRAP_EXITS:
      if (muproc) endings_.traps_exits(*muproc, request.getTrapExits());
      return;

    case wire::ToBroker::SPAWN: return spawn(connection, id, request.getSpawn());
    case wire::ToBroker::EXIT: return exit(connection, id, request.getExit());
    case wire::ToBroker::KILL: return kill(connection, id, Pid(request.getKill()));
    case wire::ToBroker::LINK: return link(connection, id, request.getLink());
    case wire::ToBroker::UNLINK:
      core_.links.unlink(connection.owner(), Pid(request.getUnlink()));
      return ok(connection, id);
    case wire::ToBroker::MONITOR: return monitor(connection, id, request.getMonitor());
    case wire::ToBroker::DEMONITOR:
      core_.links.demonitor(connection.owner(), request.getDemonitor());
      return ok(connection, id);
    case wire::ToBroker::REGISTER_PORT: return register_port(connection, id, wire::string(request.getRegisterPort()));
    case wire::ToBroker::UNREGISTER_PORT: return unregister_port(connection, id, wire::string(request.getUnregisterPort()));

    case wire::ToBroker::OPEN_CHANNEL: return open_channel(connection, id, request.getOpenChannel());
    case wire::ToBroker::CHANNEL_DRAINED: return channel_drained(connection, request.getChannelDrained());
    case wire::ToBroker::CORRUPT_RECORD: return corrupt_record(connection, request.getCorruptRecord());
    case wire::ToBroker::NEW_EXTENT: return new_extent(connection, id, request.getNewExtent());
    case wire::ToBroker::SEAL_EXTENT: return seal_extent(connection, id, request.getSealExtent());
    case wire::ToBroker::DROP_EXTENT: return drop_extent(connection, request.getDropExtent());
    case wire::ToBroker::GET_EXTENT: return get_extent(connection, id, request.getGetExtent());

    case wire::ToBroker::START_SUPERVISOR:
      refuse_when_stopping();
      return start_supervisor(request.getStartSupervisor(), connection.owner(), answer(connection, id));
    case wire::ToBroker::CHILD_VERB: {
      const auto verb = request.getChildVerb();
      refuse_when_stopping();
      core_.log.info("{} asks to {} {}", who(connection), word_for(verb.getVerb()),
                     verb.getPid() ? to_string(Pid(verb.getPid())) : wire::string(verb.getName()));
      return child_verb(verb, answer(connection, id));
    }
    case wire::ToBroker::START_CHILD:
      refuse_when_stopping();
      return start_child(request.getStartChild(), connection.owner(), answer(connection, id));
    case wire::ToBroker::DRAIN:
      refuse_when_stopping();
      core_.log.info("{} asks to drain {}", who(connection), wire::view(request.getDrain().getName()));
      return drain(request.getDrain(), answer(connection, id));
    case wire::ToBroker::DRAINED:
      if (muproc) drained(*muproc);
      return;
    case wire::ToBroker::WHICH_CHILDREN: return which_children(connection, id, request.getWhichChildren());
    case wire::ToBroker::SHUTDOWN:
      shut_down(who(connection));
      return ok(connection, id);
    case wire::ToBroker::RELOAD:
      if (const auto why = muproc ? why_not_reload(muproc->plan.get()) : std::string(); !why.empty()) throw Failure{ErrorKind::PERMISSION, why};
      return reload_config(connection, id, request.getReload());
    case wire::ToBroker::NEW_SENDER: return new_sender(connection, id);
    case wire::ToBroker::EVENTS: return events(connection, id, request.getEvents());
    case wire::ToBroker::DEAD_LETTERS: return dead_letters(connection, id, request.getDeadLetters());
    case wire::ToBroker::DESCRIBE: return describe(connection, id, wire::string(request.getDescribe()));
    case wire::ToBroker::GROUP: return group(connection, id, request.getGroup());
    case wire::ToBroker::ADVANCE_CLOCK:
      if (request.getAdvanceClock() < 0) throw Failure{ErrorKind::FAILED, "time does not go back"};
      if (!core_.clock.advance(std::chrono::nanoseconds(request.getAdvanceClock())))
        throw Failure{ErrorKind::FAILED, "this system's time is real: only a virtual one can be advanced"};
      for (const Muproc* living : core_.table.living())
        if (living->eventfd) sys::signal_eventfd(living->eventfd.get());
      return ok(connection, id);
  }
  throw Failure{ErrorKind::FAILED, "a request that this broker does not know"};
}

}  // namespace muproc::broker
