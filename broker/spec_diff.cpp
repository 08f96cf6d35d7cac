#include "broker/spec_diff.hpp"

#include <algorithm>
#include <functional>

#include "broker/sandbox.hpp"
#include "broker/units.hpp"

namespace muproc::broker {

namespace {

std::string shown(bool value) { return value ? "true" : "false"; }
std::string shown(const std::string& value) { return value.empty() ? "none" : value; }
std::string shown(std::uint32_t value) { return std::to_string(value); }
std::string shown(std::uint64_t value) { return std::to_string(value); }
std::string shown(int value) { return std::to_string(value); }
std::string shown(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  return text.ends_with('.') ? text + '0' : text;
}
std::string shown(std::chrono::nanoseconds value) { return to_string(value); }
std::string shown(std::chrono::seconds value) { return to_string(std::chrono::nanoseconds(value)); }
std::string shown(Bytes value) { return value.count == ~std::uint64_t{0} ? "unlimited" : to_string(value); }
std::string shown(Stop value) { return to_string(value); }
std::string shown(Restart value) { return std::string(to_string(value)); }
std::string shown(Strategy value) { return std::string(to_string(value)); }
std::string shown(AutoShutdown value) { return std::string(to_string(value)); }
std::string shown(OnRestart value) { return std::string(to_string(value)); }
std::string shown(InHand value) { return std::string(to_string(value)); }
std::string shown(LogLevel value) { return std::string(to_string(value)); }
std::string shown(LogFormat value) { return value == LogFormat::json ? "json" : "text"; }
std::string shown(ReadyOn value) {
  switch (value) {
    case ReadyOn::attach: return "attach";
    case ReadyOn::call: return "call";
    case ReadyOn::notify: return "notify";
  }
  return "?";
}
std::string shown(const Sandbox& value) { return value.strict ? to_string(value) : "none"; }
std::string shown(const Mumsg& value) { return to_string(value); }
template <class T>
std::string shown(const std::vector<T>& values) {
  std::string text;
  for (const T& value : values) text += (text.empty() ? "" : ", ") + shown(value);
  return '[' + text + ']';
}
std::string shown(const std::vector<std::pair<std::string, std::string>>& values) {
  std::string text;
  for (const auto& [name, value] : values) text += (text.empty() ? "" : " ") + name + '=' + value;
  return '{' + text + '}';
}
template <class T>
std::string shown(const std::optional<T>& value) {
  return value ? shown(*value) : "unset";
}
std::string shown(const Code& code) {
  struct Text {
    std::string operator()(const ModuleEntry& entry) const { return entry.module + ':' + entry.entry; }
    std::string operator()(const Program& program) const { return (program.plain ? "plain " : "") + shown(program.argv); }
    std::string operator()(Function) const { return "a function"; }
  };
  return std::visit(Text{}, code);
}

std::string cgroup_of(const SystemSpec& system) { return system.cgroup.empty() ? "unset" : system.cgroup; }

class Details {
 public:
  template <class T>
  void add(const char* key, const T& before, const T& after) {
    if (!(before == after)) texts_.push_back(std::string(key) + ": " + shown(before) + " → " + shown(after));
  }
  void add(std::string text) { texts_.push_back(std::move(text)); }
  bool empty() const { return texts_.empty(); }
  std::vector<std::string> take() { return std::move(texts_); }
  void append(Details other) {
    for (std::string& text : other.texts_) texts_.push_back(std::move(text));
  }

