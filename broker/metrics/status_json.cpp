#include "broker/metrics/status_json.hpp"

#include "shm/state_words.hpp"
#include "wire/json.hpp"

namespace muproc::broker {
namespace {

void write(wire::JsonWriter& json, const NodeNumbers& node) {
  json.begin_object();
  json.field("name", node.name).field("supervisor", node.supervisor).field("kind", shm::kind_word(node.kind)).field("state", shm::state_word(node.state));
  json.field("pid", node.pid).field("os_pid", node.os_pid).field("restarts", node.restarts).field("crashes", node.crashes);
  json.field("last_exit", node.last_exit).field("up_seconds", node.up_seconds);
  if (const auto& process = node.process) json.field("cpu_seconds", process->cpu_seconds).field("resident_bytes", process->resident_bytes);
  if (const auto& mailbox = node.mailbox) {
    json.field("received", mailbox->messages_received).field("sent", mailbox->messages_sent);
    json.field("waiting", mailbox->depth).field("fill", mailbox->fill).field("stash", mailbox->stash_messages);
  }
  json.end_object();
}

}  // namespace

std::string status_json(const SystemNumbers& numbers) {
  wire::JsonWriter json;
  json.begin_object();
  json.field("system", numbers.system).field("version", numbers.version);
  json.field("start_time", numbers.start_time).field("now", numbers.now);
  json.field("births", numbers.births).field("deaths", numbers.deaths).field("restarts", numbers.restarts).field("crashes", numbers.crashes);
  json.field("shared_bytes", numbers.shared_bytes);
  if (numbers.broker) json.field("broker_cpu_seconds", numbers.broker->cpu_seconds).field("broker_resident_bytes", numbers.broker->resident_bytes);
  json.key("nodes").begin_array();
  for (const NodeNumbers& node : numbers.nodes) write(json, node);
  json.end_array().end_object();
  return json.take() + '\n';
}

}  // namespace muproc::broker
