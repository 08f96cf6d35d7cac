#include "broker/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include <muproc/detail/child.hpp>

#include "broker/identity.hpp"
#include "shm/layout.hpp"
#include "wire/codec.hpp"
#include "wire/resources.hpp"
#include "wire/settings.hpp"

namespace muproc::broker {
namespace {

using std::chrono::nanoseconds;

FunctionCode function_code(Function function) {
  auto where = detail::locate(reinterpret_cast<const void*>(function));
  return {std::move(where.build_id), where.offset, std::move(where.module)};
}

PlannedCode planned(const Code& code) {
  if (const auto* entry = std::get_if<ModuleEntry>(&code)) return *entry;
  if (const auto* program = std::get_if<Program>(&code)) return *program;
  return function_code(std::get<Function>(code));
}

PlannedCode planned(wire::Child::Reader child) {
  switch (child.which()) {
    case wire::Child::ENTRY:
      return ModuleEntry{wire::string(child.getEntry().getModule()), wire::string(child.getEntry().getEntry())};
    case wire::Child::FUNCTION: {
      const auto function = child.getFunction();
      const auto id = function.getBuildId();
      return FunctionCode{{id.begin(), id.end()}, function.getOffset(), wire::string(function.getModule())};
    }
    case wire::Child::EXEC: {
      Program program{{}, child.getPlain()};
      for (auto argument : child.getExec()) program.argv.push_back(wire::string(argument));
      if (program.argv.empty()) throw std::invalid_argument("a program to exec needs a name");
      return program;
    }
    case wire::Child::SUPERVISOR: break;
  }
  throw std::invalid_argument("a supervisor is no muproc");
}

Bytes ring_size_of(std::uint64_t asked) {
  if (asked == 0) return Bytes{shm::k_default_ring};
  const bool is_power = (asked & (asked - 1)) == 0;
  if (!is_power || asked < shm::k_min_ring || asked > shm::k_max_ring)
    throw std::invalid_argument(fmt::format("a ring of {} bytes: it must be a power of two from {} to {}", asked,
                                            shm::k_min_ring, shm::k_max_ring));
  return Bytes{asked};
}

ProcessLimits limits_of(wire::Limits::Reader from) {
  ProcessLimits limits;
  if (from.getMemory()) limits.memory = Bytes{from.getMemory()};
  if (from.getFiles()) limits.files = from.getFiles();
  for (const auto cpu : from.getCpus()) limits.cpus.push_back(cpu);
  if (from.getHasNice()) limits.nice = from.getNice();
  if (from.getHasCore()) limits.core = Bytes{from.getCore()};
  if (from.getHasOomScoreAdj()) limits.oom_score_adj = from.getOomScoreAdj();
  for (const auto resource : from.getResources())
    if (!wire::set_resource(limits, resource.getResource(), resource.getValue()))
      throw std::invalid_argument("a limit on a resource that there is not");
  return limits;
}

LogOptions log_of(wire::LogSettings::Reader from) {
  LogOptions log;
  if (from.getLevel() > 1 + static_cast<int>(LogLevel::off)) throw std::invalid_argument("no such log level");
  if (from.getFormat() > 1 + static_cast<int>(LogFormat::json)) throw std::invalid_argument("no such log format");
  if (from.getLevel()) log.level = static_cast<LogLevel>(from.getLevel() - 1);
  if (from.getFormat()) log.format = static_cast<LogFormat>(from.getFormat() - 1);
  if (from.getFileSize()) log.file_size = Bytes{from.getFileSize()};
  if (from.getFiles()) log.files = from.getFiles();
  return log;
}

Backoff backoff_of(wire::Backoff::Reader from) {
  return {nanoseconds(from.getInitialNs()), nanoseconds(from.getMaxNs()), from.getFactor(), from.getJitter(),
          nanoseconds(from.getResetAfterNs())};
}

ReadyOn ready_on_of(std::uint8_t ready_on) {
  if (ready_on > static_cast<std::uint8_t>(ReadyOn::notify)) throw std::invalid_argument("no such readiness");
  return static_cast<ReadyOn>(ready_on);
}

std::vector<std::string> names_of(capnp::List<capnp::Text>::Reader from) {
  std::vector<std::string> names;
  for (const auto name : from) names.push_back(wire::string(name));
  return names;
}

/// As whom it runs, and what it may.
void read_rights(Plan& plan, wire::Child::Reader child) {
  plan.user = wire::string(child.getUser());
  plan.group = wire::string(child.getGroup());
  if (child.getHasGroups()) plan.groups = names_of(child.getGroups());
  if (child.getHasMaySend()) plan.may_send = names_of(child.getMaySend());
  plan.may_control = !child.getMayNotControl();
  plan.trust = !child.getIsNotTrusted();
  const auto sandbox = child.getSandbox();
  plan.sandbox = {sandbox.getIsStrict(), names_of(sandbox.getSyscalls()), sandbox.getNetwork(), names_of(sandbox.getWritable())};
}

void write_filter(wire::Confinement::Builder to, const std::string& filter) {
  to.setFilter(kj::arrayPtr(reinterpret_cast<const kj::byte*>(filter.data()), filter.size()));
}

void write_confinement(wire::Confinement::Builder to, const Plan& plan) {
  write_filter(to, plan.is_program() ? plan.filters->before_exec : plan.filters->of_muproc);
  to.setHoldsFiles(true);
  auto writable = to.initWritable(static_cast<unsigned>(plan.sandbox.writable.size()));
  for (unsigned i = 0; i < plan.sandbox.writable.size(); ++i) writable.set(i, wire::pointer(plan.sandbox.writable[i]));
  to.setHasNotifySocket(plan.is_plain());
}

void check_readiness(const Plan& plan) {
  if (plan.ready_on == ReadyOn::call && plan.is_plain())
    throw std::invalid_argument('"' + plan.name + "\" is a plain program, which cannot call ready()");
  if (plan.ready_on == ReadyOn::notify && !plan.is_plain())
    throw std::invalid_argument('"' + plan.name + "\" is no plain program: it does not notify, it calls ready()");
}

void check_spares(const Plan& plan) {
  if (plan.spares > 0 && plan.is_program())
    throw std::invalid_argument('"' + plan.name + "\" is a program, which begins with an exec: there is nothing to clone in advance");
}

}  // namespace

Stop stop_of(std::int64_t ns) {
  if (ns == -1) return Stop::by_kill();
  if (ns < 0) return Stop::wait_forever();
  return Stop(nanoseconds(ns));
}

Restart restart_of(std::uint8_t restart) {
  if (restart > static_cast<std::uint8_t>(Restart::temporary)) throw std::invalid_argument("no such restart type");
  return static_cast<Restart>(restart);
}

PlanPtr plan_of(const ChildSpec& spec) {
  auto plan = std::make_shared<Plan>();
  static_cast<ChildOptions&>(*plan) = spec;
  plan->name = spec.name;
  plan->code = planned(spec.code);
  ring_size_of(plan->mailbox.ring.count);
  check_readiness(*plan);
  check_spares(*plan);
  plan->identity = identity_of(plan->user, plan->group, plan->groups);
  prepare_sandbox(*plan);
  return plan;
}

PlanPtr plan_of(wire::Child::Reader child) {
  auto plan = std::make_shared<Plan>();
  plan->name = wire::string(child.getName());
  plan->code = planned(child);
  plan->args = wire::read(child.getArgs());
  plan->bindings = wire::read(child.getBindings());
  for (auto variable : child.getEnv())
    plan->env.emplace_back(wire::string(variable.getName()), wire::string(variable.getValue()));
  plan->cwd = wire::string(child.getCwd());
  plan->error_stream = wire::string(child.getErrorStream());
  plan->trap_exits = child.getTrapExits();
  plan->restart = restart_of(child.getRestart());
  plan->stop = stop_of(child.getStopNs());
  if (child.getReadyNs() > 0) plan->ready_timeout = nanoseconds(child.getReadyNs());
  plan->significant = child.getSignificant();
  plan->mailbox.ring = ring_size_of(child.getRingSize());
  if (child.getStashLimit()) plan->mailbox.stash = Bytes{child.getStashLimit()};
  if (child.getMaxMessage()) plan->mailbox.max_message = Bytes{child.getMaxMessage()};
  if (child.getKeepsMailbox()) plan->mailbox.on_restart = OnRestart::keep;
  if (child.getRedelivers()) plan->mailbox.in_hand = InHand::redeliver;
  if (child.hasBackoff()) plan->backoff = backoff_of(child.getBackoff());
  plan->limits = limits_of(child.getLimits());
  plan->log = log_of(child.getLog());
  if (child.getLimits().getHasUmask()) plan->umask = child.getLimits().getUmask();
  plan->ready_on = ready_on_of(child.getReadyOn());
  plan->watchdog = std::max(nanoseconds(child.getWatchdogNs()), nanoseconds(0));
  plan->spares = std::min<std::uint32_t>(child.getSpares(), 1000);
  read_rights(*plan, child);
  check_readiness(*plan);
  check_spares(*plan);
  plan->identity = identity_of(plan->user, plan->group, plan->groups);
  prepare_sandbox(*plan);
  return plan;
}

void prepare_sandbox(Plan& plan) {
  plan.filters = nullptr;
  if (!plan.sandbox.strict) return;
  plan.sandbox = settled(std::move(plan.sandbox));
  plan.filters = std::make_shared<const Filters>(compile_filters(plan.sandbox));
}

void write(wire::Limits::Builder to, const Plan& plan, bool cgroup_holds_memory) {
  const ProcessLimits& limits = plan.limits;
  to.setMemory(limits.memory && !cgroup_holds_memory ? limits.memory->count : 0);
  to.setFiles(limits.files.value_or(0));
  auto cpus = to.initCpus(static_cast<unsigned>(limits.cpus.size()));
  for (unsigned i = 0; i < limits.cpus.size(); ++i) cpus.set(i, static_cast<std::uint16_t>(limits.cpus[i]));
  to.setHasNice(limits.nice.has_value());
  to.setNice(limits.nice.value_or(0));
  to.setHasCore(limits.core.has_value());
  to.setCore(limits.core ? limits.core->count : 0);
  to.setHasOomScoreAdj(limits.oom_score_adj.has_value());
  to.setOomScoreAdj(limits.oom_score_adj.value_or(0));
  to.setHasUmask(plan.umask.has_value());
  to.setUmask(plan.umask.value_or(0));
  const auto resources = wire::resources_of(limits);
  auto list = to.initResources(static_cast<unsigned>(resources.size()));
  for (unsigned i = 0; i < resources.size(); ++i) {
    list[i].setResource(resources[i].first);
    list[i].setValue(resources[i].second);
  }
  if (plan.filters) write_confinement(to.initConfinement(), plan);
  if (!plan.identity) return;
  to.setHasIdentity(true);
  to.setUid(plan.identity->uid);
  to.setGid(plan.identity->gid);
  auto groups = to.initGroups(static_cast<unsigned>(plan.identity->groups.size()));
  for (unsigned i = 0; i < plan.identity->groups.size(); ++i) groups.set(i, plan.identity->groups[i]);
}

void write_rest(wire::Limits::Builder to, const Plan& plan) {
  if (plan.filters) write_filter(to.initConfinement(), plan.filters->of_muproc);
}

sys::ProcessSettings settings_of(const Plan& plan, bool cgroup_holds_memory) {
  capnp::MallocMessageBuilder message;
  auto limits = message.initRoot<wire::Limits>();
  write(limits, plan, cgroup_holds_memory);
  return wire::settings_of(limits.asReader(), wire::pointer(plan.cwd));
}

void write_environment(capnp::List<wire::Variable>::Builder to,
                       const std::vector<std::pair<std::string, std::string>>& variables) {
  for (unsigned i = 0; i < variables.size(); ++i) {
    to[i].setName(wire::pointer(variables[i].first));
    to[i].setValue(wire::pointer(variables[i].second));
  }
}

std::string to_string(const PlannedCode& code) {
  const auto file = [](const std::string& path) { return std::filesystem::path(path).filename().native(); };
  if (const auto* entry = std::get_if<ModuleEntry>(&code))
    return entry->module.empty() ? entry->entry : file(entry->module) + ":" + entry->entry;
  if (const auto* function = std::get_if<FunctionCode>(&code))
    return fmt::format("{}+{:#x}", file(function->module), function->offset);
  std::string text;
  for (const auto& argument : std::get<Program>(code).argv) text += (text.empty() ? "" : " ") + argument;
  return text;
}

}  // namespace muproc::broker
