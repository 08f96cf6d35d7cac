// Tasks: functions that run in muprocs of their own, and whose values come back.
#include <muproc/task.hpp>

#include <unistd.h>

#include <csignal>
#include <numeric>
#include <string>
#include <vector>

#include "support/sanitizer.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;

namespace {

std::int64_t square(std::int64_t n) { return n * n; }
std::string greet(Self& self, std::string whom) { return "hello " + whom + " from " + std::string(self.pid() ? "a muproc" : "nobody"); }

/// How many muprocs live, but for the test.
std::size_t others(Self& self) { return self.list().size() - 1; }

template <class Body>
TaskError task_error(Body&& body) {
  try {
    body();
  } catch (const TaskError& error) {
    return error;
  }
  throw Failed("no TaskError was thrown");
}

}  // namespace

TEST_CASE("a task's value comes back, from lambdas and plain functions, with all that can be carried", "[task]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(async(self, [](std::int64_t n) { return n + 1; }, 41).await() == 42);
  CHECK(async(self, &square, 7).await() == 49);
  CHECK(async(self, &greet, "Ann").await() == "hello Ann from a muproc");
  CHECK(async(self, [](std::vector<std::string> a, std::optional<double> b) { return std::pair(a.size(), b); },
              std::vector<std::string>{"x", "y"}, std::optional<double>(0.5))
            .await() == std::pair<std::size_t, std::optional<double>>(2, 0.5));
  const Pid me = async(self, [](Self& self) { return self.pid(); }).await();
  CHECK(me != self.pid());
  async(self, [] {}).await();
  wait_until("all tasks to have ended", [&] { return others(self) == 0; });
}

TEST_CASE("arguments and values of tens of megabytes travel", "[task][large]") {
  LiveSystem system;
  Self& self = system.self();
  const std::string large(40 << 20, 'x');
  CHECK(async(self, [](std::string text) { return text + "y"; }, large).await(k_patience) == large + "y");
}

TEST_CASE("a task that crashes is its awaiter's error, with the reason, and ends nobody", "[task][death]") {
  LiveSystem system;
  Self& self = system.self();
  auto fails = [&](auto function) { return task_error([&] { async(self, function).await(k_patience); }); };
  CHECK(fails([] { ::raise(SIGKILL); }).reason == Reason::signal(SIGKILL));
  CHECK(fails([] { ::_exit(7); }).reason == Reason::code(7));
  const TaskError thrown = fails([] { throw std::runtime_error("no such file"); });
  CHECK(thrown.kind == TaskError::Kind::down);
  CHECK(thrown.reason.is(Reason::Kind::exception));
  CHECK(thrown.reason.what() == "no such file");
  CHECK(fails([](Self& self) { self.exit("enough"); }).reason == "enough");
  CHECK_FALSE(self.receive_any(0ns));
}

TEST_CASE("yield waits for a while and may be asked again; the value can be taken once", "[task]") {
  LiveSystem system;
  Self& self = system.self();
  auto task = async(self, [](Self& self) {
    self.receive(on<"go">() >> [] {});
    return 5;
  });
  CHECK_FALSE(task.yield(0ns));
  CHECK_FALSE(task.yield(5ms));
  self.send(task.pid(), "go", true);
  CHECK(task.yield(k_patience) == 5);
  CHECK_FALSE(task.valid());
  CHECK_THROWS_AS(task.await(), std::logic_error);
}

TEST_CASE("await past its limit kills the task", "[task]") {
  LiveSystem system;
  Self& self = system.self();
  auto task = async(self, [](Self& self) { self.sleep(1h); });
  const Pid pid = task.pid();
  const TaskError error = task_error([&] { task.await(10ms); });
  CHECK(error.kind == TaskError::Kind::timeout);
  system.wait_until_gone(pid);
  CHECK_FALSE(self.receive_any(0ns));
}

