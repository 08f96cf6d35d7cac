#include "bench/live.hpp"

#include <muproc/system.hpp>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace muproc::bench {
namespace {

constexpr const char* k_system = "mubench";

std::filesystem::path make_folder() {
  std::string path = (std::filesystem::temp_directory_path() / "mubench-XXXXXX").string();
  if (!::mkdtemp(path.data())) throw std::runtime_error("cannot make a folder in " + path);
  return path;
}

pid_t start_broker(unsigned ballast) {
  const std::string mib = std::to_string(ballast);
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::execl("/proc/self/exe", "mubench", "--serve", "--ballast", mib.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

}  // namespace

Live::Live(Cores cores, unsigned ballast) : cores_(cores), folder_(make_folder()) {
  ::setenv("MUPROC_RUNTIME_DIR", folder_.c_str(), 1);
  broker_ = start_broker(ballast);
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

Pid Live::spawn(const std::string& name, Function function, unsigned core, Mumsg args, MailboxSizes mailbox) {
  args.set("core", core);
  return self().spawn(name, function, {.args = std::move(args), .stop = muproc::kill, .mailbox = mailbox});
}

Round Live::measured_by(Function function, Mumsg args, MailboxSizes mailbox) {
  args.set("other", cores_.second);
  const Pid pid = spawn(fresh_name("measure"), function, cores_.first, std::move(args), mailbox);
  const Ref ref = self().monitor(pid);
  Round round;
  std::optional<Reason> failed;
  self().receive(on<"value", "beside", "laps">() >> [&](double value, double beside, std::string_view laps) {
                   round = {.value = value, .laps = Histogram::parse(laps)};
                   if (beside > 0) round.beside = beside;
                 },
                 on<"terminated", "reason">(is(pid)) >> [&](Value, Reason reason) { failed = std::move(reason); });
  if (failed) throw std::runtime_error("a measuring muproc ended too early: " + to_string(*failed));
  self().kill(pid);
  self().receive(on<"terminated">(is(pid)) >> [] {});
  self().demonitor(ref, true);
  return round;
}

void settle(Self& self) { pin(self.args()["core"].as<unsigned>()); }

Pid spawn_beside(Self& self, const std::string& prefix, Function function, Mumsg args) {
  args.set("core", self.args()["other"]);
  return self.spawn(gensym(prefix), function, {.args = std::move(args), .link = true, .stop = muproc::kill});
}

void tell(Self& self, const Round& round) {
  self.send(self.parent(), "value", round.value, "beside", round.beside.value_or(0), "laps", round.laps.text());
  idle(self);
}

void idle(Self& self) { self.receive(on<"never">() >> [] {}); }

void victim(Self& self) {
  for (;;)
    self.receive(on<"hello">() >> [&](From from) { self.send(from, "heard", now_ns()); });
}

std::string victim_program() { return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "mubench_victim"; }

int serve(unsigned ballast) {
  const std::vector<char> weight(std::size_t{ballast} << 20, 1);
  asm volatile("" : : "r"(weight.data()) : "memory");  // it is for its own sake
  System system(k_system, {.log = LogLevel::warn});
  return system.run();
}

}  // namespace muproc::bench
