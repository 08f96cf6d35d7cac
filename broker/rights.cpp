#include "broker/rights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace muproc::broker {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "nobody" : text;
}

std::optional<std::vector<std::string>> narrowed(std::optional<std::vector<std::string>> wish,
                                                 const std::optional<std::vector<std::string>>& spawners) {
  if (!spawners || !wish) return spawners ? spawners : wish;
  std::erase_if(*wish, [&](const std::string& name) { return !contains(*spawners, name); });
  return wish;
}

}  // namespace

std::string why_not_send(const Plan* sender, const std::string& receiver) {
  if (!sender || !sender->may_send || contains(*sender->may_send, receiver)) return {};
  return fmt::format("{} may not send to {}: its may_send names {}", sender->name, receiver, listed(*sender->may_send));
}

std::string why_not_control(const Plan* asker) {
  return !asker || asker->may_control ? std::string() : asker->name + " may not control others: its may_control is false";
}

std::string why_not_reload(const Plan* asker) {
  return !asker || !asker->sandbox.strict ? std::string() : asker->name + " is in a sandbox: it may not say what the system is to be";
}

bool is_restricted(const Plan& plan) { return !plan.may_control || plan.may_send || !plan.trust || plan.sandbox.strict; }

bool may_load_modules(const Plan& plan) { return !plan.identity && !plan.sandbox.strict; }

PlanPtr inherited(PlanPtr plan, const Plan* spawner) {
  if (!spawner || (!spawner->identity && !is_restricted(*spawner))) return plan;
  auto narrower = std::make_shared<Plan>(*plan);
  if (spawner->identity && plan->identity)
    throw std::invalid_argument(plan->name + " cannot have a user of its own: " + spawner->name + " has one already");
  if (spawner->identity) narrower->identity = spawner->identity;
  narrower->may_control = plan->may_control && spawner->may_control;
  narrower->may_send = narrowed(plan->may_send, spawner->may_send);
  narrower->trust = plan->trust && spawner->trust;
  narrower->sandbox = narrowed(plan->sandbox, spawner->sandbox);
  if (!(narrower->sandbox == plan->sandbox)) prepare_sandbox(*narrower);
  return narrower;
}

}  // namespace muproc::broker
