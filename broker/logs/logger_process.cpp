#include "broker/logs/logger_process.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "broker/cgroups.hpp"
#include "broker/crashes/reporter.hpp"
#include "broker/fork_server.hpp"
#include "broker/logs/log_stream.hpp"
#include "sys/error.hpp"
#include "sys/process.hpp"
#include "wire/codec.hpp"
#include "wire/frame.hpp"

namespace muproc::broker {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto k_after_the_broker = std::chrono::seconds(5);
constexpr auto k_to_finish = std::chrono::seconds(3);  // for reports that wait; one that is begun is finished in any case
constexpr std::size_t k_last_words = 64;               // of how many that are closed

class LoggerServer {
  using Consoles = std::array<std::shared_ptr<Console>, 2>;

 public:
  LoggerServer(sys::UniqueFd socket, bool on_console)
      : socket_(std::move(socket)), epoll_(sys::check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
    show(on_console);
    reporter_.reported = [this](const std::string& path) { tell([&](auto message) { message.setReported(wire::pointer(path)); }); };
    reporter_.trouble = [this](const std::string& what) { tell([&](auto message) { message.setTrouble(wire::pointer(what)); }); };
    sys::set_nonblocking(socket_.fd(), true);
    epoll_event event{EPOLLIN, {}};
    event.data.u64 = k_socket;
    sys::check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket_.fd(), &event), "epoll_ctl");
  }

  bool has_lost_broker() const { return !is_finished_; }

  void serve() {
    while (!is_over()) {
      if (wait_for_room()) read_round();
      look_at_socket();
      write_out();
      close_what_is_closed();
      reporter_.go_on();
    }
    for (auto& [pid, stream] : streams_) {
      stream->ended();
      has_changed(*stream);
    }
    finish_consoles();
  }

 private:
  static constexpr std::uint64_t k_socket = ~std::uint64_t{0};

  bool is_over() const {
    if (is_finished_) return !reporter_.is_busy() || Clock::now() >= finish_by_;
    return !reporter_.is_busy() && socket_.closed() && (streams_.empty() || Clock::now() >= broker_gone_at_ + k_after_the_broker);
  }

  /// While a console is full, nothing is read but the broker's words: false.
  bool wait_for_room() {
    Console* full = nullptr;
    for (const auto& console : consoles_)
      if (console && console->is_full()) full = console.get();
    if (!full) return true;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(full->stuck_at() - Clock::now());
    pollfd fds[2] = {{full->fd(), POLLOUT, 0}, {socket_.closed() ? -1 : socket_.fd(), POLLIN, 0}};
    ::poll(fds, 2, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1000)));
    for (const auto& console : consoles_)
      if (console) console->drain();
    return false;
  }

  /// A little of each pipe that has something.
  void read_round() {
    epoll_event events[128];
    const int count = ::epoll_wait(epoll_.get(), events, 128, timeout());
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u64 == k_socket) continue;  // it has its turn in each round
      const auto stream = by_key_.find(LogStream::key_of(events[i].data.u64));
      if (stream == by_key_.end()) continue;
      stream->second->read(LogStream::pipe_of(events[i].data.u64));
      has_changed(*stream->second);
    }
  }

  /// Only what has changed is looked at in a round: there may be a thousand who are silent.
  void has_changed(LogStream& stream) {
    dirty_.insert(stream.file());
    if (stream.is_closed()) closed_.insert(stream.pid());
  }

  int timeout() const {
    bool is_waiting = false;
    for (const auto& console : consoles_) is_waiting = is_waiting || (console && console->has_waiting());
    if (is_waiting || socket_.bytes_waiting() || reporter_.is_busy()) return 20;  // these are not in the epoll set: they are seldom waited for
    return socket_.closed() ? 500 : -1;
  }

  void look_at_socket() {
    if (socket_.closed()) return;
    socket_.flush();
    while (auto frame = socket_.receive()) hear(*frame);
    if (!socket_.closed()) return;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket_.fd(), nullptr);
    broker_gone_at_ = Clock::now();
  }

  void hear(wire::Frame& frame) {
    const auto message = frame.as<wire::ToLogger>();
    switch (message.which()) {
      case wire::ToLogger::OPEN: return open(message.getOpen(), frame);
      case wire::ToLogger::ENDED:
        if (const auto stream = streams_.find(message.getEnded()); stream != streams_.end()) {
          stream->second->ended();
          has_changed(*stream->second);
        }
        return;
      case wire::ToLogger::CRASH: {
        const std::uint64_t pid = message.getCrash().getPid();
        return reporter_.add(std::move(frame), last_lines_of(pid));
      }
      case wire::ToLogger::CHANGE: return change(message.getChange());
      case wire::ToLogger::CONSOLE: return show(message.getConsole());
      case wire::ToLogger::FINISH:
        finish_by_ = Clock::now() + k_to_finish;
        is_finished_ = true;
        return;
    }
  }

  std::vector<LastLine> last_lines_of(std::uint64_t pid) const {
    if (const auto stream = streams_.find(pid); stream != streams_.end()) return stream->second->last_lines();
    for (const auto& [of, lines] : last_words_)
      if (of == pid) return lines;
    return {};
  }

  void tell(const std::function<void(wire::FromLogger::Builder)>& fill) {
    capnp::MallocMessageBuilder message;
    fill(message.initRoot<wire::FromLogger>());
    socket_.send(message);
  }

  void open(wire::OpenLog::Reader open, wire::Frame& frame) {
    frame.expect_fds(2);
    std::array<sys::UniqueFd, 2> pipes{std::move(frame.fds()[0]), std::move(frame.fds()[1])};
    const std::uint64_t key = ++last_key_;
    auto stream = std::make_unique<LogStream>(open, std::move(pipes), file_of(open), shown_on_, epoll_.get(), key);
    by_key_[key] = stream.get();
    streams_[open.getPid()] = std::move(stream);
  }

  void change(wire::OpenLog::Reader open) {
    const auto stream = streams_.find(open.getPid());
    if (stream == streams_.end()) return;
    stream->second->file()->flush();
    stream->second->keep_in(file_of(open));
  }

  /// What waits for a console that is not to be shown on any more is still written there.
  void show(bool on_console) {
    for (std::size_t i = 0; on_console && i < consoles_.size(); ++i) {
      if (consoles_[i]) continue;
      consoles_[i] = std::make_shared<Console>(i == 0 ? STDOUT_FILENO : STDERR_FILENO);
      consoles_[i]->set_formatter(log_formatter(LogFormat::text));
    }
    shown_on_ = on_console ? consoles_ : Consoles();
    for (const auto& [pid, stream] : streams_) stream->show_on(shown_on_);
  }

  std::shared_ptr<LogFile> file_of(wire::OpenLog::Reader open) {
    const LogFileSettings settings{static_cast<LogFormat>(open.getFormat()), open.getFileSize(), open.getFiles()};
    auto& known = files_[wire::string(open.getFile())];
    auto file = known.lock();
    if (file && file->settings() == settings) return file;
    if (file) file->flush();
    file = std::make_shared<LogFile>(wire::string(open.getFile()), settings, [this](const std::string& what) {
      tell([&](auto message) { message.setTrouble(wire::pointer(what)); });
    });
    known = file;
    return file;
  }

  void write_out() {
    for (const auto& file : std::exchange(dirty_, {})) file->flush();
    for (const auto& console : consoles_)
      if (console && console->has_waiting()) console->drain();
  }

  void close_what_is_closed() {
    for (const std::uint64_t pid : std::exchange(closed_, {})) {
      const auto stream = streams_.find(pid);
      if (stream == streams_.end()) continue;
      tell([&](auto message) { message.setClosed(stream->first); });
      last_words_.emplace_back(stream->first, stream->second->last_lines());
      if (last_words_.size() > k_last_words) last_words_.pop_front();
      std::erase_if(by_key_, [&](const auto& entry) { return entry.second == stream->second.get(); });
      streams_.erase(stream);
      std::erase_if(files_, [](const auto& entry) { return entry.second.expired(); });
    }
  }

  void finish_consoles() {
    write_out();
    for (const auto& console : consoles_)
      if (console) console->finish();
  }

  wire::FrameSocket socket_;
  sys::UniqueFd epoll_;
  Consoles consoles_, shown_on_;  // where something may still wait; where what comes is shown
  std::map<std::string, std::weak_ptr<LogFile>> files_;
  std::map<std::uint64_t, std::unique_ptr<LogStream>> streams_;
  std::map<std::uint64_t, LogStream*> by_key_;
  std::set<std::shared_ptr<LogFile>> dirty_;
  std::set<std::uint64_t> closed_;
  std::uint64_t last_key_ = 0;
  std::deque<std::pair<std::uint64_t, std::vector<LastLine>>> last_words_;
  Reporter reporter_;
  Clock::time_point finish_by_{};
  bool is_finished_ = false;
  Clock::time_point broker_gone_at_{};
};

}  // namespace

LoggerProcess::~LoggerProcess() {
  if (!socket) return;
  ::kill(os_pid, SIGKILL);
  ::waitpid(os_pid, nullptr, __WALL);
}

LoggerProcess fork_logger(int lock, bool on_console, const std::string& cgroup) {
  auto [ours, loggers] = sys::socket_pair();
  const int os_pid = fork_server_process("the logger");
  if (os_pid) return {os_pid, std::move(ours)};

  become_server("muproc-logger", loggers.get(), lock);
  ours.release();  // closed above
  ::signal(SIGPIPE, SIG_IGN);
  try {
    LoggerServer server(std::move(loggers), on_console);
    server.serve();
    if (server.has_lost_broker()) leave_groups(cgroup);
    ::_exit(0);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "muproc logger: %s\n", failure.what());
  }
  ::_exit(1);
}

}  // namespace muproc::broker
