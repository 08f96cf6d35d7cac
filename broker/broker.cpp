#include "broker/broker.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "broker/control.hpp"
#include "broker/core.hpp"
#include "broker/endings.hpp"
#include "broker/fork_server.hpp"
#include "broker/launcher.hpp"
#include "broker/log.hpp"
#include "broker/reaper.hpp"
#include "broker/runtime_dir.hpp"
#include "broker/signals.hpp"
#include "broker/supervisors.hpp"
#include "broker/zygotes.hpp"
#include "shm/directory.hpp"
#include "shm/layout.hpp"
#include "sys/error.hpp"
#include "sys/process.hpp"

namespace muproc::broker {
namespace fs = std::filesystem;
namespace {

// What the broker keeps open for each muproc: pidfd, segment, eventfd, control socket; and one more while it starts.
constexpr rlim_t k_fds_per_muproc = 5;
constexpr rlim_t k_own_fds = 64;
// For what a broker that was killed has left: its zygotes give its muprocs 3 s.
constexpr std::chrono::milliseconds k_patience = std::chrono::seconds(10);

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
        seed_(fork_seed(folder_.lock_fd(), files_.former())),
        log_(loop_, spec.name, folder_.log_file(), spec.log),
        directory_(shm::Directory::create(spec.name, ::getpid())),
        core_{loop_, log_, directory_, spec.name, base_},
        zygotes_(loop_, log_, std::move(seed_), {folder_.lock_fd(), files_.former(), module_dirs(spec, options)}),
        endings_(core_),
        launcher_(core_, zygotes_, endings_),
        reaper_(core_, endings_, launcher_),
        control_(core_, endings_, launcher_, reaper_),
        supervisors_(core_, launcher_, endings_, reaper_) {
    connect_rooms();
    stop_watch_ = loop_.when_readable(stop_requests, [this] { stop("the program"); });
    if (options.handle_signals) signals_ = std::make_unique<Signals>(loop_, [this](int signal) { caught(signal); });
  }

  ~Run() { kill_what_is_left(); }

  int run() {
    log_.info("system {} is launched by process {}: room for {} muprocs, in {}", spec_.name, ::getpid(), files_.muprocs(),
              folder_.folder().native());
    control_.listen(folder_.listen());
    spec_.root.empty() ? is_up() : start_root();
    loop_.run();
    log_.info("system {} has ended, exit code {}", spec_.name, exit_code_);
    return exit_code_;
  }

 private:
  enum class Stage { running, stopping_tree, stopping_rest, over };

  void connect_rooms();
  void start_root();
  void is_up();
  void root_started(const Supervisors::StartResult& result);
  void root_ended(EndReason why);
  void start_supervisor(wire::Supervisor::Reader request, Pid asker, Control::Done done);

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
  SeedProcess seed_;
  Loop loop_;
  Log log_;
  shm::Directory directory_;
  Core core_;
  Zygotes zygotes_;
  Endings endings_;
  Launcher launcher_;
  Reaper reaper_;
  Control control_;
  Supervisors supervisors_;
  Watch stop_watch_;
  std::unique_ptr<Signals> signals_;

  Stage stage_ = Stage::running;
  Pid root_;
  int exit_code_ = 0;
};

void Broker::Run::connect_rooms() {
  loop_.on_failure = [this](const std::string& what) { log_.error("in the broker: {}", what); };
  core_.when_vacated = [this] { finish_if_empty(); };
  zygotes_.end_strays = [this] {
    reaper_.end_strays(zygotes_.sessions(), [this](int os_pid) { return zygotes_.is_ours(os_pid); });
  };
  launcher_.open_connection = [this](sys::UniqueFd socket) -> Connection& { return control_.open(std::move(socket)); };
  launcher_.close_connection = [this](Connection& connection) { control_.close(connection); };
  launcher_.watch_death = [this](Muproc& muproc) { reaper_.watch(muproc); };
  launcher_.end_stray = [this](int os_pid) { reaper_.end_stray(os_pid); };
  reaper_.close_connection = launcher_.close_connection;
  endings_.end_supervisor = [this](Muproc& supervisor, bool at_once) { supervisors_.end(supervisor.pid, at_once); };
  endings_.cut_off = [this](Muproc& outsider) { reaper_.outsider_gone(outsider); };
  control_.start_supervisor = [this](auto request, Pid asker, auto done) { start_supervisor(request, asker, std::move(done)); };
  control_.child_verb = [this](const std::string& name, auto verb, auto done) { supervisors_.child_verb(name, verb, std::move(done)); };
  control_.shut_down = [this](const std::string& who) { stop(who); };
  control_.describe_supervision = [this](SlotIndex slot, wire::Node::Builder node) { supervisors_.describe(slot, node); };
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
  core_.is_up = true;
  control_.let_in();
}

void Broker::Run::root_started(const Supervisors::StartResult& result) {
  if (result.pid) return is_up();
  if (stage_ == Stage::running) {
    log_.error("system {} could not be started: {}", spec_.name, result.error);
    exit_code_ = 1;
  }
  stop_rest();
}

void Broker::Run::root_ended(EndReason why) {
  if (why == EndReason::limit_reached) exit_code_ = 1;
  stop_rest();
}

void Broker::Run::start_supervisor(wire::Supervisor::Reader request, Pid asker, Control::Done done) {
  const Pid linked = request.getLink() ? asker : Pid();
  Supervisors::TreeCalls calls;
  calls.started = [this, linked, done](const Supervisors::StartResult& result) {
    if (!result.pid) {
      const Control::Failure failure{Control::ErrorKind::START_FAILED, result.error, result.reason};
      return done({}, &failure);
    }
    const Muproc* peer = core_.table.find(linked);
    if (peer && peer->is_up()) core_.links.link(linked, result.pid, false);
    if (linked && !(peer && peer->is_up())) supervisors_.end(result.pid, false);
    done(result.pid, nullptr);
  };
  supervisors_.start(plan_of(request), std::move(calls));
}

// ---- end -------------------------------------------------------------------------------------------------------------

void Broker::Run::caught(int signal) {
  if (signal == SIGHUP) return log_.warn("SIGHUP: reloading the config is not supported yet");
  if (stage_ != Stage::running && signal == SIGINT) return kill_all();
  stop(signal == SIGINT ? "SIGINT" : "SIGTERM");
}

void Broker::Run::stop(const std::string& who) {
  if (stage_ != Stage::running) return;
  log_.info("system {} is stopped by {}", spec_.name, who);
  core_.is_stopping = true;
  if (!core_.table.find(root_)) return stop_rest();
  stage_ = Stage::stopping_tree;
  supervisors_.end(root_, false);
}

/// Those who were spawned, and the supervisors that muprocs have started: all at once, each with its own period.
void Broker::Run::stop_rest() {
  if (stage_ == Stage::stopping_rest || stage_ == Stage::over) return;
  stage_ = Stage::stopping_rest;
  core_.is_stopping = true;
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
  control_.let_in();  // to be told that it is over
  control_.stop_listening();
  for (const Muproc* living : core_.table.living())
    if (Muproc* outsider = core_.table.find(living->pid); outsider && outsider->connection) endings_.stop(*outsider, forever);
  loop_.quit();
}

void Broker::Run::kill_all() {
  log_.warn("system {} is killed", spec_.name);
  core_.is_stopping = true;
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
    zygotes_.stop();
    reaper_.end_strays(zygotes_.sessions(), [](int) { return false; });
  } catch (const std::exception& failure) {
    log_.error("at the end: {}", failure.what());
  }
  reaper_.reap_all();
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
