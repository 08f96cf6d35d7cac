#include "broker/metrics/open_metrics.hpp"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "wire/drop_words.hpp"
#include "wire/printable.hpp"

namespace muproc::broker {
namespace {

/// A label's value: valid UTF-8, with what would end it or the line escaped.
std::string label_value(std::string_view text) {
  std::string out = "\"";
  for (const char c : wire::printable(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "NaN"; }
std::string number(std::uint64_t value) { return fmt::format("{}", value); }

/// Writes the samples of one family; `labels` is "" or `{…}`.
class Samples {
 public:
  Samples(std::string& out, std::string name) : out_(out), name_(std::move(name)) {}
  template <class T>
  void add(const std::string& labels, T value) {
    out_ += name_ + labels + ' ' + number(value) + '\n';
  }

 private:
  std::string& out_;
  std::string name_;
};

struct Family {
  MetricFamily told;
  std::function<void(const SystemNumbers&, Samples&)> write;
};

constexpr std::string_view k_states[] = {"starting", "running", "stopping", "backing_off", "stopped", "failed", "draining"};

std::string labels_of(const NodeNumbers& node) {
  return node.supervisor.empty() ? fmt::format("{{muproc={}}}", label_value(node.name))
                                 : fmt::format("{{muproc={},supervisor={}}}", label_value(node.name), label_value(node.supervisor));
}

/// Of each muproc, if it has what is asked for.
template <class Get>
auto of_nodes(Get get) {
  return [get](const SystemNumbers& numbers, Samples& samples) {
    for (const NodeNumbers& node : numbers.nodes)
      if (node.kind != shm::SlotKind::supervisor)
        if (const auto value = get(node)) samples.add(labels_of(node), *value);
  };
}

template <class T>
auto mailbox(T MailboxNumbers::*field) {
  return of_nodes([field](const NodeNumbers& node) { return node.mailbox ? std::optional<T>((*node.mailbox).*field) : std::nullopt; });
}

template <class T>
auto process(T ProcessNumbers::*field) {
  return of_nodes([field](const NodeNumbers& node) { return node.process ? std::optional<T>((*node.process).*field) : std::nullopt; });
}

template <class T>
auto system(T SystemNumbers::*field) {
  return [field](const SystemNumbers& numbers, Samples& samples) { samples.add("", numbers.*field); };
}

void write_info(const SystemNumbers& numbers, Samples& samples) {
  samples.add(fmt::format("{{system={},version={}}}", label_value(numbers.system), label_value(numbers.version)), std::uint64_t{1});
}

void write_states(const SystemNumbers& numbers, Samples& samples) {
  std::map<std::uint32_t, std::uint64_t> counts;
  for (const NodeNumbers& node : numbers.nodes)
    if (node.kind != shm::SlotKind::supervisor) ++counts[static_cast<std::uint32_t>(node.state)];
  for (std::uint32_t state = 1; state <= std::size(k_states); ++state)
    samples.add(fmt::format("{{state=\"{}\"}}", k_states[state - 1]), counts[state]);
}

void write_drops(const SystemNumbers& numbers, Samples& samples) {
  for (std::uint32_t drop = 0; drop < shm::k_drops; ++drop)
    samples.add(fmt::format("{{reason=\"{}\"}}", wire::drop_word(drop)), numbers.dead_letters[drop]);
}

void write_supervisors(const SystemNumbers& numbers, Samples& samples) {
  for (const NodeNumbers& node : numbers.nodes)
    if (node.kind == shm::SlotKind::supervisor)
      samples.add(fmt::format("{{supervisor={}}}", label_value(node.name)), std::uint64_t{node.state == shm::SlotState::running});
}

const std::vector<Family>& families() {
  using N = NodeNumbers;
  using S = SystemNumbers;
  using M = MailboxNumbers;
  using P = ProcessNumbers;
  static const std::vector<Family> all = {
      {{"muproc_system", "info", "", "The system, and the version of its broker"}, write_info},
      {{"muproc_system_start_time_seconds", "gauge", "seconds", "When the system was launched, since 1970"}, system(&S::start_time)},
      {{"muproc_muprocs", "gauge", "", "Muprocs and plain programs by their state"}, write_states},
      {{"muproc_supervisor_up", "gauge", "", "1 when the supervisor is running"}, write_supervisors},
      {{"muproc_system_births", "counter", "", "Incarnations that began"}, system(&S::births)},
      {{"muproc_system_deaths", "counter", "", "Incarnations that ended"}, system(&S::deaths)},
      {{"muproc_system_restarts", "counter", "", "Restarts by supervisors"}, system(&S::restarts)},
      {{"muproc_system_crashes", "counter", "", "Ends by a signal, an exception, a watchdog, want of memory or a corrupt message"}, system(&S::crashes)},
      {{"muproc_dead_letters", "counter", "", "Messages that reached nobody, by the reason"}, write_drops},
      {{"muproc_system_shared_memory_bytes", "gauge", "bytes", "Memory in all segments and the directory"}, system(&S::shared_bytes)},
      {{"muproc_broker_cpu_seconds", "counter", "seconds", "Processor time of the broker"},
       [](const S& numbers, Samples& samples) { if (numbers.broker) samples.add("", numbers.broker->cpu_seconds); }},
      {{"muproc_broker_resident_memory_bytes", "gauge", "bytes", "Resident memory of the broker"},
       [](const S& numbers, Samples& samples) { if (numbers.broker) samples.add("", numbers.broker->resident_bytes); }},
      {{"muproc_broker_open_fds", "gauge", "", "Descriptors that the broker has open"}, system(&S::broker_fds)},

      {{"muproc_up", "gauge", "", "1 when it is running"}, of_nodes([](const N& node) { return std::optional<std::uint64_t>(node.state == shm::SlotState::running); })},
      {{"muproc_uptime_seconds", "gauge", "seconds", "Since its present incarnation began"}, of_nodes([](const N& node) { return node.up_seconds; })},
      {{"muproc_restarts", "counter", "", "Restarts by its supervisor"}, of_nodes([](const N& node) { return std::optional(node.restarts); })},
      {{"muproc_crashes", "counter", "", "Its ends by a signal, an exception, a watchdog, want of memory or a corrupt message"}, of_nodes([](const N& node) { return std::optional(node.crashes); })},
      {{"muproc_cpu_seconds", "counter", "seconds", "Processor time of its process"}, process(&P::cpu_seconds)},
      {{"muproc_resident_memory_bytes", "gauge", "bytes", "Resident memory of its process"}, process(&P::resident_bytes)},
      {{"muproc_shared_memory_bytes", "gauge", "bytes", "Memory in its segment"}, mailbox(&M::shared_bytes)},
      {{"muproc_messages_received", "counter", "", "Messages taken out of its channels"}, mailbox(&M::messages_received)},
      {{"muproc_messages_sent", "counter", "", "Messages that it has sent"}, mailbox(&M::messages_sent)},
      {{"muproc_received_bytes", "counter", "bytes", "Payload of what it has received"}, mailbox(&M::bytes_received)},
      {{"muproc_sent_bytes", "counter", "bytes", "What it has written into its channels, headers and padding included"}, mailbox(&M::bytes_sent)},
      {{"muproc_mailbox_messages", "gauge", "", "Messages that wait in its channels; of a channel at most the first 8192 are counted"}, mailbox(&M::depth)},
      {{"muproc_mailbox_bytes", "gauge", "bytes", "Bytes of its channels that wait"}, mailbox(&M::depth_bytes)},
      {{"muproc_mailbox_fill_ratio", "gauge", "ratio", "How full its fullest channel is, 0 to 1"}, mailbox(&M::fill)},
      {{"muproc_stash_messages", "gauge", "", "Messages that it has received and not matched"}, mailbox(&M::stash_messages)},
      {{"muproc_stash_bytes", "gauge", "bytes", "What these take"}, mailbox(&M::stash_bytes)},
      {{"muproc_sends_blocked", "counter", "", "Its sends that had to wait for room"}, mailbox(&M::sends_blocked)},
      {{"muproc_messages_to_dead", "counter", "", "What it sent to one that had ended"}, mailbox(&M::sent_to_dead)},
      {{"muproc_malformed_records", "counter", "", "Records that it has refused"}, mailbox(&M::malformed)},
  };
  return all;
}

/// Names become printable, and stay different from each other: a reader refuses all when one series is there twice.
void give_labels(std::vector<NodeNumbers>& nodes) {
  std::set<std::string> used;
  for (NodeNumbers& node : nodes) {
    node.name = wire::printable(node.name);
    while (!used.insert(node.name).second) node.name += '~';
  }
}

}  // namespace

std::vector<MetricFamily> metric_families() {
  std::vector<MetricFamily> told;
  for (const Family& family : families()) told.push_back(family.told);
  return told;
}

std::string open_metrics(SystemNumbers numbers) {
  give_labels(numbers.nodes);
  std::string out;
  for (const auto& [told, write] : families()) {
    out += fmt::format("# TYPE {} {}\n", told.name, told.type);
    if (!told.unit.empty()) out += fmt::format("# UNIT {} {}\n", told.name, told.unit);
    out += fmt::format("# HELP {} {}\n", told.name, told.help);
    Samples samples(out, std::string(told.name) + (told.type == "counter" ? "_total" : told.type == "info" ? "_info" : ""));
    write(numbers, samples);
  }
  return out + "# EOF\n";
}

}  // namespace muproc::broker
