#include "tools/common/diagnosis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <set>

#include "tools/common/text.hpp"

namespace muproc::tools {
namespace {

constexpr double k_near_full = 0.75;
constexpr std::uint64_t k_large_stash = 1000;
constexpr std::uint64_t k_loop = 3;          // restarts in k_recent
constexpr double k_many_fds = 0.8;           // of the limit
constexpr std::uint64_t k_leaking_fds = 8;   // more than at the first look
constexpr std::uint64_t k_broker_fds = 128, k_fds_per_muproc = 9;  // what the broker needs is 64 and 7; spares and extents come on top

std::string bytes_text(std::uint64_t bytes) {
  if (bytes >= std::uint64_t{1} << 20 && bytes % (std::uint64_t{1} << 20) == 0) return fmt::format("{}MiB", bytes >> 20);
  return fmt::format("{}KiB", bytes >> 10);
}

/// Twice the high-water mark, as a ring can have it.
std::uint64_t suggested_ring(const ChannelFacts& channel) {
  const std::uint64_t wanted = std::bit_ceil(std::max<std::uint64_t>(2 * channel.high_water, shm::k_min_ring));
  return std::clamp<std::uint64_t>(wanted, std::min<std::uint64_t>(2 * std::uint64_t{channel.ring_size}, shm::k_max_ring), shm::k_max_ring);
}

std::string times(std::uint64_t count) { return count == 1 ? "once" : fmt::format("{} times", count); }

class Doctor {
 public:
  explicit Doctor(const SystemFacts& facts) : facts_(facts) {
    for (const MuprocFacts& muproc : facts.muprocs)
      if (muproc.pid) by_pid_[muproc.pid] = &muproc;
  }

  std::vector<Finding> examine() {
    look_at_broker();
    look_at_config();
    for (const SupervisorFacts& supervisor : facts_.supervisors) look_at(supervisor);
    look_for_cycles();
    for (const MuprocFacts& muproc : facts_.muprocs) look_at(muproc);
    std::stable_sort(findings_.begin(), findings_.end(), [](const Finding& a, const Finding& b) { return a.severity < b.severity; });
    return std::move(findings_);
  }

 private:
  void say(std::string_view kind, Severity severity, const std::string& name, std::string text, std::string advice) {
    findings_.push_back({kind, severity, name, std::move(text), std::move(advice)});
  }

  void look_at_broker() {
    if (facts_.broker == BrokerState::gone)
      say("broker_gone", Severity::wrong, {}, fmt::format("the broker (process {}) has ended: what is shown is the last that was seen", facts_.broker_os_pid), "its muprocs end by themselves within seconds; launch the system anew");
    else if (facts_.broker == BrokerState::stopped)
      say("broker_stopped", Severity::wrong, {}, fmt::format("the broker (process {}) is stopped: messages go on, but nobody is started, restarted or buried", facts_.broker_os_pid),
          fmt::format("\"kill -CONT {}\", or see what has stopped it", facts_.broker_os_pid));
    else if (!facts_.broker_answers)
      say("broker_silent", Severity::wrong, {}, fmt::format("the broker (process {}) does not answer: {}", facts_.broker_os_pid, printable(facts_.broker_trouble)), "\"muctl log\" says what it did last; \"gdb -p\" what it does");
    const std::uint64_t expected = k_broker_fds + k_fds_per_muproc * facts_.muprocs.size();
    if (facts_.broker_process.open_fds > expected)
      say("fd_leak", Severity::wrong, {}, fmt::format("the broker has {} descriptors open; {} muprocs account for at most {}", facts_.broker_process.open_fds, facts_.muprocs.size(), expected),
          "muprocs that make many large messages have further memory, which counts too; if these have none, please report it");
    if (facts_.broker_process.zombie_children > 0)
      say("zombie", Severity::wrong, {}, fmt::format("{} processes have ended, and the broker has not reaped them for {}", facts_.broker_process.zombie_children, short_duration(facts_.watched)), "the broker is stuck or very busy: see \"muctl log\"");
    if (facts_.broker_process.runs_replaced_library)
      say("version_mismatch", Severity::unwise, {}, "the broker runs a libmuproc or mubroker whose file was replaced since", "launch the system anew when that can be");
  }

