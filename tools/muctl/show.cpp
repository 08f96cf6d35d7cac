#include <fmt/format.h>

#include "tools/common/table.hpp"
#include "tools/common/text.hpp"
#include "tools/common/to_json.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"
#include "wire/node_words.hpp"

namespace muproc::tools {
namespace {

/// "NAME  value" lines, the values in one column. Empty values are left out.
class Sheet {
 public:
  void add(const std::string& name, const std::string& value) {
    if (!value.empty()) lines_.emplace_back(name, value);
  }
  std::string text() const {
    std::size_t width = 0;
    for (const auto& [name, value] : lines_) width = std::max(width, columns(name));
    std::string out;
    for (const auto& [name, value] : lines_) out += name + std::string(width - columns(name) + 2, ' ') + value + '\n';
    return out;
  }

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

std::string peers(const Nodes& nodes, capnp::List<std::uint64_t>::Reader pids) {
  std::string out;
  for (const std::uint64_t bits : pids) {
    const std::string name = printable(nodes.name_of(Pid(bits)));
    out += fmt::format("{}{}{}{}", out.empty() ? "" : ", ", name, name.empty() ? "" : " ", to_string(Pid(bits)));
  }
  return out;
}

std::string ports(const Node& node) {
  std::string out;
  for (const auto port : node.getPorts()) (out += out.empty() ? "" : ", ") += printable(wire::view(port));
  return out;
}

void add_status(Sheet& sheet, const wire::Status::Reader& status) {
  sheet.add("activity", std::string(wire::activity_word(status)));
  sheet.add("traps exits", status.getTrapsExits() ? "yes" : "no");
  sheet.add("received", fmt::format("{} messages", status.getMessagesReceived()));
  sheet.add("sent", fmt::format("{} messages, {} to the dead, {} had to wait", status.getMessagesSent(),
                                status.getSentToDead(), status.getSendsBlocked()));
  sheet.add("stash", fmt::format("{} messages, {} bytes", status.getStashMessages(), status.getStashBytes()));
  sheet.add("malformed", fmt::format("{} records refused", status.getMalformed()));
  sheet.add("wakes", fmt::format("{}", status.getWakes()));
}

std::string sheet_of(const Nodes& nodes, const Node& node) {
  Sheet sheet;
  sheet.add("name", printable(name_of(node)));
  if (node.getPid() != 0) sheet.add("pid", to_string(Pid(node.getPid())));
  if (node.getOsPid() != 0) sheet.add("OS pid", fmt::format("{}", node.getOsPid()));
  sheet.add("kind", std::string(wire::kind_word(node)));
  sheet.add("state", std::string(wire::state_word(node)));
  sheet.add("supervisor", printable(wire::view(node.getParent())));
  sheet.add("code", printable(wire::view(node.getCode())));
  sheet.add("strategy", printable(wire::view(node.getStrategy())));
  if (wire::is_supervisor(node))
    sheet.add("limit", fmt::format("{} restarts in {}", node.getLimitRestarts(),
                                   short_duration(std::chrono::nanoseconds(node.getLimitWithinNs()))));
  sheet.add("restart", printable(wire::view(node.getRestart())));
  sheet.add("stop", printable(wire::view(node.getStop())));
  sheet.add("user", printable(wire::view(node.getUser())));
  sheet.add("sandbox", printable(wire::view(node.getSandbox())));
  sheet.add("memory limit", printable(wire::view(node.getMemoryLimit())));
  if (node.getWatchdogNs() > 0) sheet.add("watchdog", short_duration(std::chrono::nanoseconds(node.getWatchdogNs())));
  if (node.getSpares() > 0 || node.getSparesReady() > 0) sheet.add("spares", fmt::format("{} of {} ready", node.getSparesReady(), node.getSpares()));
  sheet.add("says", printable(wire::view(node.getSaidStatus())));
  if (const auto up_for = uptime(node)) sheet.add("up for", short_duration(*up_for));
  sheet.add("restarts", fmt::format("{}", node.getRestarts()));
  if (node.getKeepsMailbox())
    sheet.add("kept", fmt::format("{} messages over all restarts; of those in hand at a death {} dropped, {} delivered again",
                                  node.getKeptMessages(), node.getDroppedInHand(), node.getRedelivered()));
  sheet.add("last exit", printable(wire::view(node.getLastExit())));
  sheet.add("ports", ports(node));
  sheet.add("links", peers(nodes, node.getLinks()));
  sheet.add("monitors", peers(nodes, node.getMonitors()));
  if (node.getPid() != 0 && node.hasNodeStatus() && wire::has_mailbox(node)) add_status(sheet, node.getNodeStatus());
  return sheet.text();
}

}  // namespace

std::string show(const Context& context, const std::string& name) {
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  const Node node = nodes.find(name);
  if (!context.json) return sheet_of(nodes, node);
  JsonWriter json;
  json.begin_object();
  write_node(json, nodes, node);
  json.end_object();
  return json.take() + '\n';
}

}  // namespace muproc::tools
