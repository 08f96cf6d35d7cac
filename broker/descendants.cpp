#include "broker/descendants.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <ctime>
#include <thread>
#include <utility>

#include "sys/clock.hpp"
#include "sys/error.hpp"
#include "sys/process.hpp"

namespace muproc::broker {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr nanoseconds k_again = 2ms;
constexpr nanoseconds k_soon = 100us;
constexpr nanoseconds k_debugger_again = 50ms;
// What an exec takes at most, on a machine that is very busy. Who has nothing to read after that has nothing.
constexpr nanoseconds k_longest_exec = 1s;
// For what was killed and does not go.
constexpr nanoseconds k_limit = 10s;
constexpr nanoseconds k_limit_at_end = 5s;
// A tick of /proc's clock: it rounds down.
constexpr nanoseconds k_tick = 10ms;

nanoseconds since_machine_start() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

nanoseconds from_ticks(std::uint64_t ticks) {
  static const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return nanoseconds(ticks * (1'000'000'000 / per_second));
}

/// False when it cannot be reaped yet. Who is no child of ours (any more) need not be.
bool reap_now(int pidfd) {
  siginfo_t info{};
  if (sys::wait_for_child(pidfd, info, WNOHANG) != 0) return errno == ECHILD;
  return info.si_pid != 0;
}

/// Alive or not yet reaped.
bool is_child(int os_pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(os_pid), &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

}  // namespace

// ---- marks -----------------------------------------------------------------------------------------------------------

std::string fresh_token() {
  return fmt::format("@{}-{:016x}", ::getpid(), static_cast<std::uint64_t>(since_machine_start().count()));
}

std::optional<Pid> marked(std::string_view text, std::string_view token) {
  for (auto at = text.find(token); at != text.npos; at = text.find(token, at + 1)) {
    const auto begin = text.substr(0, at).rfind('<');
    if (begin == text.npos) continue;
    unsigned parts[3]{};
    const char* next = text.data() + begin;
    bool fits = true;
    for (unsigned& part : parts) {
      const auto [end, error] = std::from_chars(next + 1, text.data() + at, part);
      fits = fits && error == std::errc();
      next = end;
    }
    if (!fits || next + 1 != text.data() + at || *next != '>') continue;
    return Pid(static_cast<std::uint16_t>(parts[0]), parts[1], parts[2]);
  }
  return std::nullopt;
}

// ---- who descends from whom ------------------------------------------------------------------------------------------

Descendants::Descendants(Core& core, bool owns_process)
    : core_(core), owns_process_(owns_process), kills_unknown_(::getpid() != 1) {}

Descendants::~Descendants() = default;

/// A process whose group or session is a muproc's own: they are named after their first member.
Pid Descendants::owner_by_number(int number) const {
  for (const auto& clearing : clearings_)
    if (clearing->os_pid == number) return clearing->dead;
  if (!muprocs_.contains(number)) return {};
  for (const Muproc* muproc : core_.table.living())
    if (muproc->os_pid == number && muproc->kind != shm::SlotKind::outsider) return muproc->pid;
  return {};
}

bool Descendants::lives(Pid owner) const {
  const Muproc* muproc = core_.table.find(owner);
  return muproc && !muproc->is_dead;
}

bool Descendants::is_process_known(Pid owner) const {
  const Muproc* muproc = core_.table.find(owner);
  return (muproc && muproc->os_pid) ||
         std::any_of(clearings_.begin(), clearings_.end(), [&](const auto& clearing) { return clearing->dead == owner; });
}

bool Descendants::somebody_is_older(const Orphan& orphan) const {
  const nanoseconds offset = since_machine_start() - sys::monotonic();
  const auto living = core_.table.living();
  return std::any_of(living.begin(), living.end(), [&](const Muproc* muproc) {
    if (muproc->is_dead || muproc->kind == shm::SlotKind::supervisor || muproc->kind == shm::SlotKind::outsider) return false;
    const nanoseconds born(core_.table.record(muproc->pid.slot()).started_ns);
    return born + offset <= orphan.started + k_tick;
  });
}

bool Descendants::must_go(const Orphan& orphan) const {
  if (orphan.owner) return !lives(orphan.owner);
  return kills_unknown_ && !somebody_is_older(orphan);
}

void Descendants::find_orphans() {
  is_blind_ = false;
  const auto strangers = std::exchange(strangers_, {});
  auto unreadable = std::exchange(unreadable_, {});
  const auto is_still_there = [](const auto& stranger) {
    const auto stat = sys::process_stat(stranger.first);
    return stat && stat->started_ticks == stranger.second;
  };
  for (const int os_pid : children_.list()) {
    if (muprocs_.contains(os_pid) || orphans_.contains(os_pid)) continue;
    if (const auto stranger = strangers.find(os_pid); stranger != strangers.end() && is_still_there(*stranger)) {
      strangers_.insert(*stranger);
    } else if (!is_known(os_pid)) {
      if (auto known = unreadable.extract(os_pid); !known.empty()) unreadable_.insert(std::move(known));
      take_in(os_pid);
    }
  }
}

void Descendants::take_in(int os_pid) {
  sys::UniqueFd pidfd;
  try {
    pidfd = sys::open_pidfd(os_pid);
  } catch (const std::exception&) {
    return look_again_if_there(os_pid);
  }
  const auto stat = sys::process_stat(os_pid);
  if (!stat) return look_again_if_there(os_pid);
  if (stat->exit_signal == 0) return;  // a clone of a zygote, never re-parented: its birth will tell of it
  const std::string inheritance = sys::inheritance_of(os_pid);
  const auto mark = marked(inheritance, core_.token);
  Pid owner = core_.cgroups.owner_of(os_pid);
  if (!owner) owner = mark.value_or(Pid());
  if (!owner) owner = owner_by_number(stat->group);
  if (!owner) owner = owner_by_number(stat->session);
  if (!owner && inheritance.empty() && is_undecided(os_pid, *stat)) return look_later();
  unreadable_.erase(os_pid);
  const bool is_of_our_session = is_our_session(stat->session);
  // A program that was just cloned looks like this, too, and must not be taken from its muproc.
  const bool may_be_a_birth = is_of_our_session && stat->group == os_pid && !(owner && is_process_known(owner));
  if (may_be_a_birth && is_cloning()) return look_later();
  if (!owner && !owns_process_ && !is_of_our_session) {
    strangers_[os_pid] = stat->started_ticks;
    return;
  }
  auto orphan = std::make_shared<Orphan>(Orphan{os_pid, std::move(pidfd), owner, from_ticks(stat->started_ticks), stat->group, false, {}});
  orphan->death = core_.loop.when_readable(orphan->pidfd.get(), [this, os_pid] { ended(os_pid); });
  if (!owner && !stat->is_zombie())
    core_.log.warn("process {} has lost its parent and does not say whose it is", os_pid);
  orphans_.emplace(os_pid, std::move(orphan));
}

/// Or it has gone: the program that we are in has reaped it.
void Descendants::look_again_if_there(int os_pid) {
  if (!is_child(os_pid)) return;
  is_blind_ = true;
  look_later();
}

bool Descendants::is_undecided(int os_pid, const sys::ProcessStat& stat) {
  if (stat.is_zombie()) return false;
  const auto now = sys::monotonic();
  const auto [known, is_new] = unreadable_.try_emplace(os_pid, Unreadable{stat.started_ticks, now});
  if (known->second.started_ticks != stat.started_ticks) known->second = {stat.started_ticks, now};
  return now - known->second.since < k_longest_exec;
}

void Descendants::look_later() {
  if (!later_) later_ = core_.loop.after(k_again, [this] {
    later_.stop();
    later_ = {};
    look();
  });
}

/// Who has ended may count in its group for another moment.
void Descendants::look_soon() {
  if (!soon_) soon_ = core_.loop.after(k_soon, [this] {
    soon_.stop();
    soon_ = {};
    look();
  });
}

// ---- ending them -----------------------------------------------------------------------------------------------------

void Descendants::clear(Pid dead, int os_pid, const std::string& name, std::shared_ptr<Cgroup> cgroup, std::function<void()> done) {
  auto clearing = std::make_unique<Clearing>(Clearing{dead, os_pid, name, std::move(cgroup), std::move(done), {}});
  clearings_.push_back(std::move(clearing));
  look();
  for (const auto& waiting : clearings_)
    if (waiting->dead == dead) waiting->limit = core_.loop.patience(k_limit, [this, dead] { give_up(dead); });
}

void Descendants::look() {
  find_orphans();
  for (const auto& [os_pid, orphan] : orphans_)
    if (!orphan->is_killed && must_go(*orphan)) end(*orphan);
  finish_clearings();
}

/// With its group, which it keeps from being another's as long as it is not reaped. What it has forked comes to us when
/// it is dead.
void Descendants::end(Orphan& orphan) {
  orphan.is_killed = true;
  const bool is_anothers = muprocs_.contains(orphan.group) || is_known(orphan.group) || orphan.group == ::getpgrp();
  if (orphan.group > 1 && !is_anothers) ::kill(-orphan.group, SIGKILL);
  sys::send_signal(orphan.pidfd.get(), SIGKILL);
}

void Descendants::ended(int os_pid) {
  const auto found = orphans_.find(os_pid);
  if (found == orphans_.end()) return;
  const auto orphan = found->second;
  if (!reap_now(orphan->pidfd.get())) {  // a debugger holds it
    orphan->death = core_.loop.after(k_debugger_again, [this, os_pid] { ended(os_pid); });
    return core_.loop.bury(orphan);
  }
  orphan->death.stop();
  core_.loop.bury(orphan);
  orphans_.erase(found);
  look();
}

bool Descendants::is_clear(const Clearing& clearing) {
  if (clearing.cgroup && !clearing.cgroup->remove()) {
    clearing.cgroup->kill();
    look_soon();
    return false;
  }
  return std::none_of(orphans_.begin(), orphans_.end(), [&](const auto& entry) {
    const Orphan& orphan = *entry.second;
    return orphan.owner == clearing.dead || (!orphan.owner && orphan.is_killed);
  });
}

void Descendants::finish_clearings() {
  if (!unreadable_.empty() || is_blind_) return;  // it may be anybody's
  std::vector<std::unique_ptr<Clearing>> finished;
  for (auto& clearing : clearings_)
    if (is_clear(*clearing)) finished.push_back(std::move(clearing));
  std::erase(clearings_, nullptr);
  for (const auto& clearing : finished) clearing->done();
}

/// It will be reaped when it goes, but nobody waits for that any more.
void Descendants::give_up(Pid dead) {
  std::string left;
  for (const auto& [os_pid, orphan] : orphans_)
    if (orphan->owner == dead || (!orphan->owner && orphan->is_killed)) left += " " + std::to_string(os_pid);
  for (auto& clearing : clearings_) {
    if (!clearing || clearing->dead != dead) continue;
    core_.log.error("{} has left processes that were killed and do not go:{}", clearing->name, left);
    const std::shared_ptr<Clearing> given_up = std::move(clearing);
    std::erase(clearings_, nullptr);
    core_.loop.bury(given_up);
    return given_up->done();
  }
}

void Descendants::clear_now() noexcept {
  const auto give_up_at = sys::monotonic() + k_limit_at_end;
  try {
    for (const auto& clearing : std::exchange(clearings_, {})) ::waitid(P_PID, static_cast<id_t>(clearing->os_pid), nullptr, WEXITED | WNOHANG | __WALL);
    for (;;) {
      core_.cgroups.kill_all();
      find_orphans();
      for (auto at = orphans_.begin(); at != orphans_.end();) {
        if (!at->second->is_killed) end(*at->second);
        at = reap_now(at->second->pidfd.get()) ? orphans_.erase(at) : std::next(at);
      }
      const auto nobody_is_left = [&] { return orphans_.empty() && unreadable_.empty() && !is_blind_; };
      if (nobody_is_left() && (find_orphans(), nobody_is_left())) return;
      if (sys::monotonic() >= give_up_at) break;
      std::this_thread::sleep_for(200us);
    }
    for (const auto& [os_pid, orphan] : orphans_) core_.log.error("process {} was killed and does not go", os_pid);
  } catch (const std::exception& failure) {
    core_.log.error("at the end: {}", failure.what());
  }
}

}  // namespace muproc::broker
