#include "broker/plan.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include <muproc/detail/child.hpp>

#include "shm/layout.hpp"
#include "wire/codec.hpp"

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
  return limits;
}

Backoff backoff_of(wire::Backoff::Reader from) {
  return {nanoseconds(from.getInitialNs()), nanoseconds(from.getMaxNs()), from.getFactor(), from.getJitter(),
          nanoseconds(from.getResetAfterNs())};
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
  if (child.hasBackoff()) plan->backoff = backoff_of(child.getBackoff());
  plan->limits = limits_of(child.getLimits());
  if (child.getLimits().getHasUmask()) plan->umask = child.getLimits().getUmask();
  return plan;
}

void write(wire::Limits::Builder to, const Plan& plan) {
  const ProcessLimits& limits = plan.limits;
  to.setMemory(limits.memory ? limits.memory->count : 0);
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
