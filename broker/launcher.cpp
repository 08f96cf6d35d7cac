#include "broker/launcher.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <tuple>
#include <utility>

#include <muproc/detail/names.hpp>

#include "broker/exec_child.hpp"
#include "broker/notify_socket.hpp"
#include "shm/layout.hpp"
#include "sys/clock.hpp"
#include "sys/confinement.hpp"
#include "sys/error.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

constexpr const char* k_library_version = "0.1.0";

std::pair<sys::UniqueFd, sys::UniqueFd> pipe() {
  int ends[2];
  sys::check(::pipe2(ends, O_CLOEXEC), "pipe2");
  return {sys::UniqueFd(ends[0]), sys::UniqueFd(ends[1])};
}

std::string in_seconds(std::chrono::nanoseconds time) { return to_string(Stop(time)); }

}  // namespace

Launcher::Launcher(Core& core, Zygotes& zygotes, Endings& endings, Logger& logger, Spares& spares, Estates& estates)
    : core_(core), zygotes_(zygotes), endings_(endings), logger_(logger), spares_(spares), estates_(estates) {}

void Launcher::launch(BirthRequest request) {
  const PlanPtr plan = core_.table.record(request.slot).plan;
  if (!plan || plan->mailbox.on_restart == OnRestart::discard) estates_.close(request.slot);  // it is another one since
  begin(std::move(request), 1);
}

void Launcher::begin(BirthRequest request, int attempts) {
  const SlotIndex slot = request.slot;
  Muproc& born = core_.table.begin(slot);
  born.birth = std::make_unique<Birth>();
  born.birth->request = std::move(request);
  born.birth->attempts = attempts;
  core_.table.record(slot).started_ns = static_cast<std::uint64_t>(sys::monotonic().count());
  core_.table.record(slot).state = shm::SlotState::starting;
  born.error_stream = born.plan->error_stream.empty() ? born.birth->request.error_stream : born.plan->error_stream;
  const Pid pid = born.pid;
  std::shared_ptr<Spare> spare;
  try {
    born.birth->timeout = core_.loop.patience(born.plan->ready_timeout, [this, pid] { late(pid); });
    if (attempts == 1) spare = spares_.take(slot, *born.plan);
    born.birth->is_from_spare = spare != nullptr;
    born.birth->output = spare ? std::move(spare->output) : logger_.make_pipes();
    if (spare) born.cgroup = spare->cgroup;
    if (born.plan->sandbox.strict) look_for_landlock();
    give_group(born);
    if (born.plan->is_plain()) {
      open_notify_socket(born);
      return clone(born, -1);
    }
    equip(born);
    sys::UniqueFd childs;
    sys::UniqueFd ours = spare ? std::move(spare->control) : sys::UniqueFd();
    if (!spare) std::tie(ours, childs) = sys::socket_pair();
    born.connection = &open_connection(std::move(ours));
    born.connection->become_lane_of(pid, core_.directory, born.eventfd.get());
    send_kit(born, 0);
    spare ? cloned(pid, {spare->os_pid, {}, false, spare->cloned_by}) : clone(born, childs.get());
  } catch (const std::exception& failure) {
    Muproc* still = core_.table.find(pid);
    if (spare && still && !still->pidfd) spares_.discard(spare);
    if (still) fail_later(*still, failure.what());
  }
}

void Launcher::look_for_landlock() {
  if (std::exchange(has_looked_for_landlock_, true) || sys::landlock_version() > 0) return;
  core_.log.warn("this kernel has no Landlock, or has it switched off: who is in a sandbox may write files as its user may");
}

/// Not at once: whoever is told may try again at once, and again, and others are to have their turn.
void Launcher::fail_later(Muproc& muproc, const std::string& why) {
  muproc.birth->failure = why;
  muproc.birth->timeout = core_.loop.after(std::chrono::nanoseconds(0), [this, pid = muproc.pid, why] {
    if (Muproc* still = core_.table.find(pid)) fail(*still, why, Reason::start_failed(why));
  });
}

