#include "tools/common/examination.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <thread>
#include <unordered_map>

#include "sys/proc.hpp"
#include "tools/common/broker_client.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/system_view.hpp"
#include "wire/codec.hpp"

namespace muproc::tools {
namespace {

using namespace std::chrono;

constexpr nanoseconds k_between_looks = 100ms;
constexpr nanoseconds k_broker_patience = 3s;

std::string proc_file(int os_pid, const char* name) {
  std::ifstream in(fmt::format("/proc/{}/{}", os_pid, name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// 0 when it cannot be seen.
std::uint64_t count_fds(int os_pid) {
  std::error_code failure;
  std::uint64_t count = 0;
  for (std::filesystem::directory_iterator at(fmt::format("/proc/{}/fd", os_pid), failure), end; !failure && at != end; at.increment(failure)) ++count;
  return count;
}

/// Processes that have ended and that their parent has not reaped: OS pid → parent.
std::map<int, int> zombies() {
  std::map<int, int> found;
  for (const int os_pid : sys::all_processes())
    if (const auto stat = sys::process_stat(os_pid); stat && stat->is_zombie()) found[os_pid] = stat->parent;
  return found;
}

/// What is looked at more than once, by incarnation.
struct Watched {
  std::vector<ChannelFacts> channels;
  std::map<std::pair<Pid, std::uint64_t>, ChannelFacts> highest;  // by sender and secret
  std::optional<std::uint32_t> calls;
  bool is_silent = true;
  Pid blocked_on;
  std::uint64_t blocked_at_first = 0, stash_at_first = 0;
  std::uint64_t fds_at_first = 0;
};

class Examination {
 public:
  Examination(std::string_view system, nanoseconds watch) : name_(system), watch_(watch), view_(system) {}

  SystemFacts run() {
    allow_many_descriptors();
    const auto started = steady_clock::now();
    first_zombies_ = zombies();
    look(true);
    for (const MuprocView& muproc : now_->muprocs)
      if (muproc.pid && muproc.os_pid > 0) watched_[muproc.pid].fds_at_first = count_fds(muproc.os_pid);
    ask_broker();  // takes its time out of ours
    do {
      std::this_thread::sleep_for(std::min(k_between_looks, std::max<nanoseconds>(watch_ - (steady_clock::now() - started), 1ms)));
      look(false);
    } while (steady_clock::now() - started < watch_);
    facts_.watched = steady_clock::now() - started;
    sum_up();
    return std::move(facts_);
  }

 private:
  void look(bool is_first) {
    now_ = view_.look();
    for (const MuprocView& muproc : now_->muprocs) {
      if (!muproc.pid || !muproc.status) continue;
      Watched& watched = watched_[muproc.pid];
      const MuprocStatus& status = *muproc.status;
      if (!watched.calls) {
        watched.blocked_at_first = status.sends_blocked;
        watched.stash_at_first = status.stash_messages;
        watched.blocked_on = is_first && status.activity == shm::Activity::sending ? status.blocked_on : Pid();
      }
      watched.is_silent = watched.is_silent && status.activity == shm::Activity::running && (!watched.calls || *watched.calls == status.runtime_calls);
      watched.calls = status.runtime_calls;
    }
    for (const ChannelView& channel : now_->channels) {
      if (!channel.is_known) continue;
      ChannelFacts& facts = watched_[channel.to].highest[{channel.from, channel.secret}];
      facts.from = now_->name_of(channel.from);
      facts.ring_size = channel.ring_size;
      facts.high_water = std::max(facts.high_water, channel.waiting_bytes);
    }
  }

  void ask_broker() {
    if (now_->broker != BrokerState::running) return;
    try {
      BrokerClient broker(name_.empty() ? view_.folder().native() : name_, k_broker_patience);
      const Nodes nodes = broker.nodes();
      for (const Node& node : nodes.all()) watchdogs_[wire::string(node.getName())] = node.getWatchdogNs() > 0;
      read_events(broker.ask([](wire::ToBroker::Builder to) { to.initEvents().setNumber(0); }));
      read_config(broker);
    } catch (const Failure& failure) {
      facts_.broker_answers = false;
      facts_.broker_trouble = failure.what();
    }
  }

  void read_events(wire::Frame answer) {
    const auto since = duration_cast<nanoseconds>((system_clock::now() - k_recent).time_since_epoch()).count();
    const auto reply = answer.as<wire::FromBroker>();
    if (!reply.isEvents()) return;
    for (const auto event : reply.getEvents())
      if (event.getKind() == "restart" && event.getWallNs() >= since) ++restarts_[wire::string(event.getName())];
  }

  /// What the config says by now, if the system has one.
  void read_config(BrokerClient& broker) {
    try {
      wire::Frame answer = broker.ask([](wire::ToBroker::Builder to) { to.initReload().setIsOnlyAsked(true); });
      const auto reply = answer.as<wire::FromBroker>();
      if (reply.isChanges()) split_warnings(wire::string(reply.getChanges().getWarnings()));
    } catch (const Failure& failure) {
      if (failure.code == ExitCode::timeout || failure.code == ExitCode::no_system) throw;
      if (failure.code == ExitCode::bad_config) facts_.config_error = first_error(failure.what());
    }
  }

  /// As mubroker prints them: "file:1:2: warning: …", with the line and a caret below.
  void split_warnings(const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
      const auto end = std::min(text.find('\n', at), text.size());
      if (const std::string line = text.substr(at, end - at); line.find(": warning: ") != line.npos) facts_.config_warnings.push_back(line);
      at = end + 1;
    }
  }

  static std::string first_error(const std::string& text) {
    const auto at = text.find('\n');
    const std::string rest = at == text.npos ? text : text.substr(at + 1);
    return rest.substr(0, rest.find('\n'));
  }

  void sum_up() {
    facts_.system = now_->system;
    facts_.broker = now_->broker;
    facts_.broker_os_pid = now_->broker_os_pid;
    // What had ended at the first look and is there still.
    std::map<int, std::uint64_t> orphaned;
    std::set<int> unreaped;
    for (const auto& [os_pid, parent] : zombies())
      if (const auto first = first_zombies_.find(os_pid); first != first_zombies_.end() && first->second == parent) {
        ++orphaned[parent];
        unreaped.insert(os_pid);
      }
    const MappedLibrary brokers = mapped_library(proc_file(facts_.broker_os_pid, "maps"));
    facts_.broker_process.open_fds = count_fds(facts_.broker_os_pid);
    facts_.broker_process.zombie_children = orphaned[facts_.broker_os_pid];
    facts_.broker_process.runs_replaced_library = brokers.is_replaced;
    for (const MuprocView& muproc : now_->muprocs) {
      if (muproc.is_supervisor()) {
        if (const auto& rules = muproc.supervision) facts_.supervisors.push_back({muproc.name, rules->limit, rules->used, rules->within});
        continue;
      }
      facts_.muprocs.push_back(facts_of(muproc));
      if (muproc.os_pid <= 0 || muproc.kind == shm::SlotKind::outsider) continue;
      ProcessFacts process;
      process.is_zombie = unreaped.contains(muproc.os_pid);
      if (process.is_zombie && facts_.broker_process.zombie_children > 0) --facts_.broker_process.zombie_children;  // told once
      process.zombie_children = orphaned[muproc.os_pid];
      process.open_fds = count_fds(muproc.os_pid);
      process.fd_limit = open_files_limit(proc_file(muproc.os_pid, "limits"));
      process.fds_at_first = watched_[muproc.pid].fds_at_first;
      const MappedLibrary library = mapped_library(proc_file(muproc.os_pid, "maps"));
      process.runs_replaced_library = library.is_replaced && muproc.kind != shm::SlotKind::plain;
      process.runs_other_library = !library.file.empty() && !brokers.file.empty() && library.file != brokers.file;
      facts_.muprocs.back().process = process;
    }
  }

  MuprocFacts facts_of(const MuprocView& muproc) {
    MuprocFacts facts;
    facts.name = muproc.name;
    facts.pid = muproc.pid;
    facts.kind = muproc.kind;
    facts.state = muproc.state;
    facts.last_exit = muproc.last_exit;
    if (const auto counted = restarts_.find(muproc.name); counted != restarts_.end()) facts.recent_restarts = counted->second;
    if (const auto known = watchdogs_.find(muproc.name); known != watchdogs_.end()) facts.has_watchdog = known->second;
    if (!muproc.status) return facts;
    const Watched& watched = watched_[muproc.pid];
    const MuprocStatus& status = *muproc.status;
    for (const auto& [key, channel] : watched.highest) facts.channels.push_back(channel);
    const bool is_blocked = status.activity == shm::Activity::sending && watched.blocked_on && status.blocked_on == watched.blocked_on && status.sends_blocked == watched.blocked_at_first;
    if (is_blocked) facts.blocked_on = status.blocked_on;
    facts.blocked_sends = status.sends_blocked - std::min(status.sends_blocked, watched.blocked_at_first);
    facts.stash_at_first = watched.stash_at_first;
    facts.stash = status.stash_messages;
    facts.is_silent = watched.is_silent && muproc.kind == shm::SlotKind::muproc;
    if (!status.in_hand.empty()) facts.in_hand_age = status.in_hand.back().age;
    return facts;
  }

  std::string name_;
  nanoseconds watch_;
  SystemView view_;
  SystemFacts facts_;
  std::shared_ptr<const Snapshot> now_;
  std::unordered_map<Pid, Watched> watched_;
  std::map<int, int> first_zombies_;
  std::map<std::string, std::uint64_t> restarts_;
  std::map<std::string, bool> watchdogs_;
};

}  // namespace

SystemFacts examine(std::string_view system, nanoseconds watch) { return Examination(system, watch).run(); }

std::uint64_t open_files_limit(std::string_view limits) {
  constexpr std::string_view k_line = "Max open files";
  const auto line = limits.find(k_line);
  if (line == limits.npos) return 0;
  const auto number = limits.find_first_not_of(' ', line + k_line.size());
  std::uint64_t limit = 0;
  if (number != limits.npos) std::from_chars(limits.data() + number, limits.data() + limits.size(), limit);
  return limit;  // "unlimited" is no number
}

MappedLibrary mapped_library(std::string_view maps) {
  MappedLibrary library;
  while (!maps.empty()) {
    const std::string_view line = maps.substr(0, maps.find('\n'));
    maps.remove_prefix(std::min(line.size() + 1, maps.size()));
    // "from-to r-xp offset dev inode   path (deleted)"
    const auto path = line.find('/');
    if (path == line.npos || line.find("/memfd:") == path || line.find("/dev/") == path) continue;
    const bool is_code = line.find("r-xp") != line.npos;
    if (is_code && line.ends_with(" (deleted)")) library.is_replaced = true;
    const std::string_view name = line.substr(line.rfind('/') + 1);
    if (!is_code || !name.starts_with("libmuproc.so")) continue;
    const std::string_view place = line.substr(0, path);
    const auto field = [&](int index) {
      std::size_t at = 0;
      for (int i = 0; i < index; ++i) at = std::min(place.find(' ', at), place.size() - 1) + 1;
      return place.substr(at, place.find(' ', at) - at);
    };
    library.file = std::string(field(3)) + ':' + std::string(field(4));
  }
  return library;
}

}  // namespace muproc::tools
