// Supervisors at work: each one's policy, and what its actions mean.
//
// A supervisor is a row in the table, with a name and a pid, but no process: it lives here. What happens to its children
// becomes an event of its SupervisorPolicy, and the actions that come back are carried out: births by the launcher,
// stops by the endings, delays by the loop. Events wait in one queue, so that a policy is never asked while the actions
// of its last answer are still being carried out (a birth that fails at once is an event, too).
//
// A child's slot is taken when its supervisor is planned and stays its own, over all its incarnations, until it is
// forgotten. A *tree* is a supervisor without a supervisor, with all below it: the system's root, or one that a muproc
// has started.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "broker/control.hpp"
#include "broker/core.hpp"
#include "broker/endings.hpp"
#include "broker/launcher.hpp"
#include "broker/policy.hpp"
#include "broker/reaper.hpp"
#include "broker/supervisor_plan.hpp"

namespace muproc::broker {

class Supervisors {
 public:
  struct StartResult {
    Pid pid;            // nil: it failed
    std::string error;
    Reason reason;
  };
  struct TreeCalls {
    std::function<void(const StartResult&)> started = [](const StartResult&) {};  // once
    std::function<void(EndReason)> ended = [](EndReason) {};                      // once, if it had started
  };

  Supervisors(Core& core, Launcher& launcher, Endings& endings, Reaper& reaper);
  ~Supervisors();

  /// Starts a tree. Throws Control::Failure when a name in it is taken or there is no room: nothing has begun then.
  void start(std::unique_ptr<SupervisorPlan> plan, TreeCalls calls);

  /// Ends a supervisor in order, or by killing all below it. Its end is told as any other.
  void end(Pid supervisor, bool at_once);

  /// As a person or a program asks for it; `done` says when it has happened.
  void child_verb(const std::string& name, wire::ChildVerb::Verb verb, Control::Done done);
  void describe(SlotIndex slot, wire::Node::Builder node) const;

 private:
  struct Node;
  struct ChildNode {
    std::string name;
    SlotIndex slot = shm::k_no_slot;
    PlanPtr plan;                  // of a muproc
    std::unique_ptr<Node> nested;  // of a supervisor
    ChildRules rules;
    Watch timer;
    std::uint32_t starts = 0;
    std::vector<Control::Done> waiting_for_start, waiting_for_end;
    StartResult failure;           // of the latest start
  };
  struct Node {
    std::unique_ptr<SupervisorPlan> plan;
    SlotIndex slot = shm::k_no_slot;
    Node* parent = nullptr;
    ChildKey key = 0;  // in the parent
    std::map<ChildKey, ChildNode> children;
    std::unique_ptr<SupervisorPolicy> policy;  // while it lives
    Pid pid;
    bool has_started = false;
    Watch kill_timer;
    TreeCalls calls;  // of a tree's top
  };
  using Event = std::function<Actions(SupervisorPolicy&, Moment)>;

  // Building and forgetting.
  void reserve(Node& node, Pid parent);
  void release(Node& node);
  void release(ChildNode& child);
  void give_back(SlotIndex slot);
  std::string made_up_name(const SupervisorPlan& plan) const;

  // Events.
  void post(Node& node, Event event);
  void pump();
  Moment now();
  Node* find(Pid supervisor);
  std::pair<Node*, ChildKey> find_child(const std::string& name);

  // Actions.
  void begin(Node& node);
  void carry_out(Node& node, const Action& action);
  void start_child(Node& node, ChildKey key);
  void start_muproc(Node& node, ChildKey key, ChildNode& child);
  void stop_child(Node& node, ChildNode& child, bool at_once);
  void stop_nested(Node& nested, Stop how);
  void arm_timer(Node& node, ChildKey key, std::chrono::nanoseconds delay);
  void forget_child(Node& node, ChildKey key);
  void has_started(Node& node);
  void start_has_failed(Node& node, const ChildNode& culprit);
  void has_ended(Node& node, EndReason why);
  void close(Node& node, const Reason& reason);

  // Children's news.
  void child_is_up(Node& node, ChildKey key, Pid pid);
  void child_has_failed(Node& node, ChildKey key, const BirthResult& result);
  void child_has_ended(Node& node, ChildKey key, const Reason& reason);
  static void answer(std::vector<Control::Done>& waiting, Pid pid, const Control::Failure* failure);

  Core& core_;
  Launcher& launcher_;
  Endings& endings_;
  Reaper& reaper_;
  std::mt19937_64 dice_{std::random_device{}()};
  std::vector<std::unique_ptr<Node>> trees_;
  std::map<Pid, Node*> alive_;
  std::map<std::string, std::pair<Node*, ChildKey>, std::less<>> children_;
  std::deque<std::pair<Node*, Event>> events_;
  bool is_pumping_ = false;
};

}  // namespace muproc::broker
