// What a tree of supervisors must look like after each end: the rules of docs/semantics.md, once more and in few words, to hold
// the broker to. Pure: nothing here has a clock or a process.
//
// One end at a time is told, and all that comes of it has happened before the next. Restart windows never pass, so a limit
// counts the restarts of its supervisor's life.
#pragma once

#include <muproc/supervision.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace muproc::test::chaos {

struct WantedNode {
  std::string name;
  bool is_supervisor = false;
  Restart restart = permanent;
  Strategy strategy = one_for_one;  // of a supervisor, as is the limit
  std::uint32_t limit = 0;
  std::vector<std::size_t> children = {};  // in start order
};

enum class How { abnormal, normal };

class Want {
 public:
  /// What comes of an end, by name, in order.
  struct Outcome {
    std::vector<std::string> stopped;  // muprocs that were told to end because of it
    std::vector<std::string> begun;    // muprocs that were started
    bool system_ends = false;
  };

  /// The first is the root.
  explicit Want(std::vector<WantedNode> nodes);

  const std::vector<WantedNode>& nodes() const { return nodes_; }
  bool is_up(std::size_t node) const { return states_[node].is_up; }
  /// A muproc that is up has ended.
  Outcome ended(std::size_t node, How how);
  /// It is not known what has happened meanwhile, but that this is what is up and what of each limit has been used.
  void take_over(std::size_t node, bool is_up, std::uint32_t used);

 private:
  struct State {
    bool is_up = false;
    bool is_forgotten = false;
    std::uint32_t used = 0;  // of a supervisor's limit
    std::size_t parent = 0;
  };
  void start(std::size_t node, Outcome& outcome);
  void stop(std::size_t node, Outcome& outcome);
  void restart(std::size_t child, Outcome& outcome);
  void give_up(std::size_t supervisor, Outcome& outcome);

  std::vector<WantedNode> nodes_;
  std::vector<State> states_;
};

}  // namespace muproc::test::chaos
