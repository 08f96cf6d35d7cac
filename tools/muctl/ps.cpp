#include <fmt/format.h>

#include <memory>

#include "tools/common/system_view.hpp"
#include "tools/common/table.hpp"
#include "tools/common/text.hpp"
#include "tools/common/to_json.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"
#include "wire/node_words.hpp"

namespace muproc::tools {
namespace {

/// What only the memory says; nothing when it is not ours to see.
std::shared_ptr<const Snapshot> look(const BrokerClient& broker) try {
  return SystemView(broker.folder().native()).look();
} catch (const Failure&) {
  return nullptr;
}

std::string json_rows(const BrokerClient& broker, const Nodes& nodes) {
  const auto seen = look(broker);
  JsonWriter json;
  json.begin_object().field("system", broker.system()).key("nodes").begin_array();
  for (const Node& node : nodes.all()) {
    json.begin_object();
    write_node(json, nodes, node, seen.get());
    json.end_object();
  }
  json.end_array().end_object();
  return json.take() + '\n';
}

template <class T>
std::string number_if(bool is_known, T value) {
  return is_known ? fmt::format("{}", value) : "-";
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::vector<std::string> row(const Node& node) {
  const bool is_up = node.getPid() != 0;
  const bool counts = is_up && wire::has_mailbox(node);
  const auto status = node.getNodeStatus();
  const auto up_for = uptime(node);
  return {printable(name_of(node)),
          is_up ? to_string(Pid(node.getPid())) : "-",
          number_if(node.getOsPid() != 0, node.getOsPid()),
          std::string(wire::kind_word(node)),
          std::string(wire::state_word(node)),
          fmt::format("{}", node.getRestarts()),
          up_for ? short_duration(*up_for) : "-",
          number_if(counts, status.getMessagesReceived()),
          number_if(counts, status.getMessagesSent()),
          number_if(counts, status.getStashMessages()),
          or_dash(printable(wire::view(node.getLastExit())))};
}

}  // namespace

std::string ps(const Context& context) {
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  if (context.json) return json_rows(broker, nodes);
  Table table({"NAME", "PID", ">OSPID", "KIND", "STATE", ">RESTARTS", ">UPTIME", ">IN", ">OUT", ">STASH", "LAST EXIT"});
  for (const Node& node : nodes.all()) table.add(row(node));
  return table.text();
}

}  // namespace muproc::tools
