#include "broker/logs/logger.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "broker/core.hpp"
#include "broker/reaper.hpp"
#include "broker/zygotes.hpp"
#include "shm/segment.hpp"
#include "sys/error.hpp"
#include "wire/codec.hpp"
#include "wire/log_line.hpp"

namespace muproc::broker {
namespace {

// One that dies at once, again and again, is not forked in a hurry.
constexpr std::chrono::nanoseconds k_short_life = std::chrono::seconds(1);
// What a logger may take to write what is left, and for a console that has stopped.
constexpr std::chrono::seconds k_patience{5};

}  // namespace

Logger::Logger(Loop& loop, Log& log, LoggerProcess process, Settings settings)
    : loop_(loop), log_(log), settings_(std::move(settings)) {
  adopt(std::move(process));
}

Logger::~Logger() { finish(); }

void Logger::adopt(LoggerProcess process) {
  os_pid_ = process.os_pid;
  pidfd_ = sys::open_pidfd(os_pid_);
  sys::set_nonblocking(process.socket.get(), true);
  socket_ = wire::FrameSocket(std::move(process.socket));
  started_ = std::chrono::steady_clock::now();
  reading_ = loop_.when_readable(socket_.fd(), [this] { hear(); });
  death_ = loop_.when_readable(pidfd_.get(), [this] { died(); });
}

void Logger::died() {
  hear();
  reading_.stop();
  death_.stop();
  socket_.close();
  const std::string how = reap_in_words(pidfd_.get());
  pidfd_.reset();
  const bool in_a_hurry = std::chrono::steady_clock::now() - started_ < k_short_life;
  log_.error("the logger has ended ({}): process {}; {}", how, os_pid_, in_a_hurry ? "another one comes in a second" : "another one takes over");
  if (!in_a_hurry) return respawn();
  again_ = loop_.after(k_short_life, [this] { respawn(); });
}

void Logger::respawn() {
  try {
    adopt(fork_logger(settings_.lock, settings_.logs.on_console, settings_.cgroup));
  } catch (const std::exception& failure) {
    log_.error("there is no logger: {}", failure.what());
    again_ = loop_.after(k_short_life, [this] { respawn(); });
    return;
  }
  log_.info("another logger: process {}", os_pid_);
  for (auto& [pid, stream] : streams_) send(stream);
}

// ---- muprocs ---------------------------------------------------------------------------------------------------------

OutputPipes Logger::make_pipes() const {
  OutputPipes pipes;
  if (!settings_.logs.is_captured) return pipes;
  for (std::size_t i = 0; i < 2; ++i) {
    int ends[2];
    sys::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    pipes.reads[i] = sys::UniqueFd(ends[0]);
    pipes.writes[i] = sys::UniqueFd(ends[1]);
  }
  struct stat status;
  sys::check(::fstat(pipes.writes[1].get(), &status), "fstat", "a pipe");
  pipes.stderr_inode = status.st_ino;
  return pipes;
}

void Logger::born(const Muproc& muproc, bool is_supervised, std::array<sys::UniqueFd, 2> reads) {
  if (!reads[0]) return;
  const std::string file = is_supervised ? wire::log_file_name(muproc.name) : std::string(wire::k_spawned_log);
  Stream& stream = streams_[muproc.pid];
  stream.reads = std::move(reads);
  auto open = stream.open.initRoot<wire::ToLogger>().initOpen();
  open.setPid(muproc.pid.bits());
  open.setName(wire::pointer(muproc.name));
  open.setOsPid(muproc.os_pid);
  open.setFile(wire::pointer((settings_.folder / "logs" / file).native()));
  open.setSpeaksLevels(muproc.has_mailbox());
  describe(open, muproc.plan.get());
  try {
    send(stream);
  } catch (const std::exception&) {
    streams_.erase(muproc.pid);  // the logger does not know of it
    throw;
  }
}

/// How it is kept.
void Logger::describe(wire::OpenLog::Builder open, const Plan* plan) const {
  static const LogOptions as_the_system;
  const LogOptions& options = plan ? plan->log : as_the_system;
  open.setFormat(static_cast<std::uint8_t>(options.format.value_or(settings_.logs.format)));
  open.setFileSize(options.file_size.value_or(settings_.logs.file_size).count);
  open.setFiles(options.files.value_or(settings_.logs.files));
}

/// Those who have ended and whose pipes are not empty yet stay as they are.
void Logger::change(Core& core, const LogSettings& logs, std::uint32_t crash_reports) {
  settings_.logs = logs;
  settings_.crash_reports = crash_reports;
  capnp::MallocMessageBuilder console;
  console.initRoot<wire::ToLogger>().setConsole(logs.on_console);
  send(console);
  for (auto& [pid, stream] : streams_) {
    const Muproc* muproc = core.table.find(pid);
    if (!muproc) continue;
    const auto open = stream.open.getRoot<wire::ToLogger>().getOpen();  // of which the next logger is told
    describe(open, muproc->plan.get());
    capnp::MallocMessageBuilder message;
    message.initRoot<wire::ToLogger>().setChange(open);
    send(message);
  }
}

void Logger::ended(Pid pid) {
  const auto found = streams_.find(pid);
  if (found == streams_.end()) return;
  found->second.has_ended = true;
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToLogger>().setEnded(pid.bits());
  send(message);
}

LogLevel Logger::level_of(const Plan* plan) const {
  return plan ? plan->log.level.value_or(LogLevel::info) : LogLevel::info;
}

// ---- crashes ---------------------------------------------------------------------------------------------------------

bool ReportAllowance::take() {
  const auto now = std::chrono::steady_clock::now();
  left = std::min(10.0, left + std::chrono::duration<double>(now - std::exchange(at, now)).count());
  if (left < 1) return ++unreported, false;
  left -= 1;
  return true;
}

namespace {

/// As the dead one has left it: copied, then believed only where it names somebody.
void write_in_hand(wire::Crash::Builder to, const Core& core, const Muproc& dead) {
  if (!dead.segment || !dead.has_mailbox()) return;
  const shm::PeerSegment segment(dead.segment.get(), dead.pid);
  const std::uint32_t depth = std::min(segment.status().in_hand_depth.load(std::memory_order_relaxed), shm::k_max_in_hand);
  auto list = to.initInHand(depth);
  for (std::uint32_t i = 0; i < depth; ++i) {
    const shm::InHand& in_hand = segment.status().in_hand[i];
    const Pid sender(in_hand.sender.load(std::memory_order_relaxed));
    const Muproc* known = core.table.find(sender);
    list[i].setSender(sender.bits());
    list[i].setSenderName(wire::pointer(known ? known->name : std::string()));
    list[i].setTypeId(in_hand.type_id.load(std::memory_order_relaxed));
    const std::uint64_t timestamp = in_hand.timestamp.load(std::memory_order_relaxed);
    list[i].setAgeNs(core.directory.age(timestamp).count());
    for (const Muproc::Fate& fate : dead.fates)
      if (fate.sender == sender && fate.timestamp == timestamp) list[i].setFate(wire::pointer(fate.text));
  }
}

}  // namespace

void Logger::report(Core& core, const Crash& crash) {
  const Muproc& dead = crash.dead;
  if (settings_.crash_reports == 0) return;
  if (allowances_.size() > 1000) allowances_.clear();  // of those who have gone, mostly
  ReportAllowance& allowance = allowances_[dead.name];
  if (!allowance.take()) {
    if (allowance.unreported == 1) log_.warn("{} crashes so often that not each end is reported", Core::name_of(dead));
    return;
  }
  const Reason& ended_by = crash.reason.root_cause();
  capnp::MallocMessageBuilder message;
  auto report = message.initRoot<wire::ToLogger>().initCrash();
  report.setPid(dead.pid.bits());
  report.setName(wire::pointer(dead.name));
  report.setOsPid(dead.os_pid);
  wire::write(report.initReason(), crash.reason);
  report.setSignal(ended_by.is(Reason::Kind::signal) ? ended_by.number() : 0);
  report.setCoreDumped(ended_by.core());
  report.setCode(wire::pointer(to_string(dead.plan->code)));
  report.setRestarts(crash.restarts);
  report.setDecision(wire::pointer(crash.decision));
  report.setUptimeNs(crash.uptime.count());
  report.setWallNs(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
  report.setFolder(wire::pointer((settings_.folder / "crashes").native()));
  report.setKeep(settings_.crash_reports);
  report.setUnreported(std::exchange(allowance.unreported, 0));
  try {
    write_in_hand(report, core, dead);
  } catch (const std::exception&) {
    // It never got as far as to have a segment.
  }
  dead.segment ? send(message, {dead.segment.get()}) : send(message);
}

// ---- the logger ------------------------------------------------------------------------------------------------------

void Logger::send(Stream& stream) {
  send(stream.open, {stream.reads[0].get(), stream.reads[1].get()});
  if (!stream.has_ended) return;
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToLogger>().setEnded(stream.open.getRoot<wire::ToLogger>().getOpen().getPid());
  send(message);
}

/// While there is no logger nothing is sent: the next one is told of every stream.
void Logger::send(capnp::MessageBuilder& message, std::initializer_list<int> fds) {
  if (socket_ && !socket_.send(message, fds)) flush_later();
}

void Logger::flush_later() {
  reading_.when_writable(
      [this] {
        if (socket_ && !socket_.flush()) flush_later();
      },
      socket_.is_starved());
}

void Logger::hear() {
  try {
    while (auto frame = socket_.receive()) {
      const auto message = frame->as<wire::FromLogger>();
      switch (message.which()) {
        case wire::FromLogger::CLOSED: streams_.erase(Pid(message.getClosed())); break;
        case wire::FromLogger::TROUBLE: log_.warn("logger: {}", wire::view(message.getTrouble())); break;
        case wire::FromLogger::REPORTED: log_.info("a crash report: {}", wire::view(message.getReported())); break;
      }
    }
  } catch (const std::exception& failure) {
    log_.error("the logger talks nonsense and is killed: {}", failure.what());
    sys::send_signal(pidfd_.get(), SIGKILL);
  }
}

void Logger::finish() noexcept {
  if (std::exchange(is_finished_, true)) return;
  reading_.stop();
  death_.stop();
  again_.stop();
  if (!pidfd_) return;
  const auto until = std::chrono::steady_clock::now() + k_patience;
  try {
    capnp::MallocMessageBuilder message;
    message.initRoot<wire::ToLogger>().setFinish();
    bool is_sent = socket_.send(message);
    for (;; is_sent = is_sent || socket_.flush()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      const short events = is_sent ? POLLIN : POLLIN | POLLOUT;
      pollfd fds[2] = {{pidfd_.get(), POLLIN, 0}, {socket_.closed() ? -1 : socket_.fd(), events, 0}};
      const bool is_over = left.count() <= 0 || ::poll(fds, 2, static_cast<int>(left.count())) < 0 || fds[0].revents;
      hear();  // of its last reports
      if (is_over) break;
    }
  } catch (const std::exception&) {
    // It is ended all the same.
  }
  sys::send_signal(pidfd_.get(), SIGKILL);  // it has ended, or is late
  reap_in_words(pidfd_.get());
  pidfd_.reset();
  socket_.close();
}

}  // namespace muproc::broker
