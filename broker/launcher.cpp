#include "broker/launcher.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <muproc/detail/names.hpp>

#include "broker/exec_child.hpp"
#include "shm/layout.hpp"
#include "sys/clock.hpp"
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

Launcher::Launcher(Core& core, Zygotes& zygotes, Endings& endings) : core_(core), zygotes_(zygotes), endings_(endings) {}

void Launcher::launch(BirthRequest request) { begin(std::move(request), 1); }

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
  try {
    born.birth->timeout = core_.loop.after(born.plan->ready_timeout, [this, pid] { late(pid); });
    if (born.plan->is_plain()) return clone(born, -1);
    equip(born);
    auto [ours, childs] = sys::socket_pair();
    born.connection = &open_connection(std::move(ours));
    born.connection->become_lane_of(pid, core_.directory, born.eventfd.get());
    send_kit(born, 0);
    clone(born, childs.get());
  } catch (const std::exception& failure) {
    if (Muproc* still = core_.table.find(pid)) fail(*still, failure.what(), Reason::start_failed(failure.what()));
  }
}

void Launcher::equip(Muproc& muproc) {
  muproc.segment = sys::create_memfd("muproc-segment", shm::k_segment_size);
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
    if (!plan->is_program()) {  // a program has these from before its exec
      write_environment(kit.initEnv(static_cast<unsigned>(plan->env.size())), plan->env);
      kit.setCwd(wire::pointer(plan->cwd));
      write(kit.initLimits(), *plan);
    }
  }
  muproc.connection->send(message, {muproc.segment.get(), muproc.eventfd.get(), core_.directory.memfd()});
}

std::vector<std::pair<std::string, std::string>> Launcher::program_environment(const Plan& plan) const {
  auto variables = plan.env;
  variables.emplace_back(detail::k_system_variable, core_.system);
  variables.emplace_back(detail::k_runtime_dir_variable, core_.runtime_base.native());
  return variables;
}

void Launcher::clone(Muproc& muproc, int control) {
  const auto done = [this, pid = muproc.pid](Cloned result) { cloned(pid, std::move(result)); };
  if (!muproc.plan->is_program()) return zygotes_.clone_code(muproc.plan->code, control, done);
  auto [ours, childs] = pipe();
  muproc.birth->exec_status = std::move(ours);
  watch_exec(muproc);
  zygotes_.clone_program(*muproc.plan, program_environment(*muproc.plan), childs.get(), control, done);
}

void Launcher::cloned(Pid pid, Cloned result) {
  Muproc* muproc = core_.table.find(pid);
  if (!muproc || !muproc->birth) {  // given up meanwhile
    if (result.os_pid) end_stray(result.os_pid);
    return;
  }
  if (result.zygote_died && muproc->birth->attempts < 2 && muproc->birth->failure.empty()) {
    BirthRequest again = std::move(muproc->birth->request);
    const int attempts = muproc->birth->attempts + 1;
    if (muproc->connection) close_connection(*muproc->connection);
    core_.loop.bury(core_.table.end(pid.slot()));
    return begin(std::move(again), attempts);
  }
  if (!result.os_pid) return fail(*muproc, result.error, Reason::start_failed(result.error));
  muproc->os_pid = result.os_pid;
  try {
    muproc->pidfd = sys::open_pidfd(result.os_pid);
  } catch (const std::exception& failure) {
    end_stray(result.os_pid);
    return fail(*muproc, failure.what(), Reason::start_failed(failure.what()));
  }
  watch_death(*muproc);
  if (!muproc->birth->failure.empty()) return endings_.kill(*muproc);
  come_up_if_ready(*muproc);
}

void Launcher::late(Pid pid) {
  Muproc* muproc = core_.table.find(pid);
  if (!muproc || !muproc->birth) return;
  const std::string why = "it was not ready within " + in_seconds(muproc->plan->ready_timeout);
  if (!muproc->pidfd && !muproc->plan->is_program()) zygotes_.give_up_loading(muproc->plan->code);
  cancel(*muproc, why);
}

void Launcher::cancel(Muproc& muproc, const std::string& why) {
  if (!muproc.pidfd) return fail(muproc, muproc.name + " could not be started: " + why, Reason::start_failed(why));
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
    birth.failure = to_string(failure, std::get<Program>(muproc.plan->code).argv[0], muproc.plan->cwd);
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
  core_.set_state(muproc.pid.slot(), shm::SlotState::running);  // first: nobody is found who is not described
  core_.publish(muproc);
  tie(muproc, birth->request);
  if (muproc.connection) {
    Message go;
    go->setGo();
    muproc.connection->send(go);
  }
  core_.directory.count_birth();
  core_.log.info("{} is up: process {}, {}", Core::name_of(muproc), muproc.os_pid,
                 muproc.plan ? to_string(muproc.plan->code) : std::string("from outside"));
  core_.loop.bury(birth);
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

// ---- not up ----------------------------------------------------------------------------------------------------------

void Launcher::died_while_starting(Muproc& muproc, const Reason& reason) {
  read_exec_status(muproc);
  const std::string& failure = muproc.birth->failure;
  if (!failure.empty())
    return fail(muproc, muproc.name + " could not be started: " + failure, Reason::start_failed(failure));
  if (reason.is(Reason::Kind::start_failed))  // its own account of what was in its way
    return fail(muproc, muproc.name + " could not be started: " + (reason.cause() ? to_string(*reason.cause()) : reason.what()), reason);
  fail(muproc, muproc.name + " ended while it was starting: " + to_string(reason), Reason::start_failed(reason));
}

void Launcher::fail(Muproc& muproc, const std::string& error, const Reason& reason) {
  core_.log.error("{}: {}", Core::name_of(muproc), error);
  const SlotIndex slot = muproc.pid.slot();
  if (muproc.connection) close_connection(*muproc.connection);
  const std::shared_ptr<Muproc> dead = core_.table.end(slot);
  core_.loop.bury(dead);
  core_.vacate(slot, reason, shm::SlotState::failed);
  dead->birth->request.done({{}, error, reason});
}

}  // namespace muproc::broker