TEST_CASE("a task that is let go is killed, one that has finished is not missed", "[task]") {
  LiveSystem system;
  Self& self = system.self();
  Pid pid;
  {
    auto task = async(self, [](Self& self) { self.sleep(1h); });
    pid = task.pid();
    auto moved = std::move(task);
    CHECK(moved.pid() == pid);
  }
  system.wait_until_gone(pid);
  { auto task = async(self, [] { return 1; }); }
  wait_until("all tasks to have ended", [&] { return others(self) == 0; });
  CHECK_FALSE(self.receive_any(0ns));
}

TEST_CASE("shutdown gives the value of a task that has it, else ends it, by a kill if need be", "[task]") {
  LiveSystem system;
  Self& self = system.self();
  auto done = async(self, [] { return 3; });
  system.wait_until_gone(done.pid());
  CHECK(done.shutdown() == 3);
  auto busy = async(self, [](Self& self) {
    self.sleep(1h);
    return 3;
  });
  CHECK_FALSE(busy.shutdown(k_patience));
  auto deaf = async(self, [] {
    for (;;) ::pause();
    return 3;
  });
  CHECK_FALSE(deaf.shutdown(10ms));
  auto crashed = async(self, [] {
    ::raise(SIGKILL);
    return 3;
  });
  system.wait_until_gone(crashed.pid());
  CHECK(task_error([&] { crashed.shutdown(); }).reason == Reason::signal(SIGKILL));
}

TEST_CASE("many tasks are awaited in order, within one limit", "[task]") {
  LiveSystem system;
  Self& self = system.self();
  std::vector<Task<std::int64_t>> tasks;
  for (int n = 0; n < 6; ++n) tasks.push_back(async(self, &square, n));
  CHECK(await_many(tasks, k_patience) == std::vector<std::int64_t>{0, 1, 4, 9, 16, 25});
  std::vector<Task<int>> slow;
  for (int n = 0; n < 2; ++n)
    slow.push_back(async(self, [](Self& self) {
      self.sleep(1h);
      return 1;
    }));
  CHECK(task_error([&] { await_many(slow, 20ms); }).kind == TaskError::Kind::timeout);
}

TEST_CASE("parallel_map keeps the order, and a crash of one element is that element's error", "[task][map][death]") {
  LiveSystem system;
  Self& self = system.self();
  std::vector<int> numbers(20);
  std::iota(numbers.begin(), numbers.end(), 0);
  for (const std::size_t per_muproc : {1, 3, 0}) {
    const auto results = parallel_map(
        self, numbers,
        [](int n) {
          if (n == 3) *reinterpret_cast<volatile int*>(8) = 0;  // SIGSEGV
          if (n == 7) throw std::runtime_error("seven");
          if (n == 19) ::_exit(1);
          return n * 10;
        },
        {.max_concurrency = 4, .elements_per_muproc = per_muproc});
    REQUIRE(results.size() == 20);
    for (int n = 0; n < 20; ++n) {
      const auto& result = results[static_cast<std::size_t>(n)];
      if (n == 3) {
        if (k_crashes_are_ours) CHECK(result.reason() == Reason::signal(SIGSEGV, result.reason().core()));
        CHECK_FALSE(result);
      } else if (n == 7) {
        CHECK_FALSE(result);
        CHECK(result.reason().what() == "seven");
        CHECK_THROWS_AS(result.value(), TaskError);
      } else if (n == 19) {
        CHECK_FALSE(result);
        CHECK(result.reason() == Reason::code(1));
      } else {
        REQUIRE(result);
        CHECK(*result == n * 10);
      }
    }
    wait_until("all muprocs of the map to have ended", [&] { return others(self) == 0; });
  }
  CHECK_FALSE(self.receive_any(0ns));
}

