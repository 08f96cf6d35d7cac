#include "runtime/spec_writer.hpp"

#include <muproc/detail/child.hpp>

#include <cstring>

#include "wire/codec.hpp"
#include "wire/resources.hpp"

namespace muproc::detail {
namespace {

constexpr std::int64_t k_stop_by_kill = -1;
constexpr std::int64_t k_stop_for_ever = -2;

std::int64_t stop_ns(Stop stop) {
  switch (stop.kind()) {
    case Stop::Kind::kill: return k_stop_by_kill;
    case Stop::Kind::forever: return k_stop_for_ever;
    case Stop::Kind::period: break;
  }
  return stop.period().count();
}

struct CodeWriter {
  wire::Child::Builder to;

  void operator()(const ModuleEntry& code) {
    auto entry = to.initEntry();
    entry.setModule(wire::pointer(code.module));
    entry.setEntry(wire::pointer(code.entry));
  }
  void operator()(const Program& code) {
    auto argv = to.initExec(static_cast<unsigned>(code.argv.size()));
    for (unsigned i = 0; i < code.argv.size(); ++i) argv.set(i, wire::pointer(code.argv[i]));
    to.setPlain(code.plain);
  }
  void operator()(Function code) {
    const CodeLocation location = locate(reinterpret_cast<const void*>(code));
    if (location.build_id.empty())
      throw Error("the function to spawn lies in " + (location.module.empty() ? "no module" : location.module) +
                  ", which has no build id: link it with -Wl,--build-id");
    auto function = to.initFunction();
    function.setBuildId(kj::arrayPtr(location.build_id.data(), location.build_id.size()));
    function.setOffset(location.offset);
    function.setModule(wire::pointer(location.module));
  }
};

void write_env(wire::Child::Builder to, const std::vector<std::pair<std::string, std::string>>& env) {
  auto list = to.initEnv(static_cast<unsigned>(env.size()));
  for (unsigned i = 0; i < env.size(); ++i) {
    list[i].setName(wire::pointer(env[i].first));
    list[i].setValue(wire::pointer(env[i].second));
  }
}

void write_sizes(wire::Child::Builder to, const MailboxSizes& sizes) {
  to.setRingSize(static_cast<std::uint32_t>(sizes.ring.count));
  to.setStashLimit(sizes.stash.count);
  to.setMaxMessage(sizes.max_message.count);
  to.setKeepsMailbox(sizes.on_restart == OnRestart::keep);
  to.setRedelivers(sizes.in_hand == InHand::redeliver);
}

void write_backoff(wire::Backoff::Builder to, const Backoff& backoff) {
  to.setInitialNs(backoff.initial.count());
  to.setMaxNs(backoff.max.count());
  to.setFactor(backoff.factor);
  to.setJitter(backoff.jitter);
  to.setResetAfterNs(backoff.reset_after.count());
}

void write_resources(wire::Limits::Builder to, const ProcessLimits& limits) {
  const auto all = wire::resources_of(limits);
  auto list = to.initResources(static_cast<unsigned>(all.size()));
  for (unsigned i = 0; i < all.size(); ++i) {
    list[i].setResource(all[i].first);
    list[i].setValue(all[i].second);
  }
}

void write_limits(wire::Limits::Builder to, const ChildOptions& options) {
  const ProcessLimits& limits = options.limits;
  write_resources(to, limits);
  if (limits.memory) to.setMemory(limits.memory->count);
  if (limits.files) to.setFiles(*limits.files);
  auto cpus = to.initCpus(static_cast<unsigned>(limits.cpus.size()));
  for (unsigned i = 0; i < limits.cpus.size(); ++i) cpus.set(i, static_cast<std::uint16_t>(limits.cpus[i]));
  if (limits.nice) to.setHasNice(true), to.setNice(*limits.nice);
  if (limits.core) to.setHasCore(true), to.setCore(limits.core->count);
  if (limits.oom_score_adj) to.setHasOomScoreAdj(true), to.setOomScoreAdj(*limits.oom_score_adj);
  if (options.umask) to.setHasUmask(true), to.setUmask(*options.umask);
}

void write_names(capnp::List<capnp::Text>::Builder to, const std::vector<std::string>& names) {
  for (unsigned i = 0; i < names.size(); ++i) to.set(i, wire::pointer(names[i]));
}

/// As whom it runs, and what it may.
void write_rights(wire::Child::Builder to, const ChildOptions& options) {
  const auto size = [](const auto& list) { return static_cast<unsigned>(list->size()); };
  to.setUser(wire::pointer(options.user));
  to.setGroup(wire::pointer(options.group));
  if (options.groups) to.setHasGroups(true), write_names(to.initGroups(size(options.groups)), *options.groups);
  if (options.may_send) to.setHasMaySend(true), write_names(to.initMaySend(size(options.may_send)), *options.may_send);
  to.setMayNotControl(!options.may_control);
  to.setIsNotTrusted(!options.trust);
}

void write_sandbox(wire::Sandbox::Builder to, const Sandbox& sandbox) {
  to.setIsStrict(sandbox.strict);
  to.setNetwork(sandbox.network);
  write_names(to.initSyscalls(static_cast<unsigned>(sandbox.syscalls.size())), sandbox.syscalls);
  write_names(to.initWritable(static_cast<unsigned>(sandbox.writable.size())), sandbox.writable);
}

void write_log(wire::LogSettings::Builder to, const LogOptions& log) {
  if (log.level) to.setLevel(static_cast<std::uint8_t>(1 + static_cast<int>(*log.level)));
  if (log.format) to.setFormat(static_cast<std::uint8_t>(1 + static_cast<int>(*log.format)));
  if (log.file_size) to.setFileSize(log.file_size->count);
  if (log.files) to.setFiles(*log.files);
}

struct ChildWriter {
  wire::Child::Builder to;

