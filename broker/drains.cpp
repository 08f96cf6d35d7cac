#include "broker/drains.hpp"

#include <fmt/format.h>

#include "shm/segment.hpp"

namespace muproc::broker {
namespace {

using Failure = Control::Failure;
using ErrorKind = Control::ErrorKind;

/// What still waits, as far as it says.
std::string waiting_in(const Muproc& muproc) {
  try {
    const shm::PeerSegment segment(muproc.segment.get(), muproc.pid);
    const auto stashed = segment.status().stash_messages.load(std::memory_order_relaxed);
    if (stashed > 0) return fmt::format("{} messages waited unmatched in its stash", stashed);
    if (segment.status().in_hand_depth.load(std::memory_order_relaxed) > 0) return "a message was in its hands";
  } catch (const std::exception&) {
    // Nothing that it says is worth anything.
  }
  return "it did not come to receive all that waited";
}

}  // namespace

void Drains::drain(const std::string& name, std::optional<std::chrono::nanoseconds> limit, Control::Done done) {
  const auto slot = core_.table.slot_named(name);
  if (!slot) throw Failure{ErrorKind::NOT_FOUND, fmt::format("no muproc is named \"{}\"", name)};
  const SlotRecord& record = core_.table.record(*slot);
  if (record.kind == shm::SlotKind::supervisor)
    throw Failure{ErrorKind::FAILED, name + " is a supervisor and has no mailbox: drain its children, or stop it"};
  if (record.kind == shm::SlotKind::outsider)
    throw Failure{ErrorKind::FAILED, name + " has joined from outside, and only leaves by itself; \"muctl exit\" tells it to"};
  Muproc* muproc = record.life.get();
  const bool has_messages = muproc && muproc->is_up() && muproc->has_mailbox();
  if (!has_messages && record.is_kept) return stop_child(name, std::move(done));
  if (!muproc || !muproc->is_up()) throw Failure{ErrorKind::FAILED, name + " is not up"};

  Drain& drain = drains_[muproc->pid];
  drain.name = name;
  drain.waiting.push_back(std::move(done));
  if (!has_messages) return stop(muproc->pid, drain);
  if (!muproc->is_draining) begin(*muproc);
  if (limit)
    drain.limit = core_.loop.patience(*limit, [this, pid = muproc->pid, limit = *limit] { time_is_up(pid, limit); });
}

void Drains::begin(Muproc& muproc) {
  muproc.is_draining = true;
  core_.log.info("{} is drained: it takes no new messages", Core::name_of(muproc));
  core_.tell("drain", muproc, "it takes no new messages");
  core_.directory.drain(muproc.pid);
  core_.set_state(muproc.pid.slot(), shm::SlotState::draining);
  if (!muproc.connection) return;
  Message message;
  message->setDrain();
  muproc.connection->send(message);
}

void Drains::drained(Muproc& muproc) {
  const auto found = drains_.find(muproc.pid);
  if (found == drains_.end() || muproc.is_dead) return;
  core_.log.info("{} has nothing more to do", Core::name_of(muproc));
  stop(muproc.pid, found->second);
}

void Drains::time_is_up(Pid pid, std::chrono::nanoseconds limit) {
  const auto found = drains_.find(pid);
  const Muproc* muproc = core_.table.find(pid);
  if (found == drains_.end() || found->second.stage != Stage::draining || !muproc || muproc->is_dead) return;
  found->second.failure = fmt::format("{} was not drained within {}, and is stopped: {}", muproc->name, to_string(Stop(limit)), waiting_in(*muproc));
  core_.log.warn("{}", found->second.failure);
  stop(pid, found->second);
}

void Drains::stop(Pid pid, Drain& drain) {
  if (drain.stage != Stage::draining) return;
  drain.limit.stop();
  if (stop_by_supervisor(pid, drain)) return;
  drain.stage = Stage::end_tells;
  if (Muproc* muproc = core_.table.find(pid)) endings_.stop(*muproc, muproc->stop());
}

/// False when it has none, or one that is ending itself and stops it anyway.
bool Drains::stop_by_supervisor(Pid pid, Drain& drain) {
  if (!core_.table.record(pid.slot()).is_kept) return false;
  drain.stage = Stage::supervisor_tells;
  try {
    stop_child(drain.name, [this, pid](Pid, const Failure*) { finish(pid); });
  } catch (const Failure&) {
    return false;
  }
  return true;
}

void Drains::ended(const Muproc& dead) {
  const auto found = drains_.find(dead.pid);
  if (found == drains_.end() || found->second.stage == Stage::supervisor_tells) return;
  // By itself: its supervisor is to take it as stopped, before it hears of the end.
  const bool is_early = found->second.stage == Stage::draining;
  if (!is_early || !stop_by_supervisor(dead.pid, found->second)) finish(dead.pid);
}

void Drains::finish(Pid pid) {
  auto drain = drains_.extract(pid);
  if (drain.empty()) return;
  const Failure failure{ErrorKind::TIMEOUT, drain.mapped().failure};
  for (const auto& done : drain.mapped().waiting) done({}, failure.text.empty() ? nullptr : &failure);
}

}  // namespace muproc::broker
