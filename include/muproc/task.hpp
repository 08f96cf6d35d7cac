// Tasks: a function that runs in a muproc of its own and whose value comes back.
//
//     auto task = async(self, [](std::string path) { return decode(path); }, path);
//     … something else meanwhile …
//     Picture picture = task.await(10s);                     // throws TaskError when it crashed, or took too long
//
//     auto results = parallel_map(self, paths, [](const std::string& path) { return decode(path); },
//                                 {.max_concurrency = 4, .timeout = 2s});
//     for (auto& result : results)
//       result ? use(*result) : complain(result.reason());   // one that crashed is that one's error; the others have theirs
//
// The function is one without state: a lambda without captures, or a plain function; what it needs it gets as arguments,
// which travel, as its value does (carry.hpp says what may). If its first parameter is a `Self&` it gets its own. It runs in
// a fresh muproc cloned from a zygote that knows its code: that of the program that runs the broker, or of a module (a shared
// object). The functions of another program (an outsider, a program started by `exec`) cannot be tasks, unless they lie in
// a module: `async` throws StartFailed that says so.
//
// Tasks are monitored, not linked: the end of a task never ends its owner. A task belongs to its handle: when that goes, a
// task that is still busy is killed. When its owner dies it runs to its end, and its value is dropped. Values and ends of
// tasks do not pass through the mailbox; no receive sees them.
//
// Elixir: Task.async, await, yield, shutdown, await_many, async_stream (there they are linked).
#pragma once

#include <muproc/carry.hpp>
#include <muproc/self.hpp>
#include <muproc/server.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace muproc {

/// A task that brought no value.
struct TaskError : Error {
  enum class Kind {
    down,     ///< it ended before: `reason` is why, the signal or the exception
    timeout,  ///< it took too long, and was killed
  };
  TaskError(Kind task_kind, const std::string& text, Reason why) : Error(text), kind(task_kind), reason(std::move(why)) {}
  Kind kind;
  Reason reason;
};

/// No limit of time.
inline constexpr std::chrono::nanoseconds k_no_limit = std::chrono::nanoseconds::max();

struct TaskOptions {
  /// How its muproc is to be; `args` is not looked at.
  SpawnOptions muproc = {};
};

struct MapOptions {
  /// So many muprocs at one time, at most; 0: as many as there are processors.
  std::size_t max_concurrency = 0;
  /// So many elements are handled by one muproc, one after the other, before it is replaced by a fresh one. More than one
  /// saves births (some hundred microseconds each); what one element leaves behind the next one finds. A crash is the
  /// element's at which it happened, whatever this says. 0: no limit.
  std::size_t elements_per_muproc = 1;
  /// How long an element may take; then its muproc is killed.
  std::chrono::nanoseconds timeout = k_no_limit;
  SpawnOptions muproc = {};
};

namespace detail {

/// A task's muproc as its owner knows it.
struct TaskHandle {
  Pid pid;
  std::uint64_t monitor = 0;  // 0: none
  std::uint64_t call = 0;
};

/// What came of it.
struct TaskOutcome {
  enum class Kind { value, down, timeout } kind = Kind::down;
  Value value;
  Reason reason;
};

/// What a task's muproc runs, and where a plain function lies.
struct TaskCode {
  Function entry = nullptr;
  const void* function = nullptr;
};

using TaskBody = Value (*)(Self&, const Value& arguments, const void* function);
/// In the task's muproc: does what its owner asks, one after the other.
void serve_tasks(Self& self, TaskBody body);

TaskHandle start_task(Self& self, const TaskCode& code, Value arguments, SpawnOptions options);
/// Nothing when it is still busy then.
std::optional<TaskOutcome> wait_for_task(Self& self, TaskHandle& task, std::chrono::nanoseconds limit);
/// Tells it to end, kills it after `period`; its value, if it had one by then.
TaskOutcome shut_task_down(Self& self, TaskHandle& task, std::chrono::nanoseconds period);
/// Ends it at once, whatever it does. Harmless when there is none.
void drop_task(Self& self, TaskHandle& task) noexcept;
std::vector<TaskOutcome> map_tasks(Self& self, const TaskCode& code, std::size_t count,
                                   const std::function<Value(std::size_t)>& arguments, const MapOptions& options);
std::chrono::nanoseconds task_clock();
[[noreturn]] void throw_task_error(Pid pid, const TaskOutcome& outcome);

/// What an argument is on the way: text that is merely pointed to becomes the task's own.
template <class T>
using TaskArgument =
    std::conditional_t<std::is_convertible_v<T, std::string_view> && !std::is_same_v<std::decay_t<T>, Symbol>, std::string,
                       std::remove_cvref_t<std::decay_t<T>>>;

template <class F>
inline constexpr bool k_is_function = std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;

/// The call of a function with its arguments, from the point of view of both sides.
template <class F, class... A>
struct TaskCall {
  static constexpr bool k_wants_self = std::is_invocable_v<F, Self&, A...>;
  static_assert(k_is_function<F> || (std::is_empty_v<F> && std::is_default_constructible_v<F>),
                "a task's function has no captures: what it needs is passed as arguments");
  static_assert(k_wants_self || std::is_invocable_v<F, A...>, "the task's function does not take these arguments");
  static_assert((... && Carriable<A>), "an argument is of a type that cannot be carried in a message: specialise muproc::Carry");

