#include "broker/supervisor_plan.hpp"

#include <stdexcept>

#include "broker/rights.hpp"
#include "shm/layout.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

template <class Enum>
Enum checked(std::uint8_t value, Enum last, const char* what) {
  if (value > static_cast<std::uint8_t>(last)) throw std::invalid_argument(std::string("no such ") + what);
  return static_cast<Enum>(value);
}

SupervisorPlan::Child planned(const SystemSpec& system, const std::string& name) {
  if (const ChildSpec* muproc = system.find_muproc(name)) return plan_of(*muproc);
  return plan_of(system, name);
}

SupervisorPlan::Child child_of(wire::Child::Reader from, AutoShutdown parents, std::size_t& room);
std::shared_ptr<SupervisorPlan> planned(wire::Supervisor::Reader from, std::size_t& room);

SupervisorPlan::Child planned(wire::Child::Reader child, std::size_t& room) {
  if (room-- == 0) throw std::invalid_argument("a tree of more than " + std::to_string(shm::k_max_slots) + " children");
  if (!child.isSupervisor()) return plan_of(child);
  auto nested = planned(child.getSupervisor(), room);
  nested->name = wire::string(child.getName());
  nested->options = {restart_of(child.getRestart()), stop_of(child.getStopNs()), child.getSignificant()};
  return nested;
}

void check_template(const SupervisorPlan& plan) {
  if (!plan.is_template()) return;
  if (plan.children.size() != 1)
    throw std::invalid_argument("a supervisor with simple_one_for_one has one child, its template, not " + std::to_string(plan.children.size()));
  if (!std::holds_alternative<PlanPtr>(plan.children.front()))
    throw std::invalid_argument("a template is a muproc: \"" + name_of(plan.children.front()) + "\" is a supervisor");
}

std::shared_ptr<SupervisorPlan> planned(wire::Supervisor::Reader from, std::size_t& room) {
  auto plan = std::make_shared<SupervisorPlan>();
  plan->name = wire::string(from.getName());
  plan->rules.strategy = checked(from.getStrategy(), Strategy::simple_one_for_one, "strategy");
  plan->rules.limit = {from.getRestarts(), std::chrono::nanoseconds(from.getWithinNs())};
  plan->rules.auto_shutdown = checked(from.getAutoShutdown(), AutoShutdown::all_significant, "auto_shutdown");
  for (auto child : from.getChildren()) plan->children.push_back(child_of(child, plan->rules.auto_shutdown, room));
  check_template(*plan);
  return plan;
}

SupervisorPlan::Child child_of(wire::Child::Reader from, AutoShutdown parents, std::size_t& room) {
  auto child = planned(from, room);
  const ChildRules rules = rules_of(child);
  const auto why = rules.significant ? why_not_significant(rules.restart, parents) : std::string_view();
  if (!why.empty()) throw std::invalid_argument("\"" + name_of(child) + "\" cannot be significant: " + std::string(why));
  return child;
}

}  // namespace

SupervisorPlan::Child child_of(wire::Child::Reader from, AutoShutdown parents) {
  std::size_t room = shm::k_max_slots;
  return child_of(from, parents, room);
}

const std::string& name_of(const SupervisorPlan::Child& child) {
  if (const auto* muproc = std::get_if<PlanPtr>(&child)) return (*muproc)->name;
  return std::get<SupervisorPlanPtr>(child)->name;
}

ChildRules rules_of(const SupervisorPlan::Child& child) {
  if (const auto* muproc = std::get_if<PlanPtr>(&child))
    return {(*muproc)->restart, (*muproc)->backoff, (*muproc)->significant};
  const SupervisorOptions& options = std::get<SupervisorPlanPtr>(child)->options;
  return {options.restart, {}, options.significant};
}

SupervisorPlanPtr plan_of(const SystemSpec& system, const std::string& name) {
  const SupervisorSpec* spec = system.find_supervisor(name);
  if (!spec) throw std::invalid_argument("nothing is named \"" + name + '"');
  auto plan = std::make_shared<SupervisorPlan>();
  plan->name = spec->name;
  plan->rules = {spec->strategy, spec->limit, spec->auto_shutdown};
  plan->options = *spec;
  for (const std::string& child : spec->children) plan->children.push_back(planned(system, child));
  check_template(*plan);
  return plan;
}

SupervisorPlanPtr plan_of(wire::Supervisor::Reader from) {
  std::size_t room = shm::k_max_slots;
  return planned(from, room);
}

void for_each_muproc(const SupervisorPlan::Child& child, const std::function<void(const Plan&)>& call) {
  if (const auto* muproc = std::get_if<PlanPtr>(&child)) return call(**muproc);
  for (const auto& below : std::get<SupervisorPlanPtr>(child)->children) for_each_muproc(below, call);
}

SupervisorPlan::Child inherited(const SupervisorPlan::Child& child, const Plan* starter) {
  if (const auto* muproc = std::get_if<PlanPtr>(&child)) return inherited(*muproc, starter);
  auto plan = std::make_shared<SupervisorPlan>(*std::get<SupervisorPlanPtr>(child));
  for (auto& below : plan->children) below = inherited(below, starter);
  return plan;
}

PlanPtr instance_of(const Plan& plan, std::string name, const Mumsg& args) {
  auto instance = std::make_shared<Plan>(plan);
  instance->name = std::move(name);
  for (const auto& [field, value] : args) instance->args.set(field, value);
  return instance;
}

}  // namespace muproc::broker
