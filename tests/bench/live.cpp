#include "bench/live.hpp"

#include <muproc/system.hpp>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace muproc::bench {
namespace {

constexpr const char* k_system = "mubench";

std::filesystem::path make_folder() {
  std::string path = (std::filesystem::temp_directory_path() / "mubench-XXXXXX").string();
  if (!::mkdtemp(path.data())) throw std::runtime_error("cannot make a folder in " + path);
  return path;
}

pid_t start_broker() {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::execl("/proc/self/exe", "mubench", "--serve", static_cast<char*>(nullptr));
  ::_exit(127);
}

}  // namespace

Live::Live(Cores cores) : cores_(cores), folder_(make_folder()) {
  ::setenv("MUPROC_RUNTIME_DIR", folder_.c_str(), 1);
  broker_ = start_broker();
  const double give_up = now_ns() + 20e9;
  while (!attachment_) {
    try {
      attachment_.emplace(attach(k_system, {.name = "mubench"}));
    } catch (const Error& not_yet) {
      if (now_ns() > give_up) throw;
      ::usleep(1000);
    }
  }
}

Live::~Live() {
  attachment_.reset();
  ::kill(broker_, SIGTERM);
  ::waitpid(broker_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

int Live::os_pid(Pid pid) {
  for (const auto& row : self().list())
    if (row.pid == pid) return row.os_pid;
  return 0;
}

Pid Live::spawn(const std::string& name, Function function, unsigned core, Mumsg args) {
  args.set("core", core);
  return self().spawn(name, function, {.args = std::move(args), .stop = muproc::kill});
}

Round Live::measured_by(Function function, unsigned core, Mumsg args) {
  const Pid pid = spawn(fresh_name("measure"), function, core, std::move(args));
  const Ref ref = self().monitor(pid);
  Round round;
  std::optional<Reason> failed;
  self().receive(on<"value", "p90", "p99">() >> [&](double value, double p90, double p99) { round = {value, p90, p99}; },
                 on<"terminated", "reason">(is(pid)) >> [&](Value, Reason reason) { failed = std::move(reason); });
  if (failed) throw std::runtime_error("a measuring muproc ended too early: " + to_string(*failed));
  self().kill(pid);
  self().receive(on<"terminated">(is(pid)) >> [] {});
  self().demonitor(ref, true);
  return round;
}

void settle(Self& self) { pin(self.args()["core"].as<unsigned>()); }

void tell(Self& self, const Round& round) {
  self.send(self.parent(), "value", round.value, "p90", round.p90.value_or(0), "p99", round.p99.value_or(0));
  self.receive(on<"never">() >> [] {});  // until it is killed: how it ends is none of what is measured
}

int serve() {
  System system(k_system, {.log = LogLevel::warn});
  return system.run();
}

}  // namespace muproc::bench