  static auto result_type() {
    if constexpr (k_wants_self) return std::type_identity<std::invoke_result_t<F, Self&, A...>>{};
    else return std::type_identity<std::invoke_result_t<F, A...>>{};
  }
  using Result = ReceivedResult<std::remove_cvref_t<typename decltype(result_type())::type>>;
  static_assert(std::is_void_v<Result> || Carriable<Result>,
                "the task's value is of a type that cannot be carried in a message: specialise muproc::Carry");

  static F function(const void* at) {
    if constexpr (k_is_function<F>) return reinterpret_cast<F>(const_cast<void*>(at));
    else return F{};
  }
  static Value run(Self& self, const Value& arguments, const void* at) {
    const auto call = [&](auto&&... argument) -> decltype(auto) {
      if constexpr (k_wants_self) return function(at)(self, std::move(argument)...);
      else return function(at)(std::move(argument)...);
    };
    auto taken = take_all<std::tuple<A...>>(arguments);
    if constexpr (std::is_void_v<Result>) {
      std::apply(call, std::move(taken));
      return {};
    } else {
      return give<Result>(Result(std::apply(call, std::move(taken))));
    }
  }
  static void entry(Self& self) { serve_tasks(self, &run); }
  static TaskCode code(F function) {
    if constexpr (k_is_function<F>) return {&entry, reinterpret_cast<const void*>(function)};
    else return {&entry, nullptr};
  }
};

template <class R>
R value_of(const Value& value) {
  if constexpr (!std::is_void_v<R>) return take<R>(value);
}

template <class R>
using Held = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

}  // namespace detail

/// A task and the right to its value, once. Move-only; belongs to the muproc that started it.
template <class R>
class Task {
 public:
  Task(Task&& other) noexcept : self_(other.self_), handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      detail::drop_task(*self_, handle_);
      self_ = other.self_;
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  /// A task that is still busy is killed.
  ~Task() { detail::drop_task(*self_, handle_); }

  Pid pid() const { return handle_.pid; }
  /// False when its value was taken, or its end was told.
  bool valid() const { return handle_.monitor != 0; }

  /// Its value. Throws TaskError when it ended without one, or when it is still busy after `limit`: then it is killed.
  R await(std::chrono::nanoseconds limit = k_call_timeout) {
    auto outcome = detail::wait_for_task(*self_, checked(), limit);
    if (outcome) return finish(*outcome);
    const Pid pid = handle_.pid;
    detail::drop_task(*self_, handle_);
    detail::throw_task_error(pid, {detail::TaskOutcome::Kind::timeout, {}, Reason::killed()});
  }
  /// Its value, or nothing when it is still busy after `limit`: it goes on, and can be asked again. (Of a task without a
  /// value: std::monostate.) Throws TaskError when it ended without one.
  std::optional<detail::Held<R>> yield(std::chrono::nanoseconds limit) {
    const auto outcome = detail::wait_for_task(*self_, checked(), limit);
    if (!outcome) return std::nullopt;
    return held(*outcome);
  }
  /// Tells it to end (`shutdown`), and kills it when it has not after `period`. Its value, if it had one by then. Throws
  /// TaskError when it ended by something else.
  std::optional<detail::Held<R>> shutdown(std::chrono::nanoseconds period = std::chrono::seconds(5)) {
    const auto outcome = detail::shut_task_down(*self_, checked(), period);
    using Kind = Reason::Kind;
    if (outcome.kind != detail::TaskOutcome::Kind::value && (outcome.reason.is(Kind::shutdown) || outcome.reason.is(Kind::killed)))
      return std::nullopt;
    return held(outcome);
  }