void Launcher::give_group(Muproc& muproc) {
  try {
    if (!muproc.cgroup) muproc.cgroup = core_.cgroups.make(muproc.name);
  } catch (const std::exception& failure) {
    return core_.log.error("{} gets no cgroup: {}", Core::name_of(muproc), failure.what());  // marks are enough to find what it leaves
  }
  if (!muproc.cgroup) return;
  muproc.cgroup->belongs_to(muproc.pid);
  if (!muproc.plan->limits.memory || !muproc.cgroup->holds_memory()) return;
  if (const auto failure = muproc.cgroup->limit_memory(*muproc.plan->limits.memory); !failure.empty())
    core_.log.error("{} is held to its memory by RLIMIT_DATA: {}", Core::name_of(muproc), failure);
}

void Launcher::equip(Muproc& muproc) {
  // Its name is what descends from the muproc is known by (descendants.hpp).
  muproc.segment = sys::create_memfd(("muproc:" + core_.mark_of(muproc)).c_str(), shm::k_segment_size);
  muproc.eventfd = sys::create_eventfd();
}

void Launcher::admit(Muproc& outsider, Connection& connection, std::uint64_t request_id) {
  outsider.birth = std::make_unique<Birth>();
  outsider.birth->request.done = [](const BirthResult&) {};
  outsider.os_pid = connection.peer.pid;
  outsider.connection = &connection;
  equip(outsider);
  connection.become_lane_of(outsider.pid, core_.directory, outsider.eventfd.get());
  send_kit(outsider, request_id);
}

void Launcher::send_kit(Muproc& muproc, std::uint64_t request_id) {
  Message message(request_id);
  auto kit = message->initKit();
  kit.setLayoutVersion(shm::k_layout_version);
  kit.setLibraryVersion(k_library_version);
  kit.setPid(muproc.pid.bits());
  kit.setName(wire::pointer(muproc.name));
  kit.setParent(muproc.parent.bits());
  kit.setBrokerOsPid(::getpid());
  kit.setTrapExits(muproc.traps_exits);
  const MailboxSizes sizes = muproc.plan ? muproc.plan->mailbox : MailboxSizes();
  kit.setRingSize(static_cast<std::uint32_t>(sizes.ring.count));
  kit.setStashLimit(sizes.stash.count);
  kit.setMaxMessage(sizes.max_message.count);
  if (const Plan* plan = muproc.plan.get()) {
    wire::write(kit.initArgs(), plan->args);
    wire::write(kit.initBindings(), plan->bindings);
    kit.setErrorStream(wire::pointer(muproc.error_stream));
    kit.setLogLevel(static_cast<std::uint8_t>(logger_.level_of(plan)));
    kit.setStderrInode(muproc.birth->output.stderr_inode);
    if (plan->is_program()) {  // it has the rest from before its exec
      write_rest(kit.initLimits(), *plan);
    } else {
      const auto variables = environment(muproc);
      write_environment(kit.initEnv(static_cast<unsigned>(variables.size())), variables);
      kit.setCwd(wire::pointer(plan->cwd));
      write(kit.initLimits(), *plan, holds_memory(muproc.cgroup));
    }
  }
  if (const int predecessor = estates_.describe(kit, muproc); predecessor >= 0)
    return muproc.connection->send(message, {muproc.segment.get(), muproc.eventfd.get(), core_.directory.memfd(), predecessor});
  muproc.connection->send(message, {muproc.segment.get(), muproc.eventfd.get(), core_.directory.memfd()});
}

void Launcher::open_notify_socket(Muproc& muproc) {
  if (muproc.plan->ready_on != ReadyOn::notify && muproc.plan->watchdog.count() == 0) return;
  muproc.notify = std::make_unique<NotifySocket>(core_.loop, [this, pid = muproc.pid](std::string_view key, std::string_view value) {
    heard(pid, key, value);
  });
}

void Launcher::heard(Pid pid, std::string_view key, std::string_view value) {
  Muproc* muproc = core_.table.find(pid);
  if (!muproc) return;
  if (muproc->birth && !muproc->is_dead) {  // it speaks: so its exec has succeeded
    read_exec_status(*muproc);
    come_up_if_ready(*muproc);
  }
  if (key == "READY" && value == "1") return said_ready(*muproc);
  has_said(*muproc, key, value);
}

