// The out-of-line half of task.hpp: what owners and tasks say to each other.
//
// The owner spawns the task's muproc, monitored before its first instruction, and asks it by calls: {arguments: …}, which
// it answers by {value: …}. What of the two comes first, the answer or the end, is the outcome; neither passes through the
// mailbox. A cast tells one that waits for more that there is no more.
#include <muproc/task.hpp>

#include <muproc/detail/child.hpp>

#include <algorithm>
#include <cstring>

#include "runtime/runtime.hpp"
#include "sys/clock.hpp"
#include "wire/codec.hpp"

namespace muproc::detail {
namespace {

constexpr const char* k_elements = "elements";    // how many calls it answers before it ends; 0: no limit
constexpr const char* k_build_id = "build_id";    // where a plain function lies
constexpr const char* k_offset = "offset";

using Time = std::chrono::nanoseconds;

std::optional<Time> deadline_after(Time limit) {
  const Time now = sys::monotonic();
  return limit < Time::max() - now ? std::optional(now + limit) : std::nullopt;
}

// ---- the task's side -------------------------------------------------------------------------------------------------

/// What its owner wants of it next.
struct Wanted {
  Pid owner;
  std::int64_t monitor = 0;
  bool only_calls = false;
  std::uint64_t call = 0;  // 0: nothing more
  Value arguments;

