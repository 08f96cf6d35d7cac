// Tasks, as their owner's runtime knows them: a monitor whose notice does not pass through the mailbox, and a call.
#include "runtime/runtime.hpp"

#include <algorithm>

#include "wire/codec.hpp"

namespace muproc::detail {

std::pair<Pid, std::uint64_t> Runtime::spawn_task(std::string_view name, const Code& code, const SpawnOptions& options) {
  const Ref monitor{make_ref()};
  tasks_.try_emplace(monitor.bits);
  try {
    return {spawn(name, code, options, monitor), monitor.bits};
  } catch (...) {
    tasks_.erase(monitor.bits);
    throw;
  }
}

std::uint64_t Runtime::call_task(Pid task, Outgoing& message) {
  return begin_call(task, *static_cast<ScratchLease*>(message.lease_), capnp::typeId<wire::Mumsg>());
}

/// True when that was the notice of a task's end.
bool Runtime::hear_task_end(std::uint64_t monitor, const wire::Reason::Reader& reason) {
  const auto task = tasks_.find(monitor);
  if (task == tasks_.end()) return false;
  if (task->second.is_forgotten) tasks_.erase(task);
  else task->second.end = wire::read(reason);
  return true;
}

bool Runtime::is_decided(const TaskHandle& task) const {
  const auto call = calls_.find(task.call);
  if (call != calls_.end() && call->second.reply) return true;
  const auto known = tasks_.find(task.monitor);
  return known == tasks_.end() || known->second.end;
}

bool Runtime::await_tasks(std::span<const TaskHandle> tasks, std::optional<Time> deadline) {
  const auto any = [&] { return std::any_of(tasks.begin(), tasks.end(), [&](const auto& task) { return is_decided(task); }); };
  for (;; check()) {
    // All that is there, as long as nothing is decided: an answer that was sent before its sender's end is in there.
    while (auto message = next_message()) stash(std::move(*message));
    if (any()) return true;
    if (deadline && sys::monotonic() >= *deadline) return false;
    wait_for_news(deadline);
  }
}

std::optional<Runtime::Reply> Runtime::task_reply(const TaskHandle& task) {
  if (const auto call = calls_.find(task.call); call != calls_.end() && call->second.reply) {
    Reply reply{Reply::Outcome::value, std::move(*call->second.reply), {}};
    calls_.erase(call);
    return reply;
  }
  const auto known = tasks_.find(task.monitor);
  if (known == tasks_.end() || !known->second.end) return std::nullopt;
  return Reply{Reply::Outcome::down, {}, *known->second.end};
}

bool Runtime::forget_task(const TaskHandle& task) {
  calls_.erase(task.call);
  const auto known = tasks_.find(task.monitor);
  if (known == tasks_.end()) return false;
  if (known->second.end) {
    tasks_.erase(known);
    return false;
  }
  known->second.is_forgotten = true;
  return true;
}

}  // namespace muproc::detail
