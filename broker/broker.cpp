#include "broker/broker.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "broker/cgroups.hpp"
#include "broker/config.hpp"
#include "broker/control.hpp"
#include "broker/core.hpp"
#include "broker/descendants.hpp"
#include "broker/drains.hpp"
#include "broker/endings.hpp"
#include "broker/fork_server.hpp"
#include "broker/launcher.hpp"
#include "broker/log.hpp"
#include "broker/logs/logger.hpp"
#include "broker/metrics/metrics.hpp"
#include "broker/notifier.hpp"
#include "broker/reaper.hpp"
#include "broker/reload.hpp"
#include "broker/runtime_dir.hpp"
#include "broker/signals.hpp"
#include "broker/spares.hpp"
#include "broker/supervisors.hpp"
#include "broker/watchdogs.hpp"
#include "broker/zygotes.hpp"
#include "shm/directory.hpp"
#include "shm/layout.hpp"
#include "sys/error.hpp"
#include "sys/process.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace fs = std::filesystem;
namespace {

// What the broker keeps open for each muproc: pidfd, segment, eventfd, control socket, two pipes; and one more while it starts.
constexpr rlim_t k_fds_per_muproc = 7;
constexpr rlim_t k_own_fds = 64;
// For what a broker that was killed has left: its zygotes give its muprocs 3 s.
constexpr std::chrono::milliseconds k_patience = std::chrono::seconds(10);
// For those who follow the events to ask for the last ones.
constexpr std::chrono::milliseconds k_last_events = std::chrono::seconds(1);

/// As many open files as the hard limit allows, for as long as this lives. Children get the former limit.
class FileLimit {
 public:
  FileLimit() {
    sys::check(::getrlimit(RLIMIT_NOFILE, &former_), "getrlimit RLIMIT_NOFILE");
    const rlimit raised{former_.rlim_max, former_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &raised);
  }
  ~FileLimit() { ::setrlimit(RLIMIT_NOFILE, &former_); }

  const rlimit& former() const { return former_; }
  rlim_t muprocs() const {
    const rlim_t files = std::max(former_.rlim_max, k_own_fds);
    return std::min<rlim_t>((files - k_own_fds) / k_fds_per_muproc, shm::k_max_slots);
  }