  void look_at_config() {
    if (!facts_.config_error.empty())
      say("config_unusable", Severity::unwise, {}, "the config that the system was launched from cannot be used any more: " + printable(facts_.config_error), "\"mubroker check\" says the same; mend it before the next reload or launch");
    for (const std::string& warning : facts_.config_warnings) {
      const bool is_of_limit = warning.find("can never trip") != std::string::npos;
      say(is_of_limit ? "limit_never_trips" : "config_warning", Severity::unwise, {}, printable(warning),
          is_of_limit ? "a child that always fails is restarted for ever: allow fewer restarts, or look at a longer time" : "the setting does nothing");
    }
  }

  void look_at(const SupervisorFacts& supervisor) {
    if (supervisor.limit == 0 || supervisor.used < supervisor.limit) return;
    say("limit_used_up", Severity::wrong, supervisor.name, fmt::format("{} has used all its {} restarts in {}: one more, and it stops its children and ends", printable(supervisor.name), supervisor.limit, short_duration(supervisor.within)),
        "\"muctl events\" says who fails, and \"muctl crash\" why");
  }

  /// Who waits for room at somebody who waits in turn, and so on, back to the first.
  void look_for_cycles() {
    std::set<Pid> told;
    for (const auto& [pid, muproc] : by_pid_) {
      std::vector<Pid> path;
      Pid at = pid;
      while (at && std::find(path.begin(), path.end(), at) == path.end()) {
        path.push_back(at);
        const auto next = by_pid_.find(at);
        at = next == by_pid_.end() ? Pid() : next->second->blocked_on;
      }
      if (!at || at != pid || told.contains(pid)) continue;
      std::string names;
      for (const Pid member : path) {
        names += printable(by_pid_.at(member)->name) + " -> ";
        told.insert(member);
      }
      names += printable(muproc->name);
      say("send_cycle", Severity::wrong, muproc->name, fmt::format("senders wait for each other: {}", names),
          "each has a full mailbox and stash: let one of them not wait (a cast in place of a call, fewer messages in flight), or raise mailbox.stash");
    }
  }

  void look_at(const MuprocFacts& muproc) {
    look_at_mailbox(muproc);
    look_at_life(muproc);
    if (muproc.process) look_at_process(muproc, *muproc.process);
  }

  void look_at_mailbox(const MuprocFacts& muproc) {
    const std::string name = printable(muproc.name);
    const ChannelFacts* fullest = nullptr;
    const auto fill = [](const ChannelFacts& channel) { return channel.ring_size == 0 ? 0.0 : static_cast<double>(channel.high_water) / channel.ring_size; };
    for (const ChannelFacts& channel : muproc.channels)
      if (!fullest || fill(channel) > fill(*fullest)) fullest = &channel;
    if (fullest && fill(*fullest) >= k_near_full) {
      const std::uint64_t ring = suggested_ring(*fullest);
      const bool is_largest = fullest->ring_size >= shm::k_max_ring;
      say("mailbox_near_full", Severity::unwise, muproc.name, fmt::format("the channel from {} into {} was {:.0f} % full ({} of {})", printable(fullest->from), name, 100 * fill(*fullest), bytes_text(fullest->high_water), bytes_text(fullest->ring_size)),
          is_largest ? "it is as large as a ring can be: make the receiver faster, or divide its work (replicas)"
                     : fmt::format("set mailbox.ring = \"{}\" for {}, or make it faster: a larger mailbox only helps against bursts", bytes_text(ring), name));
    }
    if (muproc.blocked_on) {
      const auto to = by_pid_.find(muproc.blocked_on);
      say("sender_blocked", Severity::unwise, muproc.name, fmt::format("{} waits for room in the mailbox of {}, and did so {} ago", name, to == by_pid_.end() ? to_string(muproc.blocked_on) : printable(to->second->name), short_duration(facts_.watched)),
          "the receiver is too slow, or stands still: \"muctl show\" and \"muctl gdb\" say what it does");
    }
    if (muproc.stash > muproc.stash_at_first && muproc.stash >= k_large_stash)
      say("stash_grows", Severity::unwise, muproc.name, fmt::format("{} has received {} messages for which it has had no clause yet, {} more than {} ago", name, muproc.stash, muproc.stash - muproc.stash_at_first, short_duration(facts_.watched)),
          "\"muctl trace\" shows what is sent to it; a clause with otherwise takes what nothing else does");
  }