/// Its own mark, and those of the muprocs that the broker itself descends from: they too are to find it.
std::vector<std::pair<std::string, std::string>> Launcher::environment(const Muproc& muproc) const {
  auto variables = muproc.plan->env;
  const char* outer = std::getenv(detail::k_pid_variable);
  variables.emplace_back(detail::k_pid_variable, core_.mark_of(muproc) + (outer ? std::string(" ") + outer : ""));
  if (!muproc.plan->is_program()) return variables;
  if (muproc.notify) variables.emplace_back("NOTIFY_SOCKET", muproc.notify->address());
  if (muproc.notify && muproc.plan->watchdog.count() > 0)
    variables.emplace_back("WATCHDOG_USEC", std::to_string(std::chrono::ceil<std::chrono::microseconds>(muproc.plan->watchdog).count()));
  variables.emplace_back(detail::k_system_variable, core_.system);
  variables.emplace_back(detail::k_runtime_dir_variable, core_.runtime_base.native());
  return variables;
}

void Launcher::clone(Muproc& muproc, int control) {
  const auto done = [this, pid = muproc.pid](Cloned result) { cloned(pid, std::move(result)); };
  const auto output = std::move(muproc.birth->output.writes);  // the child's alone, once it is there
  const ChildPlace place{control, output[0].get(), output[1].get(), muproc.cgroup ? muproc.cgroup->folder() : std::string(),
                         holds_memory(muproc.cgroup)};
  if (!muproc.plan->is_program()) return zygotes_.clone_code(muproc.plan->code, place, done);
  auto [ours, childs] = pipe();
  muproc.birth->exec_status = std::move(ours);
  watch_exec(muproc);
  zygotes_.clone_program(*muproc.plan, environment(muproc), childs.get(), place, done);
}

void Launcher::cloned(Pid pid, Cloned result) {
  Muproc* muproc = core_.table.find(pid);
  if (!muproc || !muproc->birth) {  // given up meanwhile
    if (result.os_pid) end_stray(result.os_pid);
    return;
  }
  if (result.zygote_died && muproc->birth->attempts < 2 && muproc->birth->failure.empty()) {
    return replace(*muproc);
  }
  if (!result.os_pid) return fail_later(*muproc, result.error);
  muproc->os_pid = result.os_pid;
  muproc->cloned_by = result.cloned_by;
  try {
    muproc->pidfd = sys::open_pidfd(result.os_pid);
    watch_death(*muproc);
  } catch (const std::exception& failure) {  // nobody would know of its end
    end_stray(result.os_pid);
    return void(fail(*muproc, failure.what(), Reason::start_failed(failure.what())));
  }
  try {
    logger_.born(*muproc, core_.table.record(pid.slot()).is_kept, std::move(muproc->birth->output.reads));
    if (muproc->notify) muproc->notify->listen_to(result.os_pid);
  } catch (const std::exception& failure) {
    if (muproc->birth->failure.empty()) muproc->birth->failure = failure.what();
  }
  if (!muproc->birth->failure.empty()) return endings_.kill(*muproc);
  come_up_if_ready(*muproc);
}

/// By another birth for the same request.
void Launcher::replace(Muproc& muproc) {
  BirthRequest again = std::move(muproc.birth->request);
  const int attempts = muproc.birth->attempts + 1;
  if (muproc.connection) close_connection(*muproc.connection);
  core_.loop.bury(core_.table.end(muproc.pid.slot()));
  begin(std::move(again), attempts);
}

bool Launcher::begins_again(Muproc& muproc) {
  const Birth& birth = *muproc.birth;
  if (!birth.is_from_spare || birth.has_greeted || !birth.failure.empty()) return false;
  core_.log.warn("{} is cloned once more: its spare had ended", Core::name_of(muproc));
  replace(muproc);
  return true;
}

void Launcher::late(Pid pid) {
  Muproc* muproc = core_.table.find(pid);
  if (!muproc || muproc->is_dead || (!muproc->birth && !muproc->unready)) return;
  const std::string why = "it was not ready within " + in_seconds(muproc->plan->ready_timeout);
  if (!muproc->pidfd && !muproc->plan->is_program()) zygotes_.give_up_loading(muproc->plan->code);
  cancel(*muproc, why);
}

void Launcher::cancel(Muproc& muproc, const std::string& why) {
  if (muproc.is_dead) return;  // its answer is on the way
  if (muproc.unready) {
    if (muproc.unready->failure.empty()) muproc.unready->failure = why;
    return endings_.kill(muproc, Reason::start_failed(why));
  }
  if (!muproc.pidfd) return void(fail(muproc, muproc.name + " could not be started: " + why, Reason::start_failed(why)));
  if (muproc.birth->failure.empty()) muproc.birth->failure = why;
  endings_.kill(muproc);
}

