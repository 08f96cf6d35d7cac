// Every key of the config, table by table.
//
// A key without a function is one that muproc will have and this version has not: it is reported as such, never
// ignored. To support a key, give it its function here and its place in docs/config.md.
#include <algorithm>
#include <array>

#include "broker/config/drafts.hpp"
#include "broker/config/values.hpp"
#include "broker/metrics/listen_address.hpp"

namespace muproc::broker {

namespace {

constexpr auto k_strategies = std::to_array<Word<Strategy>>({{"one_for_one", Strategy::one_for_one},
                                                             {"one_for_all", Strategy::one_for_all},
                                                             {"rest_for_one", Strategy::rest_for_one},
                                                             {"all_for_one", Strategy::one_for_all},
                                                             {"simple_one_for_one", Strategy::simple_one_for_one}});
constexpr auto k_restarts = std::to_array<Word<Restart>>(
    {{"permanent", Restart::permanent}, {"transient", Restart::transient}, {"temporary", Restart::temporary}});
constexpr auto k_on_restarts = std::to_array<Word<OnRestart>>({{"discard", OnRestart::discard}, {"keep", OnRestart::keep}});
constexpr auto k_in_hands = std::to_array<Word<InHand>>({{"drop", InHand::drop}, {"redeliver", InHand::redeliver}});
constexpr auto k_auto_shutdowns =
    std::to_array<Word<AutoShutdown>>({{"never", AutoShutdown::never},
                                       {"any_significant", AutoShutdown::any_significant},
                                       {"all_significant", AutoShutdown::all_significant}});
constexpr auto k_ready_ons = std::to_array<Word<ReadyOn>>(
    {{"attach", ReadyOn::attach}, {"call", ReadyOn::call}, {"notify", ReadyOn::notify}});
constexpr auto k_log_levels = std::to_array<Word<LogLevel>>({{"trace", LogLevel::trace},
                                                             {"debug", LogLevel::debug},
                                                             {"info", LogLevel::info},
                                                             {"warn", LogLevel::warn},
                                                             {"error", LogLevel::error},
                                                             {"off", LogLevel::off}});

template <class T, std::size_t n>
std::span<const Word<T>> words(const std::array<Word<T>, n>& table) {
  return table;
}

// Sets the target if there is a value; what is wrong with it has been reported if not.
template <class Target, class T>
void set(Target& target, std::optional<T> value) {
  if (value) target = *std::move(value);
}

template <class Target, std::size_t n>
void inner_table(Reader& reader, const Field& field, const std::array<Key<Target>, n>& keys, Target& target) {
  if (const auto* table = reader.table(field))
    read_table<Target>(reader, *table, keys, target, in_quotes(field.key), field.key + '.');
}

template <auto least, auto most, class T>
void read_integer(Reader& reader, const Field& field, std::optional<T>& target) {
  if (const auto number = reader.integer(field, least, most)) target = static_cast<T>(*number);
}

// The tables -----------------------------------------------------------------------------------------------------------

using R = Reader;
using F = Field;

constexpr auto k_limit = std::to_array<Key<Limit>>({
    {"restarts",
     [](R& r, const F& f, Limit& limit) {
       if (const auto n = r.integer(f, 0, 1'000'000)) limit.restarts = static_cast<std::uint32_t>(*n);
     }},
    {"within",
     [](R& r, const F& f, Limit& limit) {
       const auto period = r.duration(f);
       if (period && period->count() == 0) r.error(f.node.at, in_quotes(f.key) + " must be longer than nothing");
       if (period) limit.within = *period;
     }},
});

constexpr auto k_supervisor = std::to_array<Key<SupervisorDraft>>({
    {"strategy", [](R& r, const F& f, SupervisorDraft& s) { set(s.spec.strategy, r.word(f, words(k_strategies))); }},
    {"limit", [](R& r, const F& f, SupervisorDraft& s) { inner_table(r, f, k_limit, s.spec.limit); }},
    {"children", [](R& r, const F& f, SupervisorDraft& s) { read_children(r, f, s.children); }, false},
    {"template", [](R& r, const F& f, SupervisorDraft& s) { read_template(r, f, s.children); }, false},
    {"auto_shutdown",
     [](R& r, const F& f, SupervisorDraft& s) { set(s.spec.auto_shutdown, r.word(f, words(k_auto_shutdowns))); }},
    {"restart", [](R& r, const F& f, SupervisorDraft& s) { set(s.spec.restart, r.word(f, words(k_restarts))); }},
    {"stop", [](R& r, const F& f, SupervisorDraft& s) { read_stop(r, f, s.spec.stop); }},
    {"significant", [](R& r, const F& f, SupervisorDraft& s) { set(s.spec.significant, r.boolean(f)); }, false},
});

constexpr auto k_ready = std::to_array<Key<ChildSpec>>({
    {"on", [](R& r, const F& f, ChildSpec& c) { set(c.ready_on, r.word(f, words(k_ready_ons))); }},
    {"timeout", [](R& r, const F& f, ChildSpec& c) { set(c.ready_timeout, r.duration(f)); }},
});

constexpr auto k_watchdog = std::to_array<Key<ChildSpec>>({
    {"interval", [](R& r, const F& f, ChildSpec& c) { read_interval(r, f, c.watchdog); }},
});

constexpr auto k_backoff = std::to_array<Key<Backoff>>({
    {"initial", [](R& r, const F& f, Backoff& b) { set(b.initial, r.duration(f)); }},
    {"max", [](R& r, const F& f, Backoff& b) { set(b.max, r.duration(f)); }},
    {"factor", [](R& r, const F& f, Backoff& b) { set(b.factor, r.number(f, 1, 1000)); }},
    {"jitter", [](R& r, const F& f, Backoff& b) { set(b.jitter, r.number(f, 0, 1)); }},
    {"reset_after", [](R& r, const F& f, Backoff& b) { set(b.reset_after, r.duration(f)); }},
});

constexpr auto k_mailbox = std::to_array<Key<MailboxSizes>>({
    {"ring", [](R& r, const F& f, MailboxSizes& m) { read_ring(r, f, m.ring); }},
    {"max_message", [](R& r, const F& f, MailboxSizes& m) { set(m.max_message, r.size(f)); }},
    {"stash", [](R& r, const F& f, MailboxSizes& m) { set(m.stash, r.size(f)); }},
    {"on_restart", [](R& r, const F& f, MailboxSizes& m) { set(m.on_restart, r.word(f, words(k_on_restarts))); }},
    {"in_hand", [](R& r, const F& f, MailboxSizes& m) { set(m.in_hand, r.word(f, words(k_in_hands))); }},
});

constexpr auto k_log_formats = std::to_array<Word<LogFormat>>({{"text", LogFormat::text}, {"json", LogFormat::json}});

std::optional<Bytes> log_file_size(Reader& r, const Field& f) {
  const auto size = r.size(f);
  if (size && size->count < 4096) r.error(f.node.at, in_quotes(f.key) + " must be at least 4KiB");
  return size;
}
std::optional<std::uint32_t> log_files(Reader& r, const Field& f) {
  const auto n = r.integer(f, 1, 1000);
  return n ? std::optional(static_cast<std::uint32_t>(*n)) : std::nullopt;
}

// A muproc's, and the system's. Both may be a level alone: log = "info".
constexpr auto k_log = std::to_array<Key<LogOptions>>({
    {"level", [](R& r, const F& f, LogOptions& l) { set(l.level, r.word(f, words(k_log_levels))); }},
    {"format", [](R& r, const F& f, LogOptions& l) { set(l.format, r.word(f, words(k_log_formats))); }},
    {"file_size", [](R& r, const F& f, LogOptions& l) { set(l.file_size, log_file_size(r, f)); }},
    {"files", [](R& r, const F& f, LogOptions& l) { set(l.files, log_files(r, f)); }},
});

constexpr auto k_system_log = std::to_array<Key<SystemSpec>>({
    {"level", [](R& r, const F& f, SystemSpec& s) { set(s.log, r.word(f, words(k_log_levels))); }},
    {"format", [](R& r, const F& f, SystemSpec& s) { set(s.logs.format, r.word(f, words(k_log_formats))); }},
    {"file_size", [](R& r, const F& f, SystemSpec& s) { set(s.logs.file_size, log_file_size(r, f)); }},
    {"files", [](R& r, const F& f, SystemSpec& s) { set(s.logs.files, log_files(r, f)); }},
    {"console", [](R& r, const F& f, SystemSpec& s) { set(s.logs.on_console, r.boolean(f)); }},
});

constexpr auto k_limits = std::to_array<Key<ProcessLimits>>({
    {"memory", [](R& r, const F& f, ProcessLimits& l) { set(l.memory, r.size(f)); }},
    {"files", [](R& r, const F& f, ProcessLimits& l) { read_integer<16, 1 << 30>(r, f, l.files); }},
    {"cpus", [](R& r, const F& f, ProcessLimits& l) { read_cpus(r, f, l.cpus); }},
    {"nice", [](R& r, const F& f, ProcessLimits& l) { read_integer<-20, 19>(r, f, l.nice); }},
    {"core", [](R& r, const F& f, ProcessLimits& l) { read_limit(r, f, l.core); }},
    {"oom_score_adj", [](R& r, const F& f, ProcessLimits& l) { read_integer<-1000, 1000>(r, f, l.oom_score_adj); }},
    {"processes", [](R& r, const F& f, ProcessLimits& l) { read_integer<1, 1 << 30>(r, f, l.processes); }},
    {"stack", [](R& r, const F& f, ProcessLimits& l) { read_limit(r, f, l.stack); }},
    {"locked_memory", [](R& r, const F& f, ProcessLimits& l) { read_limit(r, f, l.locked_memory); }},
    {"file_size", [](R& r, const F& f, ProcessLimits& l) { read_limit(r, f, l.file_size); }},
    {"cpu_time", [](R& r, const F& f, ProcessLimits& l) { read_seconds(r, f, l.cpu_time); }},
    {"realtime_priority", [](R& r, const F& f, ProcessLimits& l) { read_integer<0, 99>(r, f, l.realtime_priority); }},
});

// Whether it is strict.
constexpr auto k_sandbox_modes = std::to_array<Word<bool>>({{"none", false}, {"strict", true}});

constexpr auto k_sandbox = std::to_array<Key<Sandbox>>({
    {"mode", [](R& r, const F& f, Sandbox& s) { set(s.strict, r.word(f, words(k_sandbox_modes))); }},
    {"syscalls", [](R& r, const F& f, Sandbox& s) { read_system_calls(r, f, s.syscalls); }},
    {"network", [](R& r, const F& f, Sandbox& s) { set(s.network, r.boolean(f)); }},
    {"writable", [](R& r, const F& f, Sandbox& s) { read_paths(r, f, s.writable); }},
});

/// A mode alone, or a table, which is strict when it does not say otherwise.
void read_sandbox(Reader& r, const Field& f, Sandbox& target) {
  if (f.node.as<std::string>()) {
    set(target.strict, r.word(f, words(k_sandbox_modes)));
  } else {
    target.strict = true;
    inner_table(r, f, k_sandbox, target);
  }
  if (!target.strict) target = {};
}

constexpr auto k_muproc = std::to_array<Key<MuprocDraft>>({
    {"module", [](R& r, const F& f, MuprocDraft& m) {
       read_word(r, f, m.module);
       if (m.module) m.module = r.path_or_name(f, *m.module);
     }},
    {"entry", [](R& r, const F& f, MuprocDraft& m) { read_word(r, f, m.entry); }},
    {"exec", [](R& r, const F& f, MuprocDraft& m) { read_exec(r, f, m.exec); }},
    {"plain", [](R& r, const F& f, MuprocDraft& m) { set(m.is_plain, r.boolean(f)); }},
    {"args", [](R& r, const F& f, MuprocDraft& m) { r.mumsg(f, m.spec.args); }},
    {"bindings", [](R& r, const F& f, MuprocDraft& m) { r.mumsg(f, m.spec.bindings); }},
    {"env", [](R& r, const F& f, MuprocDraft& m) { read_env(r, f, m.spec.env); }},
    {"cwd", [](R& r, const F& f, MuprocDraft& m) {
       if (const auto text = r.text(f)) m.spec.cwd = r.path(f, *text);
     }},
    {"restart", [](R& r, const F& f, MuprocDraft& m) { set(m.spec.restart, r.word(f, words(k_restarts))); }},
    {"stop", [](R& r, const F& f, MuprocDraft& m) { read_stop(r, f, m.spec.stop); }},
    {"ready", [](R& r, const F& f, MuprocDraft& m) { inner_table(r, f, k_ready, m.spec); }},
    {"backoff", [](R& r, const F& f, MuprocDraft& m) { inner_table(r, f, k_backoff, m.spec.backoff); }},
    {"mailbox", [](R& r, const F& f, MuprocDraft& m) { inner_table(r, f, k_mailbox, m.spec.mailbox); }},
    {"limits", [](R& r, const F& f, MuprocDraft& m) { inner_table(r, f, k_limits, m.spec.limits); }},
    {"log", [](R& r, const F& f, MuprocDraft& m) {
       f.node.as<std::string>() ? set(m.spec.log.level, r.word(f, words(k_log_levels))) : inner_table(r, f, k_log, m.spec.log);
     }},
    {"umask", [](R& r, const F& f, MuprocDraft& m) { read_umask(r, f, m.spec.umask); }},
    {"significant", [](R& r, const F& f, MuprocDraft& m) { set(m.spec.significant, r.boolean(f)); }, false},
    {"trap_exits", [](R& r, const F& f, MuprocDraft& m) { set(m.spec.trap_exits, r.boolean(f)); }},
    {"replicas", [](R& r, const F& f, MuprocDraft& m) {
       if (const auto n = r.integer(f, 1, 10'000)) m.replicas = static_cast<std::uint32_t>(*n);
     }, false},
    {"watchdog", [](R& r, const F& f, MuprocDraft& m) { inner_table(r, f, k_watchdog, m.spec); }},
    {"user", [](R& r, const F& f, MuprocDraft& m) { read_account(r, f, m.spec.user); }},
    {"group", [](R& r, const F& f, MuprocDraft& m) { read_account(r, f, m.spec.group); }},
    {"groups", [](R& r, const F& f, MuprocDraft& m) { read_accounts(r, f, m.spec.groups); }},
    {"may_send", [](R& r, const F& f, MuprocDraft& m) { read_names(r, f, m.may_send); }},
    {"may_control", [](R& r, const F& f, MuprocDraft& m) { set(m.spec.may_control, r.boolean(f)); }},
    {"trust", [](R& r, const F& f, MuprocDraft& m) { set(m.spec.trust, r.boolean(f)); }},
    {"sandbox", [](R& r, const F& f, MuprocDraft& m) { read_sandbox(r, f, m.spec.sandbox); }},
    {"spares", [](R& r, const F& f, MuprocDraft& m) {
       if (const auto n = r.integer(f, 0, 1000)) m.spec.spares = static_cast<std::uint32_t>(*n);
     }},
});

constexpr auto k_system = std::to_array<Key<SystemDraft>>({
    {"name",
     [](R& r, const F& f, SystemDraft& s) {
       set(s.spec.name, r.text(f));
       s.name_at = f.node.at;
     }},
    {"log", [](R& r, const F& f, SystemDraft& s) {
       f.node.as<std::string>() ? set(s.spec.log, r.word(f, words(k_log_levels))) : inner_table(r, f, k_system_log, s.spec);
     }},
    {"crash_reports",
     [](R& r, const F& f, SystemDraft& s) {
       if (const auto n = r.integer(f, 0, 100'000)) s.spec.crash_reports = static_cast<std::uint32_t>(*n);
     }},
    {"cgroup",
     [](R& r, const F& f, SystemDraft& s) {
       const auto text = r.text(f);
       if (text) s.spec.cgroup = *text == "auto" || *text == "none" ? *text : r.path(f, *text);
     }},
    {"runtime_dir",
     [](R& r, const F& f, SystemDraft& s) {
       if (const auto text = r.text(f)) s.spec.runtime_dir = r.path(f, *text);
     }},
    {"metrics",
     [](R& r, const F& f, SystemDraft& s) {
       read_listen_address(r, f, s.spec.metrics.text);
       s.metrics_at = f.node.at;
     }},
    {"metrics_public", [](R& r, const F& f, SystemDraft& s) { set(s.spec.metrics.is_public, r.boolean(f)); }},
});

// Reading a document ---------------------------------------------------------------------------------------------------

// [defaults.…]: as a node's own table, but for the keys that make no sense for several nodes.
template <class Draft, std::size_t n>
Draft read_defaults(Reader& reader, const Node* defaults, std::string_view kind,
                    const std::array<Key<Draft>, n>& keys) {
  Draft draft;
  const Entry* entry = defaults ? defaults->find(kind) : nullptr;
  if (!entry) return draft;
  const std::string title = header("defaults", kind);
  const auto* table = reader.table({entry->node, title, entry->key_at});
  if (!table) return draft;
  Node::Table allowed;
  for (const Entry& set : *table) {
    const auto is_own = [&](const Key<Draft>& key) { return key.name == set.key && !key.may_be_default; };
    if (std::ranges::any_of(keys, is_own))
      reader.error(set.key_at, in_quotes(set.key) + " cannot have a default: set it where it is meant");
    else
      allowed.push_back(set);
  }
  read_table<Draft>(reader, allowed, keys, draft, title);
  return draft;
}

// [supervisor.NAME] and [muproc.NAME].
template <class Draft, std::size_t n>
std::vector<Draft> read_nodes(Reader& reader, const Node& root, std::string_view kind, const Draft& defaults,
                              const std::array<Key<Draft>, n>& keys) {
  std::vector<Draft> drafts;
  const Entry* nodes = root.find(kind);
  const auto* table = nodes ? reader.table({nodes->node, std::string(kind), nodes->key_at}) : nullptr;
  if (!table) return drafts;
  for (const Entry& entry : *table) {
    const std::string title = header(kind, entry.key);
    const auto* keys_set = reader.table({entry.node, title, entry.key_at});
    if (!keys_set) continue;
    Draft& draft = drafts.emplace_back(defaults);
    draft.spec.name = entry.key;
    draft.at = entry.key_at;
    read_table<Draft>(reader, *keys_set, keys, draft, title, {}, &draft.places);
  }
  return drafts;
}

void check_top_level(Reader& reader, const Node& root) {
  constexpr std::string_view known[] = {"system", "supervisor", "muproc", "defaults", "include"};
  for (const Entry& entry : *root.as<Node::Table>()) {
    if (std::ranges::find(known, entry.key) == std::end(known))
      reader.error(entry.key_at, "unknown table " + in_quotes(entry.key) + did_you_mean(entry.key, known));
  }
  const Entry* defaults = root.find("defaults");
  const auto* kinds = defaults ? reader.table({defaults->node, "defaults", defaults->key_at}) : nullptr;
  if (!kinds) return;
  constexpr std::string_view with_defaults[] = {"supervisor", "muproc"};
  for (const Entry& entry : *kinds)
    if (std::ranges::find(with_defaults, entry.key) == std::end(with_defaults))
      reader.error(entry.key_at,
                   "unknown table " + in_quotes("defaults." + entry.key) + did_you_mean(entry.key, with_defaults));
}

// Numbers of a system are nobody's business but its machine's, unless somebody says so.
void check_metrics(Reader& reader, const SystemDraft& system) {
  ListenAddress address;
  std::string why_not;
  if (system.spec.metrics.text.empty() || system.spec.metrics.is_public || !parse_listen_address(system.spec.metrics.text, address, why_not)) return;
  if (!address.is_loopback)
    reader.error(system.metrics_at, "\"metrics\" is an address that other machines may reach: use a loopback address or a Unix socket, or set metrics_public = true");
}

template <class Target, std::size_t n>
void list_keys(std::vector<KnownKey>& known, std::string_view table, const std::array<Key<Target>, n>& keys) {
  for (const Key<Target>& key : keys) known.push_back({table, key.name, key.read != nullptr});
}

}  // namespace

SystemDraft read_system(Reader& reader, const Document& document, std::string default_name) {
  const Node& root = document.root;
  SystemDraft system;
  system.hidden = document.hidden;
  system.spec.name = std::move(default_name);
  check_top_level(reader, root);
  if (const Entry* entry = root.find("system"))
    if (const auto* table = reader.table({entry->node, "system", entry->key_at}))
      read_table<SystemDraft>(reader, *table, k_system, system, "[system]");
  check_metrics(reader, system);
  const Entry* defaults = root.find("defaults");
  const Node* defaults_node = defaults ? &defaults->node : nullptr;
  const auto supervisor = read_defaults(reader, defaults_node, "supervisor", k_supervisor);
  const auto muproc = read_defaults(reader, defaults_node, "muproc", k_muproc);
  system.supervisors = read_nodes(reader, root, "supervisor", supervisor, k_supervisor);
  system.muprocs = read_nodes(reader, root, "muproc", muproc, k_muproc);
  return system;
}

std::vector<KnownKey> known_keys() {
  std::vector<KnownKey> known{{"file", "include", true}};  // config/includes.cpp reads it
  list_keys(known, "system", k_system);
  list_keys(known, "supervisor", k_supervisor);
  list_keys(known, "limit", k_limit);
  list_keys(known, "muproc", k_muproc);
  list_keys(known, "ready", k_ready);
  list_keys(known, "watchdog", k_watchdog);
  list_keys(known, "backoff", k_backoff);
  list_keys(known, "mailbox", k_mailbox);
  list_keys(known, "limits", k_limits);
  list_keys(known, "sandbox", k_sandbox);
  list_keys(known, "log", k_log);
  list_keys(known, "system_log", k_system_log);
  return known;
}

}  // namespace muproc::broker
