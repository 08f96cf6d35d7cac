// What a muproc asks of the broker: ends, links, monitors, births and names.
#include "runtime/runtime.hpp"
#include "runtime/spec_writer.hpp"
#include "wire/codec.hpp"
#include "wire/said.hpp"

namespace muproc::detail {

void Runtime::exit(Reason reason) {
  end_with(wire::as_said(std::move(reason)));
  heeded_ = true;  // nobody has to interrupt us
  if (keeper_) keeper_->finish_all_in_hand();
  throw ExitSignal{*ending_};
}

void Runtime::exit_other(Address other, Reason reason) {
  check();
  const Pid target = resolve(other);
  if (target == kit_.pid) return exit_self(wire::as_said(std::move(reason)));
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initExit();
  request.setTarget(target.bits());
  wire::write(request.initReason(), reason);
  if (const OutChannel* channel = outbox_.find(target)) {
    request.setHasChannel(true);
    request.setPosition(channel->writer.position());
  }
  wire::Frame reply = ask(message);
  checked(reply);
}

/// An exit signal to oneself arrives at once: behind what one has sent to oneself before, which is in the stash.
void Runtime::exit_self(Reason reason) {
  const Notice signal{Notice::Kind::exit_signal, {}, {}, std::move(reason), 0, std::nullopt};
  if (trap_exits_) return inbox_.push(make_notice(signal));
  end_with(signal.reason);
  throw_if_ending();
}

void Runtime::kill_other(Address other) {
  check();
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setKill(resolve(other).bits());
  wire::Frame reply = ask(message);
  checked(reply);
}

void Runtime::say_exiting(const Reason& reason) {
  capnp::MallocMessageBuilder message;
  try {
    wire::write(message.initRoot<wire::ToBroker>().initExiting(), reason);
  } catch (const ValueError& unspeakable) {
    wire::write(message.initRoot<wire::ToBroker>().initExiting(),
                Reason::exception("muproc::ValueError", std::string("of its reason: ") + unspeakable.what()));
  }
  lane_.tell(message);
}

void Runtime::link(Address peer, LinkOptions options) {
  check();
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initLink();
  request.setPeer(resolve(peer).bits());
  request.setIgnoreNormal(options.on_normal == OnNormal::ignore);
  wire::Frame reply = ask(message);
  checked(reply);
}

void Runtime::unlink(Pid peer) {
  check();
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setUnlink(peer.bits());
  wire::Frame reply = ask(message);
  checked(reply);
  std::erase_if(inbox_.notices(), [&](const Notice& notice) {
    return notice.kind == Notice::Kind::terminated && notice.ref == 0 && notice.pid == peer;
  });
}

Ref Runtime::monitor(Address target) {
  check();
  const Ref ref{make_ref()};
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initMonitor();
  request.setRef(ref.bits);
  if (target.is_name()) {
    if (const Pid found = directory_->find(target.name())) {
      request.setPid(found.bits());
    } else {
      request.setName(std::string(target.name()).c_str());
    }
  } else {
    request.setPid(target.pid().bits());
  }
  wire::Frame reply = ask(message);
  checked(reply);
  return ref;
}

void Runtime::demonitor(Ref ref, bool flush) {
  check();
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setDemonitor(ref.bits);
  wire::Frame reply = ask(message);
  checked(reply);
  if (flush) return take_back_notices(ref);
  std::erase_if(inbox_.notices(), [&](const Notice& notice) { return ref && notice.ref == ref.bits; });
}

/// Those of a monitor, heard or not, that nobody has read.
void Runtime::take_back_notices(Ref ref) {
  std::erase_if(inbox_.notices(), [&](const Notice& notice) { return ref && notice.ref == ref.bits; });
  auto& stash = inbox_.stash();
  for (auto at = stash.begin(); at != stash.end();) {
    const auto here = at++;
    if (here->from() || !here->is_mumsg()) continue;
    const auto field = here->mumsg().find("ref");
    if (field && field->equals(static_cast<std::int64_t>(ref.bits))) inbox_.take(here);
  }
}

bool Runtime::trap_exits(bool trap) {
  check();
  const bool before = std::exchange(trap_exits_, trap);
  if (before == trap) return before;
  own_->status().traps_exits.store(trap, std::memory_order_relaxed);
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setTrapExits(trap);
  lane_.tell(message);
  return before;
}

Pid Runtime::spawn(std::string_view name, const Code& code, const SpawnOptions& options, Ref monitor) {
  check();
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initSpawn();
  auto child = request.initChild();
  write_child(child, name, code, options);
  child.setErrorStream(wire::pointer(options.error_stream.empty() ? kit_.error_stream : options.error_stream));
  request.setLink(options.link);
  request.setMonitorRef(monitor.bits);
  wire::Frame reply = ask(message);
  const Pid pid(checked(reply).getPid());
  return pid;
}

Pid Runtime::start_supervisor(std::string_view name, const Supervisor& supervisor, bool link) {
  check();
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initStartSupervisor();
  write_supervisor(request, name, supervisor);
  request.setLink(link);
  wire::Frame reply = ask(message);
  return Pid(checked(reply).getPid());
}

void Runtime::say_ready() {
  check();
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setReady();
  lane_.tell(message);
}

void Runtime::register_port(std::string_view name) {
  check();
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setRegisterPort(std::string(name).c_str());
  wire::Frame reply = ask(message);
  checked(reply);
}

void Runtime::unregister_port(std::string_view name) {
  check();
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setUnregisterPort(std::string(name).c_str());
  wire::Frame reply = ask(message);
  checked(reply);
}

sys::UniqueFd Runtime::new_sender() {
  check();
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().setNewSender();
  wire::Frame reply = ask(message);
  checked(reply);
  reply.expect_fds(1);
  return std::move(reply.fds()[0]);
}

Pid Runtime::resolve(Address to) const {
  if (!to.is_name()) {
    if (!to.pid()) throw NoSuchName("nil is nobody's pid");
    return to.pid();
  }
  if (const Pid pid = directory_->find(to.name())) return pid;
  throw NoSuchName("nobody is named \"" + std::string(to.name()) + '"');
}

}  // namespace muproc::detail
