// What a broker says of its system: a row for each muproc and supervisor.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <chrono>

#include <muproc/pid.hpp>

#include "tools/common/failure.hpp"
#include "wire/control.capnp.h"
#include "wire/frame.hpp"

namespace muproc::tools {

using Node = wire::Node::Reader;

/// Readers into it live as long as it does.
class Nodes {
 public:
  /// Of a reply to `describe`.
  explicit Nodes(wire::Frame reply);

  /// In the broker's order: children of one supervisor in their start order.
  const std::vector<Node>& all() const { return all_; }
  /// By its name, one of its ports' names, or its pid as `<0.3.1>`. Throws Failure, with a suggestion for a near miss.
  Node find(std::string_view name) const;
  /// Those without a supervisor: the root, and what was spawned.
  std::vector<Node> roots() const;
  std::vector<Node> children_of(Node supervisor) const;
  /// Empty when nobody has it.
  std::string name_of(Pid pid) const;

 private:
  wire::Frame reply_;
  std::vector<Node> all_;
};

std::string name_of(Node node);
/// "ch-1 <0.3.1>".
std::string title(Node node);
/// That it does not run, and what can be done about that.
Failure not_running(Node node);
/// Since the present incarnation began; nothing when there is none.
std::optional<std::chrono::nanoseconds> uptime(Node node);

}  // namespace muproc::tools
