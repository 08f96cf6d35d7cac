#include "support/system_fixture.hpp"

#include <fstream>

namespace muproc::test {
namespace {

std::string fresh_name() {
  static unsigned count = 0;
  return "test-" + std::to_string(++count);
}

/// The `name` of a config's [system].
std::string name_in(const std::filesystem::path& config) {
  std::ifstream file(config);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("name", 0) != 0) continue;
    const auto begin = line.find('"');
    const auto end = line.find('"', begin + 1);
    if (end != line.npos) return line.substr(begin + 1, end - begin - 1);
  }
  FAIL(config << " names no system");
  return {};
}

}  // namespace

void must_have_been(const char* file, int line, const char* condition) {
  throw std::runtime_error(std::filesystem::path(file).filename().string() + ':' + std::to_string(line) + ": " +
                           condition);
}

LiveSystem::LiveSystem() : LiveSystem(fresh_name(), [](const std::string& name) { return System(name).run(); }) {}

LiveSystem::LiveSystem(Supervisor root)
    : LiveSystem(fresh_name(),
                 [&root](const std::string& name) { return System(name, std::move(root)).run(); }) {}

LiveSystem::LiveSystem(const std::filesystem::path& config)
    : LiveSystem(name_in(config), [&config](const std::string&) { return System(config).run(); }) {}

LiveSystem::LiveSystem(std::string name, std::function<int(const std::string& name)> run)
    : name_(std::move(name)), broker_(Process::forked([&] { return run(name_); })) {
  wait_until("the system " + name_ + " to come up", [&] {
    if (!broker_.running()) FAIL("the broker has ended with code " << broker_.wait());
    try {
      attachment_.emplace(attach(name_, {.name = "tester"}));
    } catch (const Error&) {
      // not yet
    }
    return attachment_.has_value();
  });
}

LiveSystem::~LiveSystem() noexcept(false) {
  leave();
  if (std::uncaught_exceptions() > exceptions_) {
    // The test has failed already; do not wait for what may be broken.
    broker_.signal(SIGKILL);
    broker_.wait();
    try {
      nobody_is_left();
    } catch (...) {
    }
    return;
  }
  if (broker_.running()) CHECK(stop() == 0);
  broker_.wait();
  nobody_is_left();
}

int LiveSystem::stop() {
  leave();
  broker_.signal(SIGTERM);
  return broker_.wait();
}

int LiveSystem::wait() {
  const int code = broker_.wait();
  leave();
  return code;
}

void LiveSystem::kill_broker() {
  broker_.signal(SIGKILL);
  broker_.wait();
}

Reason reason_of(Self& self, Ref monitor) {
  std::optional<Reason> reason;
  self.receive(on<"terminated", "reason", "ref">(anything, anything, is(static_cast<std::int64_t>(monitor.bits))) >>
                   [&](Value, Reason why) { reason = std::move(why); },
               or_fail("the notice of a monitor"));
  return *std::move(reason);
}

Reason reason_of(Self& self, Pid ended) {
  std::optional<Reason> reason;
  self.receive(on<"terminated", "reason">(is(ended), anything) >> [&](Value, Reason why) { reason = std::move(why); },
               or_fail("the notice of the end of " + to_string(ended)));
  return *std::move(reason);
}

Reason play(Self& self, const char* name, Function function, SpawnOptions options) {
  const auto [pid, ref] = self.spawn_monitor(name, function, std::move(options));
  return reason_of(self, ref);
}

Pid wait_for_name(Self& self, std::string_view name) {
  return wait_until("a muproc named " + std::string(name), [&] { return self.find(name); });
}

Pid wait_for_replacement(Self& self, std::string_view name, Pid before) {
  return wait_until("a replacement of " + std::string(name) + ' ' + to_string(before), [&] {
    const Pid now = self.find(name);
    return now == before ? nil_pid : now;
  });
}

pid_t os_pid_of(Self& self, Pid pid) {
  for (const MuprocInfo& info : self.list())
    if (info.pid == pid) return info.os_pid;
  FAIL(to_string(pid) << " does not live");
  return 0;
}

void signal(Self& self, Pid pid, int number) { ::kill(os_pid_of(self, pid), number); }

void wait_until_stopped(pid_t os_pid) {
  wait_until("process " + std::to_string(os_pid) + " to stop", [&] {
    std::string status;
    std::ifstream file("/proc/" + std::to_string(os_pid) + "/stat");
    std::getline(file, status);
    return status.find(") T ") != status.npos;
  });
}

}  // namespace muproc::test