 private:
  std::vector<std::string> texts_;
};

/// What only a new process can have.
Details needing_restart(const ChildSpec& a, const ChildSpec& b) {
  Details details;
  details.add("code", a.code, b.code);
  details.add("args", a.args, b.args);
  details.add("bindings", a.bindings, b.bindings);
  details.add("env", a.env, b.env);
  details.add("cwd", a.cwd, b.cwd);
  details.add("umask", a.umask, b.umask);
  details.add("user", a.user, b.user);
  details.add("group", a.group, b.group);
  details.add("groups", a.groups, b.groups);
  details.add("sandbox", a.sandbox, b.sandbox);
  details.add("trap_exits", a.trap_exits, b.trap_exits);
  details.add("mailbox.ring", a.mailbox.ring, b.mailbox.ring);
  details.add("mailbox.max_message", a.mailbox.max_message, b.mailbox.max_message);
  details.add("mailbox.stash", a.mailbox.stash, b.mailbox.stash);
  details.add("mailbox.on_restart", a.mailbox.on_restart, b.mailbox.on_restart);
  details.add("mailbox.in_hand", a.mailbox.in_hand, b.mailbox.in_hand);
  details.add("log.level", a.log.level, b.log.level);
  details.add("log.format", a.log.format, b.log.format);
  details.add("log.file_size", a.log.file_size, b.log.file_size);
  details.add("log.files", a.log.files, b.log.files);
  return details;
}

/// The limits: those that are set are changed under way. What one would inherit without a limit, a new process finds out.
void compare_limits(const ProcessLimits& a, const ProcessLimits& b, Details& live, Details& restart) {
  const auto add = [&](const char* key, const auto& before, const auto& after) { (after ? live : restart).add(key, before, after); };
  add("limits.memory", a.memory, b.memory);
  add("limits.files", a.files, b.files);
  add("limits.core", a.core, b.core);
  add("limits.nice", a.nice, b.nice);
  add("limits.oom_score_adj", a.oom_score_adj, b.oom_score_adj);
  add("limits.processes", a.processes, b.processes);
  add("limits.stack", a.stack, b.stack);
  add("limits.locked_memory", a.locked_memory, b.locked_memory);
  add("limits.file_size", a.file_size, b.file_size);
  add("limits.cpu_time", a.cpu_time, b.cpu_time);
  add("limits.realtime_priority", a.realtime_priority, b.realtime_priority);
  (b.cpus.empty() ? restart : live).add("limits.cpus", a.cpus, b.cpus);
}

/// What a supervisor wants to know of any child.
void compare_rules(const auto& a, const auto& b, Details& details) {
  details.add("restart", a.restart, b.restart);
  details.add("stop", a.stop, b.stop);
  details.add("significant", a.significant, b.significant);
}

Details live_changes(const ChildSpec& a, const ChildSpec& b) {
  Details details;
  compare_rules(a, b, details);
  details.add("ready.on", a.ready_on, b.ready_on);
  details.add("ready.timeout", a.ready_timeout, b.ready_timeout);
  details.add("backoff.initial", a.backoff.initial, b.backoff.initial);
  details.add("backoff.max", a.backoff.max, b.backoff.max);
  details.add("backoff.factor", a.backoff.factor, b.backoff.factor);
  details.add("backoff.jitter", a.backoff.jitter, b.backoff.jitter);
  details.add("backoff.reset_after", a.backoff.reset_after, b.backoff.reset_after);
  details.add("watchdog.interval", a.watchdog, b.watchdog);
  details.add("may_send", a.may_send, b.may_send);
  details.add("may_control", a.may_control, b.may_control);
  details.add("trust", a.trust, b.trust);
  details.add("spares", a.spares, b.spares);
  return details;
}

Details supervisor_changes(const SupervisorSpec& a, const SupervisorSpec& b) {
  Details details;
  details.add("strategy", a.strategy, b.strategy);
  details.add("limit.restarts", a.limit.restarts, b.limit.restarts);
  details.add("limit.within", a.limit.within, b.limit.within);
  details.add("auto_shutdown", a.auto_shutdown, b.auto_shutdown);
  compare_rules(a, b, details);
  details.add("children", a.children, b.children);
  return details;
}

std::string metrics_of(const SystemSpec& system) { return system.metrics.text.empty() ? "unset" : system.metrics.text; }

Details system_changes(const SystemSpec& a, const SystemSpec& b) {
  Details details;
  details.add("log.level", a.log, b.log);
  details.add("log.format", a.logs.format, b.logs.format);
  details.add("log.file_size", a.logs.file_size, b.logs.file_size);
  details.add("log.files", a.logs.files, b.logs.files);
  details.add("log.console", a.logs.on_console, b.logs.on_console);
  details.add("crash_reports", a.crash_reports, b.crash_reports);
  if (a.metrics.text != b.metrics.text) details.add("metrics: " + metrics_of(a) + " → " + metrics_of(b));
  details.add("metrics_public", a.metrics.is_public, b.metrics.is_public);
  if (a.cgroup != b.cgroup) details.add("cgroup: " + cgroup_of(a) + " → " + cgroup_of(b) + " (needs a restart of the broker)");
  return details;
}

/// A plain program hears of its socket when it begins.
bool needs_other_socket(const ChildSpec& a, const ChildSpec& b) {
  const auto* program = std::get_if<Program>(&b.code);
  return program && program->plain && (a.watchdog != b.watchdog || a.ready_on != b.ready_on);
}

/// All nodes in start order, each supervisor before its children.
std::vector<std::string> in_order(const SystemSpec& system) {
  std::vector<std::string> names;
  const std::function<void(const std::string&)> visit = [&](const std::string& name) {
    names.push_back(name);
    if (const auto* supervisor = system.find_supervisor(name))
      for (const std::string& child : supervisor->children) visit(child);
  };
  if (!system.root.empty()) visit(system.root);
  return names;
}

class Differ {
 public:
  Differ(const SystemSpec& from, const SystemSpec& to, const std::set<std::string>& changed_modules)
      : from_(from), to_(to), changed_modules_(changed_modules) {}

