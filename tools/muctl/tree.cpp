#include <fmt/format.h>

#include "tools/common/table.hpp"
#include "tools/common/text.hpp"
#include "tools/common/to_json.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"
#include "wire/node_words.hpp"

namespace muproc::tools {
namespace {

// A supervisor's parent is one, and it is in nobody's books twice: the recursion ends. A broker that says otherwise must
// not have us recurse for ever.
constexpr int k_max_depth = 256;

void write_branch(JsonWriter& json, const Nodes& nodes, const Node& node, int depth = 0) {
  json.begin_object();
  write_node(json, nodes, node);
  json.key("children").begin_array();
  if (depth < k_max_depth)
    for (const Node& child : nodes.children_of(node)) write_branch(json, nodes, child, depth + 1);
  json.end_array().end_object();
}

std::string json_tree(const BrokerClient& broker, const Nodes& nodes) {
  JsonWriter json;
  json.begin_object().field("system", broker.system()).key("roots").begin_array();
  for (const Node& root : nodes.roots()) write_branch(json, nodes, root);
  json.end_array().end_object();
  return json.take() + '\n';
}

/// "one_for_one, 2 in 5s" or "libarea.so:areaserver".
std::string what(const Node& node) {
  if (!wire::is_supervisor(node)) {
    const std::string code = printable(wire::view(node.getCode()));
    return code.empty() ? std::string(wire::kind_word(node)) : code;
  }
  const std::chrono::nanoseconds within(node.getLimitWithinNs());
  return fmt::format("{}, {} in {}", printable(wire::view(node.getStrategy())), node.getLimitRestarts(),
                     short_duration(within));
}

void draw(Table& table, const Nodes& nodes, const Node& node, const std::string& stem, const std::string& below,
          int depth = 0) {
  const auto up_for = uptime(node);
  const std::string restart = printable(wire::view(node.getRestart()));
  table.add({stem + printable(name_of(node)), what(node), restart.empty() ? "-" : restart,
             std::string(wire::state_word(node)), node.getOsPid() != 0 ? fmt::format("{}", node.getOsPid()) : "-",
             fmt::format("{}", node.getRestarts()), up_for ? short_duration(*up_for) : "-"});
  if (depth == k_max_depth) return;
  const auto children = nodes.children_of(node);
  for (std::size_t i = 0; i < children.size(); ++i) {
    const bool is_last = i + 1 == children.size();
    draw(table, nodes, children[i], below + (is_last ? "└─ " : "├─ "), below + (is_last ? "   " : "│  "), depth + 1);
  }
}

}  // namespace

std::string tree(const Context& context) {
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  if (context.json) return json_tree(broker, nodes);
  Table table({"NAME", "WHAT", "RESTART", "STATE", ">OSPID", ">RESTARTS", ">UPTIME"});
  for (const Node& root : nodes.roots()) draw(table, nodes, root, "", "");
  return table.text();
}

}  // namespace muproc::tools