  static bool match(void* at, const Message& message) {
    const auto& wanted = *static_cast<const Wanted*>(at);
    if (message.from() == wanted.owner && message.kind() == Message::Kind::call) return message.is_mumsg();
    if (wanted.only_calls) return false;
    if (message.from() == wanted.owner && message.kind() == Message::Kind::cast) return true;
    if (message.from() || !message.is_mumsg()) return false;
    const auto ref = message.mumsg().find("ref");
    return ref && ref->equals(wanted.monitor);
  }
  static void run(void* at, const Message& message, void*) {
    auto& wanted = *static_cast<Wanted*>(at);
    wanted.call = message.kind() == Message::Kind::call ? message.ref() : 0;
    if (wanted.call) wanted.arguments = message.mumsg()["arguments"].value();
  }
};

/// Waits for it. What the owner asked for before it ended is done, whoever heard first of its end: the notice may have
/// overtaken the call, or have been received by the function.
Wanted next_wanted(Self& self, Pid owner, Ref monitor) {
  Wanted wanted{owner, static_cast<std::int64_t>(monitor.bits), false, 0, {}};
  ClauseTable::Entry entry{&wanted, &Wanted::match, &Wanted::run};
  ClauseTable table{&entry, 1, std::nullopt};
  if (self.alive(owner)) Runtime::of(self).receive(table, nullptr);
  if (wanted.call || self.alive(owner)) return wanted;
  wanted.only_calls = true;
  table.after = Time(0);
  Runtime::of(self).receive(table, nullptr);
  return wanted;
}

const void* function_of(const Mumsg& args) {
  const Value* offset = args.find(k_offset);
  if (!offset) return nullptr;
  const Data id = args[k_build_id].as<Data>();
  const void* function = resolve(reinterpret_cast<const std::uint8_t*>(id.data()), id.size(), offset->as<std::uint64_t>());
  if (!function) throw Error("the module that the task's function lies in is not loaded here");
  return function;
}

// ---- the owner's side ------------------------------------------------------------------------------------------------

void send_arguments(Self& self, TaskHandle& task, Value arguments) {
  Outgoing message(self);
  wire::write(message.builder().initRoot<wire::Mumsg>(), Mumsg{{"arguments", std::move(arguments)}});
  task.call = Runtime::of(self).call_task(task.pid, message);
}

TaskHandle birth(Self& self, const TaskCode& code, std::size_t elements, SpawnOptions options) {
  options.args = {{k_elements, elements}};
  if (code.function) {
    const CodeLocation location = locate(code.function);
    const auto* id = reinterpret_cast<const std::byte*>(location.build_id.data());
    options.args.set(k_build_id, Data(id, id + location.build_id.size()));
    options.args.set(k_offset, location.offset);
  }
  TaskHandle task;
  std::tie(task.pid, task.monitor) = Runtime::of(self).spawn_task(gensym("task-"), code.entry, options);
  return task;
}

TaskOutcome outcome_of(Runtime::Reply reply) {
  if (reply.outcome != Runtime::Reply::Outcome::value) return {TaskOutcome::Kind::down, {}, std::move(reply.reason)};
  return {TaskOutcome::Kind::value, reply.message.mumsg()["value"].value(), {}};
}

/// What has come of it by now.
std::optional<TaskOutcome> look(Self& self, TaskHandle& task) {
  auto reply = Runtime::of(self).task_reply(task);
  if (!reply) return std::nullopt;
  return outcome_of(*std::move(reply));
}

}  // namespace

void serve_tasks(Self& self, TaskBody body) {
  const Pid owner = self.parent();
  const void* function = function_of(self.args());
  const Ref monitor = self.monitor(owner);
  const auto elements = self.args()[k_elements].as<std::size_t>();
  for (std::size_t done = 0; elements == 0 || done < elements; ++done) {
    const Wanted wanted = next_wanted(self, owner, monitor);
    if (!wanted.call) return;
    const Value value = body(self, wanted.arguments, function);
    Outgoing message(self);
    wire::write(message.builder().initRoot<wire::Mumsg>(), Mumsg{{"value", value}});
    message.send(owner, capnp::typeId<wire::Mumsg>(), {}, Message::Kind::reply, wanted.call);
  }
}

TaskHandle start_task(Self& self, const TaskCode& code, Value arguments, SpawnOptions options) {
  TaskHandle task = birth(self, code, 1, std::move(options));
  try {
    send_arguments(self, task, std::move(arguments));
  } catch (...) {
    drop_task(self, task);
    throw;
  }
  return task;
}

std::optional<TaskOutcome> wait_for_task(Self& self, TaskHandle& task, Time limit) {
  if (limit.count() < 0) throw std::invalid_argument("a negative time-out");
  Runtime& runtime = Runtime::of(self);
  runtime.await_tasks({&task, 1}, deadline_after(limit));
  auto outcome = look(self, task);
  if (outcome) (void)runtime.forget_task(task);
  return outcome;
}

std::chrono::nanoseconds task_clock() { return sys::monotonic(); }

TaskOutcome shut_task_down(Self& self, TaskHandle& task, Time period) {
  self.exit(task.pid, Reason::shutdown());
  if (auto outcome = wait_for_task(self, task, period)) return *std::move(outcome);
  self.kill(task.pid);
  return *wait_for_task(self, task, Time::max());
}

void drop_task(Self& self, TaskHandle& task) noexcept {
  if (!task.monitor || !Runtime::current()) return;
  try {
    if (Runtime::of(self).forget_task(task)) self.kill(task.pid);
  } catch (...) {
    // The broker has gone, and all tasks with it; or an exit signal acts here, which the next runtime call throws again.
  }
  task = {};
}

void throw_task_error(Pid pid, const TaskOutcome& outcome) {
  const std::string who = pid ? "the task " + muproc::to_string(pid) : "a task";
  if (outcome.kind == TaskOutcome::Kind::timeout)
    throw TaskError(TaskError::Kind::timeout, who + " took too long and was killed", outcome.reason);
  throw TaskError(TaskError::Kind::down, who + " ended without a value: " + muproc::to_string(outcome.reason), outcome.reason);
}

// ---- many ------------------------------------------------------------------------------------------------------------

namespace {

/// The muprocs of one parallel_map, and what each is at.
class Crew {
 public:
  Crew(Self& self, const TaskCode& code, const MapOptions& options) : self_(self), code_(code), options_(options) {
    most_ = options.max_concurrency ? options.max_concurrency : static_cast<std::size_t>(std::max(sys::usable_processors(), 1));
  }
  ~Crew() {
    for (TaskHandle& task : tasks_) drop_task(self_, task);
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// False when all are busy.
  bool take_on(std::size_t element, const std::function<Value(std::size_t)>& arguments) {
    auto idle = std::find_if(work_.begin(), work_.end(), [](const Work& work) { return !work.is_busy; });
    if (idle == work_.end()) {
      if (work_.size() >= most_) return false;
      tasks_.push_back(birth(self_, code_, options_.elements_per_muproc, options_.muproc));
      work_.emplace_back();
      idle = std::prev(work_.end());
    }
    TaskHandle& task = tasks_[static_cast<std::size_t>(idle - work_.begin())];
    task.call = 0;
    send_arguments(self_, task, arguments(element));
    *idle = {element, idle->done, true, deadline_after(options_.timeout)};
    return true;
  }
  bool is_busy() const {
    return std::any_of(work_.begin(), work_.end(), [](const Work& work) { return work.is_busy; });
  }
  /// Waits until one is done, has died or has run out of time, and tells of each that has.
  void wait(std::vector<TaskOutcome>& outcomes) {
    std::optional<Time> first;
    for (const Work& work : work_)
      if (work.is_busy && work.deadline) first = first ? std::min(*first, *work.deadline) : *work.deadline;
    Runtime::of(self_).await_tasks(tasks_, first);
    for (std::size_t i = 0; i < work_.size();) {
      Work& work = work_[i];
      auto outcome = look(self_, tasks_[i]);
      if (!outcome && work.is_busy && work.deadline && sys::monotonic() >= *work.deadline)
        outcome = TaskOutcome{TaskOutcome::Kind::timeout, {}, Reason::killed()};
      if (!outcome) {
        ++i;
        continue;
      }
      const bool has_value = outcome->kind == TaskOutcome::Kind::value;
      if (work.is_busy) outcomes[work.element] = *std::move(outcome);
      work.is_busy = false;
      ++work.done;
      if (has_value && work.done != options_.elements_per_muproc) {
        ++i;
        continue;
      }
      if (has_value) (void)Runtime::of(self_).forget_task(tasks_[i]);  // it ends by itself
      else drop_task(self_, tasks_[i]);
      tasks_.erase(tasks_.begin() + static_cast<std::ptrdiff_t>(i));
      work_.erase(work_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  /// Nothing more is to be done.
  void dismiss() {
    for (TaskHandle& task : tasks_) {
      Outgoing message(self_);
      wire::write(message.builder().initRoot<wire::Mumsg>(), Mumsg{{"done", true}});
      message.send(task.pid, capnp::typeId<wire::Mumsg>(), {}, Message::Kind::cast);
      (void)Runtime::of(self_).forget_task(task);
      task = {};
    }
    tasks_.clear();
    work_.clear();
  }

 private:
  struct Work {
    std::size_t element = 0;
    std::size_t done = 0;
    bool is_busy = false;
    std::optional<Time> deadline;
  };
  Self& self_;
  const TaskCode& code_;
  const MapOptions& options_;
  std::size_t most_;
  std::vector<TaskHandle> tasks_;
  std::vector<Work> work_;  // of the task at the same place
};

}  // namespace

std::vector<TaskOutcome> map_tasks(Self& self, const TaskCode& code, std::size_t count,
                                   const std::function<Value(std::size_t)>& arguments, const MapOptions& options) {
  std::vector<TaskOutcome> outcomes(count);
  Crew crew(self, code, options);
  for (std::size_t next = 0; next < count || crew.is_busy();) {
    while (next < count && crew.take_on(next, arguments)) ++next;
    crew.wait(outcomes);
  }
  crew.dismiss();
  return outcomes;
}

}  // namespace muproc::detail