  std::vector<Change> run() {
    Details system = system_changes(from_, to_);
    if (!system.empty()) say(Change::Kind::set, {}, system.take());
    const auto names = in_order(to_);
    auto old_names = in_order(from_);
    for (const std::string& name : names)
      if (stays(name)) compare(name);
    for (const std::string& name : names)
      if (stays(name)) look_for_move(name);
    std::ranges::reverse(old_names);
    for (const std::string& name : old_names)
      if (!stays(name)) say(Change::Kind::remove, name, {});
    changes_.insert(changes_.end(), restarts_.begin(), restarts_.end());
    for (const std::string& name : names)
      if (!stays(name)) add(name);
    changes_.insert(changes_.end(), keeps_.begin(), keeps_.end());
    return std::move(changes_);
  }

 private:
  bool is_same_kind(const std::string& name) const {
    if (from_.find_muproc(name) && to_.find_muproc(name)) return true;
    const auto *before = from_.find_supervisor(name), *after = to_.find_supervisor(name);
    if (!before || !after) return false;
    // A template supervisor and any other have nothing in common.
    return (before->strategy == Strategy::simple_one_for_one) == (after->strategy == Strategy::simple_one_for_one);
  }

  /// It is there before and after, as one and the same. One that goes to a supervisor that is new begins anew there.
  bool stays(const std::string& name) const {
    if (!is_same_kind(name)) return false;
    for (std::string at = name; at != to_.root;) {
      const auto* up = parent_of(to_, at);
      const auto* before = parent_of(from_, at);
      if (!up || !before) return up == nullptr && before == nullptr;
      if (up->name != before->name && !is_same_kind(up->name)) return false;
      if (!is_same_kind(up->name)) return false;
      at = up->name;
    }
    return true;
  }

  void compare(const std::string& name) {
    if (const auto* supervisor = to_.find_supervisor(name)) {
      Details details = supervisor_changes(*from_.find_supervisor(name), *supervisor);
      if (details.empty()) return keep(name);
      say(Change::Kind::change, name, details.take(), *supervisor);
      return;
    }
    const ChildSpec& before = *from_.find_muproc(name);
    const ChildSpec& after = *to_.find_muproc(name);
    Details restart = needing_restart(before, after), live = live_changes(before, after);
    compare_limits(before.limits, after.limits, live, restart);
    if (const auto* code = std::get_if<ModuleEntry>(&after.code); code && changed_modules_.contains(code->module))
      restart.add("module: " + code->module + " has changed");
    if (restart.empty() && live.empty()) return keep(name);
    if (restart.empty() && !needs_other_socket(before, after)) {
      say(Change::Kind::change, name, live.take(), after);
      return;
    }
    restart.append(std::move(live));
    restarts_.push_back({Change::Kind::restart, name, restart.take(), {}, after});
  }

