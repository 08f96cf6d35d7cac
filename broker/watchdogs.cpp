#include "broker/watchdogs.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace muproc::broker {
namespace {

// How long one may take to die of SIGABRT: to write its stack and its core.
constexpr std::chrono::nanoseconds k_grace = std::chrono::seconds(10);

/// The rest of the line of /proc/PID/status that begins with `key`.
std::string status_line(std::string_view text, std::string_view key) {
  const auto at = text.find(key);
  if (at == text.npos) return {};
  const auto begin = std::min(text.find_first_not_of(" \t", at + key.size()), text.size());
  return std::string(text.substr(begin, text.find('\n', begin) - begin));
}

/// True while a SIGSTOP holds it, or a debugger is attached (who looks at it step by step makes it late), and when that cannot
/// be seen.
bool is_held(int os_pid) {
  std::ifstream file("/proc/" + std::to_string(os_pid) + "/status");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  if (text.empty()) return true;  // no descriptor is left to look with: it may be
  const std::string state = status_line(text, "\nState:"), tracer = status_line(text, "\nTracerPid:");
  return state.starts_with('T') || state.starts_with('t') || (!tracer.empty() && tracer != "0");
}

bool waits(shm::Activity activity) {
  switch (activity) {
    case shm::Activity::receiving:
    case shm::Activity::sending:
    case shm::Activity::sleeping:
    case shm::Activity::asking: return true;
    case shm::Activity::starting:
    case shm::Activity::running:
    case shm::Activity::exiting: return false;
  }
  return false;  // it may write what it likes
}

}  // namespace

bool WatchdogCount::look(std::uint64_t count, bool excused) {
  const bool moved = unmoved_ < 0 || count != last_ || excused;
  last_ = count;
  unmoved_ = moved ? 0 : unmoved_ + 1;
  return unmoved_ >= k_looks;
}

void Watchdogs::watch(Muproc& muproc) {
  muproc.watchdog.reset();
  if (!muproc.plan || muproc.plan->watchdog.count() <= 0 || !muproc.pidfd) return;
  auto state = std::make_unique<WatchdogState>();
  try {
    if (muproc.segment) state->segment = std::make_unique<shm::PeerSegment>(muproc.segment.get(), muproc.pid);
  } catch (const std::exception& failure) {
    return core_.log.error("{} has no watchdog: {}", Core::name_of(muproc), failure.what());
  }
  muproc.watchdog = std::move(state);
  look(muproc);
}

void Watchdogs::said_alive(Muproc& muproc) {
  if (muproc.watchdog) ++muproc.watchdog->said;
}

void Watchdogs::look_later(Muproc& muproc) {
  muproc.watchdog->next = core_.loop.after(muproc.plan->watchdog / WatchdogCount::k_looks, [this, pid = muproc.pid] {
    if (Muproc* alive = core_.table.find(pid); alive && !alive->is_dead && alive->watchdog) look(*alive);
  });
}

void Watchdogs::look(Muproc& muproc) {
  std::uint64_t count = muproc.watchdog->said;
  bool excused = muproc.sentence.has_value() || is_held(muproc.os_pid);
  if (const auto& segment = muproc.watchdog->segment) {
    // What is there may be anything: one that writes nonsense fools its own watchdog.
    count = segment->status().runtime_calls.load(std::memory_order_relaxed);
    excused |= waits(static_cast<shm::Activity>(segment->status().activity.load(std::memory_order_relaxed)));
  }
  if (muproc.watchdog->count.look(count, excused)) return bite(muproc);
  look_later(muproc);
}

void Watchdogs::bite(Muproc& muproc) {
  if (muproc.is_dead || muproc.sentence) return;
  core_.log.error("{} is stuck: it has not shown itself for {}, and is ended by SIGABRT", Core::name_of(muproc),
                  to_string(Stop(muproc.plan->watchdog)));
  endings_.abort(muproc, Reason(Reason::Kind::watchdog), k_grace);
}

}  // namespace muproc::broker
