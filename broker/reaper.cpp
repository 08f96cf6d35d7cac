#include "broker/reaper.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sys/clock.hpp"
#include "sys/process.hpp"

namespace muproc::broker {
namespace {

#ifndef P_PIDFD
#define P_PIDFD static_cast<idtype_t>(3)
#endif

constexpr std::chrono::nanoseconds k_retry_every = std::chrono::milliseconds(100);
// How often and for how long a killed process group is looked at until it has gone: 10 s.
constexpr std::chrono::nanoseconds k_group_again = std::chrono::milliseconds(1);
constexpr int k_group_tries = 10000;

/// Looks without reaping. Unknown when a debugger holds it, or when somebody else has reaped it.
ExitStatus look(int pidfd) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || info.si_pid == 0)
    return {};
  if (info.si_code == CLD_EXITED) return {ExitStatus::Kind::exited, info.si_status, false};
  return {ExitStatus::Kind::signalled, info.si_status, info.si_code == CLD_DUMPED};
}

/// False when it cannot be reaped yet.
bool reap_now(int pidfd) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG | __WALL) != 0) return errno == ECHILD;
  return info.si_pid != 0;
}

struct ProcessStat {
  char state = 'X';
  int parent = 0, group = 0, session = 0;
};

ProcessStat stat_of(const std::string& os_pid) {
  ProcessStat stat;
  std::ifstream file("/proc/" + os_pid + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto end_of_name = text.rfind(')');
  if (end_of_name != text.npos)
    std::istringstream(text.substr(end_of_name + 1)) >> stat.state >> stat.parent >> stat.group >> stat.session;
  return stat;
}

/// True while a process group whose leader we have reaped has members that are more than zombies.
bool is_group_alive(int group) {
  if (::kill(-group, 0) != 0) return false;  // mostly: it is empty
  std::error_code gone;
  for (const auto& process : std::filesystem::directory_iterator("/proc", gone)) {
    const std::string name = process.path().filename();
    if (name[0] < '0' || name[0] > '9') continue;
    const ProcessStat stat = stat_of(name);
    if (stat.group == group && stat.state != 'Z' && stat.state != 'X') return true;
  }
  return false;
}

}  // namespace

std::vector<int> children_in_sessions(const std::vector<int>& sessions) {
  std::vector<int> found;
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", gone)) {
    std::ifstream children(task.path() / "children");
    for (int os_pid; children >> os_pid;)
      if (std::find(sessions.begin(), sessions.end(), stat_of(std::to_string(os_pid)).session) != sessions.end()) found.push_back(os_pid);
  }
  return found;
}

void Reaper::watch(Muproc& muproc) {
  muproc.death = core_.loop.when_readable(muproc.pidfd.get(), [this, pid = muproc.pid] { process_ended(pid); });
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

  const ExitStatus status = look(muproc->pidfd.get());
  ::kill(-muproc->os_pid, SIGKILL);
  muproc->is_dead = true;
  if (muproc->connection) muproc->connection->read_all();
  core_.withdraw(*muproc);
  reap(*muproc);
  const Reason reason = reason_of(status, muproc->claim, muproc->sentence, muproc->kind == shm::SlotKind::plain);
  if (muproc->birth) return launcher_.died_while_starting(*muproc, reason);
  bury(*muproc, reason);
}

void Reaper::outsider_gone(Muproc& outsider) {
  if (outsider.is_dead) return;
  outsider.is_dead = true;
  if (outsider.connection) outsider.connection->read_all();
  core_.withdraw(outsider);
  const Reason reason = outsider.claim ? *outsider.claim : outsider.sentence.value_or(Reason::exit("disconnected"));
  if (outsider.birth) return launcher_.died_while_starting(outsider, reason);
  bury(outsider, reason);
}

void Reaper::supervisor_ended(Muproc& supervisor, const Reason& reason) {
  supervisor.is_dead = true;
  core_.withdraw(supervisor);
  bury(supervisor, reason);
}