 private:
  rlimit former_;
};

/// Where modules named without a slash are looked for, first to last.
std::vector<fs::path> module_dirs(const SystemSpec& spec, const BrokerOptions& options) {
  std::vector<fs::path> dirs;
  if (!options.module_dir.empty()) dirs.push_back(fs::absolute(options.module_dir));
  if (!spec.config_dir.empty()) dirs.push_back(spec.config_dir);
  if (const char* path = std::getenv("MUPROC_MODULE_PATH")) {
    const std::string_view all = path;
    for (std::size_t begin = 0; begin < all.size();) {
      const std::size_t end = std::min(all.find(':', begin), all.size());
      if (end > begin) dirs.emplace_back(all.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  std::error_code unreadable;
  const fs::path program = fs::read_symlink("/proc/self/exe", unreadable);
  if (!unreadable) dirs.push_back(program.parent_path().parent_path() / "lib" / "muproc");
  return dirs;
}

fs::path runtime_base_of(const SystemSpec& spec, const BrokerOptions& options) {
  return runtime_base(options.runtime_dir.empty() ? spec.runtime_dir : options.runtime_dir);
}

}  // namespace

/// One run, from launch to end. The order of the members is the order of the launch.
class Broker::Run {
 public:
  Run(SystemSpec& spec, const BrokerOptions& options, int stop_requests)
      : spec_(spec),
        base_(runtime_base_of(spec, options)),
        folder_(base_, spec.name, k_patience, [&](const std::string& holders) {
          std::fprintf(stderr, "mubroker: waiting for what an earlier broker of %s has left: %s\n", spec.name.c_str(), holders.c_str());
        }),
        cgroups_(spec.cgroup, spec.name, folder_.folder()),
        token_(fresh_token()),
        notifier_(options.owns_process ? Notifier::from_environment() : Notifier()),
        logger_process_(fork_logger(folder_.lock_fd(), spec.logs.on_console, cgroups_.folder())),
        seed_(fork_seed(folder_.lock_fd(), files_.former(), token_, cgroups_.folder())),
        log_(loop_, spec.name, folder_.log_file(), spec.log, spec.logs),
        logger_(loop_, log_, std::move(logger_process_), {folder_.lock_fd(), folder_.folder(), cgroups_.folder(), spec.logs, spec.crash_reports}),
        directory_(shm::Directory::create(spec.name, ::getpid())),
        core_{loop_, log_, directory_, spec.name, base_, cgroups_, token_},
        zygotes_(loop_, log_, std::move(seed_), {folder_.lock_fd(), files_.former(), token_, cgroups_.folder(), module_dirs(spec, options)}),
        endings_(core_),
        watchdogs_(core_, endings_),
        spares_(core_, zygotes_, logger_),
        estates_(core_),
        launcher_(core_, zygotes_, endings_, logger_, spares_, estates_),
        descendants_(core_, options.owns_process),
        reaper_(core_, endings_, launcher_, descendants_, estates_),
        control_(core_, endings_, launcher_, reaper_, estates_),
        supervisors_(core_, launcher_, endings_, reaper_, estates_),
        drains_(core_, endings_),
        metrics_(core_, [this] { return supervisors_.slots_in_order(); }) {
    connect_rooms();
    if (options.virtual_time) core_.clock.make_virtual();
    stop_watch_ = loop_.when_readable(stop_requests, [this] { stop("the program"); });
    if (options.handle_signals) signals_ = std::make_unique<Signals>(loop_, options.owns_process, [this](int signal) { caught(signal); });
  }

  ~Run() {
    notifier_.rest();
    kill_what_is_left();
  }

  int run() {
    log_.info("system {} is launched by process {}: room for {} muprocs, in {}", spec_.name, ::getpid(), files_.muprocs(),
              folder_.folder().native());
    say_of_cgroups();
    control_.listen(folder_.listen());
    metrics_.serve(spec_.metrics);
    notifier_.status(fmt::format("system {} is starting", spec_.name));
    notifier_.keep_alive(loop_);
    spec_.root.empty() ? is_up() : start_root();
    loop_.run();
    log_.info("system {} has ended, exit code {}", spec_.name, exit_code_);
    return exit_code_;
  }

 private:
  enum class Stage { running, stopping_tree, stopping_rest, over };

  void connect_rooms();
  void say_of_cgroups();
  void start_root();
  void is_up();
  void root_started(const Supervisors::StartResult& result);
  void root_ended(EndReason why);
  void start_supervisor(wire::Supervisor::Reader request, Pid asker, const Control::Done& done);
  void start_child(wire::StartChild::Reader request, Pid asker, Control::Done done);
  SupervisorPlan::Child admitted(const SupervisorPlan::Child& child, Pid asker);

  void heard(Muproc& program, std::string_view key, std::string_view value);
  SystemSpec next_spec(const std::string& file, const Settings& settings, std::string& warnings) const;
  void reload(wire::Reload::Reader request, const Control::WhenReloaded& done);
  void reload_by_signal();
  void reload(SystemSpec to, std::string warnings, const Control::WhenReloaded& done);
  void caught(int signal);
  void stop(const std::string& who);
  void stop_rest();
  void finish_if_empty();
  void finish();
  void kill_all();
  void kill_what_is_left() noexcept;

  SystemSpec& spec_;
  ForgivingPipes pipes_;
  FileLimit files_;
  fs::path base_;
  RuntimeDir folder_;
  Cgroups cgroups_;
  sys::Subreaper subreaper_;
  std::string token_;
  Notifier notifier_;
  LoggerProcess logger_process_;
  SeedProcess seed_;
  Loop loop_;
  Log log_;
  Logger logger_;
  shm::Directory directory_;
  Core core_;
  Zygotes zygotes_;
  Endings endings_;
  Watchdogs watchdogs_;
  Spares spares_;
  Estates estates_;
  Launcher launcher_;
  Descendants descendants_;
  Reaper reaper_;
  Control control_;
  Supervisors supervisors_;
  Drains drains_;
  Metrics metrics_;
  Watch stop_watch_, last_events_;
  std::unique_ptr<Signals> signals_;
  std::shared_ptr<Reload> reload_;

  Stage stage_ = Stage::running;
  Pid root_;
  int exit_code_ = 0;
};

void Broker::Run::connect_rooms() {
  loop_.on_failure = [this](const std::string& what) { log_.error("in the broker: {}", what); };
  core_.when_vacated = [this] {
    spares_.look_at_all();
    finish_if_empty();
  };
  zygotes_.is_past = [this](int os_pid) { spares_.drop_those_of(os_pid); };
  zygotes_.end_stray = [this](int os_pid) { reaper_.end_stray(os_pid); };
  spares_.has_begun = [this](int os_pid) { descendants_.add(os_pid); };
  spares_.end_stray = [this](int os_pid) { reaper_.end_stray(os_pid); };
  spares_.reap = [this](int os_pid, sys::UniqueFd pidfd) { reaper_.reap(os_pid, std::move(pidfd)); };
  zygotes_.end_strays = [this] {
    reaper_.end_strays(zygotes_.sessions(), [this](int os_pid) { return zygotes_.is_ours(os_pid); });
  };
  descendants_.is_known = [this](int os_pid) {
    return zygotes_.is_ours(os_pid) || logger_.is_ours(os_pid) || reaper_.is_unreaped(os_pid);
  };
  descendants_.is_our_session = [this](int session) { return zygotes_.has_session(session); };
  descendants_.is_cloning = [this] { return !zygotes_.is_quiet(); };
  launcher_.open_connection = [this](sys::UniqueFd socket) -> Connection& { return control_.open(std::move(socket)); };
  launcher_.close_connection = [this](Connection& connection) { control_.close(connection); };
  launcher_.watch_death = [this](Muproc& muproc) { reaper_.watch(muproc); };
  launcher_.end_stray = [this](int os_pid) { reaper_.end_stray(os_pid); };
  launcher_.is_ready = [this](Muproc& muproc) {
    watchdogs_.watch(muproc);
    spares_.look_at(muproc.pid.slot());
  };
  launcher_.has_said = [this](Muproc& muproc, auto key, auto value) { heard(muproc, key, value); };
  reaper_.close_connection = launcher_.close_connection;
  reaper_.when_crashed = [this](const Crash& crash) { logger_.report(core_, crash); };
  reaper_.may_come_back = [this](const Muproc& muproc, const Reason& reason) { return supervisors_.may_bring_back(muproc, reason); };
  reaper_.when_reaped = [this](const Muproc& muproc) { logger_.ended(muproc.pid); };
  endings_.end_supervisor = [this](Muproc& supervisor, bool at_once) { supervisors_.end(supervisor.pid, at_once); };
  endings_.cut_off = [this](Muproc& outsider) { reaper_.outsider_gone(outsider); };
  control_.start_supervisor = [this](auto request, Pid asker, auto done) { start_supervisor(request, asker, done); };
  control_.child_verb = [this](auto request, auto done) { supervisors_.child_verb(request, std::move(done)); };
  control_.drain = [this](wire::Drain::Reader request, auto done) {
    const auto limit = request.getLimitNs() < 0 ? std::nullopt : std::optional(std::chrono::nanoseconds(request.getLimitNs()));
    drains_.drain(wire::string(request.getName()), limit, std::move(done));
  };
  control_.drained = [this](Muproc& muproc) { drains_.drained(muproc); };
  drains_.stop_child = [this](const std::string& name, auto done) { supervisors_.stop(name, std::move(done)); };
  reaper_.when_buried = [this](const Muproc& muproc) { drains_.ended(muproc); };
  control_.start_child = [this](auto request, Pid asker, auto done) { start_child(request, asker, std::move(done)); };
  control_.describe_children = [this](auto supervisor, auto to) { supervisors_.describe_children(supervisor, to); };
  control_.is_loaded = [this](const PlannedCode& code) { return zygotes_.is_loaded(code); };
  control_.spares_of = [this](SlotIndex slot) { return spares_.count(slot); };
  control_.reload = [this](wire::Reload::Reader request, const Control::WhenReloaded& done) { reload(request, done); };
  control_.shut_down = [this](const std::string& who) { stop(who); };
  control_.supervised = [this] { return supervisors_.slots_in_order(); };
  control_.describe_supervision = [this](SlotIndex slot, wire::Node::Builder node) { supervisors_.describe(slot, node); };
}

void Broker::Run::say_of_cgroups() {
  if (cgroups_.is_disappointing()) return log_.warn("{}", cgroups_.report());
  cgroups_.is_in_use() ? log_.info("{}", cgroups_.report()) : log_.debug("{}", cgroups_.report());
}

// ---- launch ----------------------------------------------------------------------------------------------------------

void Broker::Run::start_root() {
  Supervisors::TreeCalls calls;
  calls.started = [this](const Supervisors::StartResult& result) { root_started(result); };
  calls.ended = [this](EndReason why) { root_ended(why); };
  supervisors_.start(plan_of(spec_, spec_.root), std::move(calls));
  if (const auto slot = core_.table.slot_named(spec_.root); slot && core_.table.record(*slot).life)
    root_ = core_.table.record(*slot).life->pid;
}

void Broker::Run::is_up() {
  log_.info("system {} is up", spec_.name);
  core_.tell("up", "", "the system is up");
  notifier_.ready(fmt::format("system {} is up", spec_.name));
  core_.is_up = true;
  control_.let_in();
}

void Broker::Run::root_started(const Supervisors::StartResult& result) {
  if (result.pid) return is_up();
  if (stage_ == Stage::running) {
    log_.error("system {} could not be started: {}", spec_.name, result.error);
    core_.tell("start_failed", "", "the system could not be started: " + result.error, to_string(result.reason));
    exit_code_ = 1;
  }
  stop_rest();
}

void Broker::Run::root_ended(EndReason why) {
  if (why == EndReason::limit_reached) exit_code_ = 1;
  stop_rest();
}

void Broker::Run::start_supervisor(wire::Supervisor::Reader request, Pid asker, const Control::Done& done) {
  const Pid linked = request.getLink() ? asker : Pid();
  Supervisors::TreeCalls calls;
  calls.started = [this, linked, done](const Supervisors::StartResult& result) {
    if (!result.pid) {
      const Control::Failure failure{Control::ErrorKind::START_FAILED, result.error, result.reason};
      return done({}, &failure);
    }
    const Muproc* peer = core_.table.find(linked);
    if (peer && peer->is_up()) {
      core_.links.link(linked, result.pid, false);
      if (Muproc* started = core_.table.find(result.pid)) started->parent = linked;  // with whom it ends
    }
    if (linked && !(peer && peer->is_up())) supervisors_.end(result.pid, false);
    done(result.pid, nullptr);
  };
  supervisors_.start(std::get<SupervisorPlanPtr>(admitted(plan_of(request), asker)), std::move(calls));
}

void Broker::Run::start_child(wire::StartChild::Reader request, Pid asker, Control::Done done) {
  const auto admit = [this, asker](const SupervisorPlan::Child& child) { return admitted(child, asker); };
  supervisors_.start_child(request, admit, std::move(done));
}

/// What a muproc describes has no more rights than it has itself.
SupervisorPlan::Child Broker::Run::admitted(const SupervisorPlan::Child& child, Pid asker) {
  const Muproc* muproc = core_.table.find(asker);
  if (!muproc) return child;
  auto limited = inherited(child, muproc->plan.get());
  for_each_muproc(limited, [&](const Plan& plan) { control_.check_code(plan, muproc->plan.get()); });
  return limited;
}

/// What a plain program says of itself.
void Broker::Run::heard(Muproc& program, std::string_view key, std::string_view value) {
  if (key == "WATCHDOG") return value == "trigger" ? watchdogs_.bite(program) : watchdogs_.said_alive(program);
  if (key != "STATUS" || program.said_status == value) return;
  program.said_status = value;
  core_.log.debug("{} says: {}", Core::name_of(program), value);
}

// ---- reload ----------------------------------------------------------------------------------------------------------

/// Throws a Failure that says what is wrong with it; then nothing has changed.
SystemSpec Broker::Run::next_spec(const std::string& file, const Settings& settings, std::string& warnings) const {
  using Kind = Control::ErrorKind;
  if (stage_ != Stage::running || core_.is_stopping) throw Control::Failure{Kind::FAILED, "the system is being stopped"};
  if (!core_.is_up) throw Control::Failure{Kind::FAILED, "the system is not up yet"};
  if (reload_) throw Control::Failure{Kind::FAILED, "a reload is under way"};
  if (spec_.config_file.empty()) throw Control::Failure{Kind::FAILED, "the system was not launched from a config: there is nothing to reload"};
  Settings all = spec_.settings;
  for (const auto& [name, value] : settings) all[name] = value;
  auto result = load_config(file.empty() ? spec_.config_file : fs::path(file), all);
  if (!result.system) throw Control::Failure{Kind::BAD_CONFIG, result.report};
  if (const auto why = why_not_reload(spec_, *result.system); !why.empty()) throw Control::Failure{Kind::BAD_CONFIG, why};
  try {
    plan_of(*result.system, result.system->root);  // who its users are
  } catch (const std::exception& failure) {
    throw Control::Failure{Kind::BAD_CONFIG, failure.what()};
  }
  warnings = result.report;
  return *std::move(result.system);
}

void Broker::Run::reload(wire::Reload::Reader request, const Control::WhenReloaded& done) {
  Settings settings;
  for (const auto setting : request.getSettings()) settings[setting.getName().cStr()] = setting.getValue().cStr();
  std::string warnings;
  SystemSpec to = next_spec(request.getFile().cStr(), settings, warnings);
  if (!request.getIsOnlyAsked()) return reload(std::move(to), std::move(warnings), done);
  std::vector<Reload::Done> list;
  for (Change& change : diff(spec_, to, changed_modules(zygotes_, to))) list.push_back({std::move(change), {}});
  done(list, warnings);
}

void Broker::Run::reload(SystemSpec to, std::string warnings, const Control::WhenReloaded& done) {
  log_.info("system {} is reloaded from {}", spec_.name, to.config_file.native());
  notifier_.reloading(fmt::format("system {} is being reloaded", spec_.name));
  reload_ = std::make_shared<Reload>(core_, supervisors_, watchdogs_, zygotes_, spares_, logger_, metrics_, spec_, std::move(to),
                                     [this, done, warnings = std::move(warnings)](std::vector<Reload::Done> list) {
                                       spec_ = reload_->outcome();
                                       loop_.bury(std::exchange(reload_, nullptr));
                                       log_.info("system {} is reloaded", spec_.name);
                                       if (stage_ == Stage::running) notifier_.ready(fmt::format("system {} is reloaded", spec_.name));
                                       done(list, warnings);
                                     });
  reload_->run();
}

/// What a terminal would have been told goes to the log.
void Broker::Run::reload_by_signal() {
  try {
    std::string warnings;
    SystemSpec to = next_spec({}, {}, warnings);
    if (!warnings.empty()) log_.warn("{}", warnings);
    reload(std::move(to), std::move(warnings), [](const auto&, const auto&) {});
  } catch (const Control::Failure& failure) {
    log_.error("SIGHUP: the config is not reloaded: {}", failure.text);
    if (stage_ != Stage::running || reload_) return;
    notifier_.reloading("the config is read");  // so that nobody waits for more
    notifier_.ready(fmt::format("system {} goes on as it was: the config is not reloaded, see the log", spec_.name));
  }
}

// ---- end -------------------------------------------------------------------------------------------------------------

void Broker::Run::caught(int signal) {
  if (signal == SIGCHLD) return descendants_.look();
  if (signal == SIGHUP) return reload_by_signal();
  if (stage_ != Stage::running && signal == SIGINT) return kill_all();
  stop(signal == SIGINT ? "SIGINT" : "SIGTERM");
}

void Broker::Run::stop(const std::string& who) {
  if (stage_ != Stage::running) return;
  log_.info("system {} is stopped by {}", spec_.name, who);
  core_.tell("stop", "", "the system is stopped by " + who);
  notifier_.stopping(fmt::format("system {} is stopped by {}", spec_.name, who));
  core_.is_stopping = true;
  spares_.drop_all();
  if (!core_.table.find(root_)) return stop_rest();
  stage_ = Stage::stopping_tree;
  supervisors_.end(root_, false);
}

/// Those who were spawned, and the supervisors that muprocs have started: all at once, each with its own period.
void Broker::Run::stop_rest() {
  if (stage_ == Stage::stopping_rest || stage_ == Stage::over) return;
  if (stage_ == Stage::running) notifier_.stopping(fmt::format("system {} ends by itself", spec_.name));
  stage_ = Stage::stopping_rest;
  core_.is_stopping = true;
  spares_.drop_all();
  for (const Muproc* living : core_.table.living()) {
    Muproc* muproc = core_.table.find(living->pid);
    if (!muproc || muproc->is_dead || muproc->kind == shm::SlotKind::outsider) continue;
    if (core_.table.record(muproc->pid.slot()).is_kept && muproc->parent) continue;  // its supervisor stops it
    muproc->birth ? launcher_.cancel(*muproc, "the system is being stopped") : endings_.stop(*muproc, muproc->stop());
  }
  finish_if_empty();
}

void Broker::Run::finish_if_empty() {
  if (stage_ != Stage::stopping_rest) return;
  const auto living = core_.table.living();
  const bool is_empty = std::all_of(living.begin(), living.end(), [](const Muproc* m) { return m->kind == shm::SlotKind::outsider; });
  if (is_empty) finish();
}

/// Outsiders are told and let go; then there is nobody.
void Broker::Run::finish() {
  stage_ = Stage::over;
  core_.tell("end", "", "the system ends");
  core_.events.close();
  control_.let_in();  // to be told that it is over
  control_.stop_listening();
  for (const Muproc* living : core_.table.living())
    if (Muproc* outsider = core_.table.find(living->pid); outsider && outsider->connection) endings_.stop(*outsider, forever);
  if (!control_.owes_events()) return loop_.quit();
  control_.when_no_events_are_owed([this] { loop_.quit(); });
  last_events_ = loop_.after(k_last_events, [this] { loop_.quit(); });  // for one that does not ask, nobody waits longer
}

void Broker::Run::kill_all() {
  log_.warn("system {} is killed", spec_.name);
  core_.is_stopping = true;
  spares_.drop_all();
  if (core_.table.find(root_)) supervisors_.end(root_, true);
  for (const Muproc* living : core_.table.living()) {
    Muproc* muproc = core_.table.find(living->pid);
    if (!muproc || muproc->is_dead || muproc->kind == shm::SlotKind::outsider) continue;
    muproc->birth ? launcher_.cancel(*muproc, "the system is killed") : endings_.kill(*muproc);
  }
}

/// At the end nobody; if the broker fails, everybody.
void Broker::Run::kill_what_is_left() noexcept {
  try {
    for (Muproc* muproc : core_.table.living()) {
      if (muproc->kind == shm::SlotKind::outsider || muproc->os_pid <= 0 || muproc->is_dead) continue;
      ::kill(-muproc->os_pid, SIGKILL);
      reaper_.end_stray(muproc->os_pid);
    }
    spares_.stop();
    zygotes_.stop();
    reaper_.end_strays(zygotes_.sessions(), [](int) { return false; });
  } catch (const std::exception& failure) {
    log_.error("at the end: {}", failure.what());
  }
  reaper_.reap_all();
  descendants_.clear_now();
  log_.flush();
  logger_.finish();
}

// ---- the handle ------------------------------------------------------------------------------------------------------

Broker::Broker(SystemSpec spec, BrokerOptions options)
    : spec_(std::move(spec)), options_(std::move(options)), stop_requests_(sys::create_eventfd()) {}

Broker::~Broker() = default;

int Broker::run() {
  Run run(spec_, options_, stop_requests_.get());
  return run.run();
}

void Broker::stop() noexcept { sys::signal_eventfd(stop_requests_.get()); }

}  // namespace muproc::broker
