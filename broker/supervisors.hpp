// Supervisors at work: each one's policy, and what its actions mean.
//
// A supervisor is a row in the table, with a name and a pid, but no process: it lives here. What happens to its children
// becomes an event of its SupervisorPolicy, and the actions that come back are carried out: births by the launcher,
// stops by the endings, delays by the loop. Events wait in one queue, so that a policy is never asked while the actions
// of its last answer are still being carried out (a birth that fails at once is an event, too).
//
// A child's slot is taken when its supervisor is planned and stays its own, over all its incarnations, until it is
// forgotten. Children may be added and deleted while their supervisor lives; a supervisor that is restarted begins with
// the children of its plan again, as in OTP: those added are forgotten, those forgotten are there again. A *tree* is a supervisor without a supervisor, with all below it: the system's root, or one that a muproc
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

  Supervisors(Core& core, Launcher& launcher, Endings& endings, Reaper& reaper, Estates& estates);
  ~Supervisors();

  /// Starts a tree. Throws Control::Failure when a name in it is taken or there is no room: nothing has begun then.
  void start(SupervisorPlanPtr plan, TreeCalls calls);

  /// Whether a child that has ended like this is brought back, as far as its supervisor's policy tells before it hears of
  /// the end: the limit may still refuse it.
  bool may_bring_back(const Muproc& child, const Reason& reason) const;

  /// Ends a supervisor in order, or by killing all below it. Its end is told as any other.
  void end(Pid supervisor, bool at_once);

  // As a person or a program asks for it (supervisors_requests.cpp). What cannot be is thrown as Control::Failure; `done`
  // says when it has happened.
  void child_verb(wire::ChildVerb::Reader request, Control::Done done);
  void stop(const std::string& name, Control::Done done);
  /// `admitted` makes of a child's specification what the asker may have, or throws.
  using Admit = std::function<SupervisorPlan::Child(const SupervisorPlan::Child&)>;
  void start_child(wire::StartChild::Reader request, const Admit& admitted, Control::Done done);
  void describe_children(wire::Target::Reader supervisor, wire::Children::Builder to);
  void describe(SlotIndex slot, wire::Node::Builder node) const;

  // As a reload asks for it, one thing at a time and from no callback of a child (supervisors_reload.cpp). Names are those
  // of the system's own tree.
  /// Its rules, its own options and its start order. `plan` is what it is made of when it is started anew.
  void change_supervisor(const SystemSpec& to, const std::string& name);
  /// What it is from its next start on; when `is_live`, from now on.
  void change_muproc(const std::string& name, PlanPtr plan, bool is_live);
  /// To another supervisor, as it is. False when it cannot be moved now.
  bool move(const std::string& name, const std::string& supervisor);
  /// `done` when it is up, or with the failure; then it is forgotten.
  void add_to(const std::string& supervisor, const SupervisorPlan::Child& part, Control::Done done);
  /// `done` when it has ended and is forgotten.
  void remove(const std::string& name, Control::Done done);
  /// Stops it and starts it again; one that is down stays so.
  void restart(const std::string& name, Control::Done done);
  /// A supervisor before its children, those in start order.
  std::vector<SlotIndex> slots_in_order() const;

 private:
  struct Node;
  struct ChildNode {
    std::string name;
    SlotIndex slot = shm::k_no_slot;
    PlanPtr plan;                  // of a muproc
    std::unique_ptr<Node> nested;  // of a supervisor
    ChildRules rules;
    bool was_added = false;        // while its supervisor lived
    Clock::Timer timer;
    std::uint32_t starts = 0;
    std::vector<Control::Done> waiting_for_start, waiting_for_end;
    StartResult failure;           // of the latest start
  };
  struct Node {
    SupervisorPlanPtr plan;
    SlotIndex slot = shm::k_no_slot;
    Node* parent = nullptr;
    ChildKey key = 0;  // in the parent
    std::map<ChildKey, ChildNode> children;
    std::unique_ptr<SupervisorPolicy> policy;  // while it lives
    Pid pid;
    bool has_started = false;
    std::uint32_t instances = 0;  // of its template, that were given a name
    Watch kill_timer;
    TreeCalls calls;  // of a tree's top
  };
  using Event = std::function<Actions(SupervisorPolicy&, Moment)>;

  // Building and forgetting.
  SlotIndex take(const std::string& name, shm::SlotKind kind, PlanPtr plan);
  void reserve(Node& node);
  void show_supervision(Node& node);
  ChildNode& add(Node& node, ChildKey key, const SupervisorPlan::Child& part);
  void renew(Node& node);
  void release(Node& node);
  void release(ChildNode& child);
  void discard(std::map<ChildKey, ChildNode>::node_type child);
  void give_back(SlotIndex slot);
  std::string made_up_name(const SupervisorPlan& plan) const;
  std::string made_up_name(Node& supervisor) const;

  // Events.
  void post(Node& node, Event event);
  void pump();
  void close_estates();
  Moment now();
  Node* find(Pid supervisor);
  Node& tree_node(const std::string& supervisor);

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
  void start_has_failed(Node& node, const StartResult& failure);
  void has_ended(Node& node, EndReason why);
  void close(Node& node, const Reason& reason);

  // Children's news.
  void child_is_up(Node& node, ChildKey key, Pid pid);
  void child_has_failed(Node& node, ChildKey key, const BirthResult& result);
  void child_has_ended(Node& node, ChildKey key, const Reason& reason);
  static void answer(std::vector<Control::Done>& waiting, Pid pid, const Control::Failure* failure);

  // Requests.
  Node& supervisor_named(wire::Target::Reader target);
  std::pair<Node*, ChildKey> find_child(wire::ChildVerb::Reader request);
  SupervisorPlan::Child new_part(Node& node, wire::StartChild::Reader request, const Admit& admitted) const;
  void refuse_known(const Node& node, const std::string& name) const;
  void carry_out(Node& node, ChildKey key, wire::ChildVerb::Verb verb, Control::Done done);
  static SupervisorPolicy::ChildState state_of(const Node& node, ChildKey key);
  Pid pid_of(const ChildNode& child) const;
  static void list_slots(const Node& node, std::vector<SlotIndex>& to);

  Core& core_;
  Launcher& launcher_;
  Endings& endings_;
  Reaper& reaper_;
  Estates& estates_;
  std::mt19937_64 dice_{std::random_device{}()};
  std::vector<std::unique_ptr<Node>> trees_;
  std::map<Pid, Node*> alive_;
  std::map<std::string, std::pair<Node*, ChildKey>, std::less<>> children_;
  std::deque<std::pair<Node*, Event>> events_;
  bool is_pumping_ = false;
};

}  // namespace muproc::broker
