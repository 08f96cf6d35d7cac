#include "broker/reaper.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "broker/notify_socket.hpp"
#include "sys/clock.hpp"
#include "sys/proc.hpp"
#include "sys/process.hpp"

namespace muproc::broker {
namespace {

constexpr std::chrono::nanoseconds k_retry_every = std::chrono::milliseconds(100);

/// Looks without reaping. Unknown when a debugger holds it, or when somebody else has reaped it.
ExitStatus look(int pidfd) {
  siginfo_t info{};
  if (sys::wait_for_child(pidfd, info, WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
    return {};
  if (info.si_code == CLD_EXITED) return {ExitStatus::Kind::exited, info.si_status, false};
  return {ExitStatus::Kind::signalled, info.si_status, info.si_code == CLD_DUMPED};
}

/// By its pidfd, or where there is none by its number, which is its own until it is reaped.
int wait_for(int os_pid, const sys::UniqueFd& pidfd, siginfo_t& info, int options) {
  if (pidfd) return sys::wait_for_child(pidfd.get(), info, options);
  return ::waitid(P_PID, static_cast<id_t>(os_pid), &info, WEXITED | options | __WALL);
}

/// False when it cannot be reaped yet.
bool reap_now(int os_pid, const sys::UniqueFd& pidfd) {
  siginfo_t info{};
  if (wait_for(os_pid, pidfd, info, WNOHANG) != 0) return errno == ECHILD;
  return info.si_pid != 0;
}

/// Whose end deserves a report.
bool is_crash(const Reason& reason) {
  switch (reason.kind()) {
    case Reason::Kind::signal:
    case Reason::Kind::exception:
    case Reason::Kind::watchdog:
    case Reason::Kind::out_of_memory:
    case Reason::Kind::corrupt_message: return true;
    case Reason::Kind::start_failed: return reason.cause() && is_crash(*reason.cause());
    case Reason::Kind::normal:
    case Reason::Kind::exit:
    case Reason::Kind::killed:
    case Reason::Kind::code:
    case Reason::Kind::linked:
    case Reason::Kind::shutdown:
    case Reason::Kind::broker_lost:
    case Reason::Kind::noproc: return false;
  }
  return false;
}

}  // namespace

void Reaper::watch(Muproc& muproc) {
  muproc.death = core_.loop.when_readable(muproc.pidfd.get(), [this, pid = muproc.pid] { process_ended(pid); });
  if (muproc.kind != shm::SlotKind::outsider) descendants_.add(muproc.os_pid);
}

void Reaper::watch_outsider(Muproc& outsider) {
  if (outsider.os_pid <= 0 || outsider.os_pid == ::getpid()) return;
  try {
    outsider.pidfd = sys::open_pidfd(outsider.os_pid);
    watch(outsider);
  } catch (const std::exception&) {
    // Gone already: its socket says so.
  }
}

void Reaper::process_ended(Pid pid) {
  Muproc* muproc = core_.table.find(pid);
  if (!muproc || muproc->is_dead) return;
  if (muproc->kind == shm::SlotKind::outsider) return outsider_gone(*muproc);
  if (muproc->birth && launcher_.was_up_after_all(*muproc)) return process_ended(pid);

  if (muproc->notify) muproc->notify->read_all();  // while it still counts: it may have become ready and ended at once

  const ExitStatus status = look(muproc->pidfd.get());
  ::kill(-muproc->os_pid, SIGKILL);
  muproc->is_dead = true;
  if (muproc->connection) muproc->connection->read_all();
  const bool out_of_memory = muproc->cgroup && muproc->cgroup->has_run_out_of_memory();
  const Reason reason = reason_of(status, muproc->claim, muproc->sentence, muproc->kind == shm::SlotKind::plain, out_of_memory);
  muproc->leaves_mailbox = !muproc->birth && !muproc->is_draining && Estates::is_kept(*muproc) && may_come_back(*muproc, reason);
  core_.withdraw(*muproc, muproc->leaves_mailbox);
  muproc->death.stop();
  when_reaped(*muproc);
  const int os_pid = muproc->os_pid;
  const auto pidfd = std::make_shared<sys::UniqueFd>(std::move(muproc->pidfd));
  const LastLife life = last_life_of(pid);
  if (muproc->plan && is_crash(reason)) {
    ++core_.crashes;
    ++core_.table.record(pid.slot()).crashes;
  }
  if (muproc->birth)
    return descendants_.clear(pid, os_pid, muproc->name, muproc->cgroup, [this, pid, os_pid, pidfd, reason, life] {
      reap(os_pid, std::move(*pidfd));
      const std::uint64_t events = core_.events.last();
      Muproc* failed = core_.table.find(pid);
      if (failed && launcher_.begins_again(*failed)) return;
      if (failed) report(*launcher_.died_while_starting(*failed, reason), reason, life, events);
    });
  const std::shared_ptr<Muproc> dead = bury(*muproc, reason);
  descendants_.clear(pid, os_pid, dead->name, dead->cgroup, [this, os_pid, pidfd, dead, reason, life] {
    reap(os_pid, std::move(*pidfd));
    const std::uint64_t events = core_.events.last();
    if (dead->when_ended) dead->when_ended(reason);
    report(*dead, reason, life, events);
    dead->cgroup.reset();  // of one whose memory is held no more than that
    core_.loop.bury(dead);
  });
}

void Reaper::outsider_gone(Muproc& outsider) {
  if (outsider.is_dead) return;
  outsider.is_dead = true;
  if (outsider.connection) outsider.connection->read_all();
  core_.withdraw(outsider);
  const Reason reason = outsider.claim ? *outsider.claim : outsider.sentence.value_or(Reason::exit("disconnected"));
  if (outsider.birth) return void(launcher_.died_while_starting(outsider, reason));
  const std::shared_ptr<Muproc> dead = bury(outsider, reason);
  if (dead->when_ended) dead->when_ended(reason);
}

void Reaper::supervisor_ended(Muproc& supervisor, const Reason& reason) {
  supervisor.is_dead = true;
  core_.withdraw(supervisor);
  const std::shared_ptr<Muproc> dead = bury(supervisor, reason);
  if (dead->when_ended) dead->when_ended(reason);
}

std::shared_ptr<Muproc> Reaper::bury(Muproc& muproc, const Reason& reason) {
  const std::shared_ptr<Muproc> dead = core_.table.end(muproc.pid.slot());
  core_.loop.bury(dead);
  core_.vacate(dead->pid.slot(), reason, shm::SlotState::stopped);
  core_.directory.count_death();
  core_.log.info("{} has ended: {}", Core::name_of(*dead), in_words(reason));
  core_.tell("death", *dead, "it has ended", in_words(reason));
  // In this order: who has heard of the death must not find a channel to the dead that seems to be alive.
  close_channels(dead, reason);
  tell_peers(*dead, reason);
  if (dead->connection) close_connection(*dead->connection);
  dead->death.stop();
  when_buried(*dead);
  return dead;
}

Reaper::LastLife Reaper::last_life_of(Pid pid) const {
  const SlotRecord& record = core_.table.record(pid.slot());
  return {record.restarts, record.started_ns};
}

/// What the supervisor did is what it has told of since the death.
void Reaper::report(const Muproc& dead, const Reason& reason, LastLife life, std::uint64_t events_before) {
  if (!dead.plan || !is_crash(reason)) return;
  std::string decision;
  for (const Event* event : core_.events.after(events_before))
    if (event->kind == "restart" || event->kind == "back_off" || event->kind == "gave_up")
      decision += (decision.empty() ? "" : "; ") + event->name + ": " + event->text;
  if (decision.empty()) decision = dead.when_ended ? "it is not started again" : "it has no supervisor";
  const auto uptime = sys::monotonic() - std::chrono::nanoseconds(static_cast<std::int64_t>(life.started_ns));
  when_crashed({dead, reason, life.restarts, uptime, decision});
}

void Reaper::tell_peers(const Muproc& dead, const Reason& reason) {
  for (const auto& [group, times] : core_.groups.end(dead.pid))
    core_.send_group_change(group, {.pid = dead.pid, .joined = false, .times = times});
  const auto mourners = core_.links.end(dead.pid);
  for (const auto& [pid, ref] : mourners.watching)
    if (Muproc* watcher = core_.table.find(pid)) core_.send_notice(*watcher, dead.pid, dead.name, reason, ref);
  for (const auto& [pid, ignores_normal] : mourners.linked)
    if (Muproc* peer = core_.table.find(pid)) endings_.ripple(*peer, dead.pid, dead.name, reason, ignores_normal);
}

void Reaper::close_channels(const std::shared_ptr<Muproc>& buried, const Reason& reason) {
  Muproc& dead = *buried;
  const auto ended = core_.channels.end(dead.pid, dead.leaves_mailbox);
  std::map<Pid, std::uint64_t> counted;
  if (dead.leaves_mailbox) {
    core_.dead_letters.bury_kept(dead, core_.table);
    estates_.leave(buried, reason);
  } else {
    counted = core_.dead_letters.bury(dead, ended.closed, core_.table);
  }
  for (const Channel& channel : ended.closed) {
    core_.directory.remove_channel(channel.row);
    const Muproc* sender = core_.table.find(channel.sender);
    if (!sender && !core_.channels.is_read(channel.sender)) core_.forget_memory_of(channel.sender);
  }
  core_.channels.is_read(dead.pid) ? core_.dead_letters.keep(dead) : core_.forget_memory_of(dead.pid);
  estates_.keep_memory(buried, ended.peers);
  for (const Pid pid : ended.peers) {
    const auto at = counted.find(pid);
    if (Muproc* peer = core_.table.find(pid))
      core_.send_peer_down(*peer, dead.pid, reason, at == counted.end() ? std::nullopt : std::optional(at->second), dead.leaves_mailbox);
  }
}

// ---- the kernel's books ----------------------------------------------------------------------------------------------

void Reaper::reap(int os_pid, sys::UniqueFd pidfd) {
  const bool is_reaped = reap_now(os_pid, pidfd);
  descendants_.remove(os_pid);
  if (!is_reaped) reap_later(os_pid, std::move(pidfd));
}

void Reaper::reap_later(int os_pid, sys::UniqueFd pidfd) {
  unreaped_.emplace_back(os_pid, std::move(pidfd));
  if (!retry_) retry();
}

void Reaper::retry() {
  std::erase_if(unreaped_, [this](const auto& process) {
    const bool is_reaped = reap_now(process.first, process.second);
    if (is_reaped) descendants_.remove(process.first);
    return is_reaped;
  });
  retry_ = unreaped_.empty() ? Watch() : core_.loop.after(k_retry_every, [this] { retry(); });
}

void Reaper::end_stray(int os_pid) {
  core_.log.warn("process {} is a child that nobody wants: it is killed", os_pid);
  ::kill(-os_pid, SIGKILL);
  ::kill(os_pid, SIGKILL);  // it is our child and we have not reaped it: the number is its own
  reap_later(os_pid, {});
}

bool Reaper::is_unreaped(int os_pid) const {
  return std::any_of(unreaped_.begin(), unreaped_.end(), [&](const auto& process) { return process.first == os_pid; });
}

void Reaper::reap_all() noexcept {
  retry_.stop();
  for (const auto& [os_pid, pidfd] : std::exchange(unreaped_, {})) {
    siginfo_t info{};
    while (wait_for(os_pid, pidfd, info, 0) != 0 && errno == EINTR) {}
  }
}

std::size_t Reaper::end_strays(const std::vector<int>& sessions, const std::function<bool(int)>& is_known) {
  std::size_t ended = 0;
  sys::OwnChildren children;
  for (const int os_pid : children.list()) {
    const auto stat = sys::process_stat(os_pid);
    const bool is_clone = stat && stat->exit_signal == 0;  // an orphan is its muproc's affair
    if (!is_clone || std::find(sessions.begin(), sessions.end(), stat->session) == sessions.end()) continue;
    const auto living = core_.table.living();
    const bool is_muproc = std::any_of(living.begin(), living.end(), [&](const Muproc* m) { return m->os_pid == os_pid; });
    if (is_muproc || is_known(os_pid) || descendants_.is_muproc(os_pid)) continue;
    end_stray(os_pid);
    ++ended;
  }
  return ended;
}

}  // namespace muproc::broker