TEST_CASE("parallel_map runs no more muprocs at one time than it may", "[task][map]") {
  LiveSystem system;
  Self& self = system.self();
  const auto seen = parallel_map(
      self, std::vector<int>(30, 0), [](Self& self, int) { return self.list("^task-").size(); }, {.max_concurrency = 3});
  // One that has just answered may still be there when its successor starts.
  for (const auto& count : seen) CHECK((count && *count >= 1 && *count <= 2 * 3));

  // With as many elements a muproc as it likes, there are never more than that, and each does several.
  const auto pids = parallel_map(
      self, std::vector<int>(30, 0), [](Self& self, int) { return self.pid(); }, {.max_concurrency = 2, .elements_per_muproc = 0});
  std::vector<Pid> different;
  for (const auto& pid : pids) different.push_back(pid.value());
  std::sort(different.begin(), different.end());
  different.erase(std::unique(different.begin(), different.end()), different.end());
  CHECK(different.size() <= 2);
}

TEST_CASE("an element that exceeds its time is killed, and the others have their values", "[task][map]") {
  LiveSystem system;
  Self& self = system.self();
  const auto results = parallel_map(
      self, std::vector<std::string>{"a", "stuck", "b"},
      [](std::string text) {
        while (text == "stuck") {
        }
        return text + text;
      },
      {.max_concurrency = 3, .timeout = 2s});
  CHECK((results[0] && *results[0] == "aa"));
  CHECK((results[2] && *results[2] == "bb"));
  CHECK(results[1].timed_out());
  wait_until("the stuck one to have gone", [&] { return others(self) == 0; });
}

TEST_CASE("an empty map is empty, and a map of functions without a value says which succeeded", "[task][map]") {
  LiveSystem system;
  Self& self = system.self();
  CHECK(parallel_map(self, std::vector<int>{}, [](int n) { return n; }).empty());
  const auto results = parallel_map(self, std::vector<int>{0, 1}, [](int n) { if (n) ::_exit(2); });
  CHECK(results[0]);
  CHECK_FALSE(results[1]);
}

TEST_CASE("a muproc that ends in the middle of a map leaves none of its muprocs behind", "[task][map][death]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("mapper", +[](Self& self) {
    parallel_map(self, std::vector<int>(4, 0), [](Self& self, int) { self.sleep(1h); }, {.max_concurrency = 4});
  });
  wait_until("the map to be under way", [&] { return self.list("^task-").size() == 4; });
  self.exit(pid, "enough");
  CHECK(reason_of(self, ref) == "enough");
  wait_until("its muprocs to be gone", [&] { return others(self) == 0; });
}

TEST_CASE("a task whose owner is killed runs to its end, and a worker that waits for more ends", "[task][death]") {
  LiveSystem system;
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("owner", +[](Self& self) {
    auto task = async(self, [](Self& self) { self.receive(on<"go">() >> [] {}); });
    self.send("tester", "task", task.pid());
    self.sleep(1h);
  });
  const Pid task = next<Pid, "task">(self);
  system.kill(pid);
  CHECK(reason_of(self, ref) == Reason::signal(SIGKILL));
  CHECK(self.alive(task));
  self.send(task, "go", true);
  system.wait_until_gone(task);

  const auto [mapper, down] = self.spawn_monitor("mapper", +[](Self& self) {
    parallel_map(self, std::vector<int>{0, 1}, [](Self& self, int n) {
      if (n == 0) return;  // this one's muproc waits for more
      self.send("tester", "busy", self.pid());
      self.receive(on<"go">() >> [] {});
    }, {.max_concurrency = 2, .elements_per_muproc = 0});
  });
  const Pid busy = next<Pid, "busy">(self);
  system.kill(mapper);
  CHECK(reason_of(self, down) == Reason::signal(SIGKILL));
  wait_until("the idle one to have ended", [&] { return self.list("^task-").size() == 1; });
  self.send(busy, "go", true);
  system.wait_until_gone(busy);
}

TEST_CASE("tasks may have tasks of their own, and be many", "[task]") {
  LiveSystem system;
  Self& self = system.self();
  const auto sums = parallel_map(self, std::vector<int>{1, 2, 3}, [](Self& self, int n) {
    int sum = 0;
    for (const auto& part : parallel_map(self, std::vector<int>{n, n + 1}, [](int m) { return m * m; })) sum += part.value();
    return sum;
  });
  CHECK(sums[0].value() == 5);
  CHECK(sums[1].value() == 13);
  CHECK(sums[2].value() == 25);
}