void Reaper::bury(Muproc& muproc, const Reason& reason) {
  const std::shared_ptr<Muproc> dead = core_.table.end(muproc.pid.slot());
  core_.loop.bury(dead);
  core_.vacate(dead->pid.slot(), reason, shm::SlotState::stopped);
  core_.directory.count_death();
  core_.log.info("{} has ended: {}", Core::name_of(*dead), to_string(reason));
  // In this order: who has heard of the death must not find a channel to the dead that seems to be alive.
  close_channels(*dead, reason);
  tell_peers(*dead, reason);
  if (dead->connection) close_connection(*dead->connection);
  dead->death.stop();
  if (!dead->when_ended) return;
  if (!dead->has_process() || !is_group_alive(dead->os_pid)) return dead->when_ended(reason);
  lingering_.push_back({dead, reason, k_group_tries});
  if (!lingering_watch_) lingering_watch_ = core_.loop.after(k_group_again, [this] { look_at_groups(); });
}

void Reaper::look_at_groups() {
  std::vector<Lingering> gone;
  for (Lingering& group : std::exchange(lingering_, {}))
    (--group.tries_left == 0 || !is_group_alive(group.dead->os_pid) ? gone : lingering_).push_back(std::move(group));
  lingering_watch_ = lingering_.empty() ? Watch() : core_.loop.after(k_group_again, [this] { look_at_groups(); });
  for (const Lingering& group : gone) group.dead->when_ended(group.reason);
}

void Reaper::tell_peers(const Muproc& dead, const Reason& reason) {
  const auto mourners = core_.links.end(dead.pid);
  for (const auto& [pid, ref] : mourners.watching)
    if (Muproc* watcher = core_.table.find(pid)) core_.send_notice(*watcher, dead.pid, dead.name, reason, ref);
  for (const auto& [pid, ignores_normal] : mourners.linked)
    if (Muproc* peer = core_.table.find(pid)) endings_.ripple(*peer, dead.pid, dead.name, reason, ignores_normal);
}

void Reaper::close_channels(const Muproc& dead, const Reason& reason) {
  const auto ended = core_.channels.end(dead.pid);
  for (const Channel& channel : ended.closed) {
    core_.directory.remove_channel(channel.row);
    const Muproc* sender = core_.table.find(channel.sender);
    if (!sender && !core_.channels.is_read(channel.sender)) core_.extents.forget(channel.sender);
  }
  if (!core_.channels.is_read(dead.pid)) core_.extents.forget(dead.pid);
  for (const Pid pid : ended.peers)
    if (Muproc* peer = core_.table.find(pid)) core_.send_peer_down(*peer, dead.pid, reason);
}

// ---- the kernel's books ----------------------------------------------------------------------------------------------

void Reaper::reap(Muproc& muproc) {
  muproc.death.stop();
  if (!reap_now(muproc.pidfd.get())) reap_later(std::move(muproc.pidfd));
}

void Reaper::reap_later(sys::UniqueFd pidfd) {
  unreaped_.push_back(std::move(pidfd));
  if (!retry_) retry();
}

void Reaper::retry() {
  std::erase_if(unreaped_, [](const auto& pidfd) { return reap_now(pidfd.get()); });
  retry_ = unreaped_.empty() ? Watch() : core_.loop.after(k_retry_every, [this] { retry(); });
}

void Reaper::end_stray(int os_pid) {
  core_.log.warn("process {} is a child that nobody wants: it is killed", os_pid);
  ::kill(-os_pid, SIGKILL);
  ::kill(os_pid, SIGKILL);  // it is our child and we have not reaped it: the number is its own
  reap_later(sys::open_pidfd(os_pid));
}

void Reaper::reap_all() noexcept {
  retry_.stop();
  for (const auto& pidfd : std::exchange(unreaped_, {})) {
    siginfo_t info{};
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | __WALL) != 0 && errno == EINTR) {
    }
  }
}

std::size_t Reaper::end_strays(const std::vector<int>& sessions, const std::function<bool(int)>& is_known) {
  std::size_t ended = 0;
  for (const int os_pid : children_in_sessions(sessions)) {
    const auto living = core_.table.living();
    const bool is_muproc = std::any_of(living.begin(), living.end(), [&](const Muproc* m) { return m->os_pid == os_pid; });
    if (is_muproc || is_known(os_pid)) continue;
    end_stray(os_pid);
    ++ended;
  }
  return ended;
}

}  // namespace muproc::broker
