#include "broker/policy.hpp"

// Changes of a living supervisor, as a reload makes them: its rules, its order, and children that change hands.

namespace muproc::broker {

std::pair<std::size_t, ChildKey> SupervisorPolicy::StartOrder::place(ChildKey key) const {
  const auto found = ranks->find(key);
  return found == ranks->end() ? std::pair(ranks->size(), key) : std::pair(found->second, ChildKey{0});
}

void SupervisorPolicy::change_rules(ChildKey key, ChildRules rules) {
  if (Child* child = find(key)) child->rules = rules;
}

void SupervisorPolicy::arrange(const std::vector<ChildKey>& order) {
  if (sweep_) {  // a group remains what it was: from its first child on
    const auto first = children_.lower_bound(sweep_->from);
    if (first != children_.end()) sweep_->from = first->first;
  }
  auto ranks = std::make_shared<std::map<ChildKey, std::size_t>>();
  for (const ChildKey key : order) ranks->emplace(key, ranks->size());
  for (const auto& [key, child] : children_) ranks->emplace(key, ranks->size());
  std::map<ChildKey, Child, StartOrder> arranged(StartOrder{std::move(ranks)});
  while (!children_.empty()) arranged.insert(children_.extract(children_.begin()));
  children_ = std::move(arranged);
}

std::optional<SupervisorPolicy::Handover> SupervisorPolicy::release_child(ChildKey key) {
  const Child* child = find(key);
  const bool is_settled = child && !in_sweep(key) && !child->due && !child->owed &&
                          (child->state == ChildState::up || child->state == ChildState::down);
  if (!is_settled || !serves_requests()) return std::nullopt;
  const Handover handover{child->state, child->has_run, child->failures, child->up_since};
  children_.erase(key);
  return handover;
}

ChildKey SupervisorPolicy::adopt_child(ChildRules rules, const Handover& handover) {
  Child child{.rules = rules, .state = handover.state};
  child.has_run = handover.has_run;
  child.failures = handover.failures;
  child.up_since = handover.up_since;
  children_.emplace(next_key_, child);
  return next_key_++;
}

}  // namespace muproc::broker
