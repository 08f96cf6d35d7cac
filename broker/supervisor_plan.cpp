#include "broker/supervisor_plan.hpp"

#include <stdexcept>

#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

template <class Enum>
Enum checked(std::uint8_t value, Enum last, const char* what) {
  if (value > static_cast<std::uint8_t>(last)) throw std::invalid_argument(std::string("no such ") + what);
  return static_cast<Enum>(value);
}

SupervisorPlan::Child child_of(const SystemSpec& system, const std::string& name) {
  if (const ChildSpec* muproc = system.find_muproc(name)) return plan_of(*muproc);
  return plan_of(system, name);
}

SupervisorPlan::Child child_of(wire::Child::Reader child) {
  if (!child.isSupervisor()) return plan_of(child);
  auto nested = plan_of(child.getSupervisor());
  nested->name = wire::string(child.getName());
  nested->options = {restart_of(child.getRestart()), stop_of(child.getStopNs()), child.getSignificant()};
  return nested;
}

void check_significance(const SupervisorPlan& plan) {
  for (const auto& child : plan.children) {
    const ChildRules rules = rules_of(child);
    const auto why = rules.significant ? why_not_significant(rules.restart, plan.rules.auto_shutdown) : std::string_view();
    if (!why.empty()) throw std::invalid_argument("\"" + name_of(child) + "\" cannot be significant: " + std::string(why));
  }
}

}  // namespace

const std::string& name_of(const SupervisorPlan::Child& child) {
  if (const auto* muproc = std::get_if<PlanPtr>(&child)) return (*muproc)->name;
  return std::get<std::unique_ptr<SupervisorPlan>>(child)->name;
}

ChildRules rules_of(const SupervisorPlan::Child& child) {
  if (const auto* muproc = std::get_if<PlanPtr>(&child))
    return {(*muproc)->restart, (*muproc)->backoff, (*muproc)->significant};
  const SupervisorOptions& options = std::get<std::unique_ptr<SupervisorPlan>>(child)->options;
  return {options.restart, {}, options.significant};
}

std::unique_ptr<SupervisorPlan> plan_of(const SystemSpec& system, const std::string& name) {
  const SupervisorSpec* spec = system.find_supervisor(name);
  if (!spec) throw std::invalid_argument("nothing is named \"" + name + '"');
  auto plan = std::make_unique<SupervisorPlan>();
  plan->name = spec->name;
  plan->rules = {spec->strategy, spec->limit, spec->auto_shutdown};
  plan->options = *spec;
  for (const std::string& child : spec->children) plan->children.push_back(child_of(system, child));
  return plan;
}

std::unique_ptr<SupervisorPlan> plan_of(wire::Supervisor::Reader from) {
  auto plan = std::make_unique<SupervisorPlan>();
  plan->name = wire::string(from.getName());
  plan->rules.strategy = checked(from.getStrategy(), Strategy::rest_for_one, "strategy");
  plan->rules.limit = {from.getRestarts(), std::chrono::nanoseconds(from.getWithinNs())};
  plan->rules.auto_shutdown = checked(from.getAutoShutdown(), AutoShutdown::all_significant, "auto_shutdown");
  for (auto child : from.getChildren()) plan->children.push_back(child_of(child));
  check_significance(*plan);
  return plan;
}

}  // namespace muproc::broker
