// What one supervisor is to be made of, with all below it: the form in which the supervisors' room takes a tree, whether
// it comes from a config, from the API, or from a muproc that asks for a supervisor.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "broker/plan.hpp"
#include "broker/policy.hpp"

namespace muproc::broker {

struct SupervisorPlan;
/// Shared and never changed: a supervisor that is restarted begins with the children of its plan again.
using SupervisorPlanPtr = std::shared_ptr<const SupervisorPlan>;

struct SupervisorPlan {
  using Child = std::variant<PlanPtr, SupervisorPlanPtr>;

  std::string name;
  SupervisorRules rules;
  SupervisorOptions options;  // what it is to its own supervisor
  std::vector<Child> children;  // of a template supervisor: the template alone

  bool is_template() const { return rules.strategy == Strategy::simple_one_for_one; }
  const Plan& instance() const { return *std::get<PlanPtr>(children.front()); }
};

const std::string& name_of(const SupervisorPlan::Child& child);
ChildRules rules_of(const SupervisorPlan::Child& child);

/// The supervisor of that name in a system, with all below it.
SupervisorPlanPtr plan_of(const SystemSpec& system, const std::string& supervisor);
/// Calls it for the muproc, or for each in the tree.
void for_each_muproc(const SupervisorPlan::Child& child, const std::function<void(const Plan&)>& call);
/// The same, in which no muproc has more rights than the one that starts it (rights.hpp).
SupervisorPlan::Child inherited(const SupervisorPlan::Child& child, const Plan* starter);
/// Throws std::invalid_argument when it says something that cannot be. The name may be empty.
SupervisorPlanPtr plan_of(wire::Supervisor::Reader supervisor);
/// One more child for a supervisor with that auto_shutdown. Throws likewise.
SupervisorPlan::Child child_of(wire::Child::Reader child, AutoShutdown parents);
/// What a template makes: the same under another name, with more arguments.
PlanPtr instance_of(const Plan& plan, std::string name, const Mumsg& args);

}  // namespace muproc::broker
