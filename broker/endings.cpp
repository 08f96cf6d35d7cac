#include "broker/endings.hpp"

#include <unistd.h>

#include "sys/clock.hpp"
#include "sys/process.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

constexpr std::chrono::nanoseconds k_interrupt_every = std::chrono::milliseconds(50);

/// `stop = "kill"` is about how a supervisor stops a child; by exit signals it has the usual time.
Stop patience(const Muproc& muproc) {
  const Stop stop = muproc.stop();
  return stop.kind() == Stop::Kind::kill ? Stop() : stop;
}

}  // namespace

void Endings::exit(Muproc& target, const Reason& reason, Pid sender, Position position) {
  if (target.kind == shm::SlotKind::supervisor) return end_supervisor(target, false);
  say(target, reason, sender, position);
  if (!target.traps_exits) sentence(target, reason, patience(target));
}

void Endings::ripple(Muproc& target, Pid ended, const std::string& name, const Reason& reason, bool ignores_normal) {
  // A supervisor traps exits: it hears of anybody who has linked to it, and ends with whoever started it.
  if (target.kind == shm::SlotKind::supervisor) {
    if (ended == target.parent) end_supervisor(target, false);
    return;
  }
  const bool is_harmless = ignores_normal && reason.is_normal();
  if (is_harmless && !target.traps_exits) return;
  core_.send_notice(target, ended, name, reason, 0);
  if (!target.traps_exits && !is_harmless) sentence(target, Reason::linked(name, ended, reason), patience(target));
}

void Endings::kill(Muproc& target, const Reason& why) {
  if (target.kind == shm::SlotKind::supervisor) return end_supervisor(target, true);
  if (target.is_dead) return;
  target.sentence = why;
  target.must_end = true;
  if (target.os_pid == ::getpid()) return cut_off(target);
  if (target.pidfd) sys::send_signal(target.pidfd.get(), SIGKILL);
}

void Endings::abort(Muproc& target, const Reason& why, std::chrono::nanoseconds grace) {
  if (target.is_dead || !target.pidfd) return;
  target.sentence = why;
  target.must_end = true;
  sys::send_signal(target.pidfd.get(), SIGABRT);
  arm(target, Stop(grace));
}

void Endings::stop(Muproc& target, Stop how) {
  if (target.kind == shm::SlotKind::supervisor) return end_supervisor(target, how.kind() == Stop::Kind::kill);
  if (how.kind() == Stop::Kind::kill) return kill(target);
  target.must_end = true;
  say(target, Reason::shutdown(), {}, {});
  if (!target.traps_exits) return sentence(target, Reason::shutdown(), how);
  if (!target.sentence) target.sentence = Reason::shutdown();
  arm(target, how);
}

void Endings::say(Muproc& target, const Reason& reason, Pid sender, Position position) {
  if (!target.connection) return;
  send_with_reason(*target.connection, reason, [&](Message& message, const Reason& told) {
    auto signal = message->initExitSignal();
    signal.setSender(sender.bits());
    wire::write(signal.initReason(), told);
    signal.setPosition(position.position);
    signal.setHasChannel(position.has_channel);
  });
}

void Endings::sentence(Muproc& target, const Reason& reason, Stop how) {
  if (target.is_dead) return;
  if (!target.sentence) target.sentence = reason;
  arm(target, how);
  if (target.kind == shm::SlotKind::plain) {
    sys::send_signal(target.pidfd.get(), SIGTERM);
  } else if (!target.interrupts && !target.heeded) {
    interrupt(target);
  }
}

void Endings::interrupt(Muproc& target) {
  sys::send_signal(target.pidfd.get(), sys::k_interrupt_signal);
  target.interrupts = core_.loop.after(k_interrupt_every, [this, pid = target.pid] {
    if (Muproc* alive = core_.table.find(pid)) interrupt(*alive);
  });
}

/// A later and shorter period counts, a later and longer one does not.
void Endings::arm(Muproc& target, Stop how) {
  if (how.kind() == Stop::Kind::forever) return;
  const auto end = sys::monotonic() + how.period();
  if (target.deadline && target.deadline_at <= end) return;
  target.deadline_at = end;
  target.deadline = core_.loop.patience(how.period(), [this, pid = target.pid] {
    Muproc* alive = core_.table.find(pid);
    if (!alive || alive->is_dead) return;
    core_.log.warn("{} has not ended in time and is killed; it was to end: {}", Core::name_of(*alive),
                   to_string(alive->sentence.value_or(Reason::killed())));
    kill(*alive, alive->sentence.value_or(Reason::killed()));
  });
}

void Endings::heeded(Muproc& muproc) {
  muproc.heeded = true;
  muproc.interrupts.stop();
}

/// An exit signal that was on its way when it began to trap is a message now.
void Endings::traps_exits(Muproc& muproc, bool traps) {
  muproc.traps_exits = traps;
  if (!traps || muproc.heeded) return;
  muproc.interrupts.stop();
  if (muproc.must_end) return;
  muproc.deadline.stop();
  muproc.sentence.reset();
}

}  // namespace muproc::broker
