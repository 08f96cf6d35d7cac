#include "chaos/want.hpp"

#include <algorithm>
#include <utility>

namespace muproc::test::chaos {

Want::Want(std::vector<WantedNode> nodes) : nodes_(std::move(nodes)), states_(nodes_.size()) {
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    for (const std::size_t child : nodes_[i].children) states_[child].parent = i;
  Outcome first;
  start(0, first);
}

Want::Outcome Want::ended(std::size_t node, How how) {
  Outcome outcome;
  states_[node].is_up = false;
  const Restart rule = nodes_[node].restart;
  const bool comes_back = rule == permanent || (rule == transient && how == How::abnormal);
  if (comes_back)
    restart(node, outcome);
  else
    states_[node].is_forgotten = rule == temporary;
  return outcome;
}

void Want::take_over(std::size_t node, bool is_up, std::uint32_t used) {
  states_[node].is_up = is_up;
  states_[node].used = used;
  states_[node].is_forgotten = !is_up && nodes_[node].restart == temporary;
}

/// A life of a supervisor begins with all children of its plan, and an unused limit.
void Want::start(std::size_t node, Outcome& outcome) {
  states_[node].is_up = true;
  states_[node].is_forgotten = false;
  states_[node].used = 0;
  if (!nodes_[node].is_supervisor) return outcome.begun.push_back(nodes_[node].name);
  for (const std::size_t child : nodes_[node].children) start(child, outcome);
}

void Want::stop(std::size_t node, Outcome& outcome) {
  if (!std::exchange(states_[node].is_up, false)) return;
  if (!nodes_[node].is_supervisor) return outcome.stopped.push_back(nodes_[node].name);
  const auto& children = nodes_[node].children;
  std::for_each(children.rbegin(), children.rend(), [&](std::size_t child) { stop(child, outcome); });
}

void Want::restart(std::size_t child, Outcome& outcome) {
  const std::size_t parent = states_[child].parent;
  if (states_[parent].used++ >= nodes_[parent].limit) return give_up(parent, outcome);
  const auto& children = nodes_[parent].children;
  const auto cause = std::find(children.begin(), children.end(), child);
  auto from = cause, to = std::next(cause);
  switch (nodes_[parent].strategy) {
    case one_for_one:
    case Strategy::simple_one_for_one: break;
    case one_for_all: from = children.begin(), to = children.end(); break;
    case rest_for_one: to = children.end(); break;
  }
  const std::vector<std::size_t> group(from, to);
  std::for_each(group.rbegin(), group.rend(), [&](std::size_t member) {
    stop(member, outcome);
    if (nodes_[member].restart == temporary) states_[member].is_forgotten = true;
  });
  for (const std::size_t member : group)
    if (!states_[member].is_forgotten) start(member, outcome);
}

/// An end as any other to its own supervisor, with the reason `shutdown`.
void Want::give_up(std::size_t supervisor, Outcome& outcome) {
  stop(supervisor, outcome);
  if (supervisor == 0)
    outcome.system_ends = true;
  else if (nodes_[supervisor].restart == permanent)
    restart(supervisor, outcome);
  else
    states_[supervisor].is_forgotten = nodes_[supervisor].restart == temporary;
}

}  // namespace muproc::test::chaos
