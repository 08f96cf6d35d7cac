#include "tools/common/to_json.hpp"

#include <fmt/format.h>

#include <muproc/reason.hpp>

#include "tools/common/process_usage.hpp"
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

void write_process(JsonWriter& json, int os_pid) {
  json.key("process");
  const auto usage = os_pid > 0 ? ProcessProbe(os_pid).look() : std::nullopt;
  if (!usage) {
    json.value(nullptr);
    return;
  }
  json.begin_object().field("cpu_seconds", seconds(usage->cpu)).field("resident_bytes", usage->resident).field("threads", usage->threads).end_object();
}

/// What waits for it, and what it says of itself beyond `status`.
void write_mailbox(JsonWriter& json, const MuprocView* view) {
  json.key("mailbox");
  if (!view || !view->status) {
    json.value(nullptr);
    return;
  }
  const MailboxView& mailbox = view->mailbox;
  const MuprocStatus& status = *view->status;
  json.begin_object().field("channels", mailbox.channels).field("waiting_messages", mailbox.waiting).field("waiting_bytes", mailbox.waiting_bytes);
  json.field("capacity_bytes", mailbox.capacity).field("is_at_least", mailbox.has_more).field("fill", mailbox.fill);
  json.field("oldest_seconds", mailbox.oldest ? std::optional(seconds(*mailbox.oldest)) : std::nullopt);
  json.field("bytes_received", status.bytes_received).field("bytes_sent", status.bytes_sent).field("large_sent", status.large_sent);
  json.field("stash_high_water_bytes", status.stash_high_water).field("shared_bytes", view->shared_bytes);
  const bool is_blocked = status.activity == shm::Activity::sending && status.blocked_on;
  json.field("blocked_on", is_blocked ? std::optional(to_string(status.blocked_on)) : std::nullopt);
  json.field("in_hand", status.in_hand_depth).end_object();
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
  json.key("kept");
  if (node.getKeepsMailbox()) {
    json.begin_object().field("in_hand", wire::view(node.getInHand())).field("messages", node.getKeptMessages());
    json.field("dropped_in_hand", node.getDroppedInHand()).field("redelivered", node.getRedelivered()).end_object();
  } else {
    json.value(nullptr);
  }
  const auto up_for = uptime(node);
  json.field("uptime_seconds", up_for ? std::optional(seconds(*up_for)) : std::nullopt);
  write_text(json, "last_exit", node.getLastExit());
  write_text(json, "restart", node.getRestart());
  write_text(json, "stop", node.getStop());
  write_text(json, "code", node.getCode());
  write_text(json, "user", node.getUser());
  write_text(json, "sandbox", node.getSandbox());
  write_text(json, "memory_limit", node.getMemoryLimit());
  json.field("spares", node.getSpares());
  json.field("spares_ready", node.getSparesReady());
  write_text(json, "says", node.getSaidStatus());
  write_supervision(json, node);
  json.key("ports").begin_array();
  for (const auto port : node.getPorts()) json.value(wire::view(port));
  json.end_array();
  write_peers(json, "links", nodes, node.getLinks());
  write_peers(json, "monitors", nodes, node.getMonitors());
  write_status(json, node);
}

void write_node(JsonWriter& json, const Nodes& nodes, Node node, const Snapshot* seen) {
  write_node(json, nodes, node);
  json.field("watchdog_seconds", node.getWatchdogNs() > 0 ? std::optional(seconds(std::chrono::nanoseconds(node.getWatchdogNs()))) : std::nullopt);
  const MuprocView* view = seen ? seen->find(wire::view(node.getName())) : nullptr;
  if (view && view->pid != Pid(node.getPid())) view = nullptr;  // it has ended, or begun anew, in between
  json.field("due_in_seconds", view && view->due_in ? std::optional(seconds(*view->due_in)) : std::nullopt);
  if (wire::is_supervisor(node)) json.field("restarts_used", view && view->supervision ? std::optional(view->supervision->used) : std::nullopt);
  write_process(json, node.getOsPid());
  if (wire::has_mailbox(node)) write_mailbox(json, view && view->pid ? view : nullptr);
}

void write_value(JsonWriter& json, const Value& value) { std::visit(ValueWriter{json}, value.variant()); }

void write_value(JsonWriter& json, const Mumsg& mumsg) {
  json.begin_object();
  for (const auto& [name, value] : mumsg) json.key(name), write_value(json, value);
  json.end_object();
}

}  // namespace muproc::tools
