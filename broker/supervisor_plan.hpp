// What one supervisor is to be made of, with all below it: the form in which the supervisors' room takes a tree, whether
// it comes from a config, from the API, or from a muproc that asks for a supervisor.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "broker/plan.hpp"
#include "broker/policy.hpp"

namespace muproc::broker {

struct SupervisorPlan {
  using Child = std::variant<PlanPtr, std::unique_ptr<SupervisorPlan>>;

  std::string name;
  SupervisorRules rules;
  SupervisorOptions options;  // what it is to its own supervisor
  std::vector<Child> children;
};

const std::string& name_of(const SupervisorPlan::Child& child);
ChildRules rules_of(const SupervisorPlan::Child& child);

/// The supervisor of that name in a system, with all below it.
std::unique_ptr<SupervisorPlan> plan_of(const SystemSpec& system, const std::string& supervisor);
/// Throws std::invalid_argument when it says something that cannot be. The name may be empty.
std::unique_ptr<SupervisorPlan> plan_of(wire::Supervisor::Reader supervisor);

}  // namespace muproc::broker