  void look_for_move(const std::string& name) {
    const auto *before = parent_of(from_, name), *after = parent_of(to_, name);
    if (!before || !after || before->name == after->name) return;
    say(Change::Kind::move, name, {"supervisor: " + before->name + " → " + after->name});
    changes_.back().parent = after->name;
    std::erase_if(keeps_, [&](const Change& change) { return change.name == name; });
  }

  void add(const std::string& name) {
    const auto* up = parent_of(to_, name);
    Change change{Change::Kind::add, name, {}, up ? up->name : std::string(), {}};
    if (const auto* muproc = to_.find_muproc(name))
      change.spec = *muproc;
    else
      change.spec = *to_.find_supervisor(name);
    changes_.push_back(std::move(change));
  }

  void keep(const std::string& name) { keeps_.push_back({Change::Kind::keep, name, {}, {}, {}}); }
  template <class Spec = std::monostate>
  void say(Change::Kind kind, const std::string& name, std::vector<std::string> details, Spec spec = {}) {
    changes_.push_back({kind, name, std::move(details), {}, std::move(spec)});
  }

  const SystemSpec& from_;
  const SystemSpec& to_;
  const std::set<std::string>& changed_modules_;
  std::vector<Change> changes_, restarts_, keeps_;
};

}  // namespace

std::string_view to_string(Change::Kind kind) {
  switch (kind) {
    case Change::Kind::set: return "set";
    case Change::Kind::change: return "change";
    case Change::Kind::move: return "move";
    case Change::Kind::remove: return "remove";
    case Change::Kind::restart: return "restart";
    case Change::Kind::add: return "add";
    case Change::Kind::keep: return "keep";
  }
  return "?";
}

const SupervisorSpec* parent_of(const SystemSpec& system, std::string_view name) {
  for (const auto& [parent, supervisor] : system.supervisors)
    if (std::ranges::find(supervisor.children, name) != supervisor.children.end()) return &supervisor;
  return nullptr;
}

std::string why_not_reload(const SystemSpec& from, const SystemSpec& to) {
  const std::string advice = "; end the system and launch it anew for that";
  if (from.name != to.name) return "the system is named \"" + from.name + "\", and the config names it \"" + to.name + '"' + advice;
  if (from.runtime_dir != to.runtime_dir) return "runtime_dir cannot be changed while the system runs" + advice;
  const auto is_template = [](const SystemSpec& system) {
    const auto* root = system.find_supervisor(system.root);
    return root && root->strategy == Strategy::simple_one_for_one;
  };
  if (from.root == to.root && is_template(from) != is_template(to))
    return "the root supervisor cannot become a template supervisor, or cease to be one, while the system runs" + advice;
  if (from.root != to.root) return "the root supervisor is \"" + from.root + "\", and in the config it is \"" + to.root + '"' + advice;
  return {};
}

std::vector<Change> diff(const SystemSpec& from, const SystemSpec& to, const std::set<std::string>& changed_modules) {
  return Differ(from, to, changed_modules).run();
}

void set_system(SystemSpec& system, const SystemSpec& to) {
  const bool is_captured = system.logs.is_captured;  // no config says so
  system.log = to.log;
  system.logs = to.logs;
  system.logs.is_captured = is_captured;
  system.crash_reports = to.crash_reports;
  system.metrics = to.metrics;
}

SystemSpec apply(SystemSpec system, const std::vector<Change>& changes, const SystemSpec& to) {
  for (const Change& change : changes) {
    if (change.kind == Change::Kind::set) set_system(system, to);
    if (change.kind == Change::Kind::remove) {
      system.supervisors.erase(change.name);
      system.muprocs.erase(change.name);
    }
    if (const auto* muproc = std::get_if<ChildSpec>(&change.spec)) system.muprocs.insert_or_assign(change.name, *muproc);
    if (const auto* supervisor = std::get_if<SupervisorSpec>(&change.spec)) system.supervisors.insert_or_assign(change.name, *supervisor);
  }
  return system;
}

}  // namespace muproc::broker
