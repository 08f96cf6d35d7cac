#include "tools/common/sampler.hpp"

#include <algorithm>

#include "tools/common/process_user.hpp"

namespace muproc::tools {
namespace {

using namespace std::chrono;

double per_second(std::uint64_t now, std::uint64_t before, nanoseconds span) {
  if (span <= 0ns || now < before) return 0;  // a counter that goes back is a muproc's lie
  return static_cast<double>(now - before) / duration<double>(span).count();
}

}  // namespace

const MuprocRates* Sample::rates_of(const MuprocView& muproc) const {
  const auto index = static_cast<std::size_t>(&muproc - now->muprocs.data());
  return index < muprocs.size() ? &muprocs[index] : nullptr;
}

Sample Sampler::sample(std::shared_ptr<const Snapshot> now) {
  Sample sample;
  sample.now = now;
  sample.span = before_ ? now->taken - before_->taken : 0ns;
  ++generation_;
  std::unordered_map<Pid, Known> still_known;
  for (const MuprocView& muproc : now->muprocs) {
    if (!muproc.pid) {
      sample.muprocs.emplace_back();
      continue;
    }
    Known& known = still_known[muproc.pid];
    if (const auto before = known_.find(muproc.pid); before != known_.end()) known = std::move(before->second);
    sample.muprocs.push_back(rates(muproc, known, sample));
  }
  known_ = std::move(still_known);
  for (const ChannelView& channel : now->channels) sample.channels.push_back(rates(channel, sample));
  std::erase_if(channels_, [this](const auto& entry) { return entry.second.generation != generation_; });
  MuprocView broker;
  broker.os_pid = now->broker == BrokerState::gone ? 0 : now->broker_os_pid;
  MuprocRates broker_rates;
  look_at_process(broker, broker_, broker_rates, sample);
  sample.broker_cpu = broker_rates.cpu;
  count_restarts(sample);
  before_ = std::move(now);
  return sample;
}

MuprocRates Sampler::rates(const MuprocView& muproc, Known& known, Sample& sample) {
  MuprocRates rates;
  look_at_process(muproc, known, rates, sample);
  known.high_water = std::max(known.high_water, muproc.mailbox.fill);
  rates.high_water = known.high_water;
  if (!muproc.status) return rates;
  const MuprocStatus& status = *muproc.status;
  if (known.has_counts) {
    rates.received = per_second(status.messages_received, known.received, sample.span);
    rates.sent = per_second(status.messages_sent, known.sent, sample.span);
    rates.bytes_received = per_second(status.bytes_received, known.bytes_received, sample.span);
    rates.bytes_sent = per_second(status.bytes_sent, known.bytes_sent, sample.span);
    sample.messages += rates.received;
  }
  look_at_handler(muproc, known, rates, sample);
  known.has_counts = true;
  known.received = status.messages_received;
  known.sent = status.messages_sent;
  known.bytes_received = status.bytes_received;
  known.bytes_sent = status.bytes_sent;
  return rates;
}

void Sampler::look_at_process(const MuprocView& muproc, Known& known, MuprocRates& rates, Sample& sample) const {
  if (muproc.os_pid <= 0) return;
  if (known.os_pid != muproc.os_pid) {
    known.os_pid = muproc.os_pid;
    known.probe = ProcessProbe(muproc.os_pid);
    known.usage.reset();
    known.user = user_of_process(muproc.os_pid);
  }
  const auto usage = known.probe.look();
  if (usage) {
    rates.resident = usage->resident;
    rates.threads = usage->threads;
    rates.user = known.user;
    sample.resident += usage->resident;
  }
  if (usage && known.usage && sample.span > 0ns) {
    rates.cpu = 100 * duration<double>(usage->cpu - known.usage->cpu).count() / duration<double>(sample.span).count();
    sample.cpu += *rates.cpu;
  }
  known.usage = usage;
}

/// It began after the look before, if that saw another message or none, and after the message was sent in any case.
void Sampler::look_at_handler(const MuprocView& muproc, Known& known, MuprocRates& rates, const Sample& sample) const {
  const MuprocStatus& status = *muproc.status;
  if (status.in_hand.empty()) {
    known.in_hand = 0;
    known.depth = 0;
    return;
  }
  const HandledMessage& innermost = status.in_hand.back();
  const auto now = sample.now->taken;
  if (known.in_hand != innermost.timestamp || known.depth != status.in_hand_depth) {
    const auto sent = now - innermost.age;
    known.handled_since = known.has_counts ? std::max(now - sample.span, sent) : sent;
    known.in_hand = innermost.timestamp;
    known.depth = status.in_hand_depth;
  }
  rates.handling = now - known.handled_since;
}

ChannelRates Sampler::rates(const ChannelView& channel, const Sample& sample) {
  ChannelRates rates;
  const auto [at, is_new] = channels_.try_emplace({channel.from, {channel.to, channel.secret}});
  KnownChannel& known = at->second;
  if (!is_new) rates.bytes = per_second(channel.taken_to, known.taken_to, sample.span);
  const MuprocView* sender = sample.now->find(channel.from);
  rates.is_blocked = sender && sender->status && sender->status->blocked_on == channel.to;
  if (rates.is_blocked && !is_new) known.blocked += sample.span;
  known.taken_to = channel.taken_to;
  known.high_water = std::max(known.high_water, channel.fill());
  known.generation = generation_;
  rates.high_water = known.high_water;
  rates.blocked = known.blocked;
  return rates;
}

void Sampler::count_restarts(Sample& sample) {
  const auto now = sample.now->taken;
  const std::uint64_t all = sample.now->restarts;
  // One entry for each change: at() is how many there were at that time.
  if (restarts_.empty() || restarts_.back().second != all) restarts_.emplace_back(now, all);
  while (restarts_.size() > 1 && now - restarts_[1].first > 1h) restarts_.pop_front();
  const auto since = [&](nanoseconds begin) {
    std::uint64_t before = restarts_.front().second;
    for (const auto& [when, count] : restarts_)
      if (when <= begin) before = count;
    return all - std::min(all, before);
  };
  sample.restarts_last_minute = since(now - 1min);
  sample.restarts_last_hour = since(now - 1h);
}

}  // namespace muproc::tools