  void look_at_life(const MuprocFacts& muproc) {
    const std::string name = printable(muproc.name);
    const std::string last = muproc.last_exit.empty() ? "" : ", last: " + printable(muproc.last_exit);
    if (muproc.recent_restarts >= k_loop)
      say("restart_loop", Severity::wrong, muproc.name, fmt::format("{} was restarted {} in the last {}{}", name, times(muproc.recent_restarts), short_duration(k_recent), last),
          fmt::format("\"muctl crash {0}\" and \"muctl log {0}\" say why; a back-off keeps it from taking the machine meanwhile", name));
    if (muproc.state == shm::SlotState::failed)
      say("failed", Severity::wrong, muproc.name, fmt::format("{} could not be started{}", name, last), fmt::format("\"muctl events\" says why; \"muctl start {}\" tries again", name));
    const bool handles_long = muproc.in_hand_age.value_or(std::chrono::nanoseconds(0)) >= k_long_silence;
    if (!muproc.is_silent || muproc.has_watchdog.value_or(true) || (!handles_long && facts_.watched < k_long_silence)) return;
    const std::string since = handles_long ? fmt::format("; the message that it handles was sent {} ago", short_duration(*muproc.in_hand_age)) : std::string();
    say("not_back", Severity::wrong, muproc.name, fmt::format("{} has made no call of the runtime for the {} that it was watched{}, and it has no watchdog", name, short_duration(facts_.watched), since),
        fmt::format("\"muctl gdb --batch {}\" says where it is; watchdog = {{ interval = \"…\" }} ends one that is stuck", name));
  }

  void look_at_process(const MuprocFacts& muproc, const ProcessFacts& process) {
    const std::string name = printable(muproc.name);
    if (process.is_zombie)
      say("zombie", Severity::wrong, muproc.name, fmt::format("the process of {} has ended, and nobody has reaped it for {}", name, short_duration(facts_.watched)), "the broker is stopped, stuck or very busy");
    if (process.zombie_children > 0)
      say("zombie", Severity::unwise, muproc.name, fmt::format("{} has {} child process{} that ended and that it does not wait for", name, process.zombie_children, process.zombie_children == 1 ? "" : "es"), "it should call waitpid for what it forks");
    const bool is_near_limit = process.fd_limit > 0 && static_cast<double>(process.open_fds) >= k_many_fds * static_cast<double>(process.fd_limit);
    const bool is_growing = process.fds_at_first > 0 && process.open_fds >= process.fds_at_first + k_leaking_fds;
    if (is_near_limit)
      say("fd_leak", Severity::wrong, muproc.name, fmt::format("{} has {} descriptors open, of {} that it may have", name, process.open_fds, process.fd_limit), "if it needs so many, raise limits.files; else it leaks them: \"ls -l /proc/PID/fd\" says what they are");
    else if (is_growing)
      say("fd_leak", Severity::unwise, muproc.name, fmt::format("{} has opened {} descriptors in {} and not closed them: it has {}", name, process.open_fds - process.fds_at_first, short_duration(facts_.watched), process.open_fds), "if that goes on it leaks them: \"ls -l /proc/PID/fd\" says what they are");
    if (process.runs_other_library || process.runs_replaced_library)
      say("version_mismatch", Severity::unwise, muproc.name, process.runs_other_library ? fmt::format("{} runs another libmuproc than its broker", name) : fmt::format("{} runs a libmuproc or program whose file was replaced since", name),
          fmt::format("\"muctl restart {}\" when that can be, and launch the system anew after an upgrade", name));
  }

  const SystemFacts& facts_;
  std::map<Pid, const MuprocFacts*> by_pid_;
  std::vector<Finding> findings_;
};

}  // namespace

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::wrong: return "wrong";
    case Severity::unwise: return "unwise";
  }
  return "?";
}

std::vector<Finding> diagnose(const SystemFacts& facts) { return Doctor(facts).examine(); }

std::vector<std::string_view> finding_kinds() {
  return {"broker_gone", "broker_stopped", "broker_silent", "config_unusable", "config_warning", "failed", "fd_leak", "limit_never_trips", "limit_used_up", "mailbox_near_full",
          "not_back", "restart_loop", "send_cycle", "sender_blocked", "stash_grows", "version_mismatch", "zombie"};
}

}  // namespace muproc::tools
