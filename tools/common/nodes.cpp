#include "tools/common/nodes.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/failure.hpp"
#include "tools/common/text.hpp"
#include "wire/codec.hpp"
#include "wire/node_words.hpp"
#include "wire/suggest.hpp"

namespace muproc::tools {

Nodes::Nodes(wire::Frame reply) : reply_(std::move(reply)) {
  const auto contents = reply_.as<wire::FromBroker>();
  if (!contents.isNodes()) throw Failure(ExitCode::request_failed, "the broker does not say what there is");
  for (const auto node : contents.getNodes()) all_.push_back(node);
}

Node Nodes::find(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const Node& node : all_) {
    if (wire::view(node.getName()) == name) return node;
    if (node.getPid() != 0 && to_string(Pid(node.getPid())) == name) return node;
    names.push_back(wire::view(node.getName()));
  }
  for (const Node& node : all_)
    for (const auto port : node.getPorts()) {
      if (wire::view(port) == name) return node;
      names.push_back(wire::view(port));
    }
  if (name.starts_with('<'))
    throw Failure(ExitCode::request_failed,
                  fmt::format("no muproc or supervisor with the pid {} lives; a pid ends with its muproc, \"muctl ps\" shows the present ones", printable(name)));
  const std::string meant = printable(wire::did_you_mean(name, names));
  throw Failure(ExitCode::request_failed, fmt::format("no muproc or supervisor is named \"{}\"{}", printable(name),
                                                      meant.empty() ? "; \"muctl ps\" shows who there is" : meant));
}

std::vector<Node> Nodes::roots() const {
  std::vector<Node> roots;
  const auto is_known = [this](std::string_view name) {
    return std::any_of(all_.begin(), all_.end(), [&](const Node& node) { return wire::view(node.getName()) == name; });
  };
  std::copy_if(all_.begin(), all_.end(), std::back_inserter(roots),
               [&](const Node& node) { return !is_known(wire::view(node.getParent())); });
  return roots;
}

std::vector<Node> Nodes::children_of(Node supervisor) const {
  std::vector<Node> children;
  std::copy_if(all_.begin(), all_.end(), std::back_inserter(children),
               [&](const Node& node) { return wire::view(node.getParent()) == wire::view(supervisor.getName()); });
  return children;
}

std::string Nodes::name_of(Pid pid) const {
  const auto found =
      std::find_if(all_.begin(), all_.end(), [&](const Node& node) { return Pid(node.getPid()) == pid; });
  return found == all_.end() || !pid ? std::string() : tools::name_of(*found);
}

std::string name_of(Node node) { return wire::string(node.getName()); }

std::string title(Node node) {
  return node.getPid() == 0 ? printable(name_of(node)) : printable(name_of(node)) + ' ' + to_string(Pid(node.getPid()));
}

Failure not_running(Node node) {
  const std::string name = printable(name_of(node));
  const auto state = wire::state_word(node);
  std::string advice;
  if (node.getParent().size() > 0)
    advice = state == "backing_off" ? fmt::format("; its supervisor will start it again, \"muctl start {}\" does so now", name)
             : state == "starting"  ? "; it is on its way"
                                    : fmt::format("; \"muctl start {}\" starts it", name);
  return Failure(ExitCode::request_failed, fmt::format("{} is not running, it is {}{}", title(node), state, advice));
}

std::optional<std::chrono::nanoseconds> uptime(Node node) {
  if (node.getPid() == 0 || node.getStartedNs() == 0) return std::nullopt;
  const auto age = std::chrono::steady_clock::now().time_since_epoch() - std::chrono::nanoseconds(node.getStartedNs());
  return std::max<std::chrono::nanoseconds>(age, std::chrono::nanoseconds::zero());
}

}  // namespace muproc::tools
