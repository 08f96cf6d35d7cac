#include "broker/crashes/reporter.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "broker/crashes/crash_report.hpp"
#include "sys/error.hpp"
#include "wire/codec.hpp"
#include "wire/log_line.hpp"
#include "wire/mumsg.capnp.h"
#include "wire/printable.hpp"

namespace muproc::broker {
namespace {

namespace fs = std::filesystem;

constexpr unsigned k_at_most_seconds = 60;
constexpr int k_niceness = 10;

/// Without an ending. The time comes before the process so that names sort by age; wire::crash_file says how to read it.
fs::path path_of(wire::Crash::Reader crash) {
  const std::time_t second = crash.getWallNs() / 1'000'000'000;
  const std::string log_file = wire::log_file_name(wire::view(crash.getName()));
  return fs::path(wire::string(crash.getFolder())) /
         fmt::format("{}-{:%Y%m%d-%H%M%S}.{:06}-{}", log_file.substr(0, log_file.size() - 4), fmt::localtime(second),
                     crash.getWallNs() / 1000 % 1'000'000, crash.getOsPid());
}

void write_whole(const fs::path& path, const std::string& text) {
  const fs::path unfinished = path.native() + ".part";
  {
    std::ofstream file(unfinished, std::ios::binary);
    if (!(file << text << std::flush)) sys::throw_errno("write", unfinished.native());
  }
  fs::rename(unfinished, path);
}

/// The oldest are those whose stamp is the smallest, whatever their name is.
void remove_oldest(const fs::path& folder, std::size_t keep) {
  std::vector<std::pair<std::string, fs::path>> reports;
  for (const auto& entry : fs::directory_iterator(folder))
    if (const auto report = wire::parse_crash_file(entry.path().filename().native()); report && entry.path().extension() == ".json")
      reports.emplace_back(report->stamp, entry.path());
  if (reports.size() <= keep) return;
  std::sort(reports.begin(), reports.end());
  for (std::size_t i = 0; i < reports.size() - keep; ++i) {
    fs::path path = reports[i].second;
    std::error_code gone;
    fs::remove(path, gone);
    fs::remove(path.replace_extension(".txt"), gone);
  }
}

std::string type_in_words(std::uint64_t type_id) {
  return type_id == capnp::typeId<wire::Mumsg>() ? "a mumsg" : fmt::format("a message of type {:#x}", type_id);
}

/// From where it was thrown on; what comes before is the C++ runtime looking for a handler.
void trim_to_throw(Stack& stack) {
  const auto thrower = std::find_if(stack.frames.begin(), stack.frames.end(), [](const StackFrame& frame) {
    return frame.function == "__cxa_throw" || frame.function == "__cxa_rethrow";
  });
  if (thrower != stack.frames.end()) stack.frames.erase(stack.frames.begin(), thrower + 1);
}

CrashReport make_report(wire::Crash::Reader crash, int segment, std::vector<LastLine> last_lines) {
  CrashReport report;
  report.name = wire::string(crash.getName());
  report.pid = to_string(Pid(crash.getPid()));
  report.os_pid = crash.getOsPid();
  report.code = wire::string(crash.getCode());
  report.reason = to_string(wire::read(crash.getReason()));
  report.decision = wire::string(crash.getDecision());
  report.signal = crash.getSignal();
  report.core_dumped = crash.getCoreDumped();
  report.wall_ns = crash.getWallNs();
  report.uptime_ns = crash.getUptimeNs();
  report.restarts = crash.getRestarts();
  report.unreported = crash.getUnreported();
  for (const auto message : crash.getInHand())
    report.in_hand.push_back({fmt::format("{}{}", wire::view(message.getSenderName()).empty() ? "" : wire::string(message.getSenderName()) + " ",
                                          to_string(Pid(message.getSender()))),
                              type_in_words(message.getTypeId()), static_cast<double>(message.getAgeNs()) / 1e9, wire::string(message.getFate())});
  report.last_lines = std::move(last_lines);
  if (segment < 0) return report;
  try {
    report.dump = read_crash_dump(segment);
    if (!report.dump) return report;
    if (!report.signal) report.signal = report.dump->signal;
    report.unwound = unwind(*report.dump);
    if (report.dump->signal == 0 && !report.unwound.stacks.empty()) trim_to_throw(report.unwound.stacks.front());
  } catch (const std::exception& failure) {
    report.last_lines.push_back({"----", fmt::format("(its notes could not be read: {})", failure.what())});
  }
  return report;
}

void write_report(wire::Crash::Reader crash, const fs::path& path, int segment, std::vector<LastLine> last_lines) {
  const CrashReport report = make_report(crash, segment, std::move(last_lines));
  write_whole(path.native() + ".txt", to_text(report));
  write_whole(path.native() + ".json", to_json(report));
  remove_oldest(path.parent_path(), crash.getKeep());
}

}  // namespace

void Reporter::add(wire::Frame frame, std::vector<LastLine> last_lines) {
  waiting_.push_back({std::move(frame), std::move(last_lines)});
  go_on();
}

void Reporter::go_on() {
  if (os_pid_) {
    int status = 0;
    if (::waitpid(os_pid_, &status, WNOHANG | __WALL) == 0) return;
    os_pid_ = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      reported(path_ + ".txt");
    } else {
      trouble(fmt::format("the crash report {} could not be written{}", path_, WIFSIGNALED(status) ? fmt::format(": its writer was ended by signal {}", WTERMSIG(status)) : ""));
    }
  }
  while (!os_pid_ && !waiting_.empty()) {
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    if (!start(job)) trouble(fmt::format("the crash report {} could not be written: {}", path_, std::strerror(errno)));
  }
}

bool Reporter::start(Job& job) {
  const auto crash = job.frame.as<wire::ToLogger>().getCrash();
  path_ = path_of(crash).native();
  os_pid_ = ::fork();
  if (os_pid_ > 0) return true;
  if (os_pid_ < 0) return os_pid_ = 0, false;

  ::prctl(PR_SET_NAME, "muproc-reporter");
  ::setpriority(PRIO_PROCESS, 0, k_niceness);
  ::alarm(k_at_most_seconds);
  int segment = -1;
  if (!job.frame.fds().empty()) segment = ::dup2(job.frame.fds()[0].get(), 3);
  ::syscall(SYS_close_range, segment < 0 ? 3 : 4, ~0U, 0);  // the lock and the pipes are none of its business
  try {
    write_report(crash, path_, segment, std::move(job.last_lines));
    ::_exit(0);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "muproc reporter: %s\n", failure.what());
  }
  ::_exit(1);
}

}  // namespace muproc::broker