  void operator()(const Child::Muproc& child) {
    const ChildOptions& options = child.options;
    std::visit(CodeWriter{to}, child.code);
    wire::write(to.initArgs(), options.args);
    wire::write(to.initBindings(), options.bindings);
    write_env(to, options.env);
    to.setCwd(wire::pointer(options.cwd));
    to.setTrapExits(options.trap_exits);
    to.setRestart(static_cast<std::uint8_t>(options.restart));
    to.setStopNs(stop_ns(options.stop));
    to.setReadyNs(options.ready_timeout.count());
    to.setSignificant(options.significant);
    write_sizes(to, options.mailbox);
    write_backoff(to.initBackoff(), options.backoff);
    write_limits(to.initLimits(), options);
    write_rights(to, options);
    to.setReadyOn(static_cast<std::uint8_t>(options.ready_on));
    to.setWatchdogNs(options.watchdog.count());
    to.setSpares(options.spares);
    write_log(to.initLog(), options.log);
    if (options.sandbox.strict) write_sandbox(to.initSandbox(), options.sandbox);
  }
  void operator()(const Child::Nested& child) {
    write_supervisor(to.initSupervisor(), wire::view(to.getName().asReader()), child.supervisor);
    to.setRestart(static_cast<std::uint8_t>(child.options.restart));
    to.setStopNs(stop_ns(child.options.stop));
    to.setSignificant(child.options.significant);
  }
};

}  // namespace

void write_child(wire::Child::Builder to, std::string_view name, const Code& code, const SpawnOptions& options) {
  to.setName(std::string(name).c_str());
  std::visit(CodeWriter{to}, code);
  wire::write(to.initArgs(), options.args);
  wire::write(to.initBindings(), options.bindings);
  write_env(to, options.env);
  to.setCwd(wire::pointer(options.cwd));
  to.setTrapExits(options.trap_exits);
  to.setRestart(static_cast<std::uint8_t>(Restart::temporary));
  to.setStopNs(stop_ns(options.stop));
  to.setReadyNs(options.ready_timeout.count());
  to.setReadyOn(static_cast<std::uint8_t>(options.ready_on));
  to.setWatchdogNs(options.watchdog.count());
  write_sizes(to, options.mailbox);
}

void write_child(wire::Child::Builder to, const Child& child) {
  to.setName(wire::pointer(child.name));
  std::visit(ChildWriter{to}, child.what);
}

void write_supervisor(wire::Supervisor::Builder to, std::string_view name, const Supervisor& supervisor) {
  to.setName(std::string(name).c_str());
  to.setStrategy(static_cast<std::uint8_t>(supervisor.strategy));
  to.setRestarts(supervisor.limit.restarts);
  to.setWithinNs(supervisor.limit.within.count());
  to.setAutoShutdown(static_cast<std::uint8_t>(supervisor.auto_shutdown));
  auto children = to.initChildren(static_cast<unsigned>(supervisor.children.size()));
  for (unsigned i = 0; i < supervisor.children.size(); ++i) {
    write_child(children[i], supervisor.children[i]);
  }
}

}  // namespace muproc::detail