// ---- programs --------------------------------------------------------------------------------------------------------

void Launcher::watch_exec(Muproc& muproc) {
  sys::set_nonblocking(muproc.birth->exec_status.get(), true);
  muproc.birth->exec_watch = core_.loop.when_readable(muproc.birth->exec_status.get(), [this, pid = muproc.pid] {
    Muproc* alive = core_.table.find(pid);
    if (!alive || !alive->birth) return;
    read_exec_status(*alive);
    come_up_if_ready(*alive);
  });
}

void Launcher::read_exec_status(Muproc& muproc) {
  Birth& birth = *muproc.birth;
  if (!birth.exec_status) return;
  ExecFailure failure;
  const ssize_t got = ::read(birth.exec_status.get(), &failure, sizeof failure);
  if (got < 0) return;  // not yet known
  birth.exec_watch.stop();
  birth.exec_status.reset();
  if (got == sizeof failure)
    birth.failure = to_string(failure, std::get<Program>(muproc.plan->code).argv[0], settings_of(*muproc.plan, holds_memory(muproc.cgroup)));
}

bool Launcher::was_up_after_all(Muproc& muproc) {
  if (muproc.kind != shm::SlotKind::plain) return false;
  read_exec_status(muproc);
  if (muproc.birth->exec_status || !muproc.birth->failure.empty()) return false;
  come_up(muproc);
  return true;
}

// ---- up --------------------------------------------------------------------------------------------------------------

void Launcher::greeted(Muproc& muproc, wire::Hello::Reader hello, int by_os_pid) {
  if (!muproc.birth || muproc.birth->has_greeted) return;
  muproc.birth->has_greeted = true;
  muproc.birth->greeted_by = by_os_pid;
  if (hello.getLayoutVersion() != shm::k_layout_version)
    return refuse(muproc, fmt::format("{} was built with muproc {} (layout version {}), the broker is muproc {} (layout version {})",
                                      muproc.name, wire::view(hello.getLibraryVersion()), hello.getLayoutVersion(),
                                      k_library_version, shm::k_layout_version));
  if (sys::file_size(muproc.segment.get()) != shm::k_segment_size)
    return refuse(muproc, muproc.name + " has changed the size of its segment");
  come_up_if_ready(muproc);
}

void Launcher::refuse(Muproc& muproc, const std::string& why) {
  muproc.birth->failure = why;  // it ends by itself when it reads this, or when its time is over
  Message message;
  message->setRefused(wire::pointer(why));
  if (muproc.connection) muproc.connection->send(message);
}

void Launcher::come_up_if_ready(Muproc& muproc) {
  const Birth& birth = *muproc.birth;
  if (!birth.failure.empty()) return;
  if (muproc.kind == shm::SlotKind::outsider) return birth.has_greeted ? come_up(muproc) : void();
  if (!muproc.pidfd) return;
  if (muproc.kind == shm::SlotKind::plain) return birth.exec_status ? void() : come_up(muproc);
  if (!birth.has_greeted) return;
  if (birth.greeted_by != muproc.os_pid)
    return refuse(muproc, fmt::format("the process that says it is {} is {}, but {} was started (a script that runs a muproc does so by exec)",
                                      muproc.name, birth.greeted_by, muproc.os_pid));
  come_up(muproc);
}

void Launcher::come_up(Muproc& muproc) {
  if (muproc.segment) sys::seal_for_readers(muproc.segment.get());
  const auto birth = std::shared_ptr<Birth>(std::move(muproc.birth));
  const bool is_ready = !muproc.plan || muproc.plan->ready_on == ReadyOn::attach;
  // First: nobody is found who is not described.
  core_.set_state(muproc.pid.slot(), is_ready ? shm::SlotState::running : shm::SlotState::starting);
  estates_.inherit(muproc);
  core_.publish(muproc);
  if (is_ready) tie(muproc, birth->request);
  if (muproc.connection) {
    Message go;
    go->setGo();
    muproc.connection->send(go);
  }
  if (is_ready) return finish(muproc, birth);
  muproc.unready = birth;
  muproc.when_ended = [this, dead = &muproc](const Reason& reason) { died_unready(*dead, reason); };
  core_.log.debug("{} runs and has still to say that it is ready: process {}", Core::name_of(muproc), muproc.os_pid);
}

