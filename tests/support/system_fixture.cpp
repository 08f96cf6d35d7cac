#include "support/system_fixture.hpp"

#include <csignal>

#include "support/catch.hpp"

namespace muproc::test {

LiveSystem::LiveSystem(Supervisor root, SystemOptions options)
    : TestSystem(std::move(root), TestOptions{.virtual_time = options.virtual_time,
                                              .capture_output = options.capture_output,
                                              .module_dir = options.module_dir,
                                              .log = options.log.value_or(LogLevel::info)}) {}

LiveSystem::~LiveSystem() noexcept(false) {
  leave();
  if (std::uncaught_exceptions() > exceptions_) {
    // The test has failed already; do not wait for what may be broken.
    broker().signal(SIGKILL);
    broker().wait();
    try {
      nobody_is_left();
    } catch (...) {
    }
    return;
  }
  if (broker().running()) CHECK(stop() == 0);
  broker().wait();
  nobody_is_left();
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

}  // namespace muproc::test
