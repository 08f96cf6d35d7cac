#include "tools/common/to_json.hpp"

#include <fmt/format.h>

#include <muproc/reason.hpp>

#include "wire/codec.hpp"
#include "wire/node_words.hpp"

namespace muproc::tools {
namespace {

double seconds(std::chrono::nanoseconds duration) {
  // Milliseconds are enough, and short to read.
  return static_cast<double>(duration / std::chrono::milliseconds(1)) / 1000.0;
}

/// Null when it is empty.
void write_text(JsonWriter& json, std::string_view name, capnp::Text::Reader text) {
  json.key(name);
  text.size() == 0 ? json.value(nullptr) : json.value(wire::view(text));
}

void write_peers(JsonWriter& json, std::string_view name, const Nodes& nodes, capnp::List<std::uint64_t>::Reader pids) {
  json.key(name).begin_array();
  for (const std::uint64_t bits : pids) {
    const Pid pid(bits);
    json.begin_object().field("pid", to_string(pid)).key("name");
    const std::string peer = nodes.name_of(pid);
    peer.empty() ? json.value(nullptr) : json.value(peer);
    json.end_object();
  }
  json.end_array();
}

void write_supervision(JsonWriter& json, Node node) {
  if (!wire::is_supervisor(node)) return;
  write_text(json, "strategy", node.getStrategy());
  json.key("limit").begin_object();
  json.field("restarts", node.getLimitRestarts());
  json.field("within_seconds", seconds(std::chrono::nanoseconds(node.getLimitWithinNs())));
  json.end_object();
}

void write_status(JsonWriter& json, Node node) {
  if (!wire::has_mailbox(node)) return;
  json.key("status");
  if (node.getPid() == 0 || !node.hasNodeStatus()) {
    json.value(nullptr);
    return;
  }
  const auto status = node.getNodeStatus();
  json.begin_object();
  json.field("activity", wire::activity_word(status));
  json.field("traps_exits", status.getTrapsExits());
  json.field("messages_sent", status.getMessagesSent());
  json.field("messages_received", status.getMessagesReceived());
  json.field("stash_messages", status.getStashMessages());
  json.field("stash_bytes", status.getStashBytes());
  json.field("sent_to_dead", status.getSentToDead());
  json.field("malformed", status.getMalformed());
  json.field("sends_blocked", status.getSendsBlocked());
  json.field("wakes", status.getWakes());
  json.end_object();
}

struct ValueWriter {
  JsonWriter& json;

  void operator()(std::monostate) const { json.value(nullptr); }
  void operator()(bool value) const { json.value(value); }
  void operator()(std::int64_t value) const { json.value(value); }
  void operator()(double value) const { json.value(value); }
  void operator()(const Symbol& value) const { json.value(value.name); }
  void operator()(const std::string& value) const { json.value(value); }
  void operator()(const Data& value) const {
    std::string hex;
    for (const std::byte byte : value) hex += fmt::format("{:02x}", static_cast<unsigned>(byte));
    json.value(hex);
  }
  void operator()(const List& value) const {
    json.begin_array();
    for (const auto& element : value) write_value(json, element);
    json.end_array();
  }
  void operator()(const Mumsg& value) const { write_value(json, value); }
  void operator()(Pid value) const { value ? json.value(to_string(value)) : json.value(nullptr); }
  void operator()(const StructValue& value) const {
    json.begin_object().field("type_id", fmt::format("{:#x}", value.type_id));
    json.field("bytes", value.words.size() * 8).end_object();
  }
  void operator()(const std::shared_ptr<const Reason>& value) const { json.value(to_string(*value)); }
};

}  // namespace

void write_node(JsonWriter& json, const Nodes& nodes, Node node) {
  const bool is_up = node.getPid() != 0;
  json.field("name", wire::view(node.getName()));
  json.field("pid", is_up ? std::optional(to_string(Pid(node.getPid()))) : std::nullopt);
  json.field("os_pid", node.getOsPid() != 0 ? std::optional(node.getOsPid()) : std::nullopt);
  json.field("kind", wire::kind_word(node));
  json.field("state", wire::state_word(node));
  write_text(json, "parent", node.getParent());
  json.field("restarts", node.getRestarts());
  const auto up_for = uptime(node);
  json.field("uptime_seconds", up_for ? std::optional(seconds(*up_for)) : std::nullopt);
  write_text(json, "last_exit", node.getLastExit());
  write_text(json, "restart", node.getRestart());
  write_text(json, "stop", node.getStop());
  write_text(json, "code", node.getCode());
  write_supervision(json, node);
  json.key("ports").begin_array();
  for (const auto port : node.getPorts()) json.value(wire::view(port));
  json.end_array();
  write_peers(json, "links", nodes, node.getLinks());
  write_peers(json, "monitors", nodes, node.getMonitors());
  write_status(json, node);
}

void write_value(JsonWriter& json, const Value& value) { std::visit(ValueWriter{json}, value.variant()); }

void write_value(JsonWriter& json, const Mumsg& mumsg) {
  json.begin_object();
  for (const auto& [name, value] : mumsg) json.key(name), write_value(json, value);
  json.end_object();
}

}  // namespace muproc::tools
