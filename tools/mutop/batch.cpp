#include "tools/mutop/batch.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "tools/common/json.hpp"
#include "tools/common/table.hpp"
#include "tools/common/text.hpp"
#include "tools/mutop/rows.hpp"
#include "tools/mutop/words.hpp"

namespace muproc::mutop {
namespace {

using namespace std::chrono;
using tools::JsonWriter;
using tools::MuprocView;

constexpr int k_version = 1;  // of the JSON: new fields do not change it

double seconds_of(nanoseconds time) { return duration<double>(time).count(); }

std::optional<double> seconds_of(const std::optional<nanoseconds>& time) {
  return time ? std::optional(seconds_of(*time)) : std::nullopt;
}

std::optional<std::string> pid_text(Pid pid) { return pid ? std::optional(to_string(pid)) : std::nullopt; }

std::optional<std::string_view> if_any(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

std::string iso_time(std::int64_t wall_ns) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(static_cast<std::time_t>(wall_ns / 1'000'000'000)),
                     wall_ns / 1000 % 1'000'000);
}

void write_totals(JsonWriter& json, const tools::Sample& sample) {
  const tools::Snapshot& now = *sample.now;
  json.key("totals").begin_object();
  std::uint64_t supervisors = 0, up = 0, backing_off = 0, failed = 0;
  for (const MuprocView& muproc : now.muprocs) {
    if (muproc.is_supervisor()) {
      ++supervisors;
      continue;
    }
    up += muproc.state == shm::SlotState::running;
    backing_off += muproc.state == shm::SlotState::backing_off;
    failed += muproc.state == shm::SlotState::failed;
  }
  json.field("muprocs", now.muprocs.size() - supervisors)
      .field("supervisors", supervisors)
      .field("running", up)
      .field("backing_off", backing_off)
      .field("failed", failed);
  json.field("messages_per_second", sample.messages)
      .field("cpu_percent", sample.cpu)
      .field("resident_bytes", sample.resident)
      .field("shared_bytes", now.shared_bytes);
  json.field("births", now.births).field("deaths", now.deaths).field("restarts", now.restarts);
  json.field("restarts_last_minute", sample.restarts_last_minute)
      .field("restarts_last_hour", sample.restarts_last_hour)
      .end_object();
}

void write_supervision(JsonWriter& json, const MuprocView& muproc) {
  json.key("supervision");
  if (!muproc.supervision) return void(json.value(nullptr));
  json.begin_object()
      .field("strategy", muproc.supervision->strategy)
      .field("limit_restarts", muproc.supervision->limit);
  json.field("limit_within_seconds", seconds_of(muproc.supervision->within))
      .field("restarts_used", muproc.supervision->used)
      .end_object();
}

void write_in_hand(JsonWriter& json, const tools::Snapshot& now, const tools::MuprocStatus& status) {
  json.key("in_hand").begin_array();
  for (const tools::HandledMessage& message : status.in_hand) {
    json.begin_object().field("from", pid_text(message.sender)).field("from_name", now.name_of(message.sender));
    json.field("type_id", fmt::format("{:#x}", message.type_id))
        .field("age_seconds", seconds_of(message.age))
        .end_object();
  }
  json.end_array();
}

void write_status(JsonWriter& json, const tools::Snapshot& now, const MuprocView& muproc,
                  const tools::MuprocRates& rates) {
  json.key("status");
  if (!muproc.status) return void(json.value(nullptr));
  const tools::MuprocStatus& status = *muproc.status;
  json.begin_object().field("activity", tools::activity_word(status.activity)).field("traps_exits", status.traps_exits);
  json.field("blocked_on", pid_text(status.blocked_on))
      .field("blocked_on_name", status.blocked_on ? std::optional(now.name_of(status.blocked_on)) : std::nullopt);
  json.field("messages_received", status.messages_received).field("messages_sent", status.messages_sent);
  json.field("bytes_received", status.bytes_received)
      .field("bytes_sent", status.bytes_sent)
      .field("large_sent", status.large_sent);
  json.field("sends_blocked", status.sends_blocked)
      .field("sent_to_dead", status.sent_to_dead)
      .field("dead_letters", status.dead_letters);
  json.field("malformed", status.malformed).field("wakes", status.wakes);
  json.field("stash_messages", status.stash_messages)
      .field("stash_bytes", status.stash_bytes)
      .field("stash_high_water_bytes", status.stash_high_water);
  json.field("received_per_second", rates.received).field("sent_per_second", rates.sent);
  json.field("received_bytes_per_second", rates.bytes_received).field("sent_bytes_per_second", rates.bytes_sent);
  json.field("handler_seconds", seconds_of(rates.handling));
  write_in_hand(json, now, status);
  json.end_object();
}

void write_mailbox(JsonWriter& json, const MuprocView& muproc, const tools::MuprocRates& rates) {
  const tools::MailboxView& mailbox = muproc.mailbox;
  json.key("mailbox");
  if (!muproc.status) return void(json.value(nullptr));
  json.begin_object()
      .field("channels", mailbox.channels)
      .field("waiting_messages", mailbox.waiting)
      .field("waiting_bytes", mailbox.waiting_bytes);
  json.field("capacity_bytes", mailbox.capacity)
      .field("is_at_least", mailbox.has_more)
      .field("fill", mailbox.fill)
      .field("high_water", rates.high_water);
  json.field("oldest_seconds", seconds_of(mailbox.oldest)).end_object();
}

void write_muproc(JsonWriter& json, const tools::Snapshot& now, const MuprocView& muproc,
                  const tools::MuprocRates& rates) {
  const MuprocView* parent = muproc.parent == tools::k_no_parent ? nullptr : now.at_slot(muproc.parent);
  json.begin_object().field("name", std::string_view(muproc.name)).field("pid", pid_text(muproc.pid));
  json.field("os_pid", muproc.os_pid != 0 ? std::optional(muproc.os_pid) : std::nullopt);
  json.field("kind", tools::kind_word(muproc.kind)).field("state", tools::state_word(muproc.state));
  json.field("parent", parent ? std::optional(std::string_view(parent->name)) : std::nullopt);
  json.field("restarts", muproc.restarts).field("last_exit", if_any(muproc.last_exit));
  json.field("uptime_seconds", seconds_of(muproc.up_for)).field("due_in_seconds", seconds_of(muproc.due_in));
  json.field("user", if_any(rates.user))
      .field("cpu_percent", rates.cpu)
      .field("resident_bytes", rates.resident)
      .field("threads", rates.threads)
      .field("shared_bytes", muproc.shared_bytes);
  write_supervision(json, muproc);
  write_status(json, now, muproc, rates);
  write_mailbox(json, muproc, rates);
  json.end_object();
}

void write_channel(JsonWriter& json, const tools::Snapshot& now, const tools::ChannelView& channel,
                   const tools::ChannelRates& rates) {
  json.begin_object().field("from", to_string(channel.from)).field("from_name", now.name_of(channel.from));
  json.field("to", to_string(channel.to))
      .field("to_name", now.name_of(channel.to))
      .field("ring_bytes", channel.ring_size);
  json.field("waiting_messages", channel.is_known ? std::optional(channel.waiting) : std::nullopt)
      .field("waiting_bytes", channel.is_known ? std::optional(channel.waiting_bytes) : std::nullopt);
  json.field("is_at_least", channel.has_more).field("fill", channel.fill()).field("high_water", rates.high_water);
  json.field("oldest_seconds", seconds_of(channel.oldest)).field("bytes_per_second", rates.bytes);
  json.field("is_blocked", rates.is_blocked).field("blocked_seconds", seconds_of(rates.blocked)).end_object();
}

}  // namespace

std::string json_of(const Model& model) {
  const tools::Sample& sample = model.sample();
  const tools::Snapshot& now = *sample.now;
  JsonWriter json;
  json.begin_object()
      .field("version", k_version)
      .field("time", iso_time(now.taken_wall_ns))
      .field("system", std::string_view(now.system));
  json.key("broker")
      .begin_object()
      .field("os_pid", now.broker_os_pid)
      .field("state", tools::broker_word(now.broker))
      .field("cpu_percent", sample.broker_cpu)
      .end_object();
  json.field("uptime_seconds", seconds_of(now.up_for)).field("span_seconds", seconds_of(sample.span));
  write_totals(json, sample);
  json.key("muprocs").begin_array();
  for (std::size_t i = 0; i < now.muprocs.size(); ++i) write_muproc(json, now, now.muprocs[i], sample.muprocs[i]);
  json.end_array().key("channels").begin_array();
  for (std::size_t i = 0; i < now.channels.size(); ++i) write_channel(json, now, now.channels[i], sample.channels[i]);
  json.end_array().end_object();
  return tools::on_one_line(json.take()) + '\n';
}

std::string text_of(const Model& model) {
  const tools::Sample& sample = model.sample();
  const tools::Snapshot& now = *sample.now;
  std::string text =
      fmt::format("{}  {}  broker {} {}  up {}  CPU {}%  RES {}  shared {}  {} msg/s  restarts {} in 1m, {} in 1h\n",
                  iso_time(now.taken_wall_ns), tools::printable(now.system), now.broker_os_pid,
                  tools::broker_word(now.broker), tools::short_duration(now.up_for), short_percent(sample.cpu),
                  short_bytes(static_cast<double>(sample.resident)), short_bytes(static_cast<double>(now.shared_bytes)),
                  short_count(sample.messages), sample.restarts_last_minute, sample.restarts_last_hour);
  std::vector<std::string> headings;
  for (const ColumnInfo& info : all_columns())
    headings.push_back((info.to_the_right ? ">" : "") + std::string(info.heading));
  tools::Table table(headings);
  for (const Row& row : rows_of(model, {}, true)) {
    const Subject subject = model.subject(row.index);
    std::vector<std::string> cells;
    for (const ColumnInfo& info : all_columns()) cells.push_back(text_of(subject, info.column, info.width, true).text);
    cells.front() = row.branch + cells.front();
    if (subject.muproc.supervision)
      cells.back() += (cells.back().empty() ? "" : "; ") + supervision_text(*subject.muproc.supervision);
    table.add(std::move(cells));
  }
  return text + table.text() + '\n';
}

}  // namespace muproc::mutop