void Launcher::said_ready(Muproc& muproc) {
  if (!muproc.unready || muproc.is_dead || !muproc.unready->failure.empty()) return;
  const auto birth = std::exchange(muproc.unready, nullptr);
  muproc.when_ended = nullptr;
  if (core_.table.record(muproc.pid.slot()).state == shm::SlotState::starting)  // nobody has told it to end meanwhile
    core_.set_state(muproc.pid.slot(), shm::SlotState::running);
  tie(muproc, birth->request);
  finish(muproc, birth);
}

void Launcher::finish(Muproc& muproc, const std::shared_ptr<Birth>& birth) {
  birth->timeout.stop();
  core_.directory.count_birth();
  const std::string code = muproc.plan ? to_string(muproc.plan->code) : std::string("from outside");
  core_.log.info("{} is up: process {}, {}", Core::name_of(muproc), muproc.os_pid, code);
  core_.tell("birth", muproc, code);
  core_.loop.bury(birth);
  is_ready(muproc);
  birth->request.done({muproc.pid, {}, {}});
}

/// In the books before it runs.
void Launcher::tie(Muproc& muproc, const BirthRequest& request) {
  if (request.link_to) {
    const Muproc* peer = core_.table.find(request.link_to);
    if (peer && !peer->is_dead) {
      core_.links.link(request.link_to, muproc.pid, false);
    } else {
      endings_.ripple(muproc, request.link_to, {}, Reason::noproc(), false);
    }
  }
  if (request.monitor_ref && core_.table.find(request.monitor_by))
    core_.links.monitor(request.monitor_by, request.monitor_ref, muproc.pid);
}

/// It is buried already, as any other that ends.
void Launcher::died_unready(const Muproc& dead, const Reason& reason) {
  const auto birth = dead.unready;
  if (is_declined(reason)) {
    const std::string why = dead.name + " has declined to run";
    core_.log.info("{}", why);
    return birth->request.done({{}, why, reason});
  }
  const std::string& failure = birth->failure;
  const std::string error = failure.empty() ? dead.name + " ended before it said that it was ready: " + to_string(reason)
                                            : dead.name + " could not be started: " + failure;
  core_.log.error("{}: {}", Core::name_of(dead), error);
  birth->request.done({{}, error, failure.empty() ? Reason::start_failed(reason) : Reason::start_failed(failure)});
}

// ---- not up ----------------------------------------------------------------------------------------------------------

std::shared_ptr<const Muproc> Launcher::died_while_starting(Muproc& muproc, const Reason& reason) {
  read_exec_status(muproc);
  const std::string& failure = muproc.birth->failure;
  if (!failure.empty())
    return fail(muproc, muproc.name + " could not be started: " + failure, Reason::start_failed(failure));
  if (is_declined(reason)) return fail(muproc, muproc.name + " has declined to run", reason);
  if (reason.is(Reason::Kind::start_failed))  // its own account of what was in its way
    return fail(muproc, muproc.name + " could not be started: " + (reason.cause() ? to_string(*reason.cause()) : reason.what()), reason);
  return fail(muproc, muproc.name + " ended while it was starting: " + to_string(reason), Reason::start_failed(reason));
}

bool Launcher::is_declined(const Reason& reason) { return reason == Reason::exit(Value(Symbol{detail::k_ignore})); }

std::shared_ptr<Muproc> Launcher::fail(Muproc& muproc, const std::string& error, const Reason& reason) {
  const bool declined = is_declined(reason);
  declined ? core_.log.info("{}", error) : core_.log.error("{}: {}", Core::name_of(muproc), error);
  core_.tell(declined ? "declined" : "start_failed", muproc, error, to_string(reason));
  const SlotIndex slot = muproc.pid.slot();
  if (muproc.connection) close_connection(*muproc.connection);
  const std::shared_ptr<Muproc> dead = core_.table.end(slot);
  core_.loop.bury(dead);
  core_.vacate(slot, reason, declined ? shm::SlotState::stopped : shm::SlotState::failed);
  dead->birth->request.done({{}, error, reason});
  return dead;
}

}  // namespace muproc::broker