 private:
  template <class F, class... A>
  friend auto async(Self& self, TaskOptions options, F function, A&&... arguments);
  Task(Self& self, detail::TaskHandle handle) : self_(&self), handle_(handle) {}
  detail::TaskHandle& checked() {
    if (!valid()) throw std::logic_error("this task's value was taken already, or its end was told");
    return handle_;
  }
  R finish(const detail::TaskOutcome& outcome) {
    const Pid pid = handle_.pid;
    handle_.monitor = 0;
    if (outcome.kind != detail::TaskOutcome::Kind::value) detail::throw_task_error(pid, outcome);
    return detail::value_of<R>(outcome.value);
  }
  detail::Held<R> held(const detail::TaskOutcome& outcome) {
    if constexpr (std::is_void_v<R>) {
      finish(outcome);
      return {};
    } else {
      return finish(outcome);
    }
  }

  Self* self_;
  detail::TaskHandle handle_;
};

/// Runs function(arguments…) in a fresh muproc. Returns once that has begun. Throws StartFailed. Elixir: Task.async.
template <class F, class... A>
auto async(Self& self, TaskOptions options, F function, A&&... arguments) {
  using Call = detail::TaskCall<F, detail::TaskArgument<A>...>;
  Value list = detail::give_all(std::tuple<detail::TaskArgument<A>...>(std::forward<A>(arguments)...));
  return Task<typename Call::Result>(
      self, detail::start_task(self, Call::code(function), std::move(list), std::move(options.muproc)));
}
template <class F, class... A>
  requires(!std::is_same_v<std::remove_cvref_t<F>, TaskOptions>)
auto async(Self& self, F function, A&&... arguments) {
  return async(self, TaskOptions{}, function, std::forward<A>(arguments)...);
}

/// The values of all, in order, within one limit. Throws the TaskError of the first (in order) that has none; a task that is
/// still busy then is killed when its handle goes. Elixir: Task.await_many.
template <class R>
  requires(!std::is_void_v<R>)
std::vector<R> await_many(std::vector<Task<R>>& tasks, std::chrono::nanoseconds limit = k_call_timeout) {
  const auto begin = detail::task_clock();
  std::vector<R> values;
  values.reserve(tasks.size());
  for (Task<R>& task : tasks) {
    const auto left = std::max(limit - (detail::task_clock() - begin), std::chrono::nanoseconds(0));
    values.push_back(task.await(limit == k_no_limit ? limit : left));
  }
  return values;
}

/// One element of a parallel_map: a value, or why there is none.
template <class R>
class TaskResult {
 public:
  explicit TaskResult(const detail::TaskOutcome& outcome) : timed_out_(outcome.kind == detail::TaskOutcome::Kind::timeout) {
    if (outcome.kind == detail::TaskOutcome::Kind::value) {
      if constexpr (std::is_void_v<R>) value_.emplace();
      else value_.emplace(detail::value_of<R>(outcome.value));
    } else {
      reason_ = outcome.reason;
    }
  }
  explicit operator bool() const { return value_.has_value(); }
  /// Only when there is one.
  const detail::Held<R>& operator*() const& { return *value_; }
  detail::Held<R>& operator*() & { return *value_; }
  const detail::Held<R>* operator->() const { return &*value_; }
  /// The value, or else TaskError.
  const detail::Held<R>& value() const {
    if (!value_)
      detail::throw_task_error({}, {timed_out_ ? detail::TaskOutcome::Kind::timeout : detail::TaskOutcome::Kind::down, {}, reason_});
    return *value_;
  }
  /// Why its muproc ended without a value.
  const Reason& reason() const { return reason_; }
  bool timed_out() const { return timed_out_; }

 private:
  std::optional<detail::Held<R>> value_;
  Reason reason_;
  bool timed_out_ = false;
};

/// function(element) for all of them, in muprocs; the results in the order of the elements. One that crashes, by a signal
/// too, or exceeds its time, is that one's error. Throws StartFailed when a muproc cannot be started. When it throws
/// (that, or an exit signal), no muproc of it is left. Elixir: Task.async_stream, with `ordered`.
template <std::ranges::input_range Range, class F>
auto parallel_map(Self& self, Range&& elements, F function, MapOptions options = {}) {
  using Element = detail::TaskArgument<std::ranges::range_value_t<Range>>;
  using Call = detail::TaskCall<F, Element>;
  std::vector<Value> arguments;
  for (auto&& element : elements) arguments.push_back(detail::give_all(std::tuple<Element>(Element(element))));
  const auto outcomes = detail::map_tasks(
      self, Call::code(function), arguments.size(), [&](std::size_t i) { return std::move(arguments[i]); }, options);
  std::vector<TaskResult<typename Call::Result>> results;
  results.reserve(outcomes.size());
  for (const auto& outcome : outcomes) results.emplace_back(outcome);
  return results;
}

}  // namespace muproc
